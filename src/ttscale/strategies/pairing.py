"""Who meets whom: everyone, or in a Swiss round those that stand next to each other and have not met.

Knows numbers of players. Must not know who wins.
"""

from __future__ import annotations

from collections.abc import Sequence


def everyone(players: Sequence[int]) -> list[tuple[int, int]]:
    """Each pair once."""
    return [(a, b) for n, a in enumerate(players) for b in players[n + 1 :]]


def pairing(ranked: Sequence[int], played: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each with the next in the ranking that it has not met; who finds nobody sits out."""
    free, pairs = list(ranked), []
    while free:
        one = free.pop(0)
        other = next((i for i in free if (min(one, i), max(one, i)) not in played), None)
        if other is not None:
            free.remove(other)
            pairs.append((min(one, other), max(one, other)))
    return pairs
