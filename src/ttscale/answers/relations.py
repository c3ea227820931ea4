"""Equations and inequalities: which of them only announce a value ("x = 5"), and when two are the same.

An equation counts up to a factor: x^2 = 2y^2 is 3x^2 = 6y^2. One that is linear in y, or in its only variable, is
solved for it, so that y = 2x + 3, 2x - y + 3 = 0 and 2x + 3 are one class, as are 2x = 10 and 5. Inequalities of one
variable are intervals. Knows formulas; lists and sets are the caller's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction

from ttscale.answers import arithmetic
from ttscale.answers.arithmetic import Value, add, is_real, mul, negative
from ttscale.answers.brackets import split
from ttscale.answers.evaluate import AnswerKey, evaluate, function_key, point, scalar_key
from ttscale.answers.parse import read
from ttscale.answers.tree import Formula, Unreadable, difference, operations, symbols

_EQUAL = frozenset(("=", r"\approx", r"\equiv"))
_LESS = {"<": "<", r"\le": "<="}
_GREATER = {">": "<", r"\ge": "<="}
_SIGNS = frozenset((*_EQUAL, *_LESS, *_GREATER, r"\ne", r"\to", r"\implies", r"\Rightarrow", r"\iff"))
LABEL = re.compile(
    r"(?!.*\\(?:frac|sqrt|sum|int|lim|prod|binom|cdot|times|div|bmod|mod|pmod|gcd|lcm|max|min|pi)(?![A-Za-z]))"
    r"(?![xyz]\s*\()(?:[A-Za-z]++|\\[A-Za-z]++(?:\{[^{}]*\})?|_(?:\{[^{}]*\}|\w)|\^\{?-1\}?|'|\([^()]*\)|\[[A-Z]+\]"
    r"|\|[A-Z]+\||[: ])+"
)
"""A name or a quantity: x_1, f(x), AB, \\angle ABC, \\text{Total}, V_1 : V_2."""
_ANNOUNCES = re.compile(r"\\(?:lim|sum|prod|int|det|begin\{vmatrix\}|ldots)(?![A-Za-z])")
"""What is not read here but has one value, which stands on the right."""
_TWO = re.compile(r".*(?:[0-9)}][.:]?\s+(?:[A-Za-z]{2,}\s+)*[A-Za-z]\w*|\\pi\s+[xyz])")
"""The middle of "x = 1 y = 2"."""
_LINKS = re.compile(r"\\text\{[^{}]*(?<![a-z])(?:and|at|but|for|if|or|so|then|when|where|while|with)(?![a-z])[^{}]*\}")
_TEXT = re.compile(r"\\text\{[^{}]*\}")
_OPERATOR = re.compile(
    r"(?<=[0-9)}])(?:\s+|\s*\\text\{\s*)(?:(?:percent |out )?of|choose|times|plus|minus|divided by)"
    r"(?:\s+|\s*\}\s*)(?=[0-9(\\])"
)
"""A word between two numbers that makes one value of them: 50 of 30, 10 choose 2."""
_NAMES = re.compile(r"\(\s*[A-Za-z](?:\s*,\s*[A-Za-z])+\s*\)")
_CONDITIONS = frozenset(("mod", "gcd", "lcm", "max", "min", "floor", "ceil"))
_TRIGONOMETRY = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
_PLACES = (Fraction(17, 13), Fraction(-1009, 7), Fraction(2003, 11))
"""Where linearity is tested: the third value must lie on the line through the first two. Far apart: |x - 4| = 12."""
_REFERENCE = 7
"""The point (its index, see ``coordinate``) where an equation is 1: what is left is the equation without its factor."""


def reduce(text: str) -> AnswerKey | str | None:
    """The key of a relation; the text of its value, if announcing one is all it does; None if it is no relation.

    Raises ``Unreadable`` for relations without a key.
    """
    with arithmetic.exclusive:
        return _reduce(text)


def _reduce(text: str) -> AnswerKey | str | None:
    sides, signs = split(text, _SIGNS)
    if signs and not sides[0] and signs[0] in _EQUAL:
        sides, signs = sides[1:], signs[1:]
    if not signs:
        return sides[0] if len(sides) == 1 and sides[0] != text.strip() else None
    if not all(sides):
        raise Unreadable("a relation that lacks a side")
    if all(sign in _EQUAL for sign in signs):
        return _equation(*_exact(sides, signs))
    if all(sign in _LESS for sign in signs):
        return _inequality(sides, [_LESS[sign] for sign in signs])
    if all(sign in _GREATER for sign in signs):
        return _inequality(sides[::-1], [_GREATER[sign] for sign in signs[::-1]])
    raise Unreadable("a mixture of relations")


def _exact(sides: list[str], signs: list[str]) -> tuple[list[str], bool]:
    """The sides up to the first approximation, which says nothing new in x = 1/3 \\approx 0.33."""
    if r"\approx" not in signs:
        return sides, r"\equiv" in signs
    kept = sides[: signs.index(r"\approx") + 1]
    tree = _try(kept[0])
    if len(kept) > 1 or (tree and not symbols(tree)):
        return kept, False
    return [kept[0], sides[1]], False


def _equation(sides: list[str], congruent: bool) -> AnswerKey | str:
    """a = b = c announces c. Of two sides, the one that is not a mere name or quantity is the value."""
    left, right = sides[0], sides[-1]
    if len(sides) == 1 or _NAMES.fullmatch(left):
        return right
    if len(sides) > 2:
        _hold_together(sides[1:-1])
        return right
    left_tree, right_tree = _try(left), _try(right)
    within = symbols(right_tree) if right_tree else set()
    own = symbols(left_tree) if left_tree and left_tree.op != "unknown" else set()
    line = left in ("x", "z") and "y" in within  # x = y + 2, as x - y = 2
    if _TRIGONOMETRY & {left_tree.op if left_tree else ""} and any(name[0] in "xyz" for name in own):
        line = True  # sin x = 1, an equation
    if LABEL.fullmatch(left) and not own & within and not line:
        return right
    if re.fullmatch(r"[A-Za-z]", right) and not (left_tree and right in symbols(left_tree)):
        return left
    if _ANNOUNCES.match(left) and not congruent:
        return right
    if left_tree is None and right_tree and not congruent and (worded := _OPERATOR.sub(" * ", left)) != left:
        left_tree = tree if (tree := _try(worded)) and not symbols(tree) | within else None
    if left_tree is None or right_tree is None:
        raise Unreadable("an equation with a side that is no formula")
    names = symbols(left_tree) | symbols(right_tree)
    if not names or (not within and right != "0" and _quantity(left_tree, names)):
        return right  # "1 + 2 = 3", "m + n = 16": a quantity and its value
    apart = difference(left_tree, right_tree)
    solve_for = "y" if "y" in names else next(iter(names)) if len(names) == 1 else None
    if solve_for:
        try:
            return function_key(names - {solve_for}, lambda at: _line(apart, solve_for, at)[0])
        except Unreadable:
            pass  # not linear
    return ("equation", function_key(names, lambda at: _ratio(apart, names, at, signed=False)))


def _hold_together(middle: list[str]) -> None:
    """Refuses a = b = c where what stands between is no name and no formula: "x = 1 with y = 2"."""
    for side in middle:
        if _TWO.fullmatch(side) or _LINKS.search(side):
            raise Unreadable("two relations without a comma")
        if not LABEL.fullmatch(side) and not _ANNOUNCES.search(side) and "..." not in side:
            read(_TEXT.sub(" q ", _OPERATOR.sub(" * ", side)))


def _quantity(tree: Formula, names: set[str]) -> bool:
    """Whether a left side is what was asked for, m + n or a^2 + b^2, and no equation to solve, 2k or |x - 4|."""
    used = operations(tree)
    if used & _CONDITIONS or any(name[0] in "xyz" for name in names):
        return False
    return len(names) > 1 or tree.op in _TRIGONOMETRY or not used & {"number", "abs", "root"}


def intersection(keys: list[AnswerKey]) -> AnswerKey | None:
    """The numbers in all of several intervals, if their ends are rational and there are some."""
    low: tuple[Fraction | float, bool, AnswerKey] = (-math.inf, True, ("n", "-inf"))
    high: tuple[Fraction | float, bool, AnswerKey] = (math.inf, False, ("n", "inf"))
    for key in keys:
        brackets, ends = (key[1], key[2:]) if key[0] == "interval" else ("()", key[1:])
        if key[0] not in ("interval", "tuple") or len(ends) != 2 or any(end[0] != "n" for end in ends):
            return None
        below, above = (end[1] if isinstance(end[1], Fraction) else _INFINITE.get(end[1]) for end in ends)
        if below is None or above is None:
            return None
        low = max(low, (below, brackets[0] == "(", ends[0]))
        high = min(high, (above, brackets[1] == "]", ends[1]))
    if low[0] >= high[0]:
        return None
    return interval("(" if low[1] else "[", "]" if high[1] else ")", low[2], high[2])


_INFINITE = {"-inf": -math.inf, "inf": math.inf}


def _inequality(sides: list[str], signs: list[str]) -> AnswerKey:
    """An interval where one variable stands between constants, else the inequality up to a positive factor."""
    if len(sides) > 3:
        raise Unreadable("a long chain of inequalities")
    if len(sides) == 3:
        low, middle, high = sides
        tree = read(middle)
        if tree.op == "unknown":  # 0 < f(x) < 1
            tree = Formula("symbol", value=tree.value)
        bounds = [(low, signs[0], False), (high, signs[1], True)]
    else:
        tree = _try(sides[0]) or read(sides[1])
        if _try(sides[0]) and _try(sides[1]):
            tree = difference(read(sides[0]), read(sides[1]))
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
    ends: dict[bool, tuple[AnswerKey, bool]] = {False: (("n", "-inf"), False), True: (("n", "inf"), False)}
    for bound, sign, upper in bounds:
        end, rising = _end(tree, name, bound)
        ends[upper == rising] = (end, sign == "<=")
    return interval("(["[ends[False][1]], ")]"[ends[True][1]], ends[False][0], ends[True][0])


def interval(opening: str, closing: str, low: AnswerKey, high: AnswerKey) -> AnswerKey:
    """An open interval has the key of a pair: nothing in (2, 5) says which of the two it is."""
    return ("tuple", low, high) if (opening, closing) == ("(", ")") else ("interval", opening + closing, low, high)


def _end(tree: Formula, name: str, bound: str) -> tuple[AnswerKey, bool]:
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
    apart = difference(tree, level)
    return function_key(symbols(level), lambda at: _line(apart, name, at)[0]), rising


def _line(tree: Formula, name: str, at: Mapping[str, Fraction]) -> tuple[Value, Value]:
    """(root, slope) of ``tree`` as a function of ``name``, which must be linear in it."""
    first, second, third = (evaluate(tree, {**at, name: place}) for place in _PLACES)
    slope = mul(add(second, negative(first)), 1 / (_PLACES[1] - _PLACES[0]))
    other = mul(add(third, negative(first)), 1 / (_PLACES[2] - _PLACES[0]))
    if slope == 0 or add(slope, negative(other)) != 0:
        raise Unreadable(f"not linear in {name}")
    return add(_PLACES[0], negative(mul(first, 1 / slope))), slope


def _linear(tree: Formula) -> bool:
    try:
        scalar_key(tree)
        _line(tree, next(iter(symbols(tree))), {})
    except Unreadable:
        return False
    return True


def _ratio(tree: Formula, names: set[str], at: Mapping[str, Fraction], signed: bool) -> Value:
    """The value here over the value at the reference point."""
    here, there = evaluate(tree, at), evaluate(tree, point(names, _REFERENCE))
    if there == 0:
        raise Unreadable("zero everywhere")
    return mul(here, 1 / (abs(there) if signed else there))


def _try(text: str) -> Formula | None:
    try:
        return read(text)
    except Unreadable:
        return None
