"""Gives a formula a value, and the value a key: two formulas are the same exactly when their keys are equal.

A formula without variables has one value. As long as it is rational, that is a ``Fraction``, else a number to 60
digits. The key keeps 30 of them, and turns the number back into a fraction where it is one (``\\sqrt 4``). A formula
with variables is evaluated at twelve fixed rational points, drawn from a hash of the variables' names. Two rational
functions of degree d that differ agree at all of them with probability below (d / 1000)^12 (Schwartz-Zippel).

That argument fails for what has corners: |x - 2| is 2 - x wherever one looks below 2. ``corners.py`` has the way out.
So equality is symmetric and transitive, and costs one evaluation per answer instead of one ``simplify`` per pair.
Knows no text, lists or equations.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from typing import Any, TypeAlias

from ttscale.answers import arithmetic
from ttscale.answers.arithmetic import OPERATIONS, Value, context, function, is_real, number_key, sized
from ttscale.answers.corners import CORNERS, plain_power
from ttscale.answers.series import SERIES, series
from ttscale.answers.tree import Formula, Unreadable, symbols

POINTS = 12
MAX_WORK = 100_000
"""Steps that one answer's key may take, some 10 microseconds each. A sum of 200 roots takes 60,000, an answer 100."""
_CORNER, _COMPLEX, _FUNCTION = 20, 80, 10
"""Steps that a corner counts for, more where its value is complex, and a function of irrational values."""
AnswerKey: TypeAlias = tuple[Any, ...]
"""A hashable form: equal keys, equal answers. Its first element says what kind of thing it is."""


class _Work(threading.local):
    """The steps that are left to the answer at hand, and the signatures that were found for it."""

    left = MAX_WORK
    known: dict[Formula, tuple[Value, ...]] | None = None


_work = _Work()


@contextmanager
def budget() -> Iterator[None]:
    """Within it all evaluations together take at most ``MAX_WORK`` steps; one within another changes nothing.

    Nothing is remembered from one budget to the next, so that what is too much does not depend on what came before.
    """
    if _work.known is not None:
        yield
        return
    _work.left, _work.known = MAX_WORK, {}
    try:
        yield
    finally:
        _work.known = None


def _spend(steps: int) -> None:
    if _work.known is not None:
        _work.left -= steps
        if _work.left < 0:
            raise Unreadable("its value takes too much work")


def _steps(node: Formula) -> int:
    if node.op in CORNERS:
        return _CORNER * (4 * len(node.args) - 4 if node.op in ("max", "min") else 1)
    return 1 if node.op in OPERATIONS or not node.args else _FUNCTION


def scalar_key(node: Formula) -> AnswerKey:
    """("n", value) of a constant formula, ("f", values at the points) of any other. Raises ``Unreadable``."""
    return function_key(symbols(node), lambda at: evaluate(node, at))


def function_key(names: set[str], function: Callable[[Mapping[str, Fraction]], Value]) -> AnswerKey:
    """The key of a function of the variables ``names``."""
    with arithmetic.exclusive, budget():
        values = [number_key(function(point(names, index))) for index in range(POINTS if names else 1)]
    return ("n", values[0]) if len(set(values)) == 1 else ("f", *values)


def point(names: set[str], index: int) -> dict[str, Fraction]:
    """Where to evaluate; ``index`` counts the points."""
    return {name: coordinate(name, index) for name in names}


@cache
def _hash(name: str, index: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{index}/{name}".encode(), digest_size=8).digest(), "big")


def coordinate(name: str, index: int) -> Fraction:
    """A fraction of size 0.17 to 5.8, from the seventh point on three times that; the same in every process.

    All variables are positive at point 0 and negative at 1, so that sqrt(x^2) is not x; at 2 and 3 the sign goes by the
    last bits of the name's last letter, so that |xy| is not xy either; then by the hash.
    """
    bits = _hash(name, index)
    size = Fraction(211 + bits % 1013, 211 + (bits >> 20) % 1013) * (3 if index >= 6 else 1)
    negative = ord(name[-1]) >> (index - 2) & 1 if index in (2, 3) else bits >> 50 & 1 if index > 3 else index
    return -size if negative else size


def evaluate(node: Formula, at: Mapping[str, Fraction]) -> Value:
    """The value of ``node`` with its variables at ``at``. Raises ``Unreadable``."""
    _spend(_steps(node))
    if node.op == "number":
        return sized(Fraction(node.value))
    if node.op == "symbol":
        return at[str(node.value)]
    if node.op == "constant":
        mp = context()
        return {"pi": +mp.pi, "e": +mp.e, "i": mp.mpc(0, 1)}[str(node.value)]
    try:
        if node.op in SERIES:
            return series(node, at, evaluate, signature)
        corner = CORNERS.get(node.op)
        if corner and not plain_power(node, signature):
            value = corner(node, at, evaluate, signature)
            _spend(0 if is_real(value) else _COMPLEX)
            return value
        args = [evaluate(arg, at) for arg in node.args]
        if node.op == "unknown":  # f(x), of which nothing is known but that equal arguments give equal values
            return coordinate(f"{node.value}({','.join(repr(number_key(arg)) for arg in args)})", 1)
        operation = OPERATIONS.get(node.op)
        return operation(*args) if operation else function(node.op, args)
    except (ZeroDivisionError, ValueError, OverflowError, TypeError) as error:
        raise Unreadable(f"{node.op} has no value here") from error


def signature(node: Formula) -> tuple[Value, ...]:
    """The values of ``node`` at three points that are used for nothing else: equal for equal functions."""
    known = {} if _work.known is None else _work.known
    if node not in known:
        names = symbols(node)
        known[node] = tuple(evaluate(node, point(names, index)) for index in ((20, 21, 22) if names else (20,)))
    return known[node]
