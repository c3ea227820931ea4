"""Reads the rare formulas that our own grammar does not hold with math-verify's, in a process that can be killed.

Sums, products, integrals, limits, determinants and matrix arithmetic need a computer algebra system, and a computer
algebra system can hang or eat all memory on what a model writes. So it runs in one child process, started when the
first such formula appears (about a second) and killed when it is not ready in time. No signals, so this works in any
thread; no fork and no re-import of the caller's ``__main__``; the child also limits its own memory and CPU time, and
leaves when its parent does. What it cannot do in time is compared as text.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ttscale._answers._value import Key

SECONDS = 1.0
"""One formula. math-verify's own limit is 5 s; those that finish at all take some 10 to 250 ms."""
SECONDS_PER_CALL = 3.0
"""All hard formulas of one ``answer_classes`` call together, with what it takes to replace a child that was killed."""
START_SECONDS = 60.0
MAX_FORMULA = 200

_CODE = """
import json, sys
sys.path[:] = json.loads(sys.stdin.buffer.readline())
from ttscale._answers._algebra import main
main()
"""


class OutOfTimeError(Exception):
    """The formulas before this one have used up the time of this call; nothing is known about this one."""


def key_of(text: str) -> Key | None:
    """The key of a formula by math-verify's grammar, or None. Raises ``OutOfTimeError`` inside ``time_limit`` only."""
    if len(text) > MAX_FORMULA or re.search(r"[0-9]{10}", text):
        return None
    remaining: float | None = getattr(_call, "remaining", None)
    if remaining is None:
        return _algebra.ask(text, SECONDS)[0]
    if remaining <= 0:
        raise OutOfTimeError
    key, seconds = _algebra.ask(text, min(SECONDS, remaining))
    _call.remaining = remaining - seconds
    return key


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """All formulas inside, in this thread, share ``SECONDS_PER_CALL``."""
    _call.remaining = SECONDS_PER_CALL
    try:
        yield
    finally:
        _call.remaining = None


class _Algebra:
    """The child process: one question at a time, asked by any thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.started = False
        """Whether a child was ever running."""
        self.missing = False
        """Whether none could be started; that is not tried again."""

    def ask(self, text: str, seconds: float) -> tuple[Key | None, float]:
        """(key or None, seconds it took). The first start of the child and waiting for other threads do not count."""
        with self.lock:
            began = time.monotonic()
            if not self._start():
                return None, 0.0
            if not self.started:
                self.started, began = True, time.monotonic()
            reply = self._exchange(text, seconds)
            return decode(json.loads(reply)) if reply else None, time.monotonic() - began

    def stop(self) -> None:
        """Kill the child if there is one; the next question starts another."""
        process, self.process = self.process, None
        if process:
            process.kill()
            process.wait()
            _close(process)

    def forget(self) -> None:
        """After a fork: the child belongs to the other process."""
        if self.process:
            self.process.returncode = 0  # nothing for us to wait for
            _close(self.process)
        self.lock, self.process = threading.Lock(), None

    def _start(self) -> bool:
        if self.process and self.process.poll() is None:
            return True
        self.stop()
        if self.missing:
            return False
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", _CODE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is for us
            )
            ready = self._exchange([str(entry) for entry in sys.path], START_SECONDS)
        except OSError:
            ready = b""
        if not ready:
            self.missing = True
            warnings.warn(
                "ttscale could not start its algebra helper, a child process that runs math-verify. Answers that hold "
                "sums, integrals, limits or matrix arithmetic are now compared as text. Check that math-verify is "
                f"installed and that {sys.executable!r} can be run.",
                RuntimeWarning,
                stacklevel=2,
            )
        return bool(ready)

    def _exchange(self, message: object, seconds: float) -> bytes:
        """Send one line and read one; empty when the child died or was killed for taking too long."""
        process = self.process
        if not process or not process.stdin or not process.stdout:
            return b""
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            reply = process.stdout.readline()
        except OSError:
            reply = b""
        except BaseException:
            self.stop()  # Ctrl-C while waiting: the reply must not be taken for that to the next question
            raise
        finally:
            timer.cancel()
            timer.join()
        if late.is_set() or not reply.endswith(b"\n"):
            self.stop()
            return b""
        return reply


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()


def encode(key: Any) -> Any:
    """A key as JSON: tuples as lists, fractions as {"q": "1/2"}."""
    if isinstance(key, tuple):
        return [encode(part) for part in key]
    return {"q": str(key)} if isinstance(key, Fraction) else key


def decode(data: Any) -> Any:
    """The key that ``encode`` wrote."""
    if isinstance(data, list):
        return tuple(decode(part) for part in data)
    return Fraction(data["q"]) if isinstance(data, dict) else data


_call = threading.local()
_algebra = _Algebra()
atexit.register(lambda: _algebra.stop())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _algebra.forget())
