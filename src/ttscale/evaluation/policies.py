"""Which strategy pays at which difficulty and budget: chosen by cross-validation, and saved as a policy.

Knows records, bins and strategies. Must not know models. Paper section 3.7 of the notes: in each difficulty bin, pick
the best strategy on one half of the questions, report it on the other half, swap, average. So no question is scored
with a choice that it took part in. ``fit`` then chooses once on all questions, for users.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ttscale._roles import Strategy
from ttscale.evaluation._problems import shuffled
from ttscale.evaluation.difficulty import Bins
from ttscale.evaluation.outcomes import Outcomes, of_records
from ttscale.evaluation.records import Record, Records
from ttscale.strategies import ComputeOptimalScheduler, Policy

BinOf = Callable[[str, int], int]
"""(question, seed) -> bin. Oracle bins do not depend on the seed; a prediction from a probe does."""


@dataclass(frozen=True, slots=True)
class Choice:
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
    choices: tuple[Choice, ...]
    folds: Mapping[str, int]


def halves(bins: Mapping[str, int], seed: int = 0) -> dict[str, int]:
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
    _check_arms(records, arms)
    for bin_ in range(bins.count):
        members = [question for question in bins.members(bin_) if question in set(records.questions)]
        if len(members) < 2:
            raise ValueError(
                f"difficulty bin {bin_ + 1} of {bins.count} has {len(members)} question(s) with records; two-fold "
                "cross-validation needs at least 2. Use fewer bins or more questions"
            )
    own = {question: bins.of[question] for question in records.questions}
    folds = halves(own, seed)

    def bin_of(question: str, _: int) -> int:
        return own[question]

    picked: list[dict[tuple[int, int], Choice]] = []
    for fold in (0, 1):
        chosen_on = [question for question in records.questions if folds[question] == fold]
        picked.append(choose(records, chosen_on, bin_of, arms, fold))
    cells = {
        budget: [
            [
                records.get(picked[1 - folds[question]][own[question], budget].arm, budget, one, question)
                for one in records.seeds
            ]
            for question in records.questions
        ]
        for budget in _budgets(records, arms)
    }
    choices = tuple(choice for fold in picked for choice in fold.values())
    return CrossValidated(of_records(name, cells), choices, folds)


def choose(
    records: Records, questions: Sequence[str], bin_of: BinOf, arms: Sequence[str], fold: int | None = None
) -> dict[tuple[int, int], Choice]:
    """For each (bin, budget) the arm with the highest mean accuracy on ``questions``.

    Of arms that tie, the one that samples fewer tokens, then the one that comes first.
    """
    chosen: dict[tuple[int, int], Choice] = {}
    for budget in _budgets(records, arms):
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
            chosen[bin_, budget] = Choice(bin_, budget, fold, best[3], best[0], count)
    return chosen


def probed(menu: Mapping[str, Strategy], probe: int) -> dict[str, ComputeOptimalScheduler]:
    """Each strategy as a scheduler that probes, then always goes on with it.

    Since draws have keys, the scheduler with any policy over the menu does on a question exactly what the arm its
    policy names did: a sweep over these arms contains the records of every such scheduler, probe paid for.
    """
    return {
        name: ComputeOptimalScheduler(Policy((), (1,), ((strategy,),), probe=probe)) for name, strategy in menu.items()
    }


@dataclass(frozen=True, slots=True)
class CrossValidatedScheduler:
    """A policy fitted on each half, what it scores on the other half, and the policy fitted on all."""

    outcomes: Outcomes
    policies: tuple[Policy, Policy]
    final: Policy
    folds: Mapping[str, int]


def cross_validate_scheduler(
    records: Records,
    menu: Mapping[str, Strategy],
    *,
    thresholds: int | Sequence[float] = 5,
    probe: int,
    provenance: Mapping[str, Any] | None = None,
    name: str = "compute-optimal, probe paid",
    seed: int = 0,
) -> CrossValidatedScheduler:
    """Fit the scheduler's policy on one half of the questions, score it on the other, swap; then fit on all.

    ``records`` are a sweep of ``probed(menu, probe)``. Everything is learned on the fitting half alone: the quantiles
    of predicted difficulty that separate ``thresholds`` bins (or fixed thresholds), and the best strategy of each.
    """
    folds = halves(dict.fromkeys(records.questions, 0), seed)
    fitted = []
    for fold in (0, 1):
        own = [question for question in records.questions if folds[question] == fold]
        fitted.append(fit_policy(records, menu, thresholds=thresholds, probe=probe, questions=own))
    cells = {
        budget: [
            [scheduled(records, fitted[1 - folds[question]], menu, budget, one, question) for one in records.seeds]
            for question in records.questions
        ]
        for budget in _budgets(records, list(menu))
    }
    final = fit_policy(records, menu, thresholds=thresholds, probe=probe, provenance=provenance)
    return CrossValidatedScheduler(of_records(name, cells), (fitted[0], fitted[1]), final, folds)


def fit_policy(
    records: Records,
    menu: Mapping[str, Strategy],
    *,
    thresholds: int | Sequence[float] = 5,
    probe: int,
    provenance: Mapping[str, Any] | None = None,
    questions: Sequence[str] | None = None,
) -> Policy:
    """The policy with the best strategy of ``menu`` per (bin of predicted difficulty, budget) on ``questions``.

    ``records`` are a sweep of ``probed(menu, probe)``; ``thresholds`` is a number of quantile bins over the predicted
    difficulties, or the difficulties that separate the bins. ``ValueError`` for a bin that no question falls into.
    """
    names = list(menu)
    _check_arms(records, names)
    chosen = records.questions if questions is None else tuple(questions)
    if not chosen:
        raise ValueError("there are no questions to fit a policy on")
    difficulty = {
        (question, seed): _difficulty(records, names[0], question, seed)
        for question in chosen
        for seed in records.seeds
    }
    if isinstance(thresholds, int):
        from ttscale.evaluation.difficulty import quantile_bins

        binned = quantile_bins({f"{question}|{seed}": d for (question, seed), d in difficulty.items()}, thresholds)
        cuts = binned.thresholds or ()
    else:
        cuts = tuple(thresholds)
    bare = Policy(cuts, (1,), tuple((menu[names[0]],) for _ in range(len(cuts) + 1)))
    best = choose(records, chosen, lambda question, seed: bare.bin(difficulty[question, seed]), names)
    budgets = _budgets(records, names)
    for bin_ in range(len(cuts) + 1):
        if (bin_, budgets[0]) not in best:
            raise ValueError(
                f"difficulty bin {bin_ + 1} of {len(cuts) + 1} is empty: no question's predicted difficulty falls into "
                "it, so there is nothing to fit it on. Use other thresholds, or a number of quantile bins"
            )
    rows = tuple(tuple(menu[best[bin_, budget].arm] for budget in budgets) for bin_ in range(len(cuts) + 1))
    source = {
        "source": "ttscale.evaluation.fit_policy",
        "questions": len(chosen),
        "seeds": list(records.seeds),
        "menu": {name: repr(strategy) for name, strategy in menu.items()},
        "versions": versions(),
    } | dict(provenance or {})
    return Policy(cuts, budgets, rows, probe, source)


def scheduled(
    records: Records, policy: Policy, menu: Mapping[str, Strategy], budget: int, seed: int, question: str
) -> Record:
    """What the scheduler with ``policy`` did on a question: the record of the arm that its policy names there."""
    names = list(menu)
    strategy = policy.lookup(_difficulty(records, names[0], question, seed), budget)
    arm = next(name for name in names if menu[name] == strategy)
    return records.get(arm, budget, seed, question)


def versions() -> dict[str, str]:
    """The versions that results were made with."""
    found = {"python": platform.python_version()}
    for package in ("ttscale", "torch", "transformers", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            if package == "ttscale":
                import ttscale

                found[package] = ttscale.__version__
    return found


def _difficulty(records: Records, arm: str, question: str, seed: int) -> float:
    """The probe's difficulty, the same for every arm of a probed menu; from the largest budget, which pays for it."""
    found = records.get(arm, max(records.budgets(arm)), seed, question).difficulty
    if found is None:
        raise ValueError(
            f"the records of {arm!r} hold no probe: fit a scheduler's policy on a sweep of probed(menu, probe)"
        )
    return found


def _budgets(records: Records, arms: Sequence[str]) -> tuple[int, ...]:
    return tuple(sorted({budget for arm in arms for budget in records.budgets(arm)}))


def _check_arms(records: Records, arms: Sequence[str]) -> None:
    if not arms:
        raise ValueError("there are no arms to choose from")
    for arm in arms:
        if arm not in records.arms:
            raise ValueError(f"there are no records of {arm!r}; the sweep has {', '.join(records.arms)}")
    if not records.questions:
        raise ValueError("no question has records of every arm; run the sweep to its end first")
