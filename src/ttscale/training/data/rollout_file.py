"""The file that rollouts are written to: JSON lines that survive a kill, a full disk and a second start.

Knows lines, bytes and offsets. Must not know generators. Layout: a header line with the settings; then for every
question one line per kept solution, followed by a line ``{"done": id, ...}``. What stands before the last ``done`` is
complete; whatever follows it (a torn line, half a question) is cut off on the next start and drawn again, the same,
because the keys of the draws are their seeds.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ttscale.evaluation.problems.jsonl import encoded

FORMAT = "rollouts/1"


class RolloutFile:
    """An open rollout file; ``done`` maps each finished question's id to its closing line."""

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        """Open or create ``path``. Other settings than those in its header are refused."""
        self.path = Path(path)
        self.done: dict[str, dict[str, Any]] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            _lock(self._file, self.path)
            self._end = self._read(settings) if self.path.is_file() else 0
            if self._end < os.fstat(self._file).st_size:
                os.ftruncate(self._file, self._end)
            if self._end == 0:
                self._write([{"ttscale": FORMAT, "settings": dict(settings)}], "the header")
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def has(self, question: str, prompt: str, reference: str) -> bool:
        """Whether a question is finished; one that is there with another text or reference answer is refused."""
        closing = self.done.get(question)
        if closing is not None and (closing["prompt"], closing["reference"]) != (prompt, reference):
            raise ValueError(
                f"Question {question!r} in {self.path} has another text or reference answer than the one given now. "
                "Use the same questions to go on, or another file."
            )
        return closing is not None

    def append(
        self,
        question: str,
        prompt: str,
        reference: str,
        rows: Sequence[Mapping[str, Any]],
        closing: Mapping[str, Any],
    ) -> None:
        """Write one whole question and what is known of it; after this returns it is on the disk."""
        last = {"done": question, "prompt": prompt, "reference": reference, **closing}
        self._write([*rows, last], f"question {question!r}")
        self.done[question] = last

    def _write(self, records: Sequence[Mapping[str, Any]], what: str) -> None:
        data = b"".join(map(encoded, records))
        written = 0
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):  # half a question is worth nothing, and the next start would cut it off
                os.ftruncate(self._file, self._end)
            raise OSError(
                error.errno,
                f"Could not write {what} ({error.strerror}). The {len(self.done)} question(s) finished before "
                "are safe in the file. Make room and start again with the same arguments: it goes on from there",
                str(self.path),
            ) from error
        self._end += len(data)

    def _read(self, settings: Mapping[str, Any]) -> int:
        """Fill ``done``; return the offset after the last complete question (or header)."""
        end = 0
        offset = 0
        with open(self._file, "rb", closefd=False) as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break  # torn by a kill
                offset += len(line)
                record = _parse(line, self.path, number)
                if number == 1:
                    _check_header(record, settings, self.path)
                    end = offset
                elif "done" in record:
                    self.done[record["done"]] = record
                    end = offset
        if end == 0 and os.fstat(self._file).st_size > 0:
            os.lseek(self._file, 0, os.SEEK_SET)
            start = os.read(self._file, 64)
            header = json.dumps({"ttscale": FORMAT}).encode()[:-1]
            if not header.startswith(start[: len(header)]):
                raise ValueError(
                    f"{self.path} is not a rollout file (it starts with {start[:40]!r}); it is left as it is."
                )
        return end


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}, line {number}, is damaged ({error}) but is not the last line, so it was not torn by a kill. "
            "Nothing was changed: repair or remove that line by hand."
        ) from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}, line {number}: expected an object, got {line[:40]!r}. The file is left as it is.")
    return record


def _check_header(record: Mapping[str, Any], settings: Mapping[str, Any], path: Path) -> None:
    if record.get("ttscale") != FORMAT:
        raise ValueError(
            f"{path} is not a rollout file (its first line has no 'ttscale': {FORMAT!r}); it is left as it is."
        )
    before = record.get("settings", {})
    changed = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
    if changed:
        raise ValueError(
            f"{path} was begun with other settings ("
            + ", ".join(f"{key}: {before.get(key)!r} there, {settings.get(key)!r} now" for key in changed)
            + "). Use the same settings to go on, or another file."
        )


def _lock(file: int, path: Path) -> None:
    """Refuse a second writer. The lock dies with its process, so a kill leaves none behind."""
    try:
        import fcntl
    except ImportError:  # Windows: no advisory lock; one writer is the user's care
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(f"{path} is being written by another process. Wait for it, or choose another file.") from error
