"""What was drawn on the test questions, as arrays: samples with each verifier's scores, searches, chains by length.

Knows the stored draws. Must not know what is read off them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study import draw, gate, questions
from benchmarks.real_study.plan import HEAD, ORM, Plan
from benchmarks.real_study.solutions import problems_of

from ttscale.answers import answer_classes
from ttscale.evaluation import Pool, Records
from ttscale.evaluation.collect.pool import Graded
from ttscale.training import Problem


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn on the test questions: samples with each verifier's scores, searches, chains by length."""

    rows: Sequence[questions.Row]
    graded: Mapping[str, Sequence[Graded]]
    """Verifier -> the samples of each question with its scores; some questions have more than others."""
    chosen: str
    searches: Records | None
    arms: Mapping[str, Sequence[int]]
    """The searches and the seeds of each."""
    reached: Set[tuple[str, int, str]]
    """The (search, N, question) of which there are records."""
    chains: Mapping[int, Sequence[Sequence[Graded]]]
    """Length -> for each question its chains."""
    together: Mapping[int, Sequence[Graded]]
    """Length -> for each question the attempts of all its chains."""

    @property
    def attempts(self) -> int:
        """Of all chains of one length together."""
        return sum(len(chain.correct) for chain in next(iter(self.chains.values()))[0])

    def only(self, kept: Any) -> Drawn:
        """The part with the questions where ``kept`` [questions] is true."""

        def part(of: Mapping[Any, Sequence[Any]]) -> dict[Any, list[Any]]:
            return {name: list(itertools.compress(own, kept)) for name, own in of.items()}

        rows = list(itertools.compress(self.rows, kept))
        chains, together = part(self.chains), part(self.together)
        return replace(self, rows=rows, graded=part(self.graded), chains=chains, together=together)


def load(folder: Path, plan: Plan) -> Drawn:
    """Everything that the draw left, the parts that are there."""
    rows = plan.rows(folder, "test")
    pool = draw.samples(folder, plan)
    scores = draw.scores(folder, plan)
    graded: dict[str, list[Graded]] = {}
    for name, own in scores.items():
        left = iter(own)
        graded[name] = [
            scored(pool, problem, left, plan.budgets[0] if name in (HEAD, ORM) else None)
            for problem in problems_of(rows)
        ]
    chosen = gate.chosen(folder)
    records, arms = draw.stored_searches(folder, plan)
    written = draw.stored_revisions(folder, plan)
    chains = {length: pool.graded_chains() for length, pool in written.items()}
    together = {}
    for length, own_pool in written.items():
        judged = draw.attempt_scores(folder, plan, own_pool) if plan.judge_attempts else {}
        together[length] = [joined(own_pool, one, judged) for one in problems_of(rows)]
    reached = {(one.arm, one.budget, one.question) for one in records or ()}
    return Drawn(rows, graded, chosen, records, arms, reached, chains, together)


def scored(pool: Pool, problem: Problem, scores: Iterator[float], most: int | None) -> Graded:
    """The first ``most`` samples of a question; each that is finished takes the next score, others have none."""
    (one,) = pool.of([problem]).graded()
    drawn = pool.drawn(problem.id)[:most]
    own = [next(scores) if each.finish == "stop" and each.text.strip() else math.nan for each in drawn]
    return Graded(one.question, one.correct[:most], one.classes[:most], np.array(own), one.tokens[:most])


def joined(pool: Pool, problem: Problem, scores: Mapping[tuple[str, str], float]) -> Graded:
    """The attempts of all chains of a question as one set, its answers classed together, with the verifier's scores."""
    drawn = [attempt for chain in range(pool.size) for attempt in pool.chain(problem.id, chain)]
    right, *classes = answer_classes([problem.answer, *(one.answer for one in drawn)])
    numbers = np.array([-1 if number is None else number for number in classes])
    own = np.array([scores.get((problem.id, one.text), math.nan) for one in drawn])
    return Graded(problem.id, (numbers == right) & (numbers >= 0), numbers, own, np.zeros(len(drawn), dtype=int))
