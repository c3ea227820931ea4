"""Recursive self-aggregation where aggregation is right with a known chance: against the exact Markov chain."""

from __future__ import annotations

import math
from math import comb
from random import Random
from typing import Any

import pytest

from ttscale import Question, Revise
from ttscale.strategies import RecursiveAggregation
from ttscale.testing import FakeReviser, waves

FIRST = 0.4
QUESTIONS = 600


def chance(right: int, shown: int) -> float:
    """Aggregation mostly takes the majority of what it is shown, and may be right where none of it is."""
    return FIRST if shown == 0 else (0.05, 0.35, 0.8, 0.97)[right]


def exact(population: int, k: int, rounds: int) -> float:
    """P(more than half of the last population is right): every member has a subset of its own, so it is binomial."""
    state = binomial(population, FIRST)
    for _ in range(rounds - 1):
        after = [0.0] * (population + 1)
        for right, mass in enumerate(state):
            one = sum(
                comb(right, j) * comb(population - right, k - j) / comb(population, k) * chance(j, k)
                for j in range(k + 1)
            )
            for s, share in enumerate(binomial(population, one)):
                after[s] += mass * share
        state = after
    return sum(state[population // 2 + 1 :])


def binomial(n: int, p: float) -> list[float]:
    return [comb(n, s) * p**s * (1 - p) ** (n - s) for s in range(n + 1)]


def reply(request: Revise) -> str:
    shown = [attempt for attempt in request.attempts if attempt.steps]
    right = sum(attempt.answer == "1" for attempt in shown)
    return "Answer: 1" if Random(request.key.seed).random() < chance(right, len(shown)) else "Answer: 2"


@pytest.mark.parametrize(("population", "rounds"), [(5, 1), (5, 2), (7, 4)])
def test_as_often_right_as_the_chain_says(population: int, rounds: int) -> None:
    strategy = RecursiveAggregation(population, 3, rounds)
    roles: Any = {"reviser": FakeReviser(reply)}
    right = 0
    for i in range(QUESTIONS):
        outcome = waves(strategy, population * rounds, roles=roles, question=Question(f"q{i}", "?"))[1]
        assert outcome.chosen is not None
        right += outcome.candidates[outcome.chosen].answer == "1"
    expected = exact(population, 3, rounds)
    assert abs(right / QUESTIONS - expected) < 4 * math.sqrt(expected * (1 - expected) / QUESTIONS)


def test_every_member_sees_k_different_solutions_of_the_round_before() -> None:
    seen, outcome = waves(RecursiveAggregation(6, 4, 3), 18)
    rounds = [[request for request, _ in wave] for wave in seen]
    assert [len(wave) for wave in rounds] == [6, 6, 6]
    drawn = outcome.candidates
    for number, wave in enumerate(rounds[1:], 1):
        before = {candidate.key for candidate in drawn[6 * (number - 1) : 6 * number] if candidate.done}
        for request in wave:
            assert isinstance(request, Revise)
            keys = [attempt.key for attempt in request.attempts]
            assert len(set(keys)) == len(keys) == min(4, len(before))
            assert set(keys) <= before
            assert all(not attempt.attempts for attempt in request.attempts)
    assert outcome.chosen is not None
    assert outcome.chosen >= 12  # only the last population votes


@pytest.mark.parametrize(
    ("strategy", "n", "sizes"),
    [
        (RecursiveAggregation(), 160, (16, 10)),
        (RecursiveAggregation(), 16, (5, 3)),
        (RecursiveAggregation(), 1, (1, 1)),
        (RecursiveAggregation(16, 4, 10), 160, (16, 10)),
        (RecursiveAggregation(16, 4, 10), 64, (16, 4)),
        (RecursiveAggregation(16, 4, 10), 7, (7, 1)),
        (RecursiveAggregation(population=4), 64, (4, 16)),
        (RecursiveAggregation(rounds=4), 66, (16, 4)),
        (RecursiveAggregation(rounds=4), 3, (1, 3)),
    ],
)
def test_what_n_is_spent_on(strategy: RecursiveAggregation, n: int, sizes: tuple[int, int]) -> None:
    assert strategy.sizes(n) == sizes


@pytest.mark.parametrize("bad", [{"population": 0}, {"k": 0}, {"k": None}, {"rounds": 1.5}, {"rounds": True}])
def test_settings_that_make_no_sense_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be a positive integer"):
        RecursiveAggregation(**bad)
