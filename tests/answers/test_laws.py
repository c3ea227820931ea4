"""Equality is symmetric and transitive, asked pair by pair of ``equal``, over a grammar of answers.

Answers are made with their meaning beside them, in several spellings: where two have one meaning, they must be equal
whatever their spelling; where meanings differ, so must the answers. Pairs are asked cold, in both orders, so that the
laws do not follow from a cache.
"""

from __future__ import annotations

from collections.abc import Hashable
from fractions import Fraction
from itertools import permutations
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.answers import answer_classes, equal, keys

Spelled: TypeAlias = tuple[str, Hashable]
"""An answer and what it means."""


def spelled(number: Fraction, way: int) -> str:
    """A number in one of five ways."""
    upper, lower = number.numerator, number.denominator
    ways = [
        f"{upper}/{lower}" if lower > 1 else str(upper),
        rf"\frac{{{upper}}}{{{lower}}}",
        rf"\dfrac{{{2 * upper}}}{{{2 * lower}}}",
        f"{float(number):.3f}" if 1000 % lower == 0 else f"{upper}/{lower}",
        f"{upper}.0" if lower == 1 else rf"\tfrac{{{upper}}}{{{lower}}}",
    ]
    return ways[way % len(ways)]


values = st.builds(Fraction, st.integers(-20, 20), st.sampled_from([1, 1, 1, 2, 3, 4, 5, 8]))
ways = st.integers(0, 4)
numbers: st.SearchStrategy[Spelled] = st.builds(lambda v, w: (spelled(v, w), ("number", v)), values, ways)
several = st.lists(values, min_size=2, max_size=3, unique=True)


def joined(found: list[Fraction], way: int, turned: bool) -> list[str]:
    return [spelled(v, way + i) for i, v in enumerate(reversed(found) if turned else found)]


def a_set(found: list[Fraction], way: int, turned: bool) -> Spelled:
    parts = joined(found, way, turned)
    text = [r"\{" + ", ".join(parts) + r"\}", ", ".join(parts), r" \text{ and } ".join(parts)][way % 3]
    return text, ("set", frozenset(found))


def a_tuple(found: list[Fraction], way: int) -> Spelled:
    parts = joined(found, way, False)
    return "(" + [", ", ",", r",\ "][way % 3].join(parts) + ")", ("tuple", *found)


def an_interval(ends: list[Fraction], way: int, brackets: str) -> Spelled:
    low, high = sorted(ends)[:2]
    a, b = spelled(low, way), spelled(high, way + 1)
    signs = [r"\le" if side in "[]" else "<" for side in brackets]
    text = [f"{brackets[0]}{a}, {b}{brackets[1]}", f"{a} {signs[0]} x {signs[1]} {b}"][way % 2]
    return text, ("interval", brackets, low, high) if brackets != "()" else ("tuple", low, high)


def measured(a: int, b: int, way: int) -> Spelled:
    return [f"{a} h {b} min", f"{a} hours {b} minutes", f"{a} hr and {b} mins"][way % 3], ("measures", a, b)


def named(a: Fraction, b: Fraction, way: int) -> Spelled:
    x, y = f"AB = {spelled(a, way)}", f"CD = {spelled(b, way)}"
    return [f"{x}, {y}", f"{y}, {x}", f"{x} and {y}"][way % 3], ("named", a, b)


def a_formula(a: int, b: int, way: int) -> Spelled:
    """ax + b, so that two are the same exactly when their numbers are."""
    return [f"{a}x + {b}", f"{b}+{a}x", rf"{a}\left(x\right)+{b}", f"{a}*x+{b}"][way % 4], ("linear", a, b)


choices = st.builds(
    lambda letter, way: ([f"({letter})", letter, rf"\text{{({letter})}}", f"{letter}."][way % 4], ("choice", letter)),
    st.sampled_from("ABCD"),
    ways,
)
words = st.builds(
    lambda word, way: ([word, word.title(), rf"\text{{{word}}}", f"the {word}"][way % 4], ("words", word)),
    st.sampled_from(["ellipse", "parabola", "increase", "decrease", "north", "south", "evelyn"]),
    ways,
)
small = st.integers(2, 9)
brackets = st.sampled_from(["()", "[]", "[)", "(]"])
ANSWERS: st.SearchStrategy[Spelled] = st.one_of(
    numbers,
    st.builds(a_set, several, ways, st.booleans()),
    st.builds(a_tuple, several, ways),
    st.builds(an_interval, st.lists(values, min_size=2, max_size=2, unique=True), ways, brackets),
    st.builds(measured, small, small, ways),
    st.builds(named, values, values, ways),
    st.builds(a_formula, small, small, ways),
    choices,
    words,
)
LOOSE = st.text(r"0123456789+-*/^=<>(){}[],.:;%$\abcxyzABC ", max_size=14) | ANSWERS.map(lambda answer: answer[0])
"""Answers, and texts that look like some."""


def asked_cold(a: str, b: str) -> bool:
    """``equal`` with nothing remembered."""
    keys._remembered.cache_clear()
    keys._key_of_clean.cache_clear()
    return equal(a, b)


@settings(deadline=None, max_examples=400)
@given(ANSWERS, ANSWERS)
def test_answers_are_equal_exactly_when_they_mean_the_same(one: Spelled, other: Spelled) -> None:
    assert asked_cold(one[0], other[0]) == (one[1] == other[1])
    assert asked_cold(other[0], one[0]) == (one[1] == other[1])


@settings(deadline=None, max_examples=300)
@given(LOOSE, LOOSE, LOOSE)
def test_symmetric_and_transitive_whatever_is_written(a: str, b: str, c: str) -> None:
    verdicts = {(x, y): asked_cold(x, y) for x in (a, b, c) for y in (a, b, c)}
    for x, y, z in permutations((a, b, c)):
        assert verdicts[x, y] == verdicts[y, x]
        assert not (verdicts[x, y] and verdicts[y, z]) or verdicts[x, z]
    for x in (a, b, c):
        assert verdicts[x, x] == bool(x.strip())


@settings(deadline=None, max_examples=200)
@given(st.lists(ANSWERS, min_size=2, max_size=6))
def test_classes_of_a_vote_are_those_of_its_pairs(answers: list[Spelled]) -> None:
    texts = [text for text, _ in answers]
    classes = answer_classes(texts)
    for i, a in enumerate(texts):
        for j, b in enumerate(texts):
            assert (classes[i] == classes[j]) == asked_cold(a, b)
