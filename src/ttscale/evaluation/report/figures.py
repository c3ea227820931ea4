"""The paper's figures, as data, from outcomes measured on any model and data set.

Knows outcomes, bins, pools. Must not know how a figure is drawn (``matplotlib.py``) or where results come from. Each
function makes one figure; its caption names the figure of the paper that it corresponds to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ttscale.core.selection import Aggregate
from ttscale.evaluation.analyse.chains import ChainStep
from ttscale.evaluation.analyse.difficulty import Agreement, Bins
from ttscale.evaluation.analyse.flops import Match
from ttscale.evaluation.analyse.outcomes import Outcomes
from ttscale.evaluation.collect.pool import Pool
from ttscale.evaluation.report.figure_data import Figure, Panel, Series, series
from ttscale.evaluation.statistics import Method, curves, mean_interval

ACCURACY = "accuracy"
AGGREGATES: tuple[Aggregate, ...] = ("last", "min", "prod", "mean")


def accuracy_against_budget(methods: Sequence[Outcomes]) -> Figure:
    """Accuracy against N, sampled tokens and FLOPs, a line per method (paper: figure 3, left)."""
    lines = tuple(_by_budget(one) for one in methods)
    panels = [Panel("against generations", "budget N", ACCURACY, lines, log_x=True)]
    for field, label in (("sampled_tokens", "sampled tokens per question"), ("flops", "FLOPs per question")):
        if all(one.cost[n][field] > 0 for one in methods for n in one.budgets):
            lines = tuple(
                series(one.name, [(one.cost[n][field], one.accuracy(n)) for n in one.budgets]) for one in methods
            )
            panels.append(Panel(f"against {label}", label, ACCURACY, lines, log_x=True))
    return Figure(
        "accuracy_against_budget",
        "Accuracy against compute",
        "Every search strategy at every budget, with 95% bootstrap intervals over questions. The same N buys different "
        "amounts of work, so tokens and FLOPs (verifier included) stand beside it. Paper: figure 3, left.",
        tuple(panels),
    )


def bars_by_bin(methods: Sequence[Outcomes], bins: Bins, budgets: Sequence[int]) -> Figure:
    """Accuracy per difficulty bin, a group of bars per method and a panel per budget (paper: figure 3, right)."""
    panels = []
    for budget in budgets:
        bars = [_over_bins(one, budget, bins) for one in methods if budget in one.budgets]
        if bars:
            panels.append(_bin_panel(f"N = {budget}", tuple(bars), bins))
    return Figure(
        "bars_by_bin",
        "Accuracy by difficulty (oracle bins, 1 easiest)",
        "Which strategy is ahead depends on the question and the budget. Bins hold "
        f"{', '.join(map(str, bins.sizes))} questions. Paper: figure 3, right: beam search is ahead on medium "
        "questions and falls behind on easy ones as N grows.",
        tuple(panels),
    )


def ratio_curves(by_ratio: Mapping[float, Outcomes], budgets: Sequence[int], bins: Bins) -> Figure:
    """Accuracy against sequential : parallel ratio, by budget and by difficulty bin (paper: figure 7)."""
    ratios = sorted(by_ratio)
    lines = []
    for budget in budgets:
        points = [(r, by_ratio[r].accuracy(budget)) for r in ratios if budget in by_ratio[r].budgets]
        if points:
            lines.append(series(f"N = {budget}", points))
    panels = [Panel("by budget", "sequential : parallel", ACCURACY, tuple(lines), log_x=True, ratios=True)]
    most = max(budget for one in by_ratio.values() for budget in one.budgets)
    per_bin = []
    for bin_ in range(bins.count):
        members = bins.members(bin_)
        points = [(r, by_ratio[r].accuracy(most, members)) for r in ratios if most in by_ratio[r].budgets]
        if members:
            per_bin.append(series(f"bin {bin_ + 1}", points))
    panels.append(
        Panel(f"by difficulty, N = {most}", "sequential : parallel", ACCURACY, tuple(per_bin), log_x=True, ratios=True)
    )
    return Figure(
        "ratio_curves",
        "Sequential revisions against parallel samples",
        "How a budget is best split between revising and sampling anew. Paper: figure 7: an interior ratio is best "
        "overall; easy questions are best all sequential.",
        tuple(panels),
    )


def compute_optimal(name: str, methods: Sequence[Outcomes], references: Sequence[Outcomes], paper: str) -> Figure:
    """Compute-optimal scaling against best-of-N (paper: figure 4 for search, figure 8 for revisions)."""
    lines = [_by_budget(one) for one in methods] + [_by_budget(one, dashed=True) for one in references]
    return Figure(
        name,
        "Compute-optimal scaling against best-of-N",
        "The strategy is chosen per difficulty bin by two-fold cross-validation: no question took part in choosing its "
        f"own. 'Probe paid' takes the difficulty estimate out of the same N. Paper: {paper}.",
        (Panel("", "budget N", ACCURACY, tuple(lines), log_x=True),),
    )


def flops_matched(matches: Sequence[Match], bins: Bins, note: str = "") -> Figure:
    """Small model with test-time compute against the large one at equal FLOPs, by bin (paper: figure 9)."""
    panels = []
    for ratio in dict.fromkeys(match.ratio for match in matches):
        own = [match for match in matches if match.ratio == ratio and match.bin is not None]
        if not own:
            continue
        bars = [series("large, greedy", [(match.bin or 0, match.large) for match in own])]
        small = [(match.bin or 0, match.small) for match in own if match.small is not None]
        if small:
            bars.append(series(f"small, N = {own[0].budget}", small))
        panels.append(_bin_panel(f"R = {ratio:g}, multiplier {own[0].multiplier:.3g}", tuple(bars), bins))
    return Figure(
        "flops_matched",
        "Test-time compute against pretraining, at equal FLOPs",
        "R is inference tokens over pretraining tokens; the small model samples as often as the FLOPs that the large "
        f"one's pretraining cost more would pay for. {note}Paper: figure 9: test-time compute wins on easy and medium "
        "questions or small R, pretraining on hard ones and large R.",
        tuple(panels),
    )


def aggregation(pool: Pool, budgets: Sequence[int]) -> Figure:
    """How the scores of a solution's steps become one: last, min, prod or mean (paper: appendix E)."""
    methods: tuple[Method, ...] = ("weighted_best_of_n", "best_of_n")
    panels = []
    for method in methods:
        lines = []
        for how in AGGREGATES:
            accuracies = curves(pool.graded(how), [method], budgets)[method]
            lines.append(series(how, [(n, mean_interval(accuracies[:, i])) for i, n in enumerate(budgets)]))
        panels.append(Panel(method.replace("_", " "), "budget N", ACCURACY, tuple(lines), log_x=True))
    return Figure(
        "aggregation",
        "From step scores to a solution's score",
        "Expected accuracy over subsets of one pool of samples. Paper (appendix E): the last step's score is best for "
        "a PRM trained on Monte-Carlo values.",
        tuple(panels),
    )


def pool_curves(pool: Pool, budgets: Sequence[int]) -> Figure:
    """Accuracy of each way to choose among N samples, from one pool, with the oracle above (over-optimisation)."""
    methods: tuple[Method, ...] = ("majority", "best_of_n", "weighted_best_of_n", "oracle")
    accuracies = curves(pool.graded(), methods, budgets)
    lines = tuple(
        series(
            method.replace("_", " ").replace("oracle", "oracle (pass@N)"),
            [(n, mean_interval(accuracies[method][:, i])) for i, n in enumerate(budgets)],
            dashed=method == "oracle",
        )
        for method in methods
    )
    return Figure(
        "pool_curves",
        "Choosing among N samples",
        "Expected accuracy over subsets of one pool. Where best-of-N falls as N grows, the verifier is over-optimised; "
        "the distance to the oracle is what a better verifier could win. Paper: figures 12 and 14.",
        (Panel("", "budget N", ACCURACY, lines, log_x=True),),
    )


def chain_figure(steps: Sequence[ChainStep], reference: float | None = None) -> Figure:
    """pass@1 along a chain of revisions, and what is repaired and broken (paper: figure 6, left)."""
    lines = [series("reviser", [(one.step, one.pass_at_1) for one in steps])]
    if reference is not None:
        lines.append(Series("generator", (1.0, float(len(steps))), (reference, reference), dashed=True))
    shares = []
    named = {"repaired": "wrong to right", "broken": "right to wrong", "repeated": "same wrong answer"}
    for name, label in named.items():
        known = [one for one in steps if getattr(one, name) is not None]
        if known:
            places = tuple(float(one.step) for one in known)
            shares.append(Series(label, places, tuple(getattr(one, name) for one in known)))
    return Figure(
        "along_the_chain",
        "Along a chain of revisions",
        "pass@1 of the attempt at each step of a chain, and the share of attempts that the next one repairs or breaks. "
        "Paper: figure 6: pass@1 keeps rising past the four attempts in the context; 38% of right answers are broken.",
        (
            Panel("pass@1", "revision step", "pass@1", tuple(lines)),
            Panel("what a revision does", "revision step", "share", tuple(shares)),
        ),
    )


def difficulty_figure(agreements: Sequence[Agreement]) -> Figure:
    """What a difficulty prediction from n samples is worth."""
    n = tuple(float(one.probes) for one in agreements)
    known = [(float(one.probes), one.rank_correlation) for one in agreements if one.rank_correlation is not None]
    lines = (
        Series("rank correlation with the oracle", tuple(x for x, _ in known), tuple(y for _, y in known)),
        Series("same bin", n, tuple(one.same_bin for one in agreements)),
        Series("same bin or a neighbour", n, tuple(one.within_one for one in agreements)),
    )
    return Figure(
        "difficulty",
        "Predicting difficulty from n samples",
        "Mean verifier score of n samples against pass@1 over the pool. The paper uses 2048 samples for both and does "
        "not charge for them.",
        (Panel("", "probe samples n", "agreement", lines, log_x=True),),
    )


def _by_budget(one: Outcomes, dashed: bool = False) -> Series:
    return series(one.name, [(n, one.accuracy(n)) for n in one.budgets], dashed=dashed)


def _over_bins(one: Outcomes, budget: int, bins: Bins) -> Series:
    members = [(bin_, bins.members(bin_)) for bin_ in range(bins.count)]
    return series(one.name, [(bin_, one.accuracy(budget, own)) for bin_, own in members if own])


def _bin_panel(title: str, bars: tuple[Series, ...], bins: Bins) -> Panel:
    return Panel(title, "difficulty bin", ACCURACY, bars, "bars", ticks=tuple(str(b + 1) for b in range(bins.count)))
