"""REBASE: a step search whose prefixes get children in proportion to what the verifier expects of them (2408.00724).

Knows how slots are shared out; ``step_search.py`` has the search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.chance import softmax
from ttscale.strategies.step_search import step_search


@dataclass(frozen=True, slots=True)
class Rebase:
    """Reward-balanced search (arXiv 2408.00724, section 3.1.2): N first steps, then B softmax(scores / temperature).

    B is the number of slots that no finished solution holds. The paper rounds each share, which misses B; here the
    remainder goes to the largest fractions, so exactly B children are drawn. ``temperature`` 0.1 is the paper's; a
    large one shares out evenly, a small one gives everything to the best. The winner is chosen by weighted
    best-of-N. At most ``max_rounds`` steps.
    """

    temperature: float = 0.1
    max_rounds: int = 40
    aggregate: Aggregate = "last"
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        if not isinstance(self.temperature, (int, float)) or not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be a positive number; got {self.temperature!r}")
        check_count("max_rounds", self.max_rounds)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        return step_search(root, budget, allocate=self.allocate, max_rounds=self.max_rounds, aggregate=self.aggregate)

    def allocate(self, scores: Sequence[float], slots: int, /) -> list[int]:
        """``slots`` children in proportion to exp(score / temperature), by largest remainder, ties to the first."""
        top = max(scores)  # divided as it is, a score could be infinite
        shares = [slots * weight for weight in softmax([(score - top) / self.temperature for score in scores])]
        children = [math.floor(share) for share in shares]
        by_fraction = sorted(range(len(scores)), key=lambda i: (children[i] - shares[i], i))
        for i in by_fraction[: slots - sum(children)]:
            children[i] += 1
        return children
