"""Several generators in one search: each gets its share of N, or a bandit on the verifier's scores shares it out.

Knows generators by name and how they did. ``ttscale.verifiers.MixedGenerator`` brings a draw to the one its key names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate, majority_vote, vote_shares, weighted_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.thompson import NormalArm, thompson
from ttscale.strategies.waves import draw, judge


@dataclass(frozen=True, slots=True)
class Mixture:
    """N solutions of several generators, drawn under keys that name them; they answer through a ``MixedGenerator``.

    ``by`` "share": equal numbers of each, the first ones one more, and a majority vote. "bandit": ``wave`` solutions at
    a time, by Thompson sampling with the prior of ``thompson.py``. Each generator's mean verifier score is drawn from
    what is known of it, and the highest writes the solution. Cut-offs score 0, and the winner is a weighted vote.
    AB-MCTS with several models chooses like this (arXiv 2503.04412). Without names, ``solve`` fills in those of its
    ``MixedGenerator``.
    """

    generators: Sequence[str] = ()
    by: Literal["share", "bandit"] = "share"
    wave: int = 1
    aggregate: Aggregate = "last"

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        names = self.generators
        texts = not isinstance(names, str) and all(isinstance(name, str) and name for name in names)
        if not texts or len(set(names)) < len(names):
            raise ValueError(f"generators must be a list of the names that MixedGenerator was given; got {names!r}")
        object.__setattr__(self, "generators", tuple(names))
        if self.by not in ("share", "bandit"):
            raise ValueError(f'by must be "share" or "bandit"; got {self.by!r}')
        check_count("wave", self.wave)

    @property
    def grows(self) -> bool:
        """Shares go by position, and so does a bandit that draws one at a time."""
        return self.by == "share" or self.wave == 1

    @property
    def needs(self) -> frozenset[Role]:
        """A bandit learns from a verifier."""
        return frozenset({"generator", "verifier"} if self.by == "bandit" else {"generator"})

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        names = self.generators
        if not names:
            raise ValueError("Mixture has no names of generators; give it those of the MixedGenerator that answers")
        if self.by == "share":
            keys = [root.key.child("model", names[i % len(names)], i) for i in range(budget)]
            candidates = yield from draw([root] * budget, keys)
            return Outcome(tuple(candidates), vote_shares(candidates), majority_vote(candidates))
        candidates, scores, seen = [], list[float | None](), [list[float]() for _ in names]
        while len(candidates) < budget:
            arms = [NormalArm.of(rewards) for rewards in seen]
            numbers = range(len(candidates), min(budget, len(candidates) + self.wave))
            chosen = [thompson(arms, root.key.child("choose", i)) for i in numbers]
            keys = [root.key.child("model", names[arm], i) for arm, i in zip(chosen, numbers, strict=True)]
            fresh = yield from draw([root] * len(keys), keys)
            judged = yield from judge(fresh, self.aggregate)
            candidates, scores = candidates + fresh, scores + judged
            for arm, score in zip(chosen, judged, strict=True):
                seen[arm].append(score or 0.0)
        note = ", ".join(f"{name} {len(rewards)}" for name, rewards in zip(names, seen, strict=True))
        return Outcome(tuple(candidates), tuple(scores), weighted_vote(candidates, scores), note)
