"""Sequential revisions: chains of attempts, each written after seeing the ones before (Snell et al., section 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Completion, Revise, Search
from ttscale.core.selection import Aggregate, check_aggregate, majority_vote, vote_shares, weighted_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.waves import judge, lockstep

Selection = Literal["hierarchical", "majority"]


@dataclass(frozen=True, slots=True)
class SequentialRevision:
    """p chains of s revisions with p * s = N, side by side (Snell et al., section 6).

    ``ratio`` is sequential : parallel, r = s / p, so p = sqrt(N / r) and s = sqrt(N r); 0 is all parallel, ``math.inf``
    one chain. Where they are not whole, p is the number of chains with N / p**2 nearest to r, and the first chains are
    one revision longer. A reviser sees the ``context`` most recent finished attempts (4 in the paper), and writes the
    first one after seeing none.

    ``select``: "hierarchical" needs a verifier: best-of-N weighted inside each chain, then over the chains' winners.
    "majority" needs none: one flat vote over every attempt (the paper found hierarchical voting to fail without a
    verifier). When there is no verifier, ``solve`` takes "majority".
    """

    ratio: float = 1.0
    context: int = 4
    select: Selection = "hierarchical"
    aggregate: Aggregate = "last"

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        if not isinstance(self.ratio, (int, float)) or not self.ratio >= 0:
            raise ValueError(f"ratio must be a number of at least 0 (sequential : parallel); got {self.ratio!r}")
        check_count("context", self.context, 0)
        if self.select not in ("hierarchical", "majority"):
            raise ValueError(f'select must be "hierarchical" or "majority"; got {self.select!r}')

    @property
    def needs(self) -> frozenset[Role]:
        """The roles this strategy asks for."""
        return frozenset({"reviser", "verifier"} if self.select == "hierarchical" else {"reviser"})

    def for_roles(self, roles: frozenset[Role]) -> SequentialRevision:
        """The same revisions, selected by majority where there is no verifier."""
        return self if "verifier" in roles else replace(self, select="majority")

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        lengths = chain_lengths(budget, self.ratio)
        written = yield from lockstep([_chain(root, c, length, self.context) for c, length in enumerate(lengths)])
        candidates = tuple(attempt for chain in written for attempt in chain)
        if self.select == "majority":
            return Outcome(candidates, vote_shares(candidates), majority_vote(candidates))
        scores = tuple((yield from judge(candidates, self.aggregate)))
        winners = _chain_winners(candidates, scores, lengths)
        final = weighted_vote([candidates[i] for i in winners], [scores[i] for i in winners])
        judged = any(score is not None for score in scores)  # else the chains' winners have one vote each
        weights = tuple((score if judged else 1.0) if i in winners else None for i, score in enumerate(scores))
        return Outcome(candidates, scores, None if final is None else winners[final], weights=weights)


def chain_lengths(budget: int, ratio: float) -> list[int]:
    """The length of each chain for N = ``budget`` and r = ``ratio``; they add up to N.

    The number of chains p is the one whose ratio N / p**2 is nearest to r on a logarithmic scale, from 1 to N: with
    x = N / r the first p with p (p + 1) > x.
    """
    if not ratio:
        return [1] * budget
    wanted = budget / ratio
    chains = math.isqrt(int(min(wanted, budget * budget)))
    chains = min(budget, max(1, chains + (chains * (chains + 1) <= wanted)))
    each, extra = divmod(budget, chains)
    return [each + (c < extra) for c in range(chains)]


def _chain(root: Candidate, chain: int, length: int, context: int) -> Search[list[Candidate]]:
    attempts: list[Candidate] = []
    for position in range(length):
        finished = [replace(attempt, attempts=()) for attempt in attempts if attempt.done and attempt.steps]
        seen = tuple(finished[-context:]) if context else ()
        key = root.key.child("chain", chain, position)
        (reply,) = cast(Sequence[Completion], (yield [Revise(seen or (root,), key)]))
        attempts.append(Candidate(root.question, key, reply.steps, reply.finish, seen))
    return attempts


def _chain_winners(
    candidates: Sequence[Candidate], scores: Sequence[float | None], lengths: Sequence[int]
) -> list[int]:
    """The winner of each chain; the chains lie one after the other."""
    winners = []
    start = 0
    for length in lengths:
        winner = weighted_vote(candidates[start : start + length], scores[start : start + length])
        if winner is not None:
            winners.append(start + winner)
        start += length
    return winners
