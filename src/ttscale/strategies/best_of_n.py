"""Parallel sampling: majority vote, best-of-N and weighted best-of-N (Snell et al., section 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, best, check_aggregate, majority_vote, vote_shares, weighted_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.waves import draw_whole, judge

Choose = Callable[[Sequence[Candidate], Sequence[float | None]], int | None]


@dataclass(frozen=True, slots=True)
class MajorityVote:
    """Self-consistency (arXiv 2203.11171): draw N solutions, take the most frequent answer. Needs no verifier.

    A candidate's score is the share of the votes that its answer got.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({"generator"})
    grows: ClassVar[bool] = True

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        candidates = yield from draw_whole(root, budget)
        return Outcome(tuple(candidates), vote_shares(candidates), majority_vote(candidates))


@dataclass(frozen=True, slots=True)
class BestOfN:
    """Draw N solutions, take the one the verifier scores highest (Snell et al., section 5.1)."""

    aggregate: Aggregate = "last"
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})
    grows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        return (yield from _sample_and_choose(root, budget, self.aggregate, best))


@dataclass(frozen=True, slots=True)
class WeightedBestOfN:
    """Draw N solutions, sum the verifier's scores over equivalent answers, take the answer with the highest sum.

    Snell et al., section 5.1, after arXiv 2206.02336.
    """

    aggregate: Aggregate = "last"
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})
    grows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        return (yield from _sample_and_choose(root, budget, self.aggregate, weighted_vote))


def _sample_and_choose(root: Candidate, n: int, how: Aggregate, choose: Choose) -> Search[Outcome]:
    candidates = yield from draw_whole(root, n)
    scores = yield from judge(candidates, how)
    return Outcome(tuple(candidates), tuple(scores), choose(candidates, scores))
