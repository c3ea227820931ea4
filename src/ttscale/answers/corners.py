"""Roots, absolute values, floors and maxima of formulas with variables: only laws that hold everywhere are used.

Points cannot tell |x - 2| from 2 - x unless one of them is beyond 2, and no list of points is beyond every corner. So
such functions are replaced by ones of which nothing else is known:

- a square root of u is one of its two roots, drawn by a hash of u (not of the way u is written) and of the point;
- |u| is the root of |u|^2, and |uv| = |u||v|; max and min of u and v are (u + v +- |u - v|) / 2;
- floor(u) is u less a number in (0, 1), drawn by a hash of u up to an integer; ceil(u) = -floor(-u);
  u mod v is u - v floor(u / v).

Formulas that agree whatever is drawn agree as functions, so what counts as equal is equal. Formulas that do not agree
so are drawn apart at one of the twelve points with probability 1 - 2^-12. What it takes more to prove stays apart:
floor(2x) = floor(x) + floor(x + 1/2). Constants have their true values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

from ttscale.answers.arithmetic import Value, add, is_real, mul, negative, number_key, power, rounded_down
from ttscale.answers.tree import Formula, Unreadable, number, product, symbols

At: TypeAlias = Mapping[str, Fraction]
Evaluate: TypeAlias = Callable[[Formula, At], Value]
Signature: TypeAlias = Callable[[Formula], tuple[Value, ...]]
HALF = number("0.5")


def plain_power(node: Formula, signature: Signature) -> bool:
    """Whether ``node`` has a value without any choice: a constant, or a power that has no even root in it."""
    if not symbols(node):
        return node.op not in ("mod", "max", "min", "gcd", "lcm")
    if node.op != "pow":
        return False
    exponent = _rational(node.args[1], signature)
    return exponent is None or exponent.denominator % 2 == 1


def _rational(node: Formula, signature: Signature) -> Fraction | None:
    """The value of a constant rational formula."""
    key = number_key(signature(node)[0]) if not symbols(node) else None
    return key if isinstance(key, Fraction) else None


def _root(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    """An even root as square roots of square roots, of powers of e and of fourth powers by the exponent."""
    base, degree = node.args[0], _rational(node.args[1], signature)
    if degree is None or degree.denominator != 1 or degree < 1:
        raise Unreadable("a root of a strange degree")
    if degree % 2:
        return power(evaluate(base, at), 1 / degree)
    if degree > 2:
        inner = Formula("root", (base, number(str(degree / 2))))
        return evaluate(Formula("root", (inner, number("2"))), at)
    if base.op == "exp":
        return evaluate(Formula("exp", (product([base.args[0], HALF]),)), at)
    if base.op == "pow":
        below, above = base.args
        exponent = _rational(above, signature)
        if not symbols(below) and _positive(signature(below)[0]):
            return evaluate(Formula("pow", (below, product([above, HALF]))), at)
        if exponent is not None and exponent.denominator == 1 and exponent % 4 == 0:
            return evaluate(Formula("pow", (below, number(str(exponent / 2)))), at)
    return _drawn_root(evaluate(base, at), signature(base))


def _power(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    """u^(p/q) with an even q: the p-th power of the q-th root."""
    exponent = _rational(node.args[1], signature) or Fraction(1)
    root = Formula("root", (node.args[0], number(str(exponent.denominator))))
    return power(evaluate(root, at), Fraction(exponent.numerator))


def _absolute(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    inner = node.args[0]
    if inner.op in ("mul", "neg", "inverse"):
        parts = [evaluate(Formula("abs", (arg,)), at) for arg in inner.args]
        return 1 / parts[0] if inner.op == "inverse" else mul(*parts)
    if inner.op == "pow":
        exponent = _rational(inner.args[1], signature)
        if exponent is not None and exponent.denominator == 1:
            return power(evaluate(Formula("abs", (inner.args[0],)), at), exponent)
    value = evaluate(inner, at)
    return _size(value, signature(inner)) if symbols(inner) else abs(value)


def _size(value: Value, values: tuple[Value, ...]) -> Value:
    """The absolute value of what is ``value`` here and has the signature ``values``."""
    size, sizes = abs(value), [abs(each) for each in values]
    return _drawn_root(mul(size, size), tuple(mul(each, each) for each in sizes))


def _drawn_root(value: Value, sizes: tuple[Value, ...]) -> Value:
    """A square root of ``value``; of a constant the usual one. A positive factor changes nothing of the draw."""
    if len({number_key(size) for size in sizes}) == 1:
        return power(value, Fraction(1, 2))
    scale = 1 / abs(sizes[0]) if sizes[0] != 0 else Fraction(1)
    drawn = draw([number_key(mul(size, scale)) for size in (*sizes, value)])
    root = power(value, Fraction(1, 2))
    return negative(root) if drawn & 1 else root


def _positive(value: Value) -> bool:
    return is_real(value) and value > 0


def draw(keys: Sequence[Fraction | str]) -> int:
    """A number drawn by a hash of what it stands for."""
    text = repr([*keys])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _floor(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    return _whole(evaluate(node.args[0], at), signature(node.args[0]))


def _whole(value: Value, values: tuple[Value, ...]) -> Value:
    """The largest integer below what is ``value`` here and has the signature ``values``."""
    if not all(is_real(each) for each in (value, *values)):
        raise Unreadable("rounding a complex number")
    if len({number_key(each) for each in values}) == 1:
        return rounded_down(value)
    whole = negative(rounded_down(values[0]))
    drawn = draw([number_key(add(each, whole)) for each in (*values, value)])
    return add(value, Fraction(-1 - drawn % 2**32, 2**32 + 2))


def _ceil(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    return negative(evaluate(Formula("floor", (Formula("neg", node.args),)), at))


def _mod(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    upper, lower = node.args
    above, below = _three(signature(upper)), _three(signature(lower))
    ratios = tuple(mul(one, 1 / other) for one, other in zip(above, below, strict=True))
    value, divisor = evaluate(upper, at), evaluate(lower, at)
    return add(value, negative(mul(divisor, _whole(mul(value, 1 / divisor), ratios))))


def _three(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """A signature with three values, of a constant too."""
    return values if len(values) == 3 else values * 3


def _extreme(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    """max and min, whatever the order of the arguments."""
    args = dict(sorted(((repr([number_key(v) for v in signature(arg)]), arg) for arg in node.args), key=lambda a: a[0]))
    if not symbols(node):
        values = [evaluate(arg, at) for arg in args.values()]
        if not all(is_real(value) for value in values):
            raise Unreadable("complex numbers have no order")
        return max(values) if node.op == "max" else min(values)
    half, sign = Fraction(1, 2), Fraction(1 if node.op == "max" else -1)
    found: list[Value] = []  # the extreme so far: its value here, and its signature
    for arg in args.values():
        other = [evaluate(arg, at), *_three(signature(arg))]
        apart = [add(one, negative(two)) for one, two in zip(found, other, strict=True)] if found else []
        gaps = [mul(sign, _size(each, tuple(apart[1:]))) for each in apart]
        found = [mul(half, add(*three)) for three in zip(found, other, gaps, strict=True)] if found else other
    return found[0]


def _divisor(node: Formula, at: At, evaluate: Evaluate, signature: Signature) -> Value:
    """gcd and lcm of integers; of anything else nothing is known but that the order does not matter."""
    values = sorted((number_key(evaluate(arg, at)) for arg in node.args), key=repr)
    if not symbols(node):
        if not all(isinstance(value, Fraction) and value.denominator == 1 for value in values):
            raise Unreadable(f"{node.op} of what are no integers")
        whole = [value.numerator for value in values if isinstance(value, Fraction)]
        return Fraction(math.gcd(*whole) if node.op == "gcd" else math.lcm(*whole))
    return Fraction(1 + draw([node.op, *values]) % 2**32, 2**31)


CORNERS: dict[str, Callable[[Formula, At, Evaluate, Signature], Value]] = {
    "root": _root, "pow": _power, "abs": _absolute, "floor": _floor, "ceil": _ceil, "mod": _mod, "max": _extreme,
    "min": _extreme, "gcd": _divisor, "lcm": _divisor,
}  # fmt: skip
