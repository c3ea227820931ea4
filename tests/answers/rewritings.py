"""Other ways to write an answer that a person would call the same, made by rule from the text alone.

Independent of ``ttscale.answers`` on purpose: these are what it is tested with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

_NUMBER = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]*\.[0-9]+")
_FRACTION = re.compile(r"(-?)\\d?frac\s*(?:\{([0-9]+)\}|([0-9]))\s*(?:\{([0-9]+)\}|([0-9]))")
_BRACKETS = str.maketrans({"(": r"\left(", ")": r"\right)", "[": r"\left[", "]": r"\right]"})


def rewritings(answer: str) -> list[str]:
    """Distinct rewritings of ``answer``, itself not among them."""
    return [text for text in dict.fromkeys(_all(answer)) if text != answer]


def _all(answer: str) -> Iterator[str]:
    yield f"${answer}$"
    yield rf"\({answer}\)."
    yield rf"\boxed{{{answer}}}"
    yield rf"$$\displaystyle {answer} $$"
    yield f" {answer} ."
    if not re.search(r"\\text|\\mbox", answer):
        yield re.sub(r"([-+=])", r" \1 ", answer)
        yield re.sub(r"(?<![A-Za-z\\]) +(?![A-Za-z\\])", "", answer)
        yield answer.translate(_BRACKETS) if r"\left" not in answer else re.sub(r"\\(?:left|right)", "", answer)
        yield re.sub(r"\s*,\s*", r",\\, ", answer) if answer.startswith(("(", "[", r"\left", r"\{")) else answer
    yield re.sub(r"\\d?frac", r"\\dfrac", answer)
    yield re.sub(r"\\d?frac", r"\\tfrac", answer)
    yield re.sub(r"\\sqrt([0-9])", r"\\sqrt{\1}", answer)
    yield re.sub(r"\\frac\s*([0-9])\s*([0-9])$", r"\\frac{\1}{\2}", answer)
    yield re.sub(r"_\{?([0-9])\}?$", r"_{\1}", answer)
    yield re.sub(r"\\text\{([^{}]*)\}", r"\\textbf{\1}", answer)
    yield re.sub(r"\\text\{([^{}]*)\}", r"\\mbox{\1}", answer)
    yield re.sub(r"\^\\circ", r"^{\\circ}", answer)
    yield re.sub(r"\^\\circ", "°", answer)
    yield answer.replace("pmatrix", "bmatrix")
    yield answer.replace(r"\$", "$")
    if re.fullmatch(r"\\text\{\(?[A-Za-z]+\)?\}", answer):
        yield answer[6:-1]
        yield answer[6:-1].upper()
        yield answer[6:-1].strip("()")
    yield from _numbers(answer)


def _numbers(answer: str) -> Iterator[str]:
    """A number as a decimal, a fraction and an equation, exactly."""
    value: Fraction | None = None
    if _NUMBER.fullmatch(answer) or _DECIMAL.fullmatch(answer):
        value = Fraction(answer)
    elif found := _FRACTION.fullmatch(answer):
        sign, *parts = found.groups()
        upper, lower = (int(part) for part in parts if part)
        value = Fraction(-upper if sign else upper, lower)
        yield f"{sign}{upper}/{lower}"
        yield rf"\frac{{{sign}{2 * upper}}}{{{2 * lower}}}"
    if value is None:
        return
    yield f"x = {answer}"
    yield rf"\text{{Total}} = {answer}"
    yield f"{value.numerator}/{value.denominator}"
    if 10**8 % value.denominator == 0:
        decimal = f"{float(value):.8f}".rstrip("0")
        yield decimal
        yield f"{decimal}0"
    if value.denominator == 1:
        yield f"{value.numerator:,}"
        yield f"{value.numerator}.0"
