"""English number words: "one hundred twenty-three", "two thirds", "half", "a dozen". Words in, a fraction out."""

from __future__ import annotations

import re
from fractions import Fraction

_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
_UNITS = {word: value for value, word in enumerate(_SMALL.split())}
_TIES = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_TENS = {word: 10 * n for n, word in enumerate(_TIES, 2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fourth": 4, "fourths": 4, "fifth": 5,
    "fifths": 5, "sixth": 6, "sixths": 6, "seventh": 7, "sevenths": 7, "eighth": 8, "eighths": 8, "ninth": 9,
    "ninths": 9, "tenth": 10, "tenths": 10,
}  # fmt: skip


def value_of_words(text: str) -> Fraction | None:
    """The number that ``text`` spells; None if it spells none. An ordinal alone ("third") is a place, no number."""
    words = [word for word in re.split(r"[\s-]+", text.lower()) if word != "and"]
    if not words or len(words) > 20:
        return None
    if words == ["half"]:
        return Fraction(1, 2)
    if words in (["a", "dozen"], ["dozen"]):
        return Fraction(12)
    minus = words[0] in ("minus", "negative")
    words = words[1:] if minus else words
    part = _PARTS.get(words[-1]) if len(words) > 1 else None
    top = _whole(words[:-1] if part else words)
    if top is None or (part and (top == 0 or (words[-1][-1] == "s") != (top != 1) or top >= 100)):
        return None
    return Fraction(-top if minus else top, part or 1)


def _whole(words: list[str]) -> int | None:
    """The integer that the words spell, in the order of their sizes."""
    total = group = 0
    last = 10**15  # the size that the next scale must stay below
    room = 100  # the size that the next word must stay below within its group
    if not words:
        return None
    if words[0] in ("a", "an"):
        words = ["one", *words[1:]]
    for word in words:
        if word == "hundred" and 0 < group < 10:
            group, room = group * 100, 100
        elif word in _SCALES and group and _SCALES[word] < last:
            total, last, group, room = total + group * _SCALES[word], _SCALES[word], 0, 100
        elif word in _TENS and room == 100:
            group, room = group + _TENS[word], 10
        elif word in _UNITS and _UNITS[word] < room:
            if word == "zero" and len(words) > 1:
                return None
            group, room = group + _UNITS[word], 0
        else:
            return None
    return total + group
