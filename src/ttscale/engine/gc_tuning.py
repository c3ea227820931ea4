"""Fewer passes of the garbage collector while searches run.

Ten thousand searches hold a million small objects, none of them garbage. At Python's own threshold the collector walks
them again and again: half of what a request cost (``benchmarks/engine_overhead.py``). Knows the collector only.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BETWEEN = 50_000
"""New objects between two passes over the youngest."""
PASSES = 100
"""Passes over the youngest between two over what has survived one (Python: 10)."""

_lock = threading.Lock()
_before: list[tuple[int, int, int]] = []
"""One entry per run in progress; the first says what to go back to when the last has ended."""


@contextmanager
def fewer_passes() -> Iterator[None]:
    """Let more objects be made before the collector runs. A collector that is off (threshold 0) stays off."""
    with _lock:
        _before.append(gc.get_threshold())
        youngest, middle, oldest = _before[0]
        if 0 < youngest < BETWEEN:
            gc.set_threshold(BETWEEN, max(middle, PASSES), oldest)
    try:
        yield
    finally:
        with _lock:
            first = _before[0]
            _before.pop()
            if not _before:
                gc.set_threshold(*first)
