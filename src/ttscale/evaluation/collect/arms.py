"""The strategies that the paper compares, as arms of a sweep.

Knows strategies and budgets. Must not know results. Snell et al., sections 5.2 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.api.batch import BatchAllocation
from ttscale.core.protocols import Strategy
from ttscale.core.selection import Aggregate
from ttscale.evaluation.collect.sweeps import Arm
from ttscale.evaluation.report.figure_data import ratio_name
from ttscale.strategies import (
    DVTS,
    AdaptiveConsistency,
    Beam,
    BestOfN,
    Lookahead,
    MajorityVote,
    SequentialRevision,
    WeightedBestOfN,
)
from ttscale.strategies.names import strategy_from_text
from ttscale.strategies.revision import Selection

PARALLEL = "revisions all parallel"
"""The arm that spends all of N on first attempts of the reviser: best-of-N for revisions."""
MIXED = "revisions 1:1"
"""The arm with as many chains as there are attempts in each."""
ONE_CHAIN = 256.0
"""A ratio that makes one chain of every budget up to 256, the paper's largest; unlike infinity it is valid JSON."""


def search_arms(aggregate: Aggregate = "last") -> list[Arm]:
    """The sweep over search strategies of Snell et al., section 5.2, with DVTS beside them."""
    return [
        Arm("majority", MajorityVote()),
        Arm("best-of-N", BestOfN(aggregate)),
        Arm("weighted best-of-N", WeightedBestOfN(aggregate)),
        Arm("beam, M = 4", Beam(4, aggregate=aggregate)),
        Arm("beam, M = sqrt(N)", Beam("sqrt", aggregate=aggregate)),
        Arm("lookahead k = 1, M = sqrt(N)", Lookahead(1, "sqrt", aggregate=aggregate)),
        Arm("lookahead k = 3, M = 4", Lookahead(3, 4, aggregate=aggregate)),
        Arm("lookahead k = 3, M = sqrt(N)", Lookahead(3, "sqrt", aggregate=aggregate)),
        Arm("DVTS, M = 4", DVTS(4, aggregate=aggregate)),
    ]


def adaptive_arms() -> list[Arm]:
    """Beyond the paper: strategies that decide while they spend."""
    return [
        Arm("adaptive consistency", AdaptiveConsistency()),
        Arm("batch allocation", BatchAllocation()),
    ]


def ratio_grid(budget: int) -> tuple[float, ...]:
    """The sequential : parallel ratios of table 1 in the paper's camera-ready, for a budget that is a power of 2.

    Odd powers have 1:8, 1:2, 2:1, 8:1 and so on, even ones 1:16, 1:4, 1:1 and so on, both up to 1:N and N:1; for 256
    the paper skips every other.
    """
    power = budget.bit_length() - 1
    if budget < 1 or budget != 1 << power:
        raise ValueError(f"the paper's ratios are for budgets that are powers of 2; got {budget}")
    stride = 4 if power == 8 else 2
    return tuple(2.0**exponent for exponent in range(-power, power + 1, stride))


def revision_arms(
    budgets: Sequence[int],
    ratios: Sequence[float] | None = None,
    select: Selection = "hierarchical",
    aggregate: Aggregate = "last",
) -> list[Arm]:
    """One arm per ratio of the paper's grid, at those of the budgets that have it.

    With ``ratios``, only those of them, and 1:N and N:1 at each budget.
    """
    by_ratio: dict[float, list[int]] = {}
    for budget in budgets:
        for ratio in ratio_grid(budget):
            if ratios is None or ratio in (*ratios, budget, 1 / budget):
                by_ratio.setdefault(ratio, []).append(budget)
    suffix = "" if select == "hierarchical" else ", majority"
    return [
        Arm(
            f"revisions {ratio_name(ratio)}{suffix}",
            SequentialRevision(ratio, select=select, aggregate=aggregate),
            tuple(own),
        )
        for ratio, own in sorted(by_ratio.items())
    ]


def policy_menu(reviser: bool, aggregate: Aggregate = "last") -> dict[str, Strategy]:
    """What a fitted policy chooses from: the camera-ready's {best-of-N, beam M = 4}, DVTS; with a reviser ratios."""
    menu: dict[str, Strategy] = {
        "weighted best-of-N": WeightedBestOfN(aggregate),
        "beam, M = 4": Beam(4, aggregate=aggregate),
        "DVTS, M = 4": DVTS(4, aggregate=aggregate),
    }
    if reviser:
        for ratio in (0.0, 1.0, 4.0, ONE_CHAIN):
            name = {0.0: "all parallel", ONE_CHAIN: "all sequential"}.get(ratio) or ratio_name(ratio)
            menu[f"revisions {name}"] = SequentialRevision(ratio, aggregate=aggregate)
    return menu


def arm_of(text: str) -> Arm:
    """The arm that a text such as "beam:width=sqrt" describes; it is called by that text.

    The strategy stays a text, which leaves open what suits the verifier. ``ValueError`` for a text that describes none.
    """
    strategy = strategy_from_text(text, {"batch_allocation": BatchAllocation})
    return Arm(text, strategy if isinstance(strategy, BatchAllocation) else text)


def arms_of(texts: str) -> list[Arm]:
    """The arms in a list separated by spaces or semicolons (commas separate settings) or, without settings, commas."""
    separated = texts.replace(";", " ")
    if ":" not in separated:
        separated = separated.replace(",", " ")
    return [arm_of(text) for text in separated.split()]
