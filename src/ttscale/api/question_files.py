"""Files of questions: JSON lines with a question each, or plain text with one a line."""

from __future__ import annotations

import glob
import hashlib
import json
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ttscale.answers.rules import rule_of_row
from ttscale.core.chat import Chat, identity_of
from ttscale.core.types import Question

NAMES = ("question", "problem", "prompt", "messages")
TABLES = (".csv", ".tsv", ".parquet")
BUCKETS = 1024
"""So that a new hash moves few of the others."""


def input_files(patterns: Iterable[str]) -> list[str]:
    """The files that names and patterns such as ``big/*.jsonl`` mean, sorted; "-" is standard input.

    Raises ``FileNotFoundError`` for a name or pattern that means none, ``ValueError`` for a table or a folder.
    """
    found: list[str] = []
    for pattern in patterns:
        if Path(pattern).is_dir():
            raise ValueError(f"{pattern} is a folder: name its files, as in {str(Path(pattern, '*.jsonl'))!r}")
        named = pattern == "-" or Path(pattern).is_file()
        found_here = [pattern] if named else sorted(glob.glob(pattern, recursive=True))
        files = [file for file in found_here if named or not Path(file).is_dir()]
        if not files:
            raise FileNotFoundError(f"no input file {pattern!r}")
        if table := next((file for file in files if file.endswith(TABLES)), None):
            raise ValueError(f'{table} is a table: write its rows as JSON lines, {{"question": ...}} each')
        found += files
    return found


def read_questions(files: Iterable[str], shard: tuple[int, int] = (0, 1)) -> Iterator[Question]:
    """The questions of all files in order, read one at a time; of ``shard`` (i, n) every n-th from i on.

    A row has ``question``, ``problem`` or ``prompt``, or a chat in ``messages``. It may have an ``id``, and the name of
    an answer rule in ``answers``. A question that was there before is left out. Raises ``ValueError`` that names the
    file and the line of a row that is no question, or has the id of another.
    """
    seen = _Seen()
    for number, (question, place) in enumerate(_all_rows(files)):
        if seen.is_new(question, place) and number % shard[1] == shard[0]:
            yield question


def _all_rows(files: Iterable[str]) -> Iterator[tuple[Question, str]]:
    for name in files:
        if name == "-":
            yield from _rows(sys.stdin, "standard input", text=False)
        else:
            with open(name, encoding="utf-8-sig") as file:
                yield from _rows(file, name, text=name.endswith(".txt"))


def _rows(lines: TextIO, name: str, text: bool) -> Iterator[tuple[Question, str]]:
    """Each question with the place where it stands."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{name}, line {number}"
            plain = text or not (line.lstrip().startswith(("{", '"')) or _is_array(line))
            yield Question.of(line.strip()) if plain else _question(line, place), place


def _is_array(line: str) -> bool:
    """Whether the line is a JSON array of rows, or begins one, as in files that are no JSON lines."""
    try:
        return line.strip() == "[" or (line.lstrip().startswith("[") and isinstance(json.loads(line)[0], dict))
    except (ValueError, LookupError):
        return False


class _Seen:
    """Which questions there were, in sixteen bytes each: a hash of the id and one of the text, in sorted buckets."""

    def __init__(self) -> None:
        self._ids = [array("Q") for _ in range(BUCKETS)]
        self._texts = [array("Q") for _ in range(BUCKETS)]

    def is_new(self, question: Question, place: str) -> bool:
        """Whether the question is new; ``ValueError`` where another one had its id."""
        id_, text = hash_of(question.id), hash_of(identity_of(question.prompt))
        ids, texts = self._ids[id_ % BUCKETS], self._texts[id_ % BUCKETS]
        at = bisect_left(ids, id_)
        if at == len(ids) or ids[at] != id_:
            ids.insert(at, id_)
            texts.insert(at, text)
            return True
        if texts[at] != text:
            raise ValueError(f"{place}: another question has the id {question.id!r} too; give each an id of its own")
        return False


def hash_of(text: str) -> int:
    """Eight bytes of hash: what is kept of an id or a text where there are millions."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _question(line: str, place: str) -> Question:
    try:
        row: Any = [] if line.strip() == "[" else json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place}: not JSON ({error})") from error
    if isinstance(row, list):
        raise ValueError(f"{place}: a JSON array; give JSON lines, a row each")
    if isinstance(row, str):
        return Question.of(row)
    prompt = next((row[name] for name in NAMES if isinstance(row, dict) and name in row), None)
    if isinstance(prompt, list) and prompt:
        try:
            prompt = Chat(prompt)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    shows = isinstance(prompt, Chat) and prompt.has_media
    if not isinstance(prompt, str) or not (prompt.strip() or shows):
        raise ValueError(
            f"{place}: no question; a row has one of {', '.join(NAMES)}, a text that is not empty or a chat's messages"
        )
    id_ = next((row[name] for name in ("id", "unique_id") if row.get(name) is not None), None)
    question = Question.of(prompt) if id_ is None else Question(str(id_), prompt)
    return replace(question, answers=rule_of_row(row.get("answers"), place))
