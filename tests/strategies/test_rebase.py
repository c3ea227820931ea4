"""REBASE shares out children in proportion to softmax of scores: against exact fractions and the paper's rounding."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.test_step_search import asked
from ttscale.strategies import Beam, Rebase
from ttscale.testing import FakeGenerator, FakeVerifier, ToyLM, ToyVerifier, ToyWorld, waves

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@given(SCORES, st.integers(1, 70), st.sampled_from([0.05, 0.1, 1.0, 10.0]))
def test_expected_children(scores: list[float], slots: int, temperature: float) -> None:
    """B e^(R/T) / sum: each gets the whole number below or above, and together they get B (by exact arithmetic)."""
    top = max(scores)
    weights = [Fraction(math.exp((score - top) / temperature)) for score in scores]
    shares = [slots * weight / sum(weights) for weight in weights]
    children = Rebase(temperature).allocate(scores, slots)
    assert sum(children) == slots
    slack = Fraction(1, 10**9)
    for child, share in zip(children, shares, strict=True):
        assert share - 1 - slack < child < share + 1 + slack
    # Who was rounded up has no smaller a fraction left over than who was not.
    up = [share - math.floor(share) for child, share in zip(children, shares, strict=True) if child > share]
    down = [share - math.floor(share) for child, share in zip(children, shares, strict=True) if child < share]
    assert not up or not down or min(up) >= max(down) - slack


def test_where_the_paper_s_rounding_adds_up_it_is_the_same() -> None:
    """Equation 3: W_j = Round(B softmax(R_j / T))."""
    met = 0
    for i in range(300):
        scores = [(7 * i + 13 * j * j) % 101 / 100 for j in range(6)]
        total = sum(math.exp(score / 0.1) for score in scores)
        rounded = [round(16 * math.exp(score / 0.1) / total) for score in scores]
        if sum(rounded) == 16:
            met += 1
            assert Rebase().allocate(scores, 16) == rounded
    assert met > 50


def test_hot_is_even_and_cold_is_greedy() -> None:
    scores = [0.1, 0.9, 0.5, 0.7]
    assert Rebase(1e9).allocate(scores, 8) == [2, 2, 2, 2]
    assert Rebase(1e-9).allocate(scores, 8) == [0, 8, 0, 0]
    # Equal ones share, and what is left over goes to the first.
    assert Rebase(1e-9).allocate([0.5, 0.5, 0.1], 5) == [3, 2, 0]


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-300])
def test_however_cold_it_is_the_best_gets_everything(temperature: float) -> None:
    assert Rebase(temperature).allocate([0.5, 1.0, 0.0, 0.9], 7) == [0, 7, 0, 0]
    assert Rebase(temperature).allocate([0.0, 0.0], 3) == [2, 1]
    assert Rebase(temperature).allocate([-1.0, -1.0, -1.0], 3) == [1, 1, 1]


def test_a_round_by_hand() -> None:
    """Two of four end or not; the slots of the finished are not shared out."""
    texts = {
        "": ["a\n", "b\n", "c\n", "Answer: 1"],
        "a\n": ["Answer: 2"] * 3,
        "b\n": ["Answer: 3"],
        "c\n": ["Answer: 4"],
    }

    def reply(request: Any) -> str:
        text = texts[request.prefix.text][request.key.path[-1]]
        return request.prefix.text + text + ("(more)" if text.endswith("\n") else "")

    marks = {"a\n": 0.9, "b\n": 0.75, "c\n": 0.1}
    # 3 slots: e^9 : e^7.5 : e^1 = 2.452 : 0.547 : 0.001, so 2, 0, 0 and one more for the largest fraction, b's.
    roles: Any = {
        "generator": FakeGenerator(reply),
        "verifier": FakeVerifier(lambda request: marks.get(request.candidate.text, 0.5)),
    }
    seen, outcome = waves(Rebase(), 4, roles=roles, question=ToyWorld.questions(1)[0])
    assert asked(seen)[2] == [("sample", "a\n"), ("sample", "a\n"), ("sample", "b\n")]
    assert [c.answer for c in outcome.candidates] == ["1", "2", "2", "3"]
    assert outcome.chosen == 1


def test_a_cold_one_is_a_beam_that_keeps_one() -> None:
    """Given that no two prefixes are equal, and so no two scores."""
    world = ToyWorld(p=0.6, depth=4, ways=10**9, wrong=100, hasty=0.3)
    roles: Any = {"generator": ToyLM(world), "verifier": ToyVerifier(world, noise=0.5)}
    for question in ToyWorld.questions(20):
        cold, beam = (waves(strategy, 9, question=question, roles=roles)[1] for strategy in (Rebase(1e-9), Beam(9)))
        assert [c.text for c in cold.candidates] == [c.text for c in beam.candidates]


@pytest.mark.parametrize("temperature", [0, -1.0, math.inf, math.nan, "hot"])
def test_temperatures_that_make_no_sense_are_refused(temperature: Any) -> None:
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        Rebase(temperature)
