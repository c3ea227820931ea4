"""Final answers: where they stand in a text, and which of them are the same.

Four functions, no other name is public. An answer has a *key* (``keys.py``), computed once per distinct string;
answers are equivalent exactly when their keys are equal. Keys come from ``fractions`` and, where irrational, from
``mpmath``. Knows nothing of reference answers, models or questions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from ttscale.answers.extract import extract_answer
from ttscale.answers.wrappers import MAX_ANSWER

__all__ = ["answer_classes", "equivalent", "extract_answer", "why_unreadable"]

Key: TypeAlias = tuple[Any, ...]

_CACHE = 10_000
"""Distinct answers remembered; a key takes about a kilobyte."""


def equivalent(a: str | None, b: str | None) -> bool:
    """Whether two answers say the same: 0.5 and \\frac12, (x+1)^2 and x^2+2x+1, 18 and \\$18. None equals nothing."""
    first, second = answer_classes((a, b))
    return first is not None and first == second


def answer_classes(answers: Sequence[str | None]) -> list[int | None]:
    """The class of each answer: equal numbers mean equivalent answers, counted from 0 in order of appearance.

    None, and an answer of nothing but spaces, has no class: a candidate without an answer never votes. Which answers
    share a class does not depend on their order or on the others.
    """
    classes: dict[Key, int] = {}
    keys = [_key(answer.strip()) if answer is not None and answer.strip() else None for answer in answers]
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


def _key(answer: str) -> Key:
    if len(answer) > MAX_ANSWER:
        return ("long", hashlib.blake2b(answer.encode(errors="surrogatepass")).digest())
    return _remembered(answer)


@lru_cache(_CACHE)
def _remembered(answer: str) -> Key:
    from ttscale.answers.keys import key_of  # a dozen modules, which a search of one candidate does not need

    return key_of(answer)
