"""More processes of this machine on the same files, one core each.

Knows processes. Must not know what is drawn: whatever shares its work by the files it writes (``result_store.py``) can
be run several times at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

MOST = 4
"""Processes, unless told otherwise."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def beside(work: Callable[[], Any], processes: int) -> Iterator[None]:
    """Meanwhile run ``work`` in ``processes - 1`` others, and wait for them; where the block fails, they are ended.

    One that fails says so on standard error and costs nothing but its share: what it had not stored is done here.
    """
    if processes == 1:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // processes))
    target = partial(_help, work, torch.get_num_threads())
    helpers = [get_context("spawn").Process(target=target, daemon=True) for _ in range(processes - 1)]
    for helper in helpers:
        helper.start()
    try:
        yield
    except BaseException:
        for helper in helpers:
            helper.terminate()
        raise
    finally:
        for helper in helpers:
            helper.join()
        torch.set_num_threads(before)


def _help(work: Callable[[], Any], threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    try:
        work()
    except KeyboardInterrupt:
        return  # the process that was asked to stop says so
    except Exception as error:
        print(f"ttscale: a process beside this one ended: {type(error).__name__}: {error}", file=sys.stderr)
