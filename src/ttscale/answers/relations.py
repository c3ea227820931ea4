"""Equations and inequalities: which of them only announce a value ("x = 5"), and when two are the same.

An equation counts up to a factor: x^2 = 2y^2 is 3x^2 = 6y^2. One that is linear in y, or in its only variable, is
solved for it, so that y = 2x + 3, 2x - y + 3 = 0 and 2x + 3 are one class, as are 2x = 10 and 5. Inequalities of one
variable are intervals. Knows formulas; lists and sets are the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from ttscale.answers import evaluate as _value
from ttscale.answers.brackets import split
from ttscale.answers.evaluate import Key, Value, add, evaluate, function_key, is_real, mul, negative, point, scalar_key
from ttscale.answers.parse import FUNCTIONS, Node, Unreadable, read, symbols

_EQUAL = frozenset(("=", r"\approx", r"\equiv"))
_LESS = {"<": "<", r"\le": "<="}
_GREATER = {">": "<", r"\ge": "<="}
_SIGNS = frozenset((*_EQUAL, *_LESS, *_GREATER, r"\ne", r"\to", r"\implies", r"\Rightarrow", r"\iff"))
_LABEL = re.compile(
    rf"(?:[A-Za-z]|\\(?!(?:{'|'.join(FUNCTIONS)}|sqrt|frac)(?![A-Za-z]))[A-Za-z]+)"
    r"(?:\^\{?-1\}?|'+)?(?:_(?:\{[^{}]*\}|\w))?'*\s*(?:\([^()]*\))?"
)
_NAMES = re.compile(r"\(\s*[A-Za-z](?:\s*,\s*[A-Za-z])+\s*\)")
_PLACES = (Fraction(17, 13), Fraction(-1009, 7), Fraction(2003, 11))
"""Where linearity is tested: the third value must lie on the line through the first two. Far apart: |x - 4| = 12."""
_REFERENCE = 7
"""The point (its index, see ``coordinate``) where an equation is 1: what is left is the equation without its factor."""


def reduce(text: str) -> Key | str | None:
    """The key of a relation; the text of its value, if announcing one is all it does; None if it is no relation.

    Raises ``Unreadable`` for relations without a key.
    """
    with _value.exclusive:
        return _reduce(text)


def _reduce(text: str) -> Key | str | None:
    sides, signs = split(text, _SIGNS)
    if signs and not sides[0]:
        sides, signs = sides[1:], signs[1:]
    if not signs:
        return sides[0] if len(sides) == 1 and sides[0] != text.strip() else None
    if not all(sides):
        raise Unreadable("a relation that lacks a side")
    if all(sign in _EQUAL for sign in signs):
        return _equation(sides)
    if all(sign in _LESS for sign in signs):
        return _inequality(sides, [_LESS[sign] for sign in signs])
    if all(sign in _GREATER for sign in signs):
        return _inequality(sides[::-1], [_GREATER[sign] for sign in signs[::-1]])
    raise Unreadable("a mixture of relations")


def _equation(sides: list[str]) -> Key | str:
    """a = b = c announces c. Of two sides, the one that is not a mere name or quantity is the value."""
    left, right = sides[0], sides[-1]
    if len(sides) > 2 or _NAMES.fullmatch(left):
        return right
    left_tree, right_tree = _try(left), _try(right)
    if _LABEL.fullmatch(left) and not (right_tree and left in symbols(right_tree)):
        return right
    if re.fullmatch(r"[A-Za-z]", right) and not (left_tree and right in symbols(left_tree)):
        return left
    if left_tree is None or right_tree is None:
        if re.search(r"(?<![A-Za-z\\])[xyz](?![A-Za-z])", left):
            raise Unreadable("an equation with a side that is no formula")
        return right
    names = symbols(left_tree) | symbols(right_tree)
    unknowns = {name for name in names if name[0] in "xyz"}
    if not names or not (unknowns or symbols(right_tree) or right == "0"):
        return right  # "1 + 2 = 3", "m + n = 16": a quantity and its value
    difference = Node("add", (left_tree, Node("neg", (right_tree,))))
    solve_for = "y" if "y" in names else next(iter(names)) if len(names) == 1 else None
    if solve_for:
        try:
            return function_key(names - {solve_for}, lambda at: _line(difference, solve_for, at)[0])
        except Unreadable:
            pass  # not linear
    return ("equation", function_key(names, lambda at: _ratio(difference, names, at, signed=False)))


def _inequality(sides: list[str], signs: list[str]) -> Key:
    """An interval where one variable stands between constants, else the inequality up to a positive factor."""
    if len(sides) > 3:
        raise Unreadable("a long chain of inequalities")
    if len(sides) == 3:
        low, middle, high = sides
        tree = read(middle)
        bounds = [(low, signs[0], False), (high, signs[1], True)]
    else:
        tree = _try(sides[0]) or read(sides[1])
        if _try(sides[0]) and _try(sides[1]):
            tree = Node("add", (read(sides[0]), Node("neg", (read(sides[1]),))))
            if not symbols(tree):
                raise Unreadable("an inequality of two numbers")
            if len(symbols(tree)) != 1 or not _linear(tree):
                names = symbols(tree)
                return ("inequality", signs[0], function_key(names, lambda at: _ratio(tree, names, at, signed=True)))
            bounds = [("0", signs[0], True)]
        else:  # one side is infinity
            bounds = [(sides[1], signs[0], True)] if _try(sides[0]) else [(sides[0], signs[0], False)]
    if len(symbols(tree)) != 1 or not _linear(tree):
        raise Unreadable("not an interval of one variable")
    name = next(iter(symbols(tree)))
    ends: dict[bool, tuple[Key, bool]] = {False: (("n", "-inf"), False), True: (("n", "inf"), False)}
    for bound, sign, upper in bounds:
        end, rising = _end(tree, name, bound)
        ends[upper == rising] = (end, sign == "<=")
    return interval("(["[ends[False][1]], ")]"[ends[True][1]], ends[False][0], ends[True][0])


def interval(opening: str, closing: str, low: Key, high: Key) -> Key:
    """An open interval has the key of a pair: nothing in (2, 5) says which of the two it is."""
    return ("tuple", low, high) if (opening, closing) == ("(", ")") else ("interval", opening + closing, low, high)


def _end(tree: Node, name: str, bound: str) -> tuple[Key, bool]:
    """Where the line ``tree`` reaches ``bound``, and whether it rises there."""
    infinite = re.fullmatch(r"([+-]?)\s*\\infty", bound)
    slope = _line(tree, name, {})[1]
    if not is_real(slope):
        raise Unreadable("a complex slope")
    rising = slope > 0
    if infinite:
        return ("n", "-inf" if (infinite[1] == "-") == rising else "inf"), rising
    level = read(bound)
    if name in symbols(level):
        raise Unreadable("a bound that depends on the variable")
    difference = Node("add", (tree, Node("neg", (level,))))
    return function_key(symbols(level), lambda at: _line(difference, name, at)[0]), rising


def _line(tree: Node, name: str, at: Mapping[str, Fraction]) -> tuple[Value, Value]:
    """(root, slope) of ``tree`` as a function of ``name``, which must be linear in it."""
    first, second, third = (evaluate(tree, {**at, name: place}) for place in _PLACES)
    slope = mul(add(second, negative(first)), 1 / (_PLACES[1] - _PLACES[0]))
    other = mul(add(third, negative(first)), 1 / (_PLACES[2] - _PLACES[0]))
    if slope == 0 or add(slope, negative(other)) != 0:
        raise Unreadable(f"not linear in {name}")
    return add(_PLACES[0], negative(mul(first, 1 / slope))), slope


def _linear(tree: Node) -> bool:
    try:
        scalar_key(tree)
        _line(tree, next(iter(symbols(tree))), {})
    except Unreadable:
        return False
    return True


def _ratio(tree: Node, names: set[str], at: Mapping[str, Fraction], signed: bool) -> Value:
    """The value here over the value at the reference point."""
    here, there = evaluate(tree, at), evaluate(tree, point(names, _REFERENCE))
    if there == 0:
        raise Unreadable("zero everywhere")
    return mul(here, 1 / (abs(there) if signed else there))


def _try(text: str) -> Node | None:
    try:
        return read(text)
    except Unreadable:
        return None
