"""How many threads torch works with on a CPU: by the size of the work, and the process's own setting is given back.

Knows: torch's thread count, this machine's cores. Must not know: models. Threads meet at the end of every product. In a
small forward that meeting takes longer than the work, and beside a busy process it takes a time slice. So small
forwards run on one thread. A user who chose a number, by environment or by ``torch.set_num_threads``, is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 1e9
"""FLOPs of a forward below which one thread is the better choice; about 20 ms on one core (docs/performance.md)."""
CHOSEN_BY = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which users choose."""


@contextmanager
def suited_threads(device: torch.device, flops: float) -> Iterator[None]:
    """Inside, torch uses one thread if the work of one forward is small, else as many as it had."""
    usual = torch.get_num_threads()
    if device.type != "cpu" or flops >= SMALL or usual == 1 or chosen_by_user(usual):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def chosen_by_user(threads: int) -> bool:
    """Whether torch would not choose this number by itself: all cores, or one thread for each two of them."""
    if any(os.environ.get(name) for name in CHOSEN_BY):
        return True
    return threads not in {usual for count in cores() for usual in (count, max(1, count // 2))}


def cores() -> tuple[int, int]:
    """(cores this process may use, cores of the machine)."""
    machine = os.cpu_count() or 1
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine), machine
