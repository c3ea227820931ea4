"""Cutting work into forwards that fit into memory.

Knows: lengths, and how running out of memory is said. Must not know: what is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")


class Budget:
    """Padded tokens that one forward may take: halved where memory runs out, doubled again by later calls."""

    def __init__(self, usual: int) -> None:
        self._usual = usual
        self._now = usual

    def most(self) -> int:
        """Tokens that a forward may take now."""
        return self._now

    def shrink(self) -> None:
        """Memory ran out."""
        self._now = max(1, self._now // 2)

    def grow(self) -> None:
        """All went well."""
        self._now = min(self._usual, 2 * self._now)


def is_out_of_memory(error: Exception) -> bool:
    """Whether this is torch's or Python's way of saying that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        mark in text for mark in ("out of memory", "can't allocate memory", "not enough memory")
    )


def batches(
    lengths: Sequence[int], most: Callable[[], int], border: int | None = None, alike: bool = False
) -> Iterator[slice]:
    """Batches of consecutive places, at least one each, with a padded size of at most ``most()``; lengths ascend.

    No batch has lengths on both sides of ``border``, beyond which a model counts positions otherwise; beyond it all
    lengths of a batch are equal if ``alike``.
    """
    begin = 0
    for place, length in enumerate(lengths):
        crossed = border is not None and border < length and (alike or lengths[begin] <= border)
        crossed = crossed and lengths[begin] != length
        if place > begin and (crossed or (place - begin + 1) * length > most()):
            yield slice(begin, place)
            begin = place
    if lengths:
        yield slice(begin, len(lengths))


def halves(runs: list[tuple[T, int]]) -> list[list[tuple[T, int]]]:
    """A forward of (who, tokens) as two: half of the runs each, or half of a single one's tokens; [] for one token."""
    if len(runs) > 1:
        return [runs[: len(runs) // 2], runs[len(runs) // 2 :]]
    ((who, length),) = runs
    return [[(who, length // 2)], [(who, length - length // 2)]] if length > 1 else []
