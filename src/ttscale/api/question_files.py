"""Files of questions: JSON lines with a question each, or plain text with one a line."""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from ttscale.core.types import Question

NAMES = ("question", "problem", "prompt")


def input_files(patterns: Iterable[str]) -> list[str]:
    """The files that names and patterns such as ``big/*.jsonl`` mean, sorted; "-" is standard input.

    Raises ``FileNotFoundError`` for a name or pattern that means none.
    """
    found: list[str] = []
    for pattern in patterns:
        files = [pattern] if pattern == "-" or Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))
        if not files:
            raise FileNotFoundError(f"no input file {pattern!r}")
        found += files
    return found


def read_questions(files: Iterable[str], shard: tuple[int, int] = (0, 1)) -> Iterator[Question]:
    """The questions of all files in order, read one at a time; of ``shard`` (i, n) every n-th from i on.

    A row has ``question``, ``problem`` or ``prompt``, and an ``id`` or none. Raises ``ValueError`` that names the file
    and the line of a row that is no question.
    """
    number = 0
    for name in files:
        if name == "-":
            rows = _rows(sys.stdin, "standard input", text=False)
            yield from (question for i, question in enumerate(rows, number) if i % shard[1] == shard[0])
            continue
        with open(name, encoding="utf-8-sig") as file:
            for question in _rows(file, name, text=name.endswith(".txt")):
                if number % shard[1] == shard[0]:
                    yield question
                number += 1


def _rows(lines: TextIO, name: str, text: bool) -> Iterator[Question]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            plain = text or not line.lstrip().startswith(("{", '"'))
            yield Question.of(line.strip()) if plain else _question(line, f"{name}, line {number}")


def _question(line: str, place: str) -> Question:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place}: not JSON ({error})") from error
    if isinstance(row, str):
        return Question.of(row)
    prompt = next((row[name] for name in NAMES if isinstance(row, dict) and name in row), None)
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"{place}: no question; a row has one of {', '.join(NAMES)}, a text that is not empty")
    id_ = next((row[name] for name in ("id", "unique_id") if row.get(name) is not None), None)
    return Question.of(prompt) if id_ is None else Question(str(id_), prompt)
