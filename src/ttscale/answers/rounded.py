"""Decimals that a program printed: which exact number they stand for. Knows digits and no formulas.

Sixteen digits that are the nearest ones to 1/12 or \\sqrt{17} are those numbers, and a decimal that repeats one
digit to its end as single precision prints it (0.6666667) is recurring. Each decimal stands for one number, found from
its own digits, so equality stays transitive. Fewer digits are exact: 0.3333 is not 1/3.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ttscale.answers import arithmetic
from ttscale.answers.arithmetic import Value, inexact, number_key, power

DIGITS = 15
"""Significant digits from which on a decimal may be a printed double: every double has 15 that are right."""
DENOMINATOR = 10_000
"""Of the fraction it may stand for. That a decimal of 15 digits lies so near to one by accident has odds of 10^-7."""
_RECURRING = re.compile(r"([0-9]*)\.([0-9]*?)(([1-8])\4{5,})([1-9])")


def printed(text: str) -> Fraction | str | None:
    """The number (as ``number_key`` has it) that a decimal without sign stands for; None if it is meant exactly."""
    recurring = _RECURRING.fullmatch(text)
    if recurring and int(recurring[5]) - int(recurring[4]) in (0, int(recurring[4]) > 4):
        whole, before, _, digit, _ = recurring.groups()
        return Fraction(9 * int("0" + whole + before) + int(digit), 9 * 10 ** len(before))
    decimals = len(text.partition(".")[2])
    if not decimals or not DIGITS <= len(text.replace(".", "").lstrip("0")) <= 30:
        return None
    value = Fraction(text)
    near = value.limit_denominator(DENOMINATOR)
    with arithmetic.exclusive:
        if _rounds_to(near, value, decimals):
            return near if DENOMINATOR**14 % near.denominator else None  # a fraction that ends would be printed so
        squared = (value * value).limit_denominator(DENOMINATOR)
        root = power(squared, Fraction(1, 2))
        return number_key(root) if _rounds_to(root, value, decimals) else None


def _rounds_to(exact: Value, value: Fraction, decimals: int) -> bool:
    """Whether ``value`` is ``exact`` rounded to its decimals, or off by the last bit of a double."""
    return bool(abs(inexact(exact) - inexact(value)) <= inexact(max(Fraction(1, 2 * 10**decimals), value / 2**52)))
