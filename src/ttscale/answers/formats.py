"""Rules for answers in a form of their own: a field of JSON, a block of code, what a regular expression matches.

Each is an answer rule as ``rules.py`` describes them.
"""

from __future__ import annotations

import ast
import contextlib
import json as jsonlib
import re
import textwrap
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from ttscale.answers.thoughts import without_thoughts

_MOST_OBJECTS = 500
"""Opening braces tried, the last ones of a reply."""
_FENCE = re.compile(r"^[ \t]*(`{3,}+|~{3,}+)[ \t]*\{?([^\s`{}]*)[^\n]*\n?", re.MULTILINE)
"""A line that begins a block, or ends one that began with as many signs or fewer."""
_ALIASES = (
    "python py python3 py3",
    "javascript js node",
    "typescript ts",
    "c++ cpp cxx cc",
    "c# csharp cs",
    "bash sh shell zsh",
    "ruby rb",
    "rust rs",
    "go golang",
    "yaml yml",
)
"""Names of one language behind a fence."""


def _names(language: str) -> set[str]:
    """How fences name a language, in small letters."""
    name = language.lower()
    return {name}.union(*(group.split() for group in _ALIASES if name in group.split()))


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The language and the body of each fenced block that is closed; in linear time."""
    fences = list(_FENCE.finditer(text))
    longest: dict[str, int] = {}
    behind: list[int] = []  # of each fence, from the last on, the signs of the longest one like it that follows
    for fence in reversed(fences):
        sign, length = fence[1][0], len(fence[1])
        behind.append(longest.get(sign, 0))
        longest[sign] = max(length, longest.get(sign, 0))
    begun: re.Match[str] | None = None
    for fence, most in zip(fences, reversed(behind), strict=True):
        if begun is None:
            begun = fence if len(fence[1]) <= most else None  # else nothing closes it
        elif fence[1].startswith(begun[1]):
            yield begun[2], text[begun.end() : fence.start()]
            begun = None


def _whole_if_it_is(text: str) -> int | float:
    """7.0 as 7: JSON has one kind of number."""
    value = float(text)
    return int(value) if value.is_integer() else value


@dataclass(frozen=True, slots=True)
class Json:
    """The value under ``field`` in the last JSON object of a reply; compared as JSON, so key order does not count."""

    field: str

    @property
    def name(self) -> str:
        return f"json({self.field})"

    def extract(self, text: str) -> str | None:
        decoder = jsonlib.JSONDecoder()
        spoken = without_thoughts(text)[-200_000:]
        objects, end = [], 0
        for opening in [found.start() for found in re.finditer(r"\{", spoken)][-_MOST_OBJECTS:]:
            if opening >= end:  # in no object that was read
                with contextlib.suppress(ValueError, RecursionError):
                    value, end = decoder.raw_decode(spoken, opening)
                    objects.append(value)
        try:
            holder = next(filter(None, (self._holder(value) for value in objects[::-1])), None)
            value = holder[self.field] if holder else None
            return None if value is None else jsonlib.dumps(value, ensure_ascii=False)
        except RecursionError:
            return None

    def _holder(self, value: Any) -> dict[str, Any] | None:
        """The outermost object in ``value`` that has the field, the last one of several."""
        if isinstance(value, dict) and self.field in value:
            return value
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return next(filter(None, (self._holder(each) for each in [*inner][::-1])), None)

    def key(self, answer: str) -> Hashable:
        try:
            return jsonlib.dumps(jsonlib.loads(answer, parse_float=_whole_if_it_is), sort_keys=True)
        except (ValueError, RecursionError):
            return answer.strip()


@dataclass(frozen=True, slots=True)
class Code:
    """The last fenced block of ``language``; Python by its syntax tree: layout and comments do not count.

    A fence without a language counts where none has this one.
    """

    language: str = "python"

    @property
    def name(self) -> str:
        return f"code({self.language})"

    def extract(self, text: str) -> str | None:
        found = [(name.lower(), textwrap.dedent(body)) for name, body in blocks(without_thoughts(text))]
        own = [body for name, body in found if name in _names(self.language)]
        own = own or [body for name, body in found if not name]
        return own[-1].strip("\n") or None if own else None

    def key(self, answer: str) -> Hashable:
        plain = textwrap.dedent(answer).strip()
        if "python" in _names(self.language):
            try:
                return ast.dump(ast.parse(plain))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                pass
        return "\n".join(line.rstrip() for line in plain.splitlines() if line.strip())


@dataclass(frozen=True, slots=True)
class Regex:
    """The last match of ``pattern``: its first group that took part, or all of it where it has none."""

    pattern: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"answers.regex: {self.pattern!r} is no regular expression: {error}") from None

    @property
    def name(self) -> str:
        return f"regex({self.pattern})"

    def extract(self, text: str) -> str | None:
        matches = list(re.finditer(self.pattern, without_thoughts(text), re.MULTILINE))
        found = matches[-1] if matches else None
        if not found:
            return None
        groups = found.groups() or (found[0],)
        stated = next((group for group in groups if group is not None), "")
        return stated.strip() or None

    def key(self, answer: str) -> Hashable:
        return answer.strip()
