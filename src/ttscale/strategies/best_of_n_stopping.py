"""Best-of-N that stops when another draw is not expected to pay: a search problem with a cost for every look.

Weitzman's Pandora's box with recall and one kind of box, as in arXiv 2510.01394; that the distribution of scores is
learnt while drawing is arXiv 2510.15945. Looks one draw ahead. Knows scores; must not know what they measure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, best, check_aggregate
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.student import excess
from ttscale.strategies.thompson import NormalArm
from ttscale.strategies.waves import draw, judge


@dataclass(frozen=True, slots=True)
class BestOfNStopping:
    """Draw and judge until one more solution is expected to raise the best score by less than ``cost``; at most N.

    ``cost`` is what one solution is worth, in units of the verifier's score: 0.01 pays for a hundred solutions to go
    from 0 to 1. The next score is predicted from those so far by a Student distribution (normal scores, the prior of
    ``thompson.py`` with mean 0.5), and counts as at most 1; cut-offs score 0. ``wave`` solutions are drawn between
    looks. The highest score wins.
    """

    cost: float = 0.01
    wave: int = 1
    aggregate: Aggregate = "last"
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        if not isinstance(self.cost, (int, float)) or not 0 <= self.cost < math.inf:
            raise ValueError(f"cost must be a number of at least 0, in units of the score; got {self.cost!r}")
        check_count("wave", self.wave)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        candidates: list[Candidate] = []
        scores: list[float | None] = []
        while len(candidates) < budget:
            keys = [root.key.child(i) for i in range(len(candidates), min(budget, len(candidates) + self.wave))]
            fresh = yield from draw([root] * len(keys), keys)
            candidates += fresh
            scores += yield from judge(fresh, self.aggregate)
            gain = expected_gain([score or 0.0 for score in scores])
            if gain < self.cost:
                break
        note = f"drew {sum(bool(c.steps) for c in candidates)} of {budget}"
        return Outcome(tuple(candidates), tuple(scores), best(candidates, scores), note)


def expected_gain(scores: list[float]) -> float:
    """The expected excess of one more score, of at most 1, over the highest of these."""
    location, scale, degrees = NormalArm.of(scores).posterior(prior_mean=0.5)
    scale *= math.sqrt(len(scores) + 2)  # of the next score, not of the mean: sqrt(1 + kappa) times as wide
    top = max(scores)
    return max(0.0, excess(location, scale, degrees, top) - excess(location, scale, degrees, 1.0))
