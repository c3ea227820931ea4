"""The slipping student: right arithmetic when told not to slip, and slips at the rates that the model card states."""

from __future__ import annotations

import random

from tools.reference_models import student as _student

from ttscale import reference
from ttscale.reference.expressions import apply, read, show


def test_without_slips_every_solution_is_right() -> None:
    rng = random.Random(0)
    for problem in reference.questions(50, split="train", seed=9):
        assert reference.answer_of(_student.attempt(rng, read(problem.prompt), slips=False)) == problem.answer


def test_a_solution_has_one_line_per_operation_and_an_answer() -> None:
    assert _student.attempt(random.Random(0), read("Compute (17 + 5) * 3 - 48"), slips=False) == (
        "22 * 3 - 48\n66 - 48\n18\nAnswer: 18"
    )


def test_misconceptions_strike_at_their_rate_and_always_alike() -> None:
    rng = random.Random(1)
    items = [6, "*", 7, "+", 1]
    believed = _student.misconception(6, "*", 7)
    assert believed == 48
    outcomes = [show(_student.step(rng, items)) for _ in range(4000)]
    assert set(outcomes) == {"48 + 1", "42 + 1"}
    share = outcomes.count("48 + 1") / len(outcomes)
    assert abs(share - _student.MISCONCEIVED) < 0.035  # 4.5 standard errors


def test_sloppy_slips_are_rare_and_varied() -> None:
    rng = random.Random(2)
    items = [12, "+", 13, "-", 44]
    assert _student.misconception(12, "+", 13) is None
    wrong = [line for line in (show(_student.step(rng, items)) for _ in range(6000)) if line != "25 - 44"]
    assert abs(len(wrong) / 6000 - _student.SLOPPY) < 0.015  # 4.7 standard errors
    assert len(set(wrong)) >= 5


def test_a_misconception_is_never_the_right_value() -> None:
    for left in range(-30, 100):
        for right in range(-30, 100):
            for symbol in "+-*":
                assert _student.misconception(left, symbol, right) != apply(left, symbol, right)
