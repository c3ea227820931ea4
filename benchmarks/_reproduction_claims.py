"""The paper's findings, one by one, beside what a study measured.

Knows: the paper's findings (sections 3.3 to 3.10 of its text and appendix) and a study's outcomes. Must not know: how
anything was drawn. Every finding is a difference with a sign; what we measured agrees with it ("same"), contradicts it
("opposite") or does not show it either way, by the 95% interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from _contrasts import MARGIN, Expected

from ttscale.evaluation.analyse.chains import along_the_chain
from ttscale.evaluation.analyse.difficulty import Bins
from ttscale.evaluation.analyse.outcomes import Outcomes
from ttscale.evaluation.collect.arms import MIXED, PARALLEL
from ttscale.evaluation.report.tables import WEIGHTED, Findings
from ttscale.evaluation.statistics import Interval, curves, paired_difference

Group = Literal["all", "easy", "medium", "hardest"]
BEAM, LOOKAHEAD = "beam, M = 4", "lookahead k = 3, M = 4"
SEQUENTIAL = "revisions all sequential"


@dataclass(frozen=True)
class Claim:
    name: str
    """Also how the page's prose refers to it."""
    paper: str
    measured: str
    interval: Interval
    expected: Expected

    @property
    def verdict(self) -> str:
        """Whether the interval lies on the side that the paper's finding is on."""
        low, high = self.interval.low, self.interval.high
        if self.expected == "level":
            return "same" if low >= -MARGIN else "opposite" if high < -MARGIN else "not shown"
        if self.expected == "behind":
            low, high = -high, -low
        return "same" if low > 0 else "opposite" if high < 0 else "not shown"

    @property
    def row(self) -> tuple[str, ...]:
        return (self.name, self.paper, self.measured, str(self.interval), self.verdict)


HEADER = ("", "the paper", "measured here", "difference [95%]", "direction")


def claims(found: Findings) -> list[Claim]:
    """All of them that the study has the arms for."""
    return [*_search(found), *_selection(found), *_revisions(found), *_headline(found)]


def _search(found: Findings) -> Iterator[Claim]:
    budgets = found.study.settings.budgets
    low, middle, high = budgets[1], budgets[-2], budgets[-1]
    if BEAM not in found.shown:
        return

    def against_weighted(budget: int, group: Group = "all") -> tuple[str, Interval]:
        arms, questions, named = _measured(found, group, (BEAM, budget), (WEIGHTED, budget))
        gain = arms[BEAM].gain(budget, arms[WEIGHTED], budget, questions)
        return f"beam minus weighted best-of-N at N = {budget}, {named}", gain

    yield Claim("beam, low budget", "beam search is far ahead of best-of-N", *against_weighted(low), "ahead")
    yield Claim("beam, high budget", "beam search is level with best-of-N or behind", *against_weighted(high), "behind")
    arms, questions, named = _measured(found, "easy", (BEAM, low), (BEAM, high))
    yield Claim(
        "beam, easy questions",
        "on bins 1 and 2 beam search gets worse as N grows: the verifier is exploited",
        f"beam at N = {high} minus beam at N = {low}, {named}",
        arms[BEAM].gain(high, arms[BEAM], low, questions),
        "behind",
    )
    for budget in dict.fromkeys((low, middle, high)):
        yield Claim(
            f"beam, medium questions, N = {budget}",
            "on bins 3 and 4 beam search is ahead of best-of-N at every budget",
            *against_weighted(budget, "medium"),
            "ahead",
        )
    arms, questions, named = _measured(found, "hardest", (WEIGHTED, 1), (WEIGHTED, high))
    yield Claim(
        "hardest questions",
        "on bin 5 nothing helps",
        f"one sample minus weighted best-of-{high}, {named}",
        arms[WEIGHTED].gain(1, arms[WEIGHTED], high, questions),
        "level",
    )
    if LOOKAHEAD in found.shown:
        arms, questions, named = _measured(found, "all", (LOOKAHEAD, middle), (BEAM, middle))
        yield Claim(
            "lookahead",
            "lookahead is the worst at equal budget",
            f"lookahead k = 3 minus beam at N = {middle}, {named}",
            arms[LOOKAHEAD].gain(middle, arms[BEAM], middle, questions),
            "behind",
        )


def _selection(found: Findings) -> Iterator[Claim]:
    pool = found.study.pool if found.study.deep is None else found.study.deep
    many = pool.size
    last = pool.graded("last")
    best, weighted = (curves(last, [method], [many])[method][:, 0] for method in ("best_of_n", "weighted_best_of_n"))
    yield Claim(
        "weighted vote",
        "weighted best-of-N is ahead of plain best-of-N",
        f"weighted minus plain best-of-N at N = {many}",
        paired_difference(weighted, best),
        "ahead",
    )
    few = min(4, many)
    yield Claim(
        "over-optimisation",
        "plain best-of-N by an outcome verifier falls at high N",
        f"best-of-{many} minus best-of-{few}",
        paired_difference(best, curves(last, ["best_of_n"], [few])["best_of_n"][:, 0]),
        "behind",
    )


def _revisions(found: Findings) -> Iterator[Claim]:
    if found.study.chains is None or not found.ratios:
        return
    chains = found.study.chains.graded_chains()
    length = len(along_the_chain(chains))
    attempts = np.array([[chain.correct for chain in own] for own in chains], dtype=float).mean(axis=1)
    if length > 4:
        yield Claim(
            "longer chains",
            "pass@1 keeps rising past the four attempts in the context",
            f"pass@1 at step {length} minus at step 4",
            paired_difference(attempts[:, -1], attempts[:, 3]),
            "ahead",
        )
    yield Claim(
        "revising at all",
        "pass@1 rises along a chain",
        f"pass@1 at step {length} minus at step 1",
        paired_difference(attempts[:, -1], attempts[:, 0]),
        "ahead",
    )
    yield from _mixed(found)
    high = found.study.settings.budgets[-1]
    sequential, parallel = found.ratios.get(float(high)), found.parallel_shown
    if sequential is None or parallel is None:
        return
    easy, hardest = _group(found.oracle, "easy"), _group(found.oracle, "hardest")
    yield Claim(
        "sequential against parallel",
        "one chain of revisions is ahead of parallel attempts",
        f"{high}:1 minus 1:{high} at N = {high}",
        sequential.gain(high, parallel, high),
        "ahead",
    )
    yield Claim(
        "easy questions revised",
        "easy questions are best all sequential",
        f"{high}:1 minus 1:{high} at N = {high}, easiest bins",
        sequential.gain(high, parallel, high, easy),
        "ahead",
    )
    inside = [ratio for ratio, one in found.ratios.items() if 1 / high < ratio < high and high in one.budgets]
    if inside:
        middle = min(inside, key=lambda ratio: abs(np.log(ratio)))
        yield Claim(
            "hard questions revised",
            "hard questions are best at an interior ratio",
            f"ratio {middle:g} minus {high}:1 at N = {high}, hardest bin",
            found.ratios[middle].gain(high, sequential, high, hardest),
            "ahead",
        )


def _mixed(found: Findings) -> Iterator[Claim]:
    """Ways to split a budget between revising and sampling anew, where all questions and seeds had them."""
    budget = found.study.settings.budgets[-2]
    if any(budget not in getattr(found.arms.get(arm), "budgets", ()) for arm in (MIXED, SEQUENTIAL, PARALLEL)):
        return
    rows: list[tuple[str, str, str, str, Group]] = [
        (
            "sequential against parallel",
            "one chain of revisions is ahead of parallel attempts",
            SEQUENTIAL,
            PARALLEL,
            "all",
        ),
        ("easy questions revised", "easy questions are best all sequential", SEQUENTIAL, PARALLEL, "easy"),
        ("a mix of both", "an interior ratio is the best overall", MIXED, PARALLEL, "all"),
        ("a mix against one chain", "an interior ratio is the best overall", MIXED, SEQUENTIAL, "all"),
        ("hard questions revised", "hard questions are best at an interior ratio", MIXED, SEQUENTIAL, "hardest"),
    ]
    for name, paper, one, other, group in rows:
        arms, questions, named = _measured(found, group, (one, budget), (other, budget))
        yield Claim(
            f"{name}, N = {budget}",
            paper,
            f"{one} minus {other.removeprefix('revisions ')} at N = {budget}, {named}",
            arms[one].gain(budget, arms[other], budget, questions),
            "ahead",
        )


def _headline(found: Findings) -> Iterator[Claim]:
    budgets = found.study.settings.budgets
    ours, theirs = budgets[-2], budgets[-1]
    for one in found.optimal:
        yield Claim(
            one.name,
            "compute-optimal search nearly reaches best-of-N with 4 times less",
            f"N = {ours}, difficulty not paid for, minus weighted best-of-{theirs}",
            one.gain(ours, found.arms[WEIGHTED], theirs),
            "level",
        )
    oracle, predicted = found.optimal
    yield Claim(
        "predicted difficulty",
        "predicted bins do about as well as oracle bins",
        f"predicted minus oracle bins at N = {ours}",
        predicted.gain(ours, oracle, ours),
        "level",
    )
    if found.parallel is None or found.parallel_shown is None:
        return
    for one in found.optimal_revisions:
        yield Claim(
            one.name,
            "compute-optimal revisions beat parallel best-of-N with 4 times less",
            f"N = {ours}, difficulty not paid for, minus parallel best-of-{theirs} of revisions",
            one.gain(ours, found.parallel_shown, theirs),
            "level",
        )


def _measured(found: Findings, group: Group, *cells: tuple[str, int]) -> tuple[Mapping[str, Outcomes], list[str], str]:
    """The arms, the questions of a group, and how a table names them: all questions and seeds where these arms were
    run there at these budgets, else those that the figures have."""
    wide = all(arm in found.arms and budget in found.arms[arm].budgets for arm, budget in cells)
    arms, bins = (found.arms, found.all_oracle) if wide else (found.shown, found.oracle)
    questions = _group(bins, group)
    return arms, questions, f"{len(questions)} questions" if group == "all" else f"{len(questions)} {group} questions"


def _group(bins: Bins, group: Group) -> list[str]:
    """The easiest two bins of five, the next two, or the hardest; of fewer bins by their share of five."""
    count = bins.count
    easy, hardest = max(1, round(0.4 * count)), count - 1
    members = {
        "all": range(count),
        "easy": range(easy),
        "medium": range(round(0.4 * count), hardest) or range(hardest, count),
        "hardest": range(hardest, count),
    }[group]
    return [question for question, bin_ in bins.of.items() if bin_ in members]
