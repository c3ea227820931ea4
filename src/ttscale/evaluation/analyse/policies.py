"""Which strategy pays at which difficulty and budget, chosen by cross-validation as in the paper.

Knows records and bins. Must not know strategies or models. Snell et al., section 3.2: in each difficulty bin, pick the
best strategy on one half of the questions, report it on the other half, swap, average. So no question is scored with a
choice that it took part in. ``fitting.py`` makes policies for users of the same choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ttscale.evaluation.analyse.difficulty import Bins
from ttscale.evaluation.analyse.outcomes import Outcomes, of_records
from ttscale.evaluation.collect.records import Record, Records
from ttscale.evaluation.problems.splits import shuffled

BinOf = Callable[[str, int], int]
"""(question, seed) -> bin. Oracle bins do not depend on the seed; a prediction from a probe does."""


@dataclass(frozen=True, slots=True)
class ArmChoice:
    """The best arm of a bin at a budget, chosen on ``questions`` questions (one fold, or all)."""

    bin: int
    budget: int
    fold: int | None
    arm: str
    accuracy: float
    """On the questions it was chosen on: optimistic. Read the cross-validated outcomes instead."""
    questions: int


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """What the choices of each fold score on the other."""

    outcomes: Outcomes
    choices: tuple[ArmChoice, ...]
    folds: Mapping[str, int]


def two_folds(bins: Mapping[str, int], seed: int = 0) -> dict[str, int]:
    """Each question's fold, 0 or 1: every bin split into halves (equal to within one) by a seeded hash of the ids."""
    folds: dict[str, int] = {}
    for bin_ in sorted(set(bins.values())):
        members = shuffled([question for question, own in bins.items() if own == bin_], seed)
        folds |= {question: place % 2 for place, question in enumerate(members)}
    return {question: folds[question] for question in bins}


def cross_validate(
    records: Records, bins: Bins, arms: Sequence[str], *, name: str = "compute-optimal", seed: int = 0
) -> CrossValidated:
    """Per bin and budget the best arm by two-fold cross-validation within the bin, exactly as the paper does it.

    Difficulty is not charged for here (nor in the paper): ``cross_validate_scheduler`` pays for it. Averages are over
    questions, which is the mean of the two folds where these are equal. ``ValueError`` for a bin of fewer than two
    questions, and for arms without records.
    """
    check_arms(records, arms)
    for bin_ in range(bins.count):
        members = set(bins.members(bin_)).intersection(records.questions)
        if len(members) < 2:
            raise ValueError(
                f"difficulty bin {bin_ + 1} of {bins.count} has {len(members)} question(s) with records; two-fold "
                "cross-validation needs at least 2. Use fewer bins or more questions"
            )
    for question in records.questions:
        if question not in bins.of:
            raise ValueError(f"question {question!r} has records but no difficulty bin; bin the questions of the sweep")
    own = {question: bins.of[question] for question in records.questions}
    folds = two_folds(own, seed)

    def bin_of(question: str, _: int) -> int:
        return own[question]

    picked: list[dict[tuple[int, int], ArmChoice]] = []
    for fold in (0, 1):
        chosen_on = [question for question in records.questions if folds[question] == fold]
        picked.append(choose(records, chosen_on, bin_of, arms, fold))

    def by_the_other_half(budget: int, seed: int, question: str) -> Record:
        choice = picked[1 - folds[question]][own[question], budget]
        return records.get(choice.arm, budget, seed, question)

    outcomes = of_records(name, records.questions, records.seeds, budgets_of(records, arms), by_the_other_half)
    return CrossValidated(outcomes, tuple(choice for fold in picked for choice in fold.values()), folds)


def choose(
    records: Records, questions: Sequence[str], bin_of: BinOf, arms: Sequence[str], fold: int | None = None
) -> dict[tuple[int, int], ArmChoice]:
    """For each (bin, budget) the arm with the highest mean accuracy on ``questions``.

    Of arms that tie, the one that samples fewer tokens, then the one that comes first.
    """
    chosen: dict[tuple[int, int], ArmChoice] = {}
    for budget in budgets_of(records, arms):
        members: dict[int, list[tuple[str, int]]] = {}
        for question in questions:
            for seed in records.seeds:
                members.setdefault(bin_of(question, seed), []).append((question, seed))
        for bin_, pairs in sorted(members.items()):
            ranked = []
            for place, arm in enumerate(arms):
                if budget in records.budgets(arm):
                    own = [records.get(arm, budget, seed, question) for question, seed in pairs]
                    tokens = float(np.mean([record.cost.sampled_tokens for record in own]))
                    ranked.append((float(np.mean([record.correct for record in own])), -tokens, -place, arm))
            best = max(ranked)
            count = len({question for question, _ in pairs})
            chosen[bin_, budget] = ArmChoice(bin_, budget, fold, best[3], best[0], count)
    return chosen


def budgets_of(records: Records, arms: Sequence[str]) -> tuple[int, ...]:
    """The budgets that any of the arms was run with."""
    return tuple(sorted({budget for arm in arms for budget in records.budgets(arm)}))


def check_arms(records: Records, arms: Sequence[str]) -> None:
    """``ValueError`` unless there are arms and every one has records."""
    if not arms:
        raise ValueError("there are no arms to choose from")
    for arm in arms:
        if arm not in records.arms:
            raise ValueError(f"there are no records of {arm!r}; the sweep has {', '.join(records.arms)}")
    if not records.questions:
        raise ValueError("no question has records of every arm; run the sweep to its end first")
