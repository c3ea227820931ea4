"""A function over many items in a few threads, each item with a time limit of its own.

Knows: threads and clocks. Must not know: candidates. A thread cannot be stopped: one that is given up goes on by itself
and does not keep the process from ending.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
ItemResult: TypeAlias = tuple[int, Any, BaseException | None]
"""Which item, what the function returned, what it raised."""


def in_threads(fn: Callable[[T], Any], items: Sequence[T], workers: int, timeout: float | None) -> list[ItemResult]:
    """What ``fn`` makes of each item, in their order; ``TimeoutError`` for one that took more than ``timeout`` seconds.

    At most ``workers`` items are under way at once, those not counted that were given up.
    """
    ended: dict[int, ItemResult] = {}
    waiting = deque(range(len(items)))
    deadlines: dict[int, float] = {}
    results: SimpleQueue[ItemResult] = SimpleQueue()

    def run(index: int) -> None:
        try:
            results.put((index, fn(items[index]), None))
        except BaseException as error:
            results.put((index, None, error))

    while waiting or deadlines:
        while waiting and len(deadlines) < workers:
            index = waiting.popleft()
            deadlines[index] = time.monotonic() + (threading.TIMEOUT_MAX if timeout is None else timeout)
            threading.Thread(target=run, args=(index,), name="ttscale-verifier", daemon=True).start()
        patience = min(deadlines.values()) - time.monotonic()
        try:
            found = results.get(timeout=max(0.0, min(patience, threading.TIMEOUT_MAX)))
            if found[0] in deadlines:  # else it was given up before
                ended[found[0]] = found
                del deadlines[found[0]]
        except Empty:
            for index in [index for index, end in deadlines.items() if end <= time.monotonic()]:
                ended[index] = (index, None, TimeoutError())
                del deadlines[index]
    return [ended[index] for index in range(len(items))]
