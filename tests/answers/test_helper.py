"""The child process for hard formulas: right answers, killed when slow, no trace left behind."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from fractions import Fraction

import pytest

from ttscale._answers import _helper
from ttscale._answers._helper import decode, encode, key_of, time_limit

SLOW = r"\sum_{k=1}^{999999999} \frac{1}{k^7+\sqrt k}"


@pytest.fixture
def algebra(monkeypatch: pytest.MonkeyPatch) -> Iterator[_helper._Algebra]:
    """A child process of the test's own."""
    mine = _helper._Algebra()
    monkeypatch.setattr(_helper, "_algebra", mine)
    yield mine
    mine.stop()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (r"\sum_{k=1}^{10} k^2", ("n", Fraction(385))),
        (r"\prod_{k=1}^{5} k", ("n", Fraction(120))),
        (r"\int_0^1 x^2 \, dx", ("n", Fraction(1, 3))),
        (r"\lim_{x\to 0}\frac{\sin x}{x}", ("n", Fraction(1))),
        (r"\gcd(12,18)", ("n", Fraction(6))),
        (r"\text{lcm}(4,6)", ("n", Fraction(12))),
        (r"\max(3,5)", ("n", Fraction(5))),
        (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", ("n", Fraction(-2))),
        (
            r"\frac{1}{7}\begin{pmatrix}1\\2\end{pmatrix}",
            ("matrix", (("n", Fraction(1, 7)),), (("n", Fraction(2, 7)),)),
        ),
        (r"\sum_{k=1}^\infty \frac{1}{k^2}", ("n", "1.64493406684822643647241516665")),
        (r"\sum_{k=1}^{3} i k", ("n", "0,6")),
        (r"\unknown{\sum}", None),
        ("x" * (_helper.MAX_FORMULA + 1), None),
    ],
)
def test_keys_of_hard_formulas(text: str, key: object) -> None:
    assert key_of(text) == key


def test_a_slow_formula_is_given_up_and_the_next_one_is_answered(
    algebra: _helper._Algebra, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert key_of(r"\sum_{k=1}^{3} k") == ("n", Fraction(6))
    first = algebra.process
    monkeypatch.setattr(_helper, "SECONDS", 0.2)
    assert key_of(SLOW) is None
    monkeypatch.undo()
    monkeypatch.setattr(_helper, "_algebra", algebra)
    assert key_of(r"\sum_{k=1}^{4} k") == ("n", Fraction(10))
    assert first is not None
    assert first.returncode is not None
    assert algebra.process is not first


def test_all_slow_formulas_of_one_call_share_their_time(
    algebra: _helper._Algebra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_helper, "SECONDS_PER_CALL", 0.2)
    with time_limit():
        assert key_of(SLOW) is None
        with pytest.raises(_helper.OutOfTimeError):
            key_of(r"\sum_{k=1}^{3} k")
    assert key_of(r"\sum_{k=1}^{3} k") == ("n", Fraction(6))


def test_a_child_that_dies_is_replaced(algebra: _helper._Algebra) -> None:
    assert key_of(r"\gcd(4,6)") == ("n", Fraction(2))
    assert algebra.process is not None
    algebra.process.kill()
    algebra.process.wait()
    assert key_of(r"\gcd(4,6)") == ("n", Fraction(2))


class Interrupted:
    """A pipe in whose reading somebody pressed Ctrl-C."""

    def __init__(self, pipe: object) -> None:
        self.close = pipe.close

    def readline(self) -> bytes:
        raise KeyboardInterrupt


def test_an_interrupted_question_does_not_answer_the_next_one(algebra: _helper._Algebra) -> None:
    assert key_of(r"\gcd(4,6)") == ("n", Fraction(2))
    assert algebra.process is not None
    algebra.process.stdout = Interrupted(algebra.process.stdout)
    with pytest.raises(KeyboardInterrupt):
        key_of(r"\gcd(8,12)")
    assert key_of(r"\gcd(6,9)") == ("n", Fraction(3))


def test_without_the_child_there_is_one_warning_and_no_key(
    algebra: _helper._Algebra, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.warns(RuntimeWarning, match="could not start its algebra helper"):
        assert key_of(r"\gcd(4,6)") is None
    assert key_of(r"\gcd(4,6)") is None


def test_a_broken_installation_is_noticed(algebra: _helper._Algebra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_helper, "_CODE", "raise ImportError('no math_verify here')")
    with pytest.warns(RuntimeWarning, match="math-verify"):
        assert key_of(r"\gcd(4,6)") is None


def run(script: str) -> subprocess.CompletedProcess[str]:
    head = f"import sys; sys.path[:] = {sys.path!r}\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", head + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_needs_no_main_guard_and_leaves_nothing_behind() -> None:
    done = run(
        r"""
        from ttscale._answers import equivalent, _helper
        print(equivalent(r"\gcd(4,6)", "2"), _helper._algebra.process.poll())
        """
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True None\n", "", 0)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_forked_process_gets_a_child_of_its_own() -> None:
    done = run(
        r"""
        import os
        from ttscale._answers import _helper
        assert _helper.key_of(r"\gcd(4,6)")[1] == 2
        pid = _helper._algebra.process.pid
        child = os.fork()
        assert _helper.key_of(r"\gcd(9,6)")[1] == 3
        assert (_helper._algebra.process.pid == pid) == bool(child)
        if child:
            assert os.waitpid(child, 0)[1] == 0
            assert _helper.key_of(r"\gcd(8,12)")[1] == 4
            print("fine")
        """
    )
    assert (done.stdout, done.stderr, done.returncode) == ("fine\n", "", 0)


def test_the_child_leaves_when_its_parent_does() -> None:
    code = f"import sys; sys.path[:] = {sys.path!r}; from ttscale._answers._algebra import main; main()"
    child = subprocess.run(
        [sys.executable, "-c", code], input=b'"\\\\gcd(4,6)"\n', capture_output=True, timeout=120, check=True
    )
    assert child.stdout == b'ready\n["n", {"q": "2"}]\n'


def test_keys_survive_the_wire() -> None:
    key = ("set", ("n", Fraction(-1, 3)), ("matrix", (("n", "0.5,1"), ("n", Fraction(2))), ()))
    assert decode(encode(key)) == key
