"""Work that is killed with SIGKILL at a random moment, in a process of its own. Imported by that process too."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

# One server process that has imported everything; each victim is a fork of it, which takes milliseconds.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ttscale.evaluation", "evaluation.worlds", "evaluation.killing"])


def killed(work: Callable[..., Any], *arguments: Any, moment: int) -> int:
    """Run ``work(*arguments)`` in another process that kills itself at a moment drawn from ``moment``; its exit code.

    Odd moments kill it in the middle of writing a line, which is then torn; even ones before or after some write.
    """
    process = CONTEXT.Process(target=_doomed, args=(work, arguments, moment))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def in_other_processes(work: Callable[..., Any], *arguments: tuple[Any, ...]) -> None:
    """Run ``work`` with each of the argument tuples, all at the same time."""
    processes = [CONTEXT.Process(target=work, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)


def _doomed(work: Callable[..., Any], arguments: tuple[Any, ...], moment: int) -> None:
    rng = Random(moment)
    left = rng.randrange(1, 60)
    write = os.write

    def deadly(file: int, data: bytes | memoryview) -> int:
        nonlocal left
        if not bytes(data).endswith(b"}\n"):  # not a line of ours
            return write(file, data)
        left -= 1
        if left > 0:
            return write(file, data)
        if moment % 2:
            write(file, data[: rng.randrange(1, len(data))])
        elif rng.random() < 0.5:
            write(file, data)
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    os.write = deadly
    work(*arguments)


def lines(path: Path) -> int:
    """How many whole lines a file has."""
    return path.read_bytes().count(b"\n")
