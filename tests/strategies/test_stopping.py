"""Best-of-N that stops: its expected gain against scipy's integrals, its rule against a loop."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from ttscale import Question
from ttscale.strategies import BestOfNStopping
from ttscale.strategies.best_of_n_stopping import expected_gain
from ttscale.strategies.student import excess, tail
from ttscale.testing import FakeGenerator, FakeVerifier, waves


@pytest.mark.parametrize("degrees", [2, 3, 4, 9, 40, 1001])
def test_student_s_tail_and_excess(degrees: int) -> None:
    for z in (-5.0, -0.3, 0.0, 0.7, 2.5, 30.0):
        assert tail(z, degrees) == pytest.approx(stats.t.sf(z, degrees), abs=1e-12)
        wanted = integrate.quad(lambda x, z=z: stats.t.sf(x, degrees), z, math.inf)[
            0
        ]  # E (X - z)+ = integral of P(X > x)
        assert excess(0.0, 1.0, degrees, z) == pytest.approx(wanted, abs=1e-7)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_expected_gain_by_quadrature(scores: list[float]) -> None:
    """The predictive of a normal-inverse-chi-squared model (0.5, 1, 1, 0.1), cut at 1."""
    n, mean = len(scores), sum(scores) / len(scores)
    squares = sum((x - mean) ** 2 for x in scores) + n / (n + 1) * (mean - 0.5) ** 2
    scale = math.sqrt((0.1 + squares) / (n + 1) * (1 + 1 / (n + 1)))
    predictive = stats.t(n + 1, (0.5 + n * mean) / (n + 1), scale)
    wanted = integrate.quad(predictive.sf, max(scores), 1.0)[0]
    assert expected_gain(scores) == pytest.approx(wanted, abs=1e-7)


def test_it_stops_where_the_rule_says_so() -> None:
    for i in range(60):
        dice = Random(i)
        marks = [dice.choice([0.1, 0.3, 0.5, 0.8, 0.95, 1.0]) for _ in range(30)]
        roles: Any = {
            "generator": FakeGenerator("Answer: 1"),
            "verifier": FakeVerifier(lambda q, marks=marks: marks[q.candidate.key.path[-1]]),
        }
        outcome = waves(BestOfNStopping(0.02), 30, roles=roles, question=Question(f"q{i}", "?"))[1]
        wanted = next((n for n in range(1, 30) if expected_gain(marks[:n]) < 0.02), 30)
        assert len(outcome.candidates) == wanted
        assert outcome.scores[outcome.chosen or 0] == max(marks[:wanted])
        assert outcome.note == f"drew {wanted} of 30"


def test_a_perfect_score_ends_it_and_a_draw_that_costs_nothing_never_does() -> None:
    roles: Any = {"generator": FakeGenerator("Answer: 1"), "verifier": FakeVerifier(1.0)}
    assert len(waves(BestOfNStopping(1e-9), 20, roles=roles)[1].candidates) == 1
    assert len(waves(BestOfNStopping(0), 20, roles=roles)[1].candidates) == 20
    # What costs more than there is to win is looked at once.
    roles = {"generator": FakeGenerator("Answer: 1"), "verifier": FakeVerifier(0.0)}
    assert len(waves(BestOfNStopping(1.0), 20, roles=roles)[1].candidates) == 1


def test_dearer_draws_are_fewer_draws() -> None:
    counts = [
        sum(len(waves(BestOfNStopping(cost), 32, question=Question(f"q{i}", "?"))[1].candidates) for i in range(20))
        for cost in (0.1, 0.03, 0.01, 0.003)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@pytest.mark.parametrize("bad", [{"cost": -0.1}, {"cost": math.nan}, {"cost": "much"}, {"wave": 0}, {"wave": 1.5}])
def test_settings_that_make_no_sense_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        BestOfNStopping(**bad)
