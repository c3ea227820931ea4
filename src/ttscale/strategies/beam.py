"""Search over steps against a verifier: beam search, lookahead, and diverse verifier tree search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate, weighted_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.allocation import Width, branching, check_width, top_share
from ttscale.strategies.step_search import step_search
from ttscale.strategies.waves import lockstep


@dataclass(frozen=True, slots=True)
class Beam:
    """Beam search (Snell et al., section 5.2): N first steps, keep the best N/M, M children each, until all end.

    ``width`` is M, the branching factor: 4 and sqrt(N) in the paper. At most ``max_rounds`` steps (the paper's 40);
    the winner is chosen by weighted best-of-N over the finished beams. Equal prefixes are scored once. As in the paper
    each copy takes its own place among the best N/M; with ``merge`` copies take one place together.
    """

    width: Width = 4
    max_rounds: int = 40
    aggregate: Aggregate = "last"
    merge: bool = False
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})

    def __post_init__(self) -> None:
        _check(self.width, self.max_rounds, self.aggregate, self.merge)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        return step_search(
            root,
            budget,
            allocate=partial(top_share, width=branching(self.width, budget)),
            max_rounds=self.max_rounds,
            aggregate=self.aggregate,
            merge=self.merge,
        )


@dataclass(frozen=True, slots=True)
class Lookahead:
    """Beam search that scores each step by the verifier's score ``k`` greedy steps further on.

    Snell et al., section 5.2. Rollouts are paid for: N pays for N // (k + 1) beams; with N <= k, k shrinks to N - 1.
    ``k`` = 0 is ``Beam``. The rollout's text is not kept, save where the search is cut short: a rollout that has
    finished by then is a solution like any other. Equal prefixes share one rollout.
    """

    k: int = 3
    width: Width = 4
    max_rounds: int = 40
    aggregate: Aggregate = "last"
    merge: bool = False
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})

    def __post_init__(self) -> None:
        _check(self.width, self.max_rounds, self.aggregate, self.merge)
        check_count("k", self.k, 0)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        k = min(self.k, budget - 1)
        beams = budget // (k + 1)
        return step_search(
            root,
            beams,
            allocate=partial(top_share, width=branching(self.width, beams)),
            max_rounds=self.max_rounds,
            aggregate=self.aggregate,
            lookahead=k,
            merge=self.merge,
        )


@dataclass(frozen=True, slots=True)
class DVTS:
    """Diverse verifier tree search: N // M independent subtrees side by side, each keeping its single best step.

    From search-and-learn, not from the paper. Subtrees cannot crowd each other out, which keeps answers diverse where
    the verifier is exploited. Every subtree is a ``Beam`` of M slots; the winner is a weighted vote over all of them.
    Where M does not divide N, the first subtrees get one slot more.
    """

    width: Width = 4
    max_rounds: int = 40
    aggregate: Aggregate = "last"
    merge: bool = False
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})

    def __post_init__(self) -> None:
        _check(self.width, self.max_rounds, self.aggregate, self.merge)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        subtrees = max(1, budget // branching(self.width, budget))
        each, extra = divmod(budget, subtrees)
        sizes = [each + (i < extra) for i in range(subtrees)]
        outcomes = yield from lockstep(
            [
                step_search(
                    Candidate(root.question, root.key.child("tree", i)),
                    size,
                    allocate=partial(top_share, width=size),
                    max_rounds=self.max_rounds,
                    aggregate=self.aggregate,
                    merge=self.merge,
                )
                for i, size in enumerate(sizes)
            ]
        )
        candidates = tuple(candidate for outcome in outcomes for candidate in outcome.candidates)
        scores = tuple(score for outcome in outcomes for score in outcome.scores)
        return Outcome(candidates, scores, weighted_vote(candidates, scores))


def _check(width: Width, max_rounds: int, aggregate: str, merge: bool) -> None:
    check_width(width)
    check_aggregate(aggregate)
    check_count("max_rounds", max_rounds)
    if not isinstance(merge, bool):
        raise ValueError(f"merge must be True or False; got {merge!r}")
