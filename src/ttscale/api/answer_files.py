"""Where answers go: one JSONL file, or a folder of shards; both can be gone on with after a kill.

A row is written in one piece, a shard gets its name (and its format) once it is full or the run is over, and ids that
are there are not asked again. Beside the rows lies what they were made with, and another run with other settings is
refused. Errors are rows too; a run that goes on takes them out and asks again.
"""

from __future__ import annotations

import json
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from ttscale.api import parquet_rows
from ttscale.api.question_files import hash_of
from ttscale.api.result import Result
from ttscale.core.types import Question

SHARD = 10_000
"""Rows in a shard: some ten megabytes, few enough files for a million questions."""
_REST = 56
"""Bits of a hash behind its first byte."""


class AnswerFiles:
    """Use as a context manager. ``path`` is a file in ``.jsonl`` or a folder; ``settings`` is what must not change.

    ``parquet`` makes Parquet of each shard of a folder (extra ``parquet``); shards of both kinds may lie together.
    Raises ``FileExistsError`` for output that is there already unless ``resume``, ``ValueError`` where it was made with
    other settings or is none of ours.
    """

    def __init__(
        self,
        path: str | Path,
        settings: Mapping[str, Any],
        resume: bool,
        brief: bool = True,
        parquet: bool = False,
    ) -> None:
        self._path, self._brief, self._parquet = Path(path), brief, parquet
        self._one_file = self._path.suffix in (".jsonl", ".json")
        if parquet:
            if self._one_file:
                raise ValueError(f"Parquet is written shard by shard: name a folder, not {self._path}")
            parquet_rows.check_installed()
        beside = self._path.with_name(self._path.name + ".settings.json")
        self._settings = beside if self._one_file else self._path / "_settings.json"
        if any(True for _ in self._files()) and not resume:
            raise FileExistsError(f"{self._path} is there already: add --resume to go on with it, or name another")
        (self._path.parent if self._one_file else self._path).mkdir(parents=True, exist_ok=True)
        self._check(dict(settings))
        for sealed in self._path.glob("part-*.parquet"):  # a kill left both files of the shard
            self._open_part(sealed).unlink(missing_ok=True)
        self._done = self._ids()
        self._rows = self._file = -1

    def __contains__(self, question: Question) -> bool:
        number = hash_of(question.id)
        bucket = self._done[number >> _REST]
        at = bisect_left(bucket, number)
        return at < len(bucket) and bucket[at] == number

    def __len__(self) -> int:
        return sum(map(len, self._done))

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        os.close(self._file)
        if kind is None and self._rows and not self._one_file:
            self._seal()

    def write(self, result: Result) -> None:
        """Append the row of one result."""
        row = result.to_dict()
        if self._brief:
            row.pop("candidates")
        data = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        if os.write(self._file, data) != len(data):
            raise OSError(f"{self._path}: a row was not written whole; is the disk full?")
        self._rows += 1
        if not self._one_file and self._rows == SHARD:
            os.close(self._file)
            self._seal()
            self._open()

    def _seal(self) -> None:
        """Give the shard that was being written its name."""
        sealed = self._part.with_suffix("")
        if not self._parquet:
            self._part.rename(sealed)
            return
        part = self._part
        parquet_rows.write(part, sealed.with_suffix(".parquet"))
        part.unlink()

    @staticmethod
    def _open_part(sealed: Path) -> Path:
        """The name that a shard had while it was written."""
        return sealed.with_suffix(".jsonl.part")

    def _open(self) -> None:
        sealed = [*self._path.glob("part-*.jsonl"), *self._path.glob("part-*.parquet")] if not self._one_file else []
        self._part = self._open_part(self._path / f"part-{len(sealed):05}")
        place = self._path if self._one_file else self._part
        self._rows = _whole_lines(place) if place.exists() else 0
        self._file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _files(self) -> Iterator[Path]:
        if self._one_file:
            yield from [self._path] if self._path.exists() else []
        else:
            yield from sorted((*self._path.glob("part-*.jsonl*"), *self._path.glob("part-*.parquet")))

    def _check(self, settings: dict[str, Any]) -> None:
        if not self._settings.exists():
            part = self._settings.with_suffix(".part")
            part.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            part.rename(self._settings)
            return
        stored = json.loads(self._settings.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(settings))
        if other := sorted(name for name in {*stored, *now} if stored.get(name) != now.get(name)):
            name = other[0]
            raise ValueError(
                f"{self._path} was made with {name} {stored.get(name)!r}, this run has {now.get(name)!r}; answers of "
                "different settings must not be mixed: go on with the same, or write elsewhere"
            )

    def _ids(self) -> list[array[int]]:
        """A hash of every id that has a row, sorted, in buckets by its first byte: eight bytes for each."""
        found: list[array[int]] = [array("Q") for _ in range(256)]
        for path in self._files():
            parquet = path.suffix == ".parquet"
            failed = False
            for id_, error in parquet_rows.ids(path) if parquet else _ids_of_lines(path):
                failed = failed or error is not None
                if error is None:
                    number = hash_of(id_)
                    found[number >> _REST].append(number)
            if failed:
                (parquet_rows.drop_errors if parquet else _drop_errors)(path)
        return [array("Q", sorted(bucket)) for bucket in found]


def _ids_of_lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """The id and the error of every row."""
    _whole_lines(path)
    with path.open("rb") as file:
        for at, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                id_, failure = row["id"], row.get("error")
                if not isinstance(id_, str):
                    raise TypeError("an id is a text")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {at}: not a row of ours; repair or remove it") from error
            yield id_, failure


def _drop_errors(path: Path) -> None:
    """Leave the rows that are no errors, in a file that takes the old one's place whole."""
    rest = path.with_name("_" + path.name)
    with path.open("rb") as rows, rest.open("wb") as file:
        file.writelines(row for row in rows if json.loads(row).get("error") is None)
    rest.replace(path)


def _whole_lines(path: Path) -> int:
    """How many lines a file has, after a torn last one of a killed run was cut off."""
    lines = end = 0
    with path.open("rb+") as file:
        for line in file:
            if line.endswith(b"\n"):
                lines, end = lines + 1, end + len(line)
        file.truncate(end)
    return lines
