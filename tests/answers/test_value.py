"""Keys of formulas against slow references: arithmetic written out here, sympy's ``expand``, math-verify's verdict."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.answers import equivalent
from ttscale.answers.arithmetic import MAX_BITS, MAX_FACTORIAL, TooBig
from ttscale.answers.evaluate import scalar_key
from ttscale.answers.keys import key_of, value_key
from ttscale.answers.parse import read
from ttscale.answers.tree import Unreadable


@dataclass(frozen=True)
class Formula:
    """A formula as text in two dialects, and as sympy knows it."""

    latex: str
    typed: str
    tree: sympy.Expr


def leaves() -> st.SearchStrategy[Formula]:
    numbers = st.integers(0, 12).map(lambda n: Formula(str(n), str(n), sympy.Integer(n)))
    letters = st.sampled_from("xyk").map(lambda name: Formula(name, name, sympy.Symbol(name)))
    return numbers | letters


def join(parts: tuple[Formula, str, Formula]) -> Formula:
    a, sign, b = parts
    if sign == "+":
        return Formula(f"{a.latex} + {b.latex}", f"{a.typed}+{b.typed}", a.tree + b.tree)
    if sign == "-":
        return Formula(rf"{a.latex} - \left( {b.latex} \right)", f"{a.typed}-({b.typed})", a.tree - b.tree)
    return Formula(rf"\left({a.latex}\right)({b.latex})", f"({a.typed})*({b.typed})", a.tree * b.tree)


def raised(parts: tuple[Formula, int]) -> Formula:
    a, n = parts
    return Formula(rf"\left( {a.latex} \right)^{{{n}}}", f"({a.typed})^{n}", a.tree**n)


def halved(parts: tuple[Formula, int]) -> Formula:
    a, n = parts
    return Formula(rf"\dfrac{{{a.latex}}}{{{n}}}", f"({a.typed})/{n}", a.tree / n)


FORMULAS = st.recursive(
    leaves(),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(join)
        | st.tuples(inner, st.integers(1, 3)).map(raised)
        | st.tuples(inner, st.integers(1, 9)).map(halved)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(FORMULAS)
def test_one_formula_in_two_dialects_and_expanded(formula: Formula) -> None:
    assert equivalent(formula.latex, formula.typed)
    assert equivalent(formula.latex, sympy.latex(sympy.expand(formula.tree)))


@settings(deadline=None, max_examples=150)
@given(FORMULAS, FORMULAS)
def test_two_formulas_are_equivalent_exactly_when_their_difference_expands_to_zero(a: Formula, b: Formula) -> None:
    assert equivalent(a.latex, b.typed) == (sympy.expand(a.tree - b.tree) == 0)


@settings(deadline=None, max_examples=100)
@given(st.tuples(*[st.integers(-6, 6)] * 4), st.sampled_from([2, 3, 5, 8, 12]), st.sampled_from([2, 3, 18]))
def test_surds_multiply_out(numbers: tuple[int, int, int, int], m: int, n: int) -> None:
    a, b, c, d = numbers
    product = rf"({a}+({b})\sqrt{{{m}}})({c}+({d})\sqrt{n if n < 10 else f'{{{n}}}'})"
    written_out = sympy.expand((a + b * sympy.sqrt(m)) * (c + d * sympy.sqrt(n)))
    assert equivalent(product, sympy.latex(written_out))
    assert not equivalent(product, sympy.latex(written_out + sympy.Rational(1, 10**9)))


def ways_to_write(number: Fraction) -> Iterator[str]:
    """Every notation of a rational number that we know of, written from its value."""
    sign, size = ("-" if number < 0 else ""), abs(number)
    upper, lower = size.numerator, size.denominator
    yield f"{sign}{upper}/{lower}"
    yield rf"{sign}\frac{{{upper}}}{{{lower}}}"
    yield rf"\frac{{{sign}{3 * upper}}}{{{3 * lower}}}"
    yield rf"$\left({sign}\tfrac{{{upper}}}{{{lower}}}\right)$"
    yield rf"x = {sign}\dfrac {{{upper}}} {{{lower}}}."
    whole, rest = divmod(upper, lower)
    if whole and rest:
        yield rf"{sign}{whole}\frac{{{rest}}}{{{lower}}}"
        yield f"{sign}{whole} {rest}/{lower}"
    if not rest:
        yield f"{sign}{whole}"
        yield f"{sign}{whole}.00"
        yield f"{sign}{whole:,}"
    if 10**6 % lower == 0:
        yield f"{sign}{upper / lower:.6f}"
        yield rf"{sign}{size * 10**6} \times 10^{{-6}}"
    if lower == 9 and size < 1:
        yield rf"{sign}0.\overline{{{upper}}}"


@given(st.fractions(-(10**6), 10**6, max_denominator=1000))
def test_every_notation_of_a_number_is_the_number(number: Fraction) -> None:
    assert {key_of(text) for text in ways_to_write(number)} == {("n", number)}


@given(st.fractions(max_denominator=1000), st.fractions(max_denominator=1000))
def test_numbers_are_equivalent_exactly_when_equal(a: Fraction, b: Fraction) -> None:
    assert all(equivalent(x, y) == (a == b) for x, y in zip(ways_to_write(a), ways_to_write(b), strict=False))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2^2", Fraction(-4)),
        ("2^3^2", Fraction(512)),
        ("2^-1", Fraction(1, 2)),
        ("1/2/4", Fraction(1, 8)),
        ("6/2*3", Fraction(9)),
        ("2--3", Fraction(5)),
        ("2*-3", Fraction(-6)),
        ("x^10 - x^{10}", Fraction(0)),
        (r"\frac{\frac12}{3}", Fraction(1, 6)),
        (r"\frac1{12}", Fraction(1, 12)),
        (r"\frac{\sqrt{9}}3", Fraction(1)),
        (r"\sqrt[3]{-8}", Fraction(-2)),
        (r"(-8)^{2/3}", Fraction(4)),
        (r"\sqrt{-4}\sqrt{-9}", Fraction(-6)),
        (r"\left|{-3}\right|", Fraction(3)),
        (r"|3+4i|", Fraction(5)),
        (r"\lfloor -2.5 \rfloor + \lceil \pi \rceil", Fraction(1)),
        ("5!/3!", Fraction(20)),
        (r"\binom{6}{3}", Fraction(20)),
        (r"\sin\frac{\pi}{6}", Fraction(1, 2)),
        (r"\sin^{-1} 1 - \frac{\pi}{2}", Fraction(0)),
        (r"\sin^2 x + \cos^2 x", Fraction(1)),
        (r"\sin 2x - 2 \sin x \cos x", Fraction(0)),
        (r"\sin 30^\circ", Fraction(1, 2)),
        (r"\tan^2 60°", Fraction(3)),
        (r"\log_2 8", Fraction(3)),
        (r"\log 1000", Fraction(3)),
        (r"\ln e^5", Fraction(5)),
        (r"e^{i\pi}", Fraction(-1)),
        (r"(\sqrt2+\sqrt3)^2-5-2\sqrt6", Fraction(0)),
        (r"\sqrt{4+2\sqrt3}-\sqrt3", Fraction(1)),
        (r"10^{-50}", Fraction(1, 10**50)),
        (r"\frac{2x}{x}", Fraction(2)),
        ("1000!/999!", Fraction(1000)),
    ],
)
def test_values(text: str, value: Fraction) -> None:
    assert key_of(text) == ("n", value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "1+",
        "(1",
        "1)",
        "x^",
        r"\frac{1}",
        r"\sqrt",
        "2 3",
        "1..2",
        r"\unknown{3}",
        "a?b",
        "^2",
        "|x",
        "é",
        "²",
    ],
)
def test_what_is_no_formula_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        scalar_key(read(text))


@pytest.mark.parametrize(
    "text", ["1/0", "0^{-1}", r"\frac{x}{x-x}", r"\ln 0", r"\tan\frac{\pi}{2}", r"\cot 0", "(-1)!"]
)
def test_what_has_no_value_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        scalar_key(read(text))


@pytest.mark.parametrize(
    "text",
    [
        "9^9^9^9", "2^{100000}", r"\pi^{1000000}", "10^{10^{10}}", f"{MAX_FACTORIAL + 1}!", "(99!)!", "((5!)!)!",
        r"\binom{100000}{50000}", r"\exp(10^6)", r"e^{e^{e^{e^e}}}", "2^{" + "9" * 50 + "}", r"x^{99999}",
        r"\sin(10^{99})", "*".join(["999!"] * 3),
    ],
)  # fmt: skip
def test_what_would_grow_beyond_the_limits_is_never_computed(text: str) -> None:
    with pytest.raises(TooBig):
        scalar_key(read(text))


def test_the_limits_leave_room_for_what_people_write() -> None:
    assert key_of("1000!") == ("n", Fraction(math.factorial(1000)))
    assert key_of("2^{2024}") == ("n", Fraction(2**2024))
    assert Fraction(math.factorial(1000)).numerator.bit_length() < MAX_BITS


@pytest.mark.parametrize("text", ["ix < 2", r"\sqrt{-2} x > 1", "0 < ix < 1"])
def test_inequalities_of_complex_numbers_are_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        value_key(text)


AGREE_WITH_MATH_VERIFY = [
    ("0.5", r"\frac{1}{2}"),
    (r"2\sqrt{2}", r"\sqrt{8}"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{2\pi}{4})"),
    (r"\{1\pm\sqrt{5},-2\}", r"\{-2, 1-\sqrt{5}, 1+\sqrt{5}\}"),
    (r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}", r"\begin{pmatrix} 0.2 \\ -3.6 \end{pmatrix}"),
    (r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2)"),
    (r"\cot x", r"\frac{\cos x}{\sin x}"),
    (r"\left[ \frac{\pi^2}{8}, \frac{5 \pi^2}{4} \right]", r"[0.125\pi^2, 1.25\pi^2]"),
    ("5x - 7y + 11z + 4 = 0", "10x - 14y + 22z + 8 = 0"),
    (r"\frac{11+9a}{20}", r"\frac{11}{20}+\frac{9a}{20}"),
    ("3", "4"),
    (r"\sqrt{5}", r"\sqrt{6}"),
    ("x^2+2x+1", "(x+2)^2"),
    ("(1,2)", "(2,1)"),
    ("(3,4]", "[3,4]"),
    (r"\frac{1}{3}", r"\frac{1}{4}"),
    ("2x", "3x"),
]


@pytest.mark.parametrize(("a", "b"), AGREE_WITH_MATH_VERIFY)
def test_agrees_with_math_verify(a: str, b: str) -> None:
    """The slow reference: parse both, compare pairwise, in both directions since it is not symmetric."""
    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable(logging.WARNING)
    try:
        first, second = (parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None) for text in (a, b))
        theirs = verify(first, second, timeout_seconds=None) or verify(second, first, timeout_seconds=None)
    finally:
        logging.disable(logging.NOTSET)
    assert equivalent(a, b) == theirs


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "act"), ("dog", "god"), ("top", "pot"), ("no", "on"), ("UK", "KU"), ("DNA", "AND"), ("10-15", "20-25"),

        ("10 - 15", "20 - 25"),
        ("2010-2015", "2000-2005"), ("1/2/2020", "2/4/2020"), ("2024-01-05", "2018"), ("555-1234", "556-1235"),
    ],
)  # fmt: skip
def test_words_ranges_and_dates_are_no_formulas(one, other):
    assert not equivalent(one, other)
    assert equivalent(one, f" {one} ")


@pytest.mark.parametrize(("one", "other"), [("ab", "ba"), ("xyz", "zyx"), ("15 - 10", "5"), ("1/2/4", "1/8")])
def test_letters_that_are_no_word_are_a_product(one, other):
    assert equivalent(one, other)
