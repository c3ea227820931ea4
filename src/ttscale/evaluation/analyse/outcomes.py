"""How one way of spending fares on every question, at every budget: what is compared and drawn.

Knows arrays of right and wrong with their costs. Where they come from (an arm of a sweep, a cross-validated choice, a
pool) is others' business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ttscale.evaluation.collect.records import Record, Records
from ttscale.evaluation.statistics import Floats, Interval, mean_interval, paired_difference

COUNTED = ("generations", "sampled_tokens", "verifier_calls", "verifier_tokens", "flops", "seconds")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Right answers of one method: for each budget an array [questions, seeds], and the mean costs per question."""

    name: str
    questions: tuple[str, ...]
    correct: Mapping[int, Floats]
    cost: Mapping[int, Mapping[str, float]]

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets it was measured at, ascending."""
        return tuple(sorted(self.correct))

    def rows(self, budget: int, questions: Iterable[str] | None = None) -> Floats:
        """The array of a budget, for some of the questions."""
        if budget not in self.correct:
            raise ValueError(f"{self.name!r} was not measured at N = {budget}; it was at {self.budgets}")
        if questions is None:
            return self.correct[budget]
        place = {question: i for i, question in enumerate(self.questions)}
        return self.correct[budget][[place[question] for question in questions]]

    def accuracy(self, budget: int, questions: Sequence[str] | None = None) -> Interval:
        """The share of right answers with its interval over questions."""
        return mean_interval(self.rows(budget, questions))

    def gain(self, budget: int, other: Outcomes, other_budget: int, questions: Sequence[str] | None = None) -> Interval:
        """How much more accurate this is than ``other``, paired over ``questions`` (None: all that both answered)."""
        theirs = set(other.questions)
        chosen = [question for question in questions or self.questions if question in theirs]
        return paired_difference(self.rows(budget, chosen), other.rows(other_budget, chosen))


def of_records(
    name: str,
    questions: Sequence[str],
    seeds: Sequence[int],
    budgets: Iterable[int],
    record: Callable[[int, int, str], Record],
) -> Outcomes:
    """Outcomes from what ``record(budget, seed, question)`` gives."""
    cells = {
        budget: [[record(budget, seed, question) for seed in seeds] for question in questions] for budget in budgets
    }
    correct = {
        budget: np.array([[float(record.correct) for record in row] for row in rows], dtype=np.float64)
        for budget, rows in cells.items()
    }
    cost = {
        budget: {
            field: float(np.mean([float(getattr(record.cost, field)) for row in rows for record in row]))
            for field in COUNTED
        }
        for budget, rows in cells.items()
    }
    return Outcomes(name, tuple(questions), correct, cost)


def of_arm(records: Records, arm: str, name: str | None = None, questions: Sequence[str] | None = None) -> Outcomes:
    """An arm of a sweep at all its budgets."""
    chosen = records.questions if questions is None else questions
    title = arm if name is None else name
    return of_records(title, chosen, records.seeds, records.budgets(arm), partial(records.get, arm))
