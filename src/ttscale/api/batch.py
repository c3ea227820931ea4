"""A total budget spread over a batch of questions by marginal gain (Learning how hard to think, arXiv 2410.04707).

Knows questions' probes and how many generations each is then worth. Must not know how they are searched. Every question
is probed with a few solutions. The verifier's mean score stands for p, the chance that one more solution is right. With
b solutions a question is expected to be solved with probability 1 - (1-p)^b, so one more is worth p (1-p)^b. The
generations left are given out one by one to whoever gains most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ttscale.api.arguments import check_budget, check_questions
from ttscale.api.load_roles import ModelSpecs
from ttscale.api.result import Result
from ttscale.api.rounds import Rounds
from ttscale.api.solve import solve_all
from ttscale.core.checks import check_count
from ttscale.core.protocols import AnyGenerator, AnyVerifier, Role
from ttscale.core.types import Question
from ttscale.strategies import BestOfN, WeightedBestOfN
from ttscale.strategies.adaptive import marginal_budgets


@dataclass(frozen=True, slots=True)
class BatchAllocation:
    """An arm of a sweep that spends N generations per question *on average* over all its questions.

    ``probe`` solutions of each question are judged first (None: a quarter of N, at most 4), and are part of what
    ``strategy`` then chooses from. No question gets more than ``most`` times N.
    """

    probe: int | None = None
    strategy: WeightedBestOfN | BestOfN = WeightedBestOfN()
    most: int = 16

    def __post_init__(self) -> None:
        check_count("probe", self.probe, none=True)
        if not isinstance(self.strategy, WeightedBestOfN | BestOfN):
            raise ValueError(
                f"a batch allocation adds solutions to those of its probe, which only best-of-N can; got "
                f"{self.strategy!r}"
            )
        check_count("most", self.most)

    @property
    def needs(self) -> frozenset[Role]:
        """The roles of its strategy."""
        return self.strategy.needs

    def probe_of(self, budget: int) -> int:
        """How many solutions of each question are drawn first, of ``budget`` on average."""
        return min(budget, self.probe or max(1, min(4, budget // 4)))

    def shares(self, difficulties: Mapping[str, float], budget: int) -> dict[str, int]:
        """Generations for each question, from its probe's difficulty (1 - mean score); they add up to N x questions."""
        chances = [1 - difficulty for difficulty in difficulties.values()]
        total, least = budget * len(chances), self.probe_of(budget)
        counts = marginal_budgets(chances, total, least=least, most=self.most * budget) if chances else []
        return dict(zip(difficulties, counts, strict=True))


def solve_batch(
    questions: Iterable[str | Question],
    budget: int = 16,
    *,
    allocation: BatchAllocation = BatchAllocation(),
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    progress: bool = True,
) -> list[Result]:
    """Answer many questions with ``budget`` generations each *on average*, more for those where they pay.

    Results come in the order of the questions, failures as in ``solve_all``; a question whose probe failed keeps that
    result. ``resume`` names a trace file, as there.
    """
    asked = check_questions(questions)
    check_budget(budget)
    if not asked:
        return []
    # Loaded once, not once per number of solutions that is allotted.
    models = ModelSpecs(generator, verifier, None).check().opened().given

    def solved(some: list[Question], n: int, trace: Path) -> list[Result]:
        return solve_all(some, n, **models, strategy=allocation.strategy, seed=seed, progress=progress, resume=trace)

    with Rounds(resume, solved) as rounds:
        with suppress(KeyboardInterrupt):
            probed = [one for one in rounds.solve(asked, allocation.probe_of(budget)) if one.error is None]
            shares = allocation.shares({one.question.id: _difficulty(one) for one in probed}, budget)
            for n in sorted(set(shares.values())):
                rounds.solve([question for question in asked if shares.get(question.id) == n], n)
        return rounds.results(asked)


def _difficulty(result: Result) -> float:
    scores = [score or 0.0 for score in result.scores]
    return 1 - sum(scores) / len(scores) if scores else 1.0
