"""Whatever a model writes: no exception, and no input that hangs: 20 s, far above the promise, for a busy machine."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ttscale.answers import answer_classes, equivalent, extract_answer
from ttscale.answers.extraction import MAX_TEXT
from ttscale.answers.keys import key_of, value_key
from ttscale.answers.normalize import clean
from ttscale.answers.tree import Unreadable
from ttscale.answers.wrappers import MAX_ANSWER

hostile = settings(
    deadline=timedelta(seconds=20),
    max_examples=400,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TABLE = r"""
( [ { } ) \ \\ \boxed{ \boxed \fbox{ <think> </think> <answer> answer Answer: #### # A: $ $$ \( \[ 9^ 9! ! - + 1 1,
1,000 0. . x x^ x_ \frac \frac{ \frac1 \sqrt \sqrt[ \sqrt{ \text{ \text{a} = x= < x< \le \pm \cup \sin \log_ | % \%
^\circ \, \! ~ \left \left( \right. ** __ ` " é ½ ² 𝟙 ﷺ \begin{pmatrix} & \begin{array} \{ {1, [1, (1, 1/ x/ * \cdot
2( -( \in 10^ 9e9 _8 1_ f( e^ i^ \overline \sum_{k=1}^ \int \lim \binom \begin{vmatrix} \det \gcd(
"""
UNITS = TABLE.split()
WORDS = [
    "\n",
    " ",
    "\t",
    "\x00",
    "\u200b",
    "\nA: ",
    "the answer is ",
    "is ",
    "answer is not ",
    "therefore ",
    "and ",
    "or ",
]
WORDS += ["x in ", "5 cm ", "because ", "$5 and ", "(A) ", "x=1,", "1 000 ", "The correct option is "]
PIECES = st.sampled_from(UNITS + WORDS) | st.text(max_size=3)


def judge(text: str) -> None:
    """All the library does with a text: find its answer, compare it, group it, and the text itself as an answer."""
    answer = extract_answer(text)
    assert answer is None or 0 < len(answer) <= MAX_ANSWER
    first, second, found, again, _ = answer_classes([text, text, answer, answer, "5"])
    assert first == second
    assert found == again
    assert (found is None) == (answer is None)
    assert equivalent(text, "5") == equivalent("5", text)
    with contextlib.suppress(Unreadable):  # nothing else may be raised
        value_key(clean(text[:MAX_ANSWER]))


@hostile
@given(st.text())
def test_any_text(text: str) -> None:
    judge(text)


@hostile
@given(st.lists(PIECES, max_size=40).map("".join))
def test_pieces_of_answers(text: str) -> None:
    judge(text)


@hostile
@given(
    st.lists(PIECES, max_size=12).map("".join), st.sampled_from([r"so \boxed{%s}", "Answer: %s", "the answer is %s."])
)
def test_pieces_where_an_answer_stands(text: str, frame: str) -> None:
    judge(frame.replace("%s", text))


@settings(hostile, max_examples=150)
@given(PIECES, st.sampled_from([MAX_ANSWER, MAX_ANSWER // 2, MAX_TEXT]), st.sampled_from(["", "5", "}", ")", "\n"]))
def test_one_piece_many_times(piece: str, length: int, end: str) -> None:
    judge(piece * (length // max(len(piece), 1)) + end)


HOSTILE = [
    "9^9^9^9^9",
    r"9^{9^{9^{9}}}",
    "1000!!!!!!!",
    "((1000!)!)!",
    r"\binom{10^9}{5\cdot 10^8}",
    "2^{" + "9" * 900 + "}",
    "9" * 1_000_000,
    "0." + "3" * 900,
    "1e999999999",
    r"10^{-999999999}",
    "(" * 500 + "1" + ")" * 400,
    "{" * 300 + "1" + "}" * 300,
    r"\sqrt{" * 300 + "2" + "}" * 300,
    r"\frac{1}{" * 200 + "2" + "}" * 200,
    "-" * 900 + "1",
    "1" + "+1" * 400,
    "x" + "^x" * 400,
    r"\pm" * 300 + "1",
    ",".join(["1"] * 400),
    ",".join(rf"\sqrt{{{n}}}" for n in range(99)),
    r"\boxed{" * 100_000,
    r"\boxed{1}" * 100_000,
    "<think>" * 100_000,
    "</think>" * 100_000,
    "Answer: " * 100_000,
    "the answer is " * 60_000,
    "\\" * 1_000_000,
    "\n" * 1_000_000,
    "answer" + " " * 1_000_000 + ":",
    "\ud800",
    "\x00\x01\x02",
    "٣",
    "１２３",
    "𝟏𝟐𝟑",
    "x\u0301",
    "\u202e5\u202c",
    "ﷺ" * 900,
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "lambda: 0",
    r"\operatorname{eye}(100000)",
    r"\sum_{k=1}^{999999999} \frac{1}{k^7+\sqrt k}",
    r"\int \int \int \int \int \int \int \int \int x",
    r"\prod_{n=1}^{10^9} n^{n^n}",
    r"\det\begin{pmatrix}" + r"1&2\\" * 40 + r"\end{pmatrix}",
    r"\lim_{x\to\infty} x^{x^{x^x}}",
    r"\begin{vmatrix}" * 30,
    r"\gcd(10^{999}, 10^{998})",
    "a" * 300 + "? = 5",  # a name in letters, where each way to cut it was tried
    r"\alpha" * 100 + "? = 5, 1",
    r"\max(" + ",".join("abcdfghjklmnopqr") + ")",  # trees that doubled with each argument, factor or level
    r"\max(x," + ",".join(map(str, range(1, 16))) + ")",
    r"\sum_{k=1}^{199}\max(x,k,y)",
    "+".join([r"\sum_{k=1}^{199} |k-x|"] * 30),
    "+".join([r"\sum_{k=1}^{199} \sqrt{k+x}"] * 30),
    r"x \bmod " * 60 + "7",
    "|x-" * 30 + "1" + "|" * 30,
    r"\begin{pmatrix}x&1\\1&x\end{pmatrix}" * 24,
    r"\begin{pmatrix}x+1&x+1\\x+1&x+1\end{pmatrix}" * 18,
    "x^{1/65536}+" * 20 + "1",
    "x(1+" * 35 + "1" + ")" * 35,
    r"1\frac{x+" * 30 + "1" + "}{2}" * 30,
    ("Answer: first we see 5 and 7 here. So it 5 5 " + "111," * 1000 + " a!\n") * 50,
]


def test_what_takes_too_much_work_is_text_whatever_was_read_before() -> None:
    much = "+".join(rf"\sum_{{k=1}}^{{199}} |k-x-{n}|" for n in range(3))
    assert key_of(much)[0] == "text"
    assert key_of(r"\sum_{k=1}^{199} |k-x-0|")[0] == "f"
    assert key_of(much)[0] == "text"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_known_attacks(text: str) -> None:
    @settings(deadline=timedelta(seconds=20), max_examples=1)
    @given(st.just(text))
    def within_the_deadline(text: str) -> None:
        judge(text)

    within_the_deadline()
