"""Near misses: 20,000 pairs that differ by a digit, a sign, a name, a word or an order, checked by sympy where it can.

Formulas are made here as sympy expressions and written as LaTeX, so that the right verdict has a source of its own:
two expressions are the same when sympy's difference is 0 at exact rational points on both sides of every corner.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from fractions import Fraction

import pytest
import sympy

from answers.rewritings import rewritings
from real_data import rows
from ttscale.answers import equivalent, extract_answer
from ttscale.answers.keys import key_of

X = sympy.Symbol("x", real=True)
POINTS = [sympy.Rational(n, 7) for n in range(-150, 151)] + [
    sympy.Integer(10**k * s) for k in (2, 3, 5) for s in (1, -1)
]


def formula(rng: random.Random) -> tuple[str, sympy.Expr]:
    """A formula in x with corners, as LaTeX and as sympy knows it."""
    a, b, c = rng.randint(1, 9), rng.randint(1, 9), rng.randint(2, 9)
    kind = rng.randrange(6)
    if kind == 0:
        return rf"\lfloor \frac{{{a}x}}{{{c}}} \rfloor + {b}", sympy.floor(sympy.Rational(a, c) * X) + b
    if kind == 1:
        return rf"|x - {a}| + {b}x", sympy.Abs(X - a) + b * X
    if kind == 2:
        return rf"\max({a}x, {b})", sympy.Max(a * X, b)
    if kind == 3:
        return rf"\min(x, {a}) - {b}", sympy.Min(X, a) - b
    if kind == 4:
        return rf"\sqrt{{(x - {a})^2}} - {b}x", sympy.sqrt((X - a) ** 2) - b * X
    return rf"\lceil x - {a} \rceil \cdot |{b} - x|", sympy.ceiling(X - a) * sympy.Abs(b - X)


def same(a: sympy.Expr, b: sympy.Expr) -> bool:
    """Whether two formulas agree at all points, exactly."""
    return all((a - b).subs(X, point) == 0 for point in POINTS)


def test_formulas_with_corners_are_equal_exactly_when_sympy_says_so() -> None:
    rng = random.Random(0)
    made = [formula(rng) for _ in range(250)]
    keys = {text: key_of(text) for text, _ in made}
    values = {text: tuple(tree.subs(X, point) for point in POINTS[::9]) for text, tree in made}
    pairs = [(a, b) for i, a in enumerate(made) for b in made[:i]]
    assert len(pairs) > 20_000
    for (a, tree), (b, other) in pairs:
        equal = values[a] == values[b] and same(tree, other)
        if keys[a] == keys[b]:
            assert equal, (a, b)
        assert keys[a][0] == "f"


@pytest.mark.parametrize("seed", range(4))
def test_formulas_with_corners_equal_what_they_are_rewritten_to(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(25):
        a, b = rng.randint(1, 9), rng.randint(1, 9)
        for one, other in (
            (rf"|x-{a}|+{b}x", rf"{b}x + |{a}-x|"),
            (rf"\max({a}x,{b})", rf"\max({b}, {a}x)"),
            (rf"\lfloor x \rfloor + {a}", rf"\lfloor x + {a} \rfloor"),
            (rf"\sqrt{{(x-{a})^2}}", rf"\left|{a}-x\right|"),
            (rf"|{a}x|", rf"{a}|x|"),
            (rf"\lceil x \rceil - {a}", rf"-\lfloor {a} - x \rfloor"),
        ):
            assert equivalent(one, other), (one, other)


def changed(text: str) -> Iterator[str]:
    """``text`` with one digit or sign changed, where that cannot mean the same."""
    for at in (found.start() for found in re.finditer(r"(?<![_^{0-9])[0-9](?![}]?$)", text)):
        yield text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]
    if re.fullmatch(r"[1-9][0-9.]*|\\frac\{[0-9]+\}\{[0-9]+\}", text):
        yield f"-{text}"


def number(text: str) -> Fraction | None:
    """The value of a plain number, read here and not by the library."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    found = re.fullmatch(r"(-?)\\frac\{(\d+)\}\{(\d+)\}", plain)
    if found and int(found[3]):
        return Fraction(int(found[1] + found[2]), int(found[3]))
    return Fraction(plain) if re.fullmatch(r"-?\d+(?:\.\d+)?", plain) else None


def test_references_with_one_thing_changed_are_apart() -> None:
    answers = [row["answer"] for row in rows("math500.jsonl")]
    answers += [str(extract_answer(row["answer"])) for row in rows("gsm8k_test.jsonl")]
    count = 0
    for answer in answers:
        for near in changed(answer):
            a, b = number(answer), number(near)
            if a is not None and a == b:
                continue
            count += 1
            assert not equivalent(answer, near), (answer, near)
    assert count > 2_500


FRAMES = [
    "{a} h {b} min", "{a} ft {b} in", "{a} to {b}", "{a} R {b}", "x = {a}, y = {b}", "AB = {a}, BC = {b}", "{a}_{b}",
    "({a}, {b})", "{a} out of {b}", "({a},{b}]", "{a}:{b}", "{a} (mod {b})", r"x \equiv {a} \pmod{{{b}}}", "C{a}H{b}",
    "{a} dollars and {b} cents", "{a}.{b} x", "{a} remainder {b}", r"{a} \le x < 1{b}", r"\{{1, ({a}, {b})\}}",
]  # fmt: skip


def test_frames_with_other_numbers_or_another_order_are_apart() -> None:
    pairs = [(a, b) for a in range(2, 8) for b in range(2, 8) if a != b]
    for frame in FRAMES:
        keys = {key_of(frame.format(a=a, b=b)): (a, b) for a, b in pairs}
        assert len(keys) == len(pairs), frame


def test_words_that_change_an_answer_keep_it_apart() -> None:
    listed = "increase decrease noon midnight halves even odd north south left right more less early late above below"
    words = [*listed.split(), "BC", "AD", "million", "billion", "squared", "cubed"]
    for number_ in ("5", "12"):
        keys = {key_of(f"{number_} {word}"): word for word in ["", *words]}
        assert len(keys) == len(words) + 1


def test_references_equal_their_rewritings() -> None:
    answers = {row["answer"] for row in rows("math500.jsonl")}
    pairs = [(a, b) for a in answers for b in rewritings(a)]
    assert sum(equivalent(a, b) for a, b in pairs) >= 0.999 * len(pairs)
