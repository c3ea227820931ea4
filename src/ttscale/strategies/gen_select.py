"""Listwise selection over samples: a comparator reads a group at once and names the best (GenSelect, 2507.17797).

Knows groups; a comparator chooses in them. Groups of winners are made until one is left, as in arXiv 2607.05391.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from ttscale.core.protocols import Role
from ttscale.core.requests import Compare, Preference, Search
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.waves import draw_whole


@dataclass(frozen=True, slots=True)
class GenSelect:
    """Draw N solutions, name the best in each ``group``, then among those winners, until one is left.

    Groups are as equal as they can be, and all groups of a round are asked at once. Of equal weights the first wins.
    Solutions that were not finished do not take part; scores are the weights a solution had in its last group.
    """

    group: int = 8
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "comparator"})

    def __post_init__(self) -> None:
        if type(self.group) is not int or not 2 <= self.group <= 26:
            raise ValueError(f"group must be a whole number from 2 to 26 (a letter for each); got {self.group!r}")

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        candidates = yield from draw_whole(root, budget)
        left = [i for i, candidate in enumerate(candidates) if candidate.done and candidate.steps]
        scores: list[float | None] = [None] * len(candidates)
        number = 0
        while len(left) > 1:
            groups = split(left, self.group)
            asked = [group for group in groups if len(group) > 1]
            key = root.key.child("select", number)
            wave = [Compare(tuple(candidates[i] for i in group), key.child(group[0])) for group in asked]
            replies = cast(Sequence[Preference], (yield wave))
            for group, reply in zip(asked, replies, strict=True):
                for i, weight in zip(group, reply.weights, strict=True):
                    scores[i] = weight
            left = [
                max(group, key=lambda i: (scores[i] or 0.0, -i)) if len(group) > 1 else group[0] for group in groups
            ]
            number += 1
        return Outcome(tuple(candidates), tuple(scores), left[0] if left else None)


def split(players: Sequence[int], most: int) -> list[list[int]]:
    """The players in as few groups of at most ``most`` as there can be, of sizes that differ by at most one."""
    count = -(-len(players) // most)
    each, extra = divmod(len(players), count)
    sizes = [each + (i < extra) for i in range(count)]
    return [list(players[sum(sizes[:i]) : sum(sizes[: i + 1])]) for i in range(count)]
