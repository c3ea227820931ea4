"""What an answer is and when two are the same, as a rule that a question carries: ``Question(..., answers=choice())``.

A rule has ``extract(text) -> str | None``, the answer a solution states, and ``key(answer) -> Hashable``: two answers
are one exactly when their keys are equal, so a rule cannot be half transitive. ``str(rule)`` names it in traces and
resumed files. Any object with the two methods will do; one without ``name`` is told apart by its ``repr``.
"""

from __future__ import annotations

import ast
import json as jsonlib
import re
import textwrap
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ttscale.answers.extraction import extract_answer
from ttscale.answers.thoughts import without_thoughts


@runtime_checkable
class AnswerRule(Protocol):
    """How the answer of a solution is found and compared."""

    def extract(self, text: str) -> str | None:
        """The answer that a solution states, or None."""
        ...

    def key(self, answer: str) -> Hashable:
        """What is equal for answers that are the same."""
        ...


@dataclass(frozen=True, slots=True)
class Mathematics:
    """The default: docs/answers.md has its rules."""

    name = "mathematics"

    def extract(self, text: str) -> str | None:
        return extract_answer(text)

    def key(self, answer: str) -> Hashable:
        from ttscale.answers.keys import remembered_key

        return remembered_key(answer)


@dataclass(frozen=True, slots=True)
class Choice:
    """One letter of several options, whatever stands beside it: "B. Paris", "(b) Paris" and "B" are one answer."""

    letters: str = "ABCDEFGHIJ"

    @property
    def name(self) -> str:
        return f"choice({self.letters})"

    def extract(self, text: str) -> str | None:
        stated = extract_answer(text)
        found = self._letter(stated) if stated else None
        return found or self._letter(without_thoughts(text).strip())

    def key(self, answer: str) -> Hashable:
        return self._letter(answer) or answer.strip().casefold()

    def _letter(self, text: str) -> str | None:
        bare = re.sub(r"\\(?:text|textbf|mathrm|boxed)\s*\{([^{}]*)\}", r"\1", text).strip(" $*`\n")
        found = re.match(rf"(?:option |choice )?\(?([{self.letters}])(?![A-Za-z])", bare, re.IGNORECASE)
        alone = found and re.match(r"\s*$|[).:,、，。*]|\s+[A-Z(\n]|[^\x00-\x7f]", bare[found.end() :])
        return found[1].upper() if found and alone else None


@dataclass(frozen=True, slots=True)
class Number:
    """A real number. ``digits`` rounds it to so many places, which makes 0.3333 and 1/3 one answer for 3 or 4."""

    digits: int | None = None

    @property
    def name(self) -> str:
        return f"number({'' if self.digits is None else self.digits})"

    def extract(self, text: str) -> str | None:
        stated = extract_answer(text)
        return stated if stated is not None and self.key(stated)[0] == "n" else None

    def key(self, answer: str) -> tuple[Any, ...]:
        from ttscale.answers.keys import remembered_key

        key = remembered_key(answer)
        if key[0] != "n" or self.digits is None or key[1] in ("inf", "-inf") or "," in str(key[1]):
            return key
        from fractions import Fraction

        return ("n", round(Fraction(key[1]), self.digits))


@dataclass(frozen=True, slots=True)
class Text:
    """Words in any case; white space, quotes and a full stop at the end do not count. Nothing is read as a formula."""

    name = "text"

    def extract(self, text: str) -> str | None:
        return extract_answer(text)

    def key(self, answer: str) -> Hashable:
        return " ".join(answer.casefold().split()).strip(" .\"'")


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
        for opening in [found.start() for found in re.finditer(r"\{", spoken)][:-200:-1]:
            try:
                value, _ = decoder.raw_decode(spoken, opening)
            except (ValueError, RecursionError):
                continue
            if self.field in value:
                return jsonlib.dumps(value[self.field], ensure_ascii=False)
        return None

    def key(self, answer: str) -> Hashable:
        try:
            return jsonlib.dumps(jsonlib.loads(answer), sort_keys=True)
        except (ValueError, RecursionError):
            return answer.strip()


@dataclass(frozen=True, slots=True)
class Code:
    """The last fenced block of ``language``; Python by its syntax tree: layout and comments do not count."""

    language: str = "python"

    @property
    def name(self) -> str:
        return f"code({self.language})"

    def extract(self, text: str) -> str | None:
        fenced = re.findall(r"^```[ \t]*(\w*)[^\n]*\n(.*?)^```", without_thoughts(text), re.DOTALL | re.MULTILINE)
        blocks = [body for language, body in fenced if language.lower() in (self.language.lower(), "")]
        return blocks[-1].strip("\n") or None if blocks else None

    def key(self, answer: str) -> Hashable:
        plain = textwrap.dedent(answer).strip()
        if self.language.lower() in ("python", "py"):
            try:
                return ast.dump(ast.parse(plain))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                pass
        return "\n".join(line.rstrip() for line in plain.splitlines() if line.strip())


@dataclass(frozen=True, slots=True)
class Regex:
    """The last match of ``pattern``: its first group, or all of it where it has none."""

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
        stated = (found[1] if found.re.groups else found[0]) if found else None
        return stated.strip() or None if stated else None

    def key(self, answer: str) -> Hashable:
        return answer.strip()


MATHEMATICS = Mathematics()
"""The rule where none is named: see Answers in the documentation."""


def choice(letters: str = "ABCDEFGHIJ") -> AnswerRule:
    """One letter of several options."""
    if not letters.isalpha():
        raise ValueError(f"answers.choice: letters such as 'ABCD' expected; got {letters!r}")
    return Choice(letters.upper())


def number(digits: int | None = None) -> AnswerRule:
    """A number; with ``digits`` rounded to so many places."""
    return Number(digits)


def text() -> AnswerRule:
    """Words, in any case."""
    return Text()


def json(field: str) -> AnswerRule:
    """The value of ``field`` in the last JSON object of a reply."""
    return Json(field)


def code(language: str = "python") -> AnswerRule:
    """The last fenced block of a language."""
    return Code(language)


def regex(pattern: str) -> AnswerRule:
    """The last match of a pattern, its first group if it has one."""
    return Regex(pattern)


_PLACE = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)
"""Where an object lies in memory."""
_NAMED: dict[str, AnswerRule] = {
    "mathematics": MATHEMATICS,
    "choice": Choice(),
    "number": Number(),
    "text": Text(),
    "code": Code(),
}


def rule_named(rule: AnswerRule | str | None) -> AnswerRule:
    """The rule that a name, a rule or None stands for. ``ValueError`` for anything else."""
    if rule is None:
        return MATHEMATICS
    if isinstance(rule, str):
        if rule in _NAMED:
            return _NAMED[rule]
        raise ValueError(
            f"no answer rule is called {rule!r}; there are {', '.join(_NAMED)}, or pass a rule of your own"
        )
    if callable(getattr(rule, "extract", None)) and callable(getattr(rule, "key", None)):
        return rule
    raise ValueError(f"answers must be a name or an object with extract(text) and key(answer); got {rule!r}")


def name_of_rule(rule: AnswerRule) -> str:
    """How traces and resumed files name a rule; one without a name by its ``repr``, the same in every process."""
    return str(getattr(rule, "name", None) or _PLACE.sub("", repr(rule)))


def rule_called(name: str) -> AnswerRule:
    """The rule that a trace names; the mathematical one for a rule that is not ours."""
    kind, _, argument = name.removesuffix(")").partition("(")
    if kind == "number":
        return Number(int(argument) if argument.isdigit() else None)
    made = {"choice": Choice, "json": Json, "code": Code, "regex": Regex}.get(kind)
    return made(argument) if made else _NAMED.get(kind, MATHEMATICS)
