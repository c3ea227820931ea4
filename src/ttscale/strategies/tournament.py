"""Pairwise selection over samples: rounds of comparisons, each of two solutions (V1, arXiv 2603.04304).

Knows who meets whom and who leads; a comparator says who wins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Compare, Preference, Search
from ttscale.core.types import Candidate, Key, Outcome
from ttscale.strategies.pairing import everyone, pairing
from ttscale.strategies.waves import draw_whole


@dataclass(frozen=True, slots=True)
class Tournament:
    """Draw N solutions, then let them meet in pairs; the one with the most points wins.

    ``rounds``: "swiss" (in each round those that have as many points meet, nobody twice; ceil(log2 N) rounds), a number
    of Swiss rounds, or "all" (everyone meets everyone). A point is shared out by the comparator's weights, and who sits
    out a round gets half of one. ``top`` solutions then meet each other once more, all of them, where 2 or more; of
    equal ones who stands first wins. Solutions that were not finished do not play. Scores are points per meeting.
    """

    rounds: int | Literal["swiss", "all"] = "swiss"
    top: int = 1
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "comparator"})

    def __post_init__(self) -> None:
        if self.rounds not in ("swiss", "all") and (type(self.rounds) is not int or self.rounds < 1):
            raise ValueError(f'rounds must be "swiss", "all" or a positive integer; got {self.rounds!r}')
        check_count("top", self.top)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        candidates = yield from draw_whole(root, budget)
        players = [i for i, candidate in enumerate(candidates) if candidate.done and candidate.steps]
        points, met = dict.fromkeys(players, 0.0), dict.fromkeys(players, 0.0)
        played: set[tuple[int, int]] = set()
        key = root.key.child("tournament")
        swiss = math.ceil(math.log2(max(2, len(players)))) if self.rounds == "swiss" else self.rounds
        for number in range(swiss if isinstance(swiss, int) else 0):
            pairs = pairing(ranked(players, points), played)
            played |= set(pairs)
            yield from play(candidates, pairs, key.child(number), points, met)
            for i in set(players) - {i for pair in pairs for i in pair}:
                points[i], met[i] = points[i] + 0.5, met[i] + 1
        final = ranked(players, points)[: self.top] if self.rounds != "all" else players
        yield from play(candidates, everyone(sorted(final)), key.child("final"), points, met)
        scores = tuple(points[i] / met[i] if met.get(i) else None for i in range(len(candidates)))
        return Outcome(tuple(candidates), scores, next(iter(ranked(final, points)), None))


def ranked(players: Sequence[int], points: Mapping[int, float]) -> list[int]:
    """Most points first; sums that differ by rounding alone, as .1 + .2 and .3 do, are equal."""
    return sorted(players, key=lambda i: (-round(points[i], 9), i))


def play(
    candidates: Sequence[Candidate],
    pairs: Sequence[tuple[int, int]],
    key: Key,
    points: dict[int, float],
    met: dict[int, float],
) -> Search[None]:
    """Let all pairs meet at once and add up their points."""
    if not pairs:
        return
    asked = [Compare((candidates[a], candidates[b]), key.child(a, b)) for a, b in pairs]
    for (a, b), reply in zip(pairs, cast(Sequence[Preference], (yield asked)), strict=True):
        for i, weight in zip((a, b), reply.weights, strict=True):
            points[i], met[i] = points[i] + weight, met[i] + 1
