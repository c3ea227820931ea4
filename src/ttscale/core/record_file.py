"""A file of lines that is only ever appended to, and that a kill, a full disk or a second writer cannot spoil.

Knows bytes, lines and locks. Must not know what a line says. Under the trace, the results of a sweep and rollouts. A
line is written whole or not at all. What a killed writer left of one, the next writer cuts off. Where the disk is full,
the part that was written is taken back. Windows has no such locks: there the user must keep two writers apart.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

BACK = 1 << 16
"""Bytes read at once when the end of the last whole line is looked for."""


class RecordFile:
    """An open file, made where there is none. Close it when done.

    ``alone``: nobody else may write to it while it is open, and ``RuntimeError`` says so; else writers take turns, each
    inside ``locked``. ``sync``: ``append`` returns once the disk has the lines, which a power cut then cannot lose; a
    kill loses none either way.
    """

    def __init__(self, path: str | Path, *, alone: bool, sync: bool = False) -> None:
        self.path = Path(path)
        self._alone, self._sync = alone, sync
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | BINARY, 0o644)
        if not alone or sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise RuntimeError(
                f"another process is writing to {self.path}; wait for it, or give each run a file of its own"
            ) from error

    def close(self) -> None:
        """Close it and give up its lock. Closing twice is fine."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._file).st_size

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes meanwhile. For files that several write to."""
        if self._alone or sys.platform == "win32":
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at a place."""
        return os.pread(self._file, length, offset)

    def lines(self, offset: int = 0) -> Iterator[bytes]:
        """The whole lines from a place on; a torn last one is left out."""
        with open(self._file, "rb", closefd=False) as file:
            file.seek(offset)
            yield from (line for line in file if line.endswith(b"\n"))

    def cut(self, size: int) -> None:
        """Take everything beyond ``size`` bytes away."""
        if size < self.size:
            os.ftruncate(self._file, size)

    def cut_torn_line(self) -> None:
        """Take the unfinished last line of a dead writer away; inside ``locked`` nobody who lives is writing one."""
        end = self.size
        while end > 0:
            begin = max(0, end - BACK)
            newline = self.read(begin, end - begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        self.cut(end)

    def append(self, lines: bytes) -> None:
        """Write whole lines. When this returns, a kill cannot lose them. ``OSError`` says what to do on a full disk."""
        before = self.size
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            if self._sync:
                os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                self.cut(before)
            raise OSError(
                error.errno,
                f"could not write ({error.strerror}). What was written before is safe. Make room and start again with "
                "the same arguments: it goes on from there",
                str(self.path),
            ) from error


BINARY: int = getattr(os, "O_BINARY", 0)
"""A flag that only Windows has."""
