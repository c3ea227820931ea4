"""Memory that freed tensors leave goes back to the system, in training too."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ttscale.training.fit import heap

GLIBC = hasattr(ctypes.CDLL(None), "malloc_trim") and os.path.isfile("/proc/self/statm")

SPONGE = """
import os
from ttscale.training.fit.heap import return_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [bytearray(100_000) for _ in range(2_000)]  # below the size that has a mapping of its own
kept, blocks = blocks[::20], None
before = resident()
assert return_memory()
print(before - resident())
"""


@pytest.mark.skipif(not GLIBC, reason="the C library has no malloc_trim")
def test_what_lies_between_living_blocks_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SPONGE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100e6  # of 190 MB that were freed


def test_memory_is_given_back_every_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    callback = heap.ReturnMemory()
    for step in range(1, 3 * heap.EVERY + 1):
        monkeypatch.setattr(heap, "return_memory", lambda step=step: steps.append(step))
        control = object()
        assert callback.on_step_end(None, SimpleNamespace(global_step=step), control) is control  # type: ignore[arg-type]
    assert steps == [heap.EVERY, 2 * heap.EVERY, 3 * heap.EVERY]


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    heap._trim.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert heap.return_memory() is False
    heap._trim.cache_clear()
