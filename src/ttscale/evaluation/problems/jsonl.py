"""JSON lines: read one by one whatever is broken in the others, written whole or not at all.

Knows files, bytes and JSON. Must not know what a row means. Half a surrogate pair, which no tokenizer takes and no file
in UTF-8 holds, becomes "\\ufffd" both ways.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ttscale.prompts.layouts import whole_characters


def parsed(line: bytes) -> Any:
    """What a line (or a whole file) says; a ``ValueError`` where it is not UTF-8 or not JSON."""
    try:
        value = json.loads(line.decode("utf-8-sig"))
        if b"\\ud" in line.lower():  # an escaped surrogate, alone or not
            value = json.loads(whole_characters(json.dumps(value, ensure_ascii=False)))
    except RecursionError as error:
        raise ValueError("it is nested too deep to be read") from error
    return value


def read_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of every line that is not empty; ``ValueError``, with file and line, for one that is none."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                row = parsed(line)
            except ValueError as error:  # JSON, UTF-8, numbers too long
                other = "; a file needs one JSON object per line (JSONL)" if number == 1 else ""
                raise ValueError(f"{place}, is not JSON in UTF-8: {error}{other}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{place}: expected an object, got {repr(row)[:80]}")
            yield place, row


def stored(line: bytes, where: str) -> dict[str, Any]:
    """The object in a whole line of a file that ttscale writes; ``ValueError`` for one that was damaged since."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}, is damaged ({error}), and not by a kill; nothing was changed: repair or remove that line by hand"
        ) from error
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected an object, got {line[:40]!r}; the file is left as it is")
    return row


def encoded(row: Mapping[str, Any]) -> bytes:
    """A row as a line, with its newline."""
    return (whole_characters(json.dumps(row, ensure_ascii=False, allow_nan=False)) + "\n").encode()


def write_rows(rows: Iterable[Mapping[str, Any]], path: str | Path) -> None:
    """Write all rows to ``path``. Where one of them cannot be written, what was there before stays as it is."""
    target = Path(path)
    if target.exists() and not target.is_file():  # a pipe or a terminal cannot be replaced
        target.write_bytes(b"".join(map(encoded, rows)))
        return
    target = target.resolve()  # what a link points to, not the link
    part = target.with_name(target.name + ".part")
    try:
        with part.open("wb") as file:
            file.writelines(map(encoded, rows))
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
