"""Results on disk: JSON lines that any number of processes append to at once.

Knows headers, records and claims. Must not know what a record says, nor how a line survives a kill
(``core/record_file.py``). Layout: a header line with the settings, then one line per finished piece of work; where
settings joined, a header line again. Before a process works on a piece it claims its name: it locks a byte of
``<file>.claims``, and the lock dies with it. So after ``kill -9``, at any moment, whoever opens the file next goes on
from there. Two processes that work on the same piece all the same (no locks on Windows or on some network disks) write
the same record twice; the first one counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ttscale.core.idioms import Closing
from ttscale.core.record_file import BINARY, RecordFile
from ttscale.evaluation.problems.jsonl import stored

if sys.platform != "win32":
    import fcntl

CLAIM_BYTES = 1 << 40
"""Pieces of work are hashed onto this many lockable bytes. In one of a million runs of 1,500 pieces two share a byte,
and then only wait for each other."""
OURS = b'{"ttscale"'
"""How every file of this kind begins."""


class HasKey(Protocol):
    @property
    def key(self) -> str: ...


T = TypeVar("T", bound=HasKey)


class Store(Closing, Generic[T]):
    """An open file of records. Use as a context manager.

    ``check_header`` is given the settings in the file and raises where they do not fit this run. ``parse`` makes a
    record of a line's data. Without a path the records are kept in memory only.
    """

    def __init__(
        self,
        path: str | Path | None,
        header: Mapping[str, Any],
        check_header: Callable[[Mapping[str, Any]], None],
        parse: Callable[[Mapping[str, Any]], T],
    ) -> None:
        self.path = None if path is None else Path(path)
        self.records: dict[str, T] = {}
        self.header: Mapping[str, Any] = header
        """The last header line of the file."""
        self._check_header, self._parse = check_header, parse
        self._read_to = self._lines = 0
        self._claims = -1
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = RecordFile(self.path, alone=False)
        try:
            with self._file.locked():
                if not OURS.startswith(self._file.read(0, len(OURS))):
                    raise ValueError(f"{self.path} is not a file of ttscale.evaluation; it is left as it is")
                self._file.cut_torn_line()
                if self._file.size == 0:
                    self._file.append(_line(header))
            self._claims = os.open(f"{self.path}.claims", os.O_RDWR | os.O_CREAT | BINARY, 0o644)
            self.refresh()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up every claim."""
        if self.path is not None:
            self._file.close()
        if self._claims >= 0:
            os.close(self._claims)
            self._claims = -1

    def refresh(self) -> None:
        """Read what has been appended since, by whichever process."""
        if self.path is None or self._file.size <= self._read_to:
            return
        with self._file.locked():  # nobody cuts or writes between two reads
            lines = list(self._file.lines(self._read_to))
        self._take_in(lines, self.path)

    def append(self, data: Mapping[str, Any]) -> None:
        """Write one record; when this returns, a kill cannot lose it."""
        if self.path is None:
            record = self._parse(data)
            self.records.setdefault(record.key, record)
            return
        with self._file.locked():
            self._file.cut_torn_line()
            self._file.append(_line(data))
        self.refresh()

    def amend(self, amended: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Write the header that ``amended`` makes of the last, which holds from here on; not one that is equal."""
        if self.path is None:
            return
        with self._file.locked():
            self._file.cut_torn_line()
            self._take_in(list(self._file.lines(self._read_to)), self.path)
            header = amended(self.header)
            if header != self.header:
                self._file.append(_line(header))
        self.refresh()

    def claim(self, key: str, wait: bool = False) -> bool:
        """Whether this process may work on the piece ``key``: nobody else is at it and it is not done.

        With ``wait``, first waits until whoever is at it has finished or died.
        """
        if key in self.records:
            return False
        if self.path is not None and sys.platform != "win32":
            try:
                fcntl.lockf(self._claims, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, _byte(key))
            except OSError:
                if wait:
                    raise
                return False
            self.refresh()  # it may have been finished between the last look and the lock
            if key in self.records:
                self.release(key)
                return False
        return True

    def release(self, key: str) -> None:
        """Give a claim up."""
        if self.path is not None and sys.platform != "win32":
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, _byte(key))

    def _take_in(self, lines: Iterable[bytes], path: str | Path) -> None:
        for line in lines:
            self._lines += 1
            self._read_to += len(line)
            where = f"{path}, line {self._lines}"
            if not line.strip():
                continue
            data = stored(line, where)
            if self._lines == 1 or "ttscale" in data:
                self._check_header(data)
                self.header = data
                continue
            try:
                record = self._parse(data)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{where}: not a record of this file ({type(error).__name__}: {error})") from error
            self.records.setdefault(record.key, record)


def read_store(path: str | Path, kind: str, parse: Callable[[Mapping[str, Any]], T]) -> tuple[dict[str, Any], list[T]]:
    """The last header and the records of a file, without touching it; a torn last line is left out."""
    store = Store(None, {}, lambda header: check_format(header, kind, path), parse)
    with open(path, "rb") as file:
        store._take_in((line for line in file if line.endswith(b"\n")), path)
    check_format(store.header, kind, path)  # of a file without any line
    return dict(store.header), list(store.records.values())


def check_format(header: Mapping[str, Any], expected: str, path: str | Path | None) -> None:
    """``ValueError`` unless a header says that the file is of this kind."""
    found = header.get("ttscale")
    if found != expected:
        raise ValueError(
            f"{path} is not a file of this kind: its first line should say {expected!r}"
            + (f" and says {found!r}" if found else "")
        )


def _line(data: Mapping[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (text + "\n").encode("utf-8", "surrogatepass")


def _byte(key: str) -> int:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % CLAIM_BYTES
