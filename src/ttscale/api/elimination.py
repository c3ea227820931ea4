"""One budget for a whole batch, moved to where it pays while it runs (bandit elimination, arXiv 2506.12721).

Knows questions, how settled each looks, and what is left. Must not know how a question is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ttscale.api.result import Result
from ttscale.core.errors import BudgetError
from ttscale.core.types import Question
from ttscale.strategies.adaptive import chance_to_lead, leaders

FIRST = 4
"""Solutions in the first round: four votes to none are the fewest that settle a question."""
STEP = 2
"""Solutions that each question still open gets in every further round."""
SETTLED = 0.95
"""A question is left alone once its leading answer leads with this probability (as in ``AdaptiveConsistency``)."""

Solve: TypeAlias = Callable[[list[Question], int], list[Result]]


def spend(questions: Sequence[Question], total: int, most: int, solve: Solve, scored: bool) -> list[Result]:
    """Results of distinct questions for ``total`` solutions together, no question more than ``most``.

    Every round solves the questions that are not settled with more solutions; ``solve(questions, n)`` must draw only
    what it has not drawn before. Where what is left does not reach all, the least settled get it. What nobody needs is
    not spent, and a question that its own limit stopped pays for what it drew. ``scored``: whether results have a
    verifier's scores, which then weigh the votes. Raises ``BudgetError`` for a total that does not give every question
    one.
    """
    if not isinstance(total, int) or isinstance(total, bool) or total < len(questions):
        raise BudgetError(f"total_budget must be a whole number of at least one per question; got {total!r}")
    had = dict.fromkeys(questions, 0)
    results: dict[Question, Result] = {}
    step = min(FIRST, most, total // max(1, len(questions)))
    open_ = list(questions)
    while open_ and (left := total - sum(had.values())) > 0:
        open_.sort(key=lambda question: _chance(results.get(question), scored))
        now = {q: min(had[q] + max(1, min(step, left // len(open_))), most) for q in open_[:left]}
        for n in sorted(set(now.values())):
            group = [question for question in questions if now.get(question) == n]
            results |= dict(zip(group, solve(group, n), strict=True))
        had |= {q: n if results[q].stopped_by is None else results[q].cost.generations for q, n in now.items()}
        step = STEP
        open_ = [q for q in open_ if had[q] < most and _goes_on(results[q]) and _chance(results[q], scored) < SETTLED]
    return [results[question] for question in questions]


def _goes_on(result: Result) -> bool:
    """Whether a question may get more: one that failed or that its own limit stopped would draw nothing for it."""
    return result.error is None and result.stopped_by is None


def _chance(result: Result | None, scored: bool) -> float:
    """How sure it is that the leading answer leads; 0 for a question that has not been asked."""
    if result is None:
        return 0.0
    weights = result.scores if scored else [1.0 if candidate.done else None for candidate in result.candidates]
    return chance_to_lead(*leaders(result.candidates, weights))
