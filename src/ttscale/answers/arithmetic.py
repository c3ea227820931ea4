"""Arithmetic with two kinds of numbers: fractions, exact, and mpmath's, to 60 digits, where a value is irrational.

Every operation is bounded (``MAX_BITS``, ``MAX_EXPONENT``, ``MAX_FACTORIAL``): what would grow beyond raises ``TooBig``
before it is computed, so 9^9^9^9 costs microseconds. Knows no formulas and no variables.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, TypeAlias

from ttscale.answers.tree import Unreadable

MAX_BITS = 12_000
"""Size of an exact number: 3,600 digits, so that 1000! (8,530 bits) still fits."""
MAX_EXPONENT = 100_000
"""Inexact powers stay between 2^-100000 and 2^100000, arguments of functions below 100000."""
MAX_FACTORIAL = 1_000
_DIGITS, _KEPT = 60, 30

Value: TypeAlias = Any
"""A ``Fraction``, or mpmath's real or complex number (mpmath has no types)."""


class TooBig(Unreadable):
    """The value is too large to be computed, by this file or by anyone."""


def number_key(value: Value) -> Fraction | str:
    """A number as a fraction where it is one (denominator up to 10^9), else as text with 30 digits."""
    if isinstance(value, (Fraction, str)):
        return value
    if hasattr(value, "_mpc_"):
        real, imaginary = _real_key(value.real), _real_key(value.imag)
        return real if imaginary == 0 else f"{real},{imaginary}"
    return _real_key(value)


# One operation per function: exact while both sides are fractions, to 60 digits otherwise.


def add(*values: Value) -> Value:
    """The sum; what cancels in more than 48 of 60 digits is 0."""
    if all(isinstance(value, Fraction) for value in values):
        return sized(sum(values, Fraction(0)))
    numbers = [inexact(value) for value in values]
    total, largest = context().fsum(numbers), max(abs(number) for number in numbers)
    return _tidy(total, largest)


def mul(*values: Value) -> Value:
    product: Value = Fraction(1)
    for value in values:
        exact = isinstance(product, Fraction) and isinstance(value, Fraction)
        product = sized(product * value) if exact else _tidy(inexact(product) * inexact(value))
    return product


def inverse(value: Value) -> Value:
    return 1 / value


def negative(value: Value) -> Value:
    return -value


def power(base: Value, exponent: Value) -> Value:
    """Odd roots of negative numbers are real, as in school: (-8)^(1/3) = -2."""
    if isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            return _integer_power(base, exponent.numerator)
        if exponent.denominator % 2 and is_real(base) and base < 0:
            size = power(-base, exponent)
            return -size if exponent.numerator % 2 else size
    if base == 0:
        return Fraction(0) if is_real(exponent) and exponent > 0 else 1 / Fraction(0)
    mp, base, exponent = context(), inexact(base), inexact(exponent)
    if mp.mag(exponent) > 40 or abs(exponent) * max(1, abs(mp.mag(base))) > MAX_EXPONENT:
        raise TooBig("a power is too large")
    return _tidy(base**exponent)


def _integer_power(base: Value, exponent: int) -> Value:
    if not isinstance(base, Fraction):
        if abs(exponent) * max(1, abs(context().mag(base))) > MAX_EXPONENT:
            raise TooBig("a power is too large")
        return _tidy(base**exponent)
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) not in (0, 1) and bits * abs(exponent) > MAX_BITS:
        raise TooBig("a power is too large")
    return base ** (exponent if abs(base) != 1 else exponent % 2)


def root(value: Value, degree: Value) -> Value:
    return power(value, 1 / degree)


def factorial(value: Value) -> Value:
    if not isinstance(value, Fraction) or abs(value) > MAX_FACTORIAL:
        raise TooBig("the factorial of a large or an irrational number")
    if value.denominator == 1:
        return Fraction(math.factorial(value.numerator))
    return context().gamma(inexact(value) + 1)


def binomial(upper: Value, lower: Value) -> Value:
    if not all(isinstance(value, Fraction) and abs(value) <= MAX_FACTORIAL for value in (upper, lower)):
        raise TooBig("a binomial of large or irrational numbers")
    if upper.denominator == lower.denominator == 1 and upper >= 0 and lower >= 0:
        return Fraction(math.comb(upper.numerator, lower.numerator))
    return context().binomial(inexact(upper), inexact(lower))


def rounded_down(value: Value) -> Fraction:
    """The largest integer that is not above ``value``."""
    return Fraction(OPERATIONS["floor"](value))


def _rounded(how: Callable[[Fraction], int]) -> Callable[[Value], Value]:
    def rounded(value: Value) -> Value:
        key = number_key(value)
        if isinstance(key, Fraction):
            return Fraction(how(key))
        if not is_real(value) or context().mag(value) > 150:
            raise Unreadable("rounding needs a real number of at most 45 digits")
        return Fraction(how(_fraction(value)))

    return rounded


OPERATIONS: dict[str, Callable[..., Value]] = {
    "add": add,
    "mul": mul,
    "inverse": inverse,
    "neg": negative,
    "pow": power,
    "root": root,
    "factorial": factorial,
    "binomial": binomial,
    "abs": lambda value: abs(value),
    "floor": _rounded(math.floor),
    "ceil": _rounded(math.ceil),
}
_PERIODIC = frozenset({"sin", "cos", "tan", "cot", "sec", "csc"})
"""Where a value near 0 is rounding dust: sin(pi). Elsewhere it may be meant: exp(-200)."""
_GROWING = frozenset({"exp", "sinh", "cosh"})
_NAMES = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "ln": "log"}


def function(name: str, args: list[Value]) -> Value:
    mp = context()
    values = [inexact(arg) for arg in args]
    if any(mp.mag(value) > 300 if name in ("log", "ln") else abs(value) > MAX_EXPONENT for value in values):
        raise TooBig(f"the argument of {name} is too large")
    if name == "log":  # to base 10 unless a base is written, as math-verify reads it
        return _tidy(mp.log(values[0]) / mp.log(values[1] if len(values) > 1 else 10))
    result = getattr(mp, _NAMES.get(name, name))(values[0])
    if name not in _GROWING and mp.mag(result) > 150:
        raise Unreadable(f"a pole of {name}")
    return _tidy(result, mp.mpf(1) if name in _PERIODIC else None)


def sized(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooBig("a number is too long")
    return value


def inexact(value: Value) -> Value:
    return context().mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def is_real(value: Value) -> bool:
    """Whether a value can be compared with < (mpmath's complex numbers cannot, whatever their imaginary part)."""
    return not hasattr(value, "_mpc_")


def _tidy(value: Value, scale: Value = None) -> Value:
    """``value`` without rounding dust: parts below 10^-48 of ``scale`` (by default its own size) are 0."""
    mp = context()
    if not mp.isfinite(value):
        raise Unreadable("not a finite number")
    if abs(mp.mag(value)) > MAX_EXPONENT and value != 0:
        raise TooBig("a number is too large or too small")
    dust = (abs(value) if scale is None else scale) * mp.mpf(10) ** -48
    if abs(value) <= dust:
        return Fraction(0)
    if hasattr(value, "_mpc_"):
        if abs(value.imag) <= dust:
            return value.real
        if abs(value.real) <= dust:
            return mp.mpc(0, value.imag)
    return value


def _fraction(value: Value) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    size = Fraction(mantissa) * Fraction(2) ** exponent
    return Fraction(-size if sign else size)


def _real_key(value: Value) -> Fraction | str:
    if value == 0:
        return Fraction(0)
    mp = context()
    if -60 < mp.mag(value) < 60:
        exact = _fraction(value)
        near = exact.limit_denominator(10**9)
        if abs(exact - near) <= abs(exact) / 10**36:
            return near
    return str(mp.nstr(value, _KEPT))


@cache
def context() -> Any:
    """Our own mpmath context, so that nobody else's precision changes our keys; loaded on first use."""
    import mpmath

    context = mpmath.MPContext()
    context.dps = _DIGITS
    return context


exclusive = threading.RLock()
"""Held while mpmath works: its constants are cached without a lock."""


def _renew_lock() -> None:
    global exclusive
    exclusive = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
