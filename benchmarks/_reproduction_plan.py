"""What the study draws, how much that is, and how long it will take.

Knows: settings and arms. Must not know: models or results. The unit is one whole solution, sampled and judged; a
revision counts for more, since its context is longer. Draws that arms share count once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ttscale.api.batch import BatchAllocation
from ttscale.evaluation import Arm
from ttscale.evaluation.report.settings import StudySettings, menu_arms
from ttscale.strategies import AdaptiveConsistency, BestOfN, MajorityVote, SequentialRevision, WeightedBestOfN

MENU = (
    "weighted best-of-N",
    "beam, M = 4",
    "DVTS, M = 4",
    "revisions all parallel",
    "revisions 1:1",
    "revisions all sequential",
)
FIT_BUDGETS = (4, 16)
REVISION = 2.5
"""What a revision of earlier attempts costs, in solutions of its length: measured 20 to 25 ms against 8.5."""
EVERY = 15.0
"""Seconds between two lines of the log."""


def full(questions: int, figure_questions: int, deep_questions: int, seeds: int) -> StudySettings:
    """The study of docs/reproduction.md."""
    return StudySettings(
        budgets=(1, 4, 16, 64),
        samples=32,
        chains=1,
        chain_length=8,
        seeds=tuple(range(seeds)),
        figure_seeds=(0,),
        figure_questions=min(figure_questions, questions),
        deep_questions=min(deep_questions, questions),
        deep_samples=256,
        fit_budgets=FIT_BUDGETS,
        adaptive_budgets=(16,),
        menu=MENU,
    )


def quick(questions: int, seeds: int) -> StudySettings:
    """The same parts, with N up to 16: to see that everything works end to end."""
    return StudySettings(
        budgets=(1, 4, 16),
        samples=16,
        chains=1,
        chain_length=6,
        seeds=tuple(range(seeds)),
        figure_seeds=(0,),
        figure_questions=max(4, questions // 2),
        deep_questions=max(4, questions // 4),
        deep_samples=64,
        fit_budgets=FIT_BUDGETS,
        adaptive_budgets=(16,),
        menu=MENU,
        bins=3,
    )


def planned(settings: StudySettings, questions: int, large: float = 0.0, second: bool = False) -> dict[str, float]:
    """Solutions to draw in each part of the study, by the names that ``run_study`` gives them."""
    arms, seeds = settings.arms(True), len(settings.seeds)
    few, deep = settings.figure_questions or questions, settings.deep_questions
    figure_seeds = len(settings.figure_seeds or settings.seeds)
    late = arms.adaptive[0].budgets or ()
    steps = [Arm(a.name, a.strategy, (settings.deep_samples,)) for a in arms.search if a.name in settings.deep]
    chain = settings.chains * (1 + (settings.chain_length - 1) * REVISION)
    return {
        "headline": questions * seeds * (solutions(arms.headline) + sum(late)),
        "pool": float(questions * settings.samples),
        "chains": questions * chain,
        "figures": few * figure_seeds * solutions([*arms.search, *arms.revisions]),
        "deep pool": float(deep * max(0, settings.deep_samples - settings.samples)),
        "deep searches": deep * solutions(steps),
        "second verifier": float(deep * settings.deep_samples * second),
        "adaptive": questions * seeds * sum(late) * 0.6,
        "large model": questions * large,
    }


def planned_policy(settings: StudySettings, questions: int, seeds: int) -> float:
    """Solutions to draw for fitting a policy."""
    return questions * seeds * solutions(policy_arms(settings))


def policy_arms(settings: StudySettings) -> list[Arm]:
    """What the policy that ships is fitted on: unlike the study's, also at the largest budget, the one users try."""
    budgets = sorted({*settings.fitted_at, settings.budgets[-1]})
    return menu_arms(settings.arms(True).menu, settings.probe, budgets)


def solutions(arms: Sequence[Arm]) -> float:
    """Solutions per question and seed, what is shared counted once."""
    shared: dict[str, int] = {}
    alone: dict[tuple[str, float, int], float] = {}
    for arm in arms:
        strategy, budgets = arm.strategy, arm.budgets or (1, 4, 16, 64)
        if isinstance(strategy, MajorityVote | BestOfN | WeightedBestOfN | AdaptiveConsistency):
            shared["samples"] = max(shared.get("samples", 0), *budgets)
        elif isinstance(strategy, SequentialRevision):
            for budget in budgets:
                length = max(1, round((budget * strategy.ratio) ** 0.5)) if strategy.ratio else 1
                first = budget / min(length, budget)
                alone["revisions", strategy.ratio, budget] = (budget - first) * REVISION
                shared["first attempts"] = max(shared.get("first attempts", 0), round(first))
        elif not isinstance(strategy, BatchAllocation):
            alone |= {(arm.name, 0.0, budget): float(budget) for budget in budgets}
    return sum(alone.values()) + sum(shared.values())


class Log:
    """Lines with what is done and how long the rest will take, in a terminal or a file."""

    def __init__(self, plan: Mapping[str, float], path: Path | None = None) -> None:
        self._plan, self._path = dict(plan), path
        self._begin = self._last = time.monotonic()
        self._share: dict[str, float] = {}
        self._found: dict[str, float] = {}

    def say(self, text: str) -> None:
        """One line, with the minutes since the beginning."""
        line = f"[{(time.monotonic() - self._begin) / 60:6.1f} min] {text}"
        print(line, file=sys.stderr, flush=True)
        if self._path is not None:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(line + "\n")

    def __call__(self, part: str, done: int, total: int) -> None:
        share = done / total if total else 1.0
        self._found.setdefault(part, share)
        self._share[part] = share
        now = time.monotonic()
        if now - self._last < EVERY and not (done == total and self._found[part] < 1):
            return
        self._last = now
        self.say(f"{part}: {done} of {total}, {self.left()}")

    def left(self) -> str:
        """How long the rest will take, from what this run has done; what was there before does not count as speed."""
        worked = sum(self._plan.get(part, 0) * (share - self._found[part]) for part, share in self._share.items())
        left = sum(units * (1 - self._share.get(part, 0.0)) for part, units in self._plan.items())
        elapsed = time.monotonic() - self._begin
        if worked <= 0:
            return f"{left:,.0f} solutions left"
        return f"about {left / worked * elapsed / 60:.0f} min left ({worked / elapsed:.0f} solutions/s)"
