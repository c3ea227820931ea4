"""short-m@k: draw k solutions at once, stop when the first m have finished, and let those vote (arXiv 2505.17813).

Knows the race; that the others are stopped is the engine's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Completion, Race, Sample, Search, length_of
from ttscale.core.selection import majority_vote, vote_shares
from ttscale.core.types import Candidate, Outcome


@dataclass(frozen=True, slots=True)
class FirstFinished:
    """Of ``k`` solutions (None: all N) the ``m`` with the fewest tokens vote; of equal votes the shortest wins.

    The paper's finding is that among the solutions of one question shorter ones are right more often. m is 3 there;
    m = 1 takes the shortest. First is who sampled fewest tokens, not who ended first by the clock, so the result does
    not depend on the batch. Draws that have lost are stopped where the backend can stop them; what they sampled until
    then is in the cost. Scores are shares of the votes.
    """

    m: int = 3
    k: int | None = None
    needs: ClassVar[frozenset[Role]] = frozenset({"generator"})

    def __post_init__(self) -> None:
        check_count("m", self.m)
        check_count("k", self.k, none=True)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        k = min(budget, self.k or budget)
        keys = [root.key.child(i) for i in range(k)]
        replies = cast(Sequence[Completion], (yield Race(tuple(Sample(root, key) for key in keys), min(self.m, k))))
        candidates = [root.extend(key, r.steps, r.finish) for key, r in zip(keys, replies, strict=True)]
        first = [i for i in range(k) if replies[i].finish == "stop"]  # the others are sent as LOST, which is cut off
        first.sort(key=lambda i: (length_of(replies[i]), i))
        voting = [candidates[i] for i in first]
        shares = dict(zip(first, vote_shares(voting), strict=True))
        winner = majority_vote(voting)
        return Outcome(tuple(candidates), tuple(map(shares.get, range(k))), None if winner is None else first[winner])
