"""What an answer is and when two are the same, as a rule that a question carries: ``Question(..., answers=choice())``.

A rule has ``extract(text) -> str | None``, the answer a solution states, and ``key(answer) -> Hashable``: two answers
are one exactly when their keys are equal, so a rule cannot be half transitive. ``str(rule)`` names it in traces and
resumed files. Any object with the two methods will do; one without ``name`` is told apart by its ``repr``.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ttscale.answers.formats import Code, Json, Regex
from ttscale.answers.thoughts import without_thoughts


def extract_answer(text: str) -> str | None:
    """The final answer stated in ``text``, without its marker, or None if it states none.

    ``text`` is one solution; of a long one the last 200,000 characters are read. An answer is at most 1,000 characters
    long. The precedence of markers is in docs/answers.md.
    """
    from ttscale.answers import extraction  # it compiles many patterns, which ``import ttscale`` does not wait for

    return extraction.extract_answer(text)


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


_LETTER_ENDS = r"\.?(?=\s*(?:$|[,;&/\n、和或]|(?:and|or)\b))"
"""What follows a second letter: A, C and D, but not "A, I think"."""


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
        rest = bare[found.end() :] if found else ""
        alone = found and re.match(r"\s*$|[).:,、，。*]|\s+[A-Z(\n]|[^\x00-\x7f]", rest)
        several = re.match(rf"\)?\s*(?:[,;&/、和或]|and|or)\s*(?:and |or )?\(?[{self.letters}]\)?{_LETTER_ENDS}", rest)
        return found[1].upper() if found and alone and not several else None


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

        size = Fraction(10) ** self.digits
        value = Fraction(key[1])
        rounded = math.floor(abs(value) * size + Fraction(1, 2)) / size  # halves away from 0, as in school
        return ("n", -rounded if value < 0 else rounded)


@dataclass(frozen=True, slots=True)
class Text:
    """Words in any case; white space, quotes and a full stop at the end do not count. Nothing is read as a formula.

    A marked answer is taken whole, and so is a reply of a few words.
    """

    name = "text"

    def extract(self, text: str) -> str | None:
        from ttscale.answers.extraction import extract_words

        return extract_words(text)

    def key(self, answer: str) -> Hashable:
        return " ".join(answer.casefold().split()).strip(" .\"'")


MATHEMATICS = Mathematics()
"""The rule where none is named: see Answers in the documentation."""


def choice(letters: str = "ABCDEFGHIJ") -> AnswerRule:
    """One letter of several options."""
    if not isinstance(letters, str) or not letters.isalpha():
        raise ValueError(f"answers.choice: letters such as 'ABCD' expected; got {letters!r}")
    return Choice(letters.upper())


def number(digits: int | None = None) -> AnswerRule:
    """A number; with ``digits`` rounded to so many places."""
    if digits is not None and (isinstance(digits, bool) or not isinstance(digits, int)):
        raise ValueError(f"answers.number: digits must be a whole number such as 2, or None; got {digits!r}")
    return Number(digits)


def text() -> AnswerRule:
    """Words, in any case."""
    return Text()


def json(field: str) -> AnswerRule:
    """The value of ``field`` in the last JSON object of a reply."""
    return Json(_checked("json", "a field's name", field))


def code(language: str = "python") -> AnswerRule:
    """The last fenced block of a language."""
    return Code(_checked("code", "a language's name", language))


def regex(pattern: str) -> AnswerRule:
    """The last match of a pattern, its first group if it has one."""
    return Regex(_checked("regex", "a pattern", pattern))


def _checked(rule: str, what: str, given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"answers.{rule}: {what} is a text; got {given!r}")
    return given


_PLACE = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)
"""Where an object lies in memory."""
_NAMED: dict[str, AnswerRule] = {
    "mathematics": MATHEMATICS,
    "choice": Choice(),
    "number": Number(),
    "text": Text(),
    "code": Code(),
}
_NEAR = 0.8
"""How alike a text and the name of a rule must be (difflib): "chioce" and "numbr" are, "test" and "node" are not."""


def rule_named(rule: AnswerRule | str | None) -> AnswerRule:
    """The rule that a name, a rule or None stands for. ``ValueError`` for anything else."""
    if rule is None:
        return MATHEMATICS
    if isinstance(rule, str):
        if rule in _NAMED:
            return _NAMED[rule]
        near = near_rule(rule)
        named = repr(near) if near in _NAMED else f"ttscale.answers.{near}(...)"
        meant = f"did you mean {named}? There" if near else "there"
        raise ValueError(
            f"no answer rule is called {rule!r}; {meant} are {', '.join(_NAMED)}, or pass a rule of your own, or one "
            "with settings, such as ttscale.answers.number(2)"
        )
    if callable(getattr(rule, "extract", None)) and callable(getattr(rule, "key", None)):
        return rule
    makers: tuple[Any, ...] = (choice, number, text, json, code, regex)
    name = {id(one): one.__name__ for one in makers}.get(id(rule))
    call = f"; that makes rules: call it, as in {name}(...)" if name else ""
    raise ValueError(f"answers must be a name or an object with extract(text) and key(answer); got {rule!r}{call}")


def rule_written(text: str) -> AnswerRule:
    """The rule that a text names, also one with its setting: "number(2)", "json(total)". ``ValueError`` for others."""
    rule = rule_called(text)
    if name_of_rule(rule) != text:
        return rule_named(text)
    return choice(rule.letters) if isinstance(rule, Choice) else rule  # refuses letters that are none


def rule_of_row(given: Any, place: str, reference: Any = None) -> AnswerRule:
    """The rule in a row's field ``answers``; the mathematical one where a field of that name holds something else.

    ``ValueError``, which begins with ``place``, for what is almost a rule: a misspelt name, or a function that makes
    one. A text that is the row's ``reference`` is none.
    """
    if isinstance(given, str) and given == reference:
        return _NAMED.get(given, MATHEMATICS)
    try:
        return rule_written(given) if isinstance(given, str) else rule_named(given)
    except ValueError as error:
        if near_rule(given) if isinstance(given, str) else getattr(given, "__module__", None) == __name__:
            raise ValueError(f"{place}: {error}; rename or drop the field if it holds no rule") from error
        return MATHEMATICS


def near_rule(given: str) -> str | None:
    """The name of a rule that a text must mean: one close to it, or a name with settings, choice(ABCD)."""
    word = re.fullmatch(r"\s*([A-Za-z]+(?:[_-][A-Za-z]+)*)\s*(?:\(.*\))?\s*", given)
    if word is None:
        return None
    names, said = (*_NAMED, "json", "regex"), word[1].lower()
    part = next((name for name in names if name in re.split("[_-]", said)), None)
    return part or next(iter(difflib.get_close_matches(said, names, n=1, cutoff=_NEAR)), None)


def name_of_rule(rule: AnswerRule) -> str:
    """How traces and resumed files name a rule; one without a name by its ``repr``, the same in every process."""
    return str(getattr(rule, "name", None) or _PLACE.sub("", repr(rule)))


def rule_called(name: str) -> AnswerRule:
    """The rule that a trace names; the mathematical one for a rule that is not ours."""
    if name in _NAMED:
        return _NAMED[name]
    kind, _, argument = name.removesuffix(")").partition("(")
    if kind == "number":
        return Number(int(argument) if re.fullmatch("-?[0-9]{1,9}", argument) else None)
    made = {"choice": Choice, "json": Json, "code": Code, "regex": Regex}.get(kind)
    return made(argument) if made else MATHEMATICS
