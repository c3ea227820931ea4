"""Final answers: where they stand in a text, and which of them are the same.

    ttscale.answers.extract(text)                      # the answer a solution states, or None
    ttscale.answers.equal("0.5", r"\\frac12")          # True
    ttscale.solve(question, answers="choice")          # a rule of your own, in one line

An answer has a *key* (``keys.py``), computed once per distinct string; answers are equivalent exactly when their keys
are equal. Keys come from ``fractions`` and, where irrational, from ``mpmath``. A question may bring a rule of its own
(``rules.py``). Knows nothing of reference answers, models or questions.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ttscale.answers.rules import (
    MATHEMATICS,
    AnswerRule,
    choice,
    code,
    extract_answer,
    json,
    name_of_rule,
    number,
    regex,
    rule_called,
    rule_named,
    text,
)  # fmt: skip
from ttscale.answers.thoughts import without_thoughts
from ttscale.answers.wrappers import MAX_ANSWER

__all__ = [
    "MATHEMATICS", "AnswerRule", "answer_classes", "choice", "code", "equal", "equivalent", "extract", "extract_answer",
    "json", "name_of_rule", "number", "regex", "rule_called", "rule_named", "text", "why_unreadable",
    "without_thoughts",
]  # fmt: skip


def extract(text: str, answers: AnswerRule | str | None = None) -> str | None:
    """The answer that a solution states by a rule, by default the mathematical one; None if it states none."""
    return rule_named(answers).extract(_text("extract", text))


def equal(a: str | None, b: str | None, answers: AnswerRule | str | None = None) -> bool:
    """Whether two answers are the same by a rule: 0.5 and \\frac12, (x+1)^2 and x^2+2x+1, 18 and \\$18.

    None equals nothing. ``answers`` is a rule or its name, by default the mathematical one.
    """
    texts = [None if answer is None else _text("equal", answer) for answer in (a, b)]
    first, second = answer_classes(texts, rule_named(answers))
    return first is not None and first == second


def _text(function: str, given: object) -> str:
    if not isinstance(given, str):
        raise ValueError(f"answers.{function} reads texts; got {given!r}")
    return given


equivalent = equal
"""Another name of ``equal``."""


def answer_classes(answers: Sequence[str | None], rule: AnswerRule = MATHEMATICS) -> list[int | None]:
    """The class of each answer: equal numbers mean equivalent answers, counted from 0 in order of appearance.

    None, and an answer of nothing but spaces, has no class: a candidate without an answer never votes. Which answers
    share a class does not depend on their order or on the others.
    """
    classes: dict[Hashable, int] = {}
    keys = [rule.key(answer.strip()) if answer is not None and answer.strip() else None for answer in answers]
    return [None if key is None else classes.setdefault(key, len(classes)) for key in keys]


def why_unreadable(answer: str) -> str | None:
    """Why nothing but its own text could ever be equivalent to this answer, in a few words; None if it can be read.

    An answer in words or in notation that has no value here (a congruence, say) can be read: it is compared as text.
    """
    from ttscale.answers.brackets import balanced
    from ttscale.answers.normalize import clean

    if not answer.strip():
        return "it is empty"
    if len(answer) > MAX_ANSWER:
        return f"it has {len(answer):,} characters; a final answer has at most {MAX_ANSWER:,}"
    if not balanced(answer):
        return "its braces or environments do not match"
    if not clean(answer):
        return "it holds nothing but signs that do not count"
    return None
