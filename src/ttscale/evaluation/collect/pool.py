"""What a sample pool holds: solutions, their scores, and their grades as arrays.

Knows solutions and reference answers. Must not know models or files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ttscale.core.cost import Cost
from ttscale.core.selection import Aggregate, aggregate, check_aggregate
from ttscale.core.types import Finish
from ttscale.evaluation.problems.grading import graded
from ttscale.evaluation.problems.problem import AnyProblem, Problem, as_problems
from ttscale.evaluation.statistics import Graded

PoolKind = Literal["samples", "chains"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One solution: what it says and what the verifier said. ``scores`` is empty where nothing was judged."""

    answer: str | None
    finish: Finish
    scores: tuple[float, ...]
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class PoolBlock:
    """Solutions of one question drawn together: samples ``first`` and on, or one whole chain of revisions."""

    question: str
    digest: str
    first: int
    drawn: tuple[Drawn, ...]
    cost: Cost

    @property
    def key(self) -> str:
        return f"{self.question}|{self.first}"


class Pool:
    """The solutions drawn for each problem, in memory."""

    def __init__(
        self, kind: PoolKind, seed: int, models: Mapping[str, str | None], blocks: Iterable[PoolBlock]
    ) -> None:
        self.kind, self.seed, self.models = kind, seed, dict(models)
        self._blocks: dict[str, dict[int, PoolBlock]] = {}
        for block in blocks:
            self._blocks.setdefault(block.question, {})[block.first] = block
        self._problems: dict[str, Problem] = {}
        self._marks: dict[str, tuple[NDArray[np.int64], NDArray[np.bool_]]] = {}

    def of(self, problems: Iterable[AnyProblem]) -> Pool:
        """The pool's part for these problems, in their order; ``ValueError`` where it lacks one or has another text."""
        asked = as_problems(problems)
        for problem in asked:
            if problem.id not in self._blocks:
                raise ValueError(f"the pool has no samples of question {problem.id!r}; draw them with draw_pool")
            for block in self._blocks[problem.id].values():
                check_digest(block.question, block.digest, problem, "the pool")
        part = Pool(self.kind, self.seed, self.models, ())
        part._blocks = {problem.id: self._blocks[problem.id] for problem in asked}
        part._problems = {problem.id: problem for problem in asked}
        return part

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(self._blocks)

    @property
    def size(self) -> int:
        """K: how many samples (or chains) every question has."""
        chains = self.kind == "chains"
        return min((len(own if chains else self.drawn(question)) for question, own in self._blocks.items()), default=0)

    def drawn(self, question: str) -> tuple[Drawn, ...]:
        """The samples of a question, in the order of their keys."""
        if self.kind == "chains":
            raise ValueError("a pool of chains has no independent samples; read it with chain()")
        blocks, found = self._blocks[question], 0
        samples: list[Drawn] = []
        while found in blocks:
            samples += blocks[found].drawn
            found += len(blocks[found].drawn)
        return tuple(samples)

    def chain(self, question: str, chain: int) -> tuple[Drawn, ...]:
        """The attempts of one chain, first to last."""
        if self.kind == "samples":
            raise ValueError("a pool of independent samples has no chains; draw one with kind='chains'")
        return self._blocks[question][chain].drawn

    def cost(self, question: str) -> Cost:
        """What drawing and judging everything of this question cost."""
        return sum((block.cost for block in self._blocks[question].values()), Cost())

    def graded(self, how: Aggregate = "last") -> list[Graded]:
        """Every question's first ``size`` samples as arrays. Needs ``of(problems)``, which knows the references."""
        check_aggregate(how)
        return [self._graded(question, self.drawn(question)[: self.size], how) for question in self._blocks]

    def graded_chains(self, how: Aggregate = "last") -> list[list[Graded]]:
        """For every question its chains as arrays along the chain."""
        check_aggregate(how)
        return [
            [self._graded(question, block.drawn, how, f"|{first}") for first, block in sorted(blocks.items())]
            for question, blocks in self._blocks.items()
        ]

    def _graded(self, question: str, drawn: Sequence[Drawn], how: Aggregate, part: str = "") -> Graded:
        if question not in self._problems:
            raise ValueError(f"the pool has no reference answer of question {question!r}; call pool.of(problems) first")
        mark = self._marks.get(question + part)
        if mark is None or len(mark[0]) != len(drawn):
            problem = self._problems[question]
            mark = graded([one.answer for one in drawn], problem.answer, problem.answers)
            self._marks[question + part] = mark
        scores = [aggregate(one.scores, how) if one.scores else math.nan for one in drawn]
        return Graded(question, mark[1], mark[0], np.array(scores), np.array([one.tokens for one in drawn]))


def check_digest(question: str, digest: str, problem: Problem, where: str) -> None:
    if digest != problem.digest:
        raise ValueError(
            f"question {question!r} has another text or reference answer, or another answer rule, in {where} than now; "
            "ids must mean the same question in both, so use another file for another data set"
        )
