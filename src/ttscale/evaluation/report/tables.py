"""What tables and figures are made of: a study's outcomes, and its tables.

Knows what was measured. Must not know how it was drawn or how a page is made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ttscale.evaluation.analyse.certainty import HEADER, certainty_rows, described
from ttscale.evaluation.analyse.difficulty import (
    Agreement,
    bins_that_fit,
    oracle_difficulty,
    predicted_difficulty,
    probe_agreement,
)
from ttscale.evaluation.analyse.outcomes import Outcomes, of_arm
from ttscale.evaluation.analyse.overoptimisation import remedies
from ttscale.evaluation.analyse.policies import cross_validate
from ttscale.evaluation.collect.arms import PARALLEL, policy_menu
from ttscale.evaluation.report.page import Table
from ttscale.evaluation.report.study import Study
from ttscale.evaluation.statistics import mean_interval

PARALLEL_TITLE = "parallel revisions, weighted best-of-N"
WEIGHTED, MAJORITY, BEST = "weighted best-of-N", "majority", "best-of-N"


class Findings:
    """Everything that tables and figures are made of, computed once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        settings, records, headline = study.settings, study.records, study.headline
        pool = study.pool.graded()
        self.pool = [one for one in pool if one.question in set(headline.questions)]
        few = [one for one in pool if one.question in set(records.questions)]
        self.all_oracle = bins_that_fit(oracle_difficulty(self.pool), settings.bins)
        self.oracle = bins_that_fit(oracle_difficulty(few), settings.bins)
        self.predicted = bins_that_fit(predicted_difficulty(few), settings.bins)
        self.arms = {arm: of_arm(headline, arm) for arm in headline.arms}
        self.shown = {arm: of_arm(records, arm) for arm in records.arms}
        self.search = [self.shown[arm.name] for arm in study.arms.search]
        self.adaptive = [self.arms[arm.name] for arm in study.arms.adaptive]
        self.paid = study.fitted.outcomes
        menu = [arm for arm in policy_menu(reviser=False) if arm in self.arms]
        all_predicted = bins_that_fit(predicted_difficulty(self.pool), settings.bins)
        self.optimal = [
            cross_validate(headline, self.all_oracle, menu, name="compute-optimal, oracle bins").outcomes,
            cross_validate(headline, all_predicted, menu, name="compute-optimal, predicted bins").outcomes,
        ]
        self.ratios = {ratio: one for arm, one in self.shown.items() if (ratio := _ratio(arm)) is not None}
        self.optimal_revisions: list[Outcomes] = []
        self.parallel: Outcomes | None = None
        self.parallel_shown: Outcomes | None = None
        if self.ratios:
            own = [arm for arm in self.shown if _ratio(arm) is not None]
            self.optimal_revisions = [
                cross_validate(records, self.oracle, own, name="compute-optimal ratio, oracle bins").outcomes,
                cross_validate(records, self.predicted, own, name="compute-optimal ratio, predicted bins").outcomes,
            ]
            self.parallel = replace(self.arms[PARALLEL], name=PARALLEL_TITLE)
            self.parallel_shown = _all_parallel(self.ratios)

    @property
    def schedulers(self) -> list[Outcomes]:
        """The schedulers that pay for their probe: over everything, over searches only, and with a given policy."""
        by_search = [self.study.by_search.outcomes] if self.ratios else []
        return [self.paid, *by_search, *([self.study.given] if self.study.given else [])]

    def agreements(self) -> list[Agreement]:
        """Predicted against oracle difficulty for n = 1, 2, 4, ... and the full pool."""
        size = self.study.pool.size
        probes = sorted({*(2**k for k in range(size.bit_length())), size})
        return probe_agreement(self.pool, probes, bins=self.oracle.count)


def headline_table(found: Findings) -> Table:
    """Compute-optimal at N against best-of-N at 4 N: the paper's 4 times less."""
    rows = []
    measured = [*found.schedulers, found.study.adaptive_fitted]
    pairs = [(one, found.arms[WEIGHTED]) for one in [*measured, *found.optimal]]
    if found.parallel and found.parallel_shown:
        pairs += [(one, found.parallel) for one in measured]
        pairs += [(one, found.parallel_shown) for one in found.optimal_revisions]
    for ours, theirs in pairs:
        for budget in ours.budgets:
            if 4 * budget in theirs.budgets and set(ours.questions) == set(theirs.questions):
                gain = ours.gain(budget, theirs, 4 * budget)
                rows.append(
                    (
                        f"{ours.name}, N = {budget}",
                        str(ours.accuracy(budget)),
                        f"{theirs.name}, N = {4 * budget}",
                        str(theirs.accuracy(4 * budget)),
                        str(gain),
                        "ahead" if gain.low > 0 else "behind" if gain.high < 0 else "no difference shown",
                    )
                )
    return Table(
        "Four times less compute",
        ("ours", "accuracy", "against", "accuracy", "gain (paired, 95%)", ""),
        tuple(rows),
        "Choices are cross-validated: no question took part in choosing its own strategy.",
    )


def adaptive_table(found: Findings) -> Table:
    """Strategies that decide while they spend, at what they really spent."""
    rows = []
    methods = [*found.adaptive, found.study.adaptive_fitted, *found.schedulers, found.arms[WEIGHTED]]
    for one in methods:
        for budget in one.budgets:
            cost = one.cost[budget]
            rows.append(
                (
                    one.name,
                    str(budget),
                    f"{cost['generations']:.2f}",
                    f"{cost['sampled_tokens']:.0f}",
                    str(one.accuracy(budget)),
                    str(one.gain(budget, found.arms[WEIGHTED], budget, one.questions)),
                )
            )
    return Table(
        "Deciding while spending",
        ("strategy", "budget N", "generations spent", "tokens", "accuracy", "gain over weighted best-of-N at N"),
        tuple(rows),
        "Adaptive consistency and the adaptive scheduler stop early; batch allocation spends N on average over the "
        "questions.",
    )


def difficulty_table(agreements: Sequence[Agreement]) -> Table:
    """What a difficulty prediction costs and how well it agrees with the oracle."""
    rows = tuple(
        (
            str(one.probes),
            f"{one.tokens:.0f}",
            "-" if one.rank_correlation is None else f"{one.rank_correlation:.3f}",
            f"{one.same_bin:.3f}",
            f"{one.within_one:.3f}",
        )
        for one in agreements
    )
    header = ("probe samples n", "tokens per question", "rank correlation", "same bin", "same or next bin")
    return Table("What predicting difficulty costs", header, rows)


def confusion_table(agreements: Sequence[Agreement], probe: int) -> Table:
    """Oracle bins against predicted ones, for the probe that the scheduler uses."""
    one = max((one for one in agreements if one.probes <= probe), key=lambda one: one.probes)
    rows = tuple((f"oracle {place + 1}", *(f"{count:.1f}" for count in row)) for place, row in enumerate(one.confusion))
    header = ("", *(f"predicted {place + 1}" for place in range(len(one.confusion))))
    return Table(f"Predicted difficulty bins, n = {one.probes}", header, rows, "Mean numbers of questions.")


def cost_table(found: Findings) -> Table:
    """What every method really spent per question."""
    rows = []
    for one in [*found.search, found.paid]:
        for budget in one.budgets:
            cost = one.cost[budget]
            cells = [f"{cost[field]:.4g}" for field in ("sampled_tokens", "verifier_calls", "verifier_tokens", "flops")]
            rows.append((one.name, str(budget), *cells, str(one.accuracy(budget))))
    header = ("strategy", "N", "sampled tokens", "verifier calls", "verifier tokens", "FLOPs", "accuracy")
    return Table("Cost per question", header, tuple(rows))


def remedies_table(found: Findings) -> Table | None:
    """What keeps the verifier from being over-optimised, on the deep pool; None without one."""
    deep = found.study.deep
    if deep is None:
        return None
    budgets = [4**k for k in range(deep.size.bit_length()) if 4**k <= deep.size]
    ways, spent = remedies(deep, budgets, found.study.deep_second)
    rows = [(name, *(str(mean_interval(values[:, i])) for i in range(len(budgets)))) for name, values in ways.items()]
    rows.append(("solutions drawn where the vote stops", *(f"{one:.1f}" for one in spent.mean(axis=0))))
    if found.study.deep_records is not None:
        for arm in found.study.deep_records.arms:
            one = of_arm(found.study.deep_records, arm)
            rows.append((arm, *(str(one.accuracy(n)) if n in one.budgets else "" for n in budgets)))
    header = ("way to choose", *(f"N = {n}" for n in budgets))
    note = (
        f"{len(deep.questions)} questions with {deep.size} samples each; expected accuracy over subsets. Step searches "
        "run once at each N."
    )
    return Table("Over-optimisation and what reduces it", header, tuple(rows), note)


def policy_table(study: Study) -> Table:
    """The policy fitted on all questions, as users get it."""
    policy = study.fitted.final
    edges: list[Any] = [0, *[round(t, 3) for t in policy.thresholds], 1]
    rows = tuple(
        (f"{edges[i]} to {edges[i + 1]}", *(repr(strategy) for strategy in row))
        for i, row in enumerate(policy.strategies)
    )
    header = ("difficulty", *(f"N = {budget}" for budget in policy.budgets))
    note = f"Difficulty is 1 minus the mean verifier score of {policy.probe} probe solutions, which are paid for."
    return Table("The fitted policy", header, rows, note)


def certainty_table(study: Study) -> Table:
    """How sure the fit is of every choice, on the questions it was made on."""
    policy = study.fitted.final
    note = (
        f"The policy is {described(policy)}. P(best): the share of bootstrap resamples of the bin's questions in which "
        "the choice is the most accurate; ties share. Near 1 / (size of the menu) nothing was learned."
    )
    return Table("How sure the policy is", HEADER, tuple(certainty_rows(policy)), note)


def _all_parallel(ratios: dict[float, Outcomes]) -> Outcomes:
    """Best-of-N for revisions: at each budget the arm that is all parallel, 1:N."""
    cells = {round(1 / ratio): one for ratio, one in ratios.items() if ratio <= 1}
    own = {budget: one for budget, one in cells.items() if budget in one.budgets}
    first = next(iter(own.values()))
    return replace(
        first,
        name=PARALLEL_TITLE,
        correct={budget: one.correct[budget] for budget, one in own.items()},
        cost={budget: one.cost[budget] for budget, one in own.items()},
    )


def _ratio(arm: str) -> float | None:
    """The ratio in the name of a revision arm; None for other arms, and for revisions chosen by majority."""
    found = re.fullmatch(r"revisions ([^:]+):([^:,]+)", arm)
    return float(found[1]) / float(found[2]) if found else None
