"""From a sweep to the scheduler's policy: when a look at the difficulty pays, and what to do then.

Knows records and strategies. Must not know models. Beyond the paper (``policies.py``), the probe is paid for out of the
same budget. So at every budget the best strategy without a probe competes with the best ones per difficulty bin after a
probe. A policy that names one strategy for all bins does not probe.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ttscale.core.protocols import Strategy, fits_roles
from ttscale.core.version import __version__
from ttscale.evaluation.analyse.certainty import certainty
from ttscale.evaluation.analyse.difficulty import quantile_bins
from ttscale.evaluation.analyse.outcomes import Outcomes, of_records
from ttscale.evaluation.analyse.policies import BinOf, check_arms, choose, two_folds
from ttscale.evaluation.collect.records import Record, Records
from ttscale.strategies import ComputeOptimalScheduler, Policy

PROBED = "probe, then "
"""How the arms that probe first are called: this before the strategy's name."""


def probed(menu: Mapping[str, Strategy], probe: int) -> dict[str, Strategy]:
    """Each strategy twice: as it is, and as a scheduler that probes and then always goes on with it.

    Draws have keys, so the scheduler with any policy over the menu does on a question exactly what one of these arms
    did. A sweep over them therefore contains the records of every such scheduler, probe paid for.
    """
    first = {
        PROBED + name: ComputeOptimalScheduler(Policy((), (1,), ((strategy,),)), probe)
        for name, strategy in menu.items()
    }
    return {**menu, **first}


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
    of predicted difficulty that separate ``thresholds`` bins (or fixed thresholds), the best strategy of each, and
    whether the probe is worth its price.
    """
    folds = two_folds(dict.fromkeys(records.questions, 0), seed)
    fitted = []
    for fold in (0, 1):
        own = [question for question in records.questions if folds[question] == fold]
        fitted.append(fit_policy(records, menu, thresholds=thresholds, probe=probe, questions=own))
    final = fit_policy(records, menu, thresholds=thresholds, probe=probe, provenance=provenance)

    def by_the_other_half(budget: int, seed: int, question: str) -> Record:
        return scheduled(records, fitted[1 - folds[question]], menu, budget, seed, question)

    outcomes = of_records(name, records.questions, records.seeds, final.budgets, by_the_other_half)
    return CrossValidatedScheduler(outcomes, (fitted[0], fitted[1]), final, folds)


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

    ``records`` are a sweep of ``probed(menu, probe)``. An arm may lack budgets that it is not to be chosen for.
    ``thresholds`` is a number of quantile bins over the predicted difficulties, or the difficulties that separate the
    bins. At a budget where choosing by difficulty is not ahead of the best strategy for all, under two-fold
    cross-validation among ``questions``, the latter stands in every bin and nothing is probed. So it does where one
    strategy is the best of every bin after a probe: the scheduler would run it without the probe that it was best with.
    ``provenance["certainty"]`` says for each bin and budget how sure it is that the choice is the best (the fields of
    ``Certainty``). ``ValueError`` for a bin that no question falls into, and where the records are those of another
    menu or probe.
    """
    names = list(menu)
    _check_probed(records, menu, probe)
    chosen = records.questions if questions is None else tuple(questions)
    if not chosen:
        raise ValueError("there are no questions to fit a policy on")
    difficulty = {
        (question, seed): _difficulty(records, names[0], question, seed)
        for question in chosen
        for seed in records.seeds
    }
    if isinstance(thresholds, int):
        binned = quantile_bins({f"{question}|{seed}": d for (question, seed), d in difficulty.items()}, thresholds)
        cuts = binned.thresholds or ()
    else:
        cuts = tuple(thresholds)
    bare = Policy(cuts, (1,), tuple((menu[names[0]],) for _ in range(len(cuts) + 1)))

    def bin_of(question: str, seed: int) -> int:
        return bare.bin(difficulty[question, seed])

    bins = range(len(cuts) + 1)
    found = {bin_of(question, seed) for question, seed in difficulty}
    for bin_ in bins:
        if bin_ not in found:
            raise ValueError(
                f"difficulty bin {bin_ + 1} of {len(cuts) + 1} is empty: no question's predicted difficulty falls into "
                "it, so there is nothing to fit it on. Use other thresholds, or a number of quantile bins"
            )
    at_once = {budget: arm for (_, budget), arm in _best(records, chosen, lambda *_: 0, names).items()}
    looked = _best(records, chosen, bin_of, [PROBED + name for name in names])
    worth = _worth(records, chosen, bin_of, menu)
    columns = {}
    for budget in sorted(at_once):
        after = [menu[looked[bin_, budget].removeprefix(PROBED)] for bin_ in bins] if worth.get(budget, 0) > 0 else []
        columns[budget] = after if _looks(after) else [menu[at_once[budget]] for _ in bins]
    sure = []
    for budget, column in columns.items():
        own = [next(name for name in names if menu[name] == strategy) for strategy in column]
        arms = {name: (PROBED if _looks(column) else "") + name for name in names}
        sure += [certainty(records, chosen, bin_of, arms, b, budget, own[b]) for b in bins]
    source = {
        "source": "ttscale.evaluation.fit_policy",
        "questions": len(chosen),
        "seeds": list(records.seeds),
        "menu": {name: repr(strategy) for name, strategy in menu.items()},
        "certainty": [one.to_json() for one in sure],
        "versions": versions(),
    } | dict(provenance or {})
    rows = tuple(tuple(column[bin_] for column in columns.values()) for bin_ in bins)
    return Policy(cuts, tuple(columns), rows, probe, source)


def scheduled(
    records: Records, policy: Policy, menu: Mapping[str, Strategy], budget: int, seed: int, question: str
) -> Record:
    """What the scheduler with ``policy`` did on a question: the record of the arm that its policy names there."""
    names = list(menu)
    strategy = policy.fixed_strategy(budget)
    first = ""
    if strategy is None:
        strategy, first = policy.lookup(_difficulty(records, names[0], question, seed), budget), PROBED
    arm = first + next(name for name in names if menu[name] == strategy)
    return records.get(arm, budget, seed, question)


def versions() -> dict[str, str]:
    """The versions that results were made with."""
    found = {"python": platform.python_version()}
    for package in ("ttscale", "torch", "transformers", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            if package == "ttscale":
                found[package] = __version__
    return found


def _check_probed(records: Records, menu: Mapping[str, Strategy], probe: int) -> None:
    if not isinstance(probe, int) or isinstance(probe, bool) or probe < 1:
        raise ValueError(f"probe must be a positive integer, that of the sweep of probed(menu, probe); got {probe!r}")
    arms = probed(menu, probe)
    check_arms(records, list(arms))
    # A strategy that fits itself to the roles may have run with other settings than the menu has.
    texts = {name: repr(arm) for name, arm in arms.items() if not fits_roles(menu.get(name))}
    for record in records:
        if record.strategy != texts.get(record.arm, record.strategy):
            raise ValueError(
                f"the records of {record.arm!r} are those of {record.strategy}, and the menu and probe = {probe} given "
                f"make it {texts[record.arm]}; fit on a sweep of probed(menu, probe) with the same menu and probe"
            )


def _best(records: Records, questions: Sequence[str], bin_of: BinOf, arms: Sequence[str]) -> dict[tuple[int, int], str]:
    return {place: choice.arm for place, choice in choose(records, questions, bin_of, arms).items()}


def _looks(column: Sequence[Strategy]) -> bool:
    """Whether a scheduler with these strategies, one per bin, probes: it does not where all are the same."""
    return any(strategy != column[0] for strategy in column)


def _worth(records: Records, questions: Sequence[str], bin_of: BinOf, menu: Mapping[str, Strategy]) -> dict[int, float]:
    """By budget, how much more is right with a probe and a choice per bin than with one choice for all.

    Each half of the questions is scored with the choices of the other, since many choices fit their own questions
    better than one does. A bin that is empty in a half takes the best arm for all of that half. A half that chooses the
    same strategy for every bin gains nothing, since its scheduler would not probe.
    """
    names, arms = list(menu), [PROBED + name for name in menu]
    bins = {bin_of(question, seed) for question in questions for seed in records.seeds}
    folds = two_folds(dict.fromkeys(questions, 0))
    gains: dict[int, list[float]] = {}
    for fold in (0, 1):
        on = [question for question in questions if folds[question] == fold]
        off = [question for question in questions if folds[question] != fold]
        if not on or not off:
            return {}
        at_once, after_all = (_best(records, on, lambda *_: 0, some) for some in (names, arms))
        looked = _best(records, on, bin_of, arms)
        for _, budget in after_all:
            if (0, budget) not in at_once:
                raise ValueError(
                    f"no arm without a probe has records at N = {budget}; sweep all of probed(menu, probe)"
                )
            per_bin = {bin_: looked.get((bin_, budget), after_all[0, budget]) for bin_ in bins}
            looks = _looks([menu[arm.removeprefix(PROBED)] for arm in per_bin.values()])
            for question in off:
                for seed in records.seeds:
                    arm = per_bin[bin_of(question, seed)] if looks else at_once[0, budget]
                    ours = records.get(arm, budget, seed, question).correct
                    theirs = records.get(at_once[0, budget], budget, seed, question).correct
                    gains.setdefault(budget, []).append(float(ours) - float(theirs))
    return {budget: float(np.mean(values)) for budget, values in gains.items()}


def _difficulty(records: Records, name: str, question: str, seed: int) -> float:
    """The probe's difficulty, the same for every arm of a probed menu; from the largest budget, which pays for it."""
    arm = PROBED + name
    found = records.get(arm, max(records.budgets(arm)), seed, question).difficulty
    if found is None:
        raise ValueError(
            f"the records of {arm!r} hold no probe: fit a scheduler's policy on a sweep of probed(menu, probe)"
        )
    return found
