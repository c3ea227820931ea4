"""Pairwise and listwise selection against simulations that share no code with it."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from ttscale import Compare, Question
from ttscale.strategies import GenSelect, Tournament
from ttscale.strategies.gen_select import split
from ttscale.strategies.pairing import pairing
from ttscale.testing import FakeComparator, FakeGenerator, waves

RUNS = 800


def strength(i: int, run: int) -> float:
    return Random(f"{run}/{i}").random()


def roles(run: int, skill: float) -> Any:
    """Every solution states its number; the comparator names the stronger with chance ``skill``, whoever they are."""

    def compare(request: Compare) -> int:
        numbers = [int(candidate.answer or 0) for candidate in request.candidates]
        ranked = sorted(range(len(numbers)), key=lambda j: -strength(numbers[j], run))
        dice = Random(request.key.seed)
        return ranked[0] if dice.random() < skill else dice.choice(ranked[1:])

    return {
        "generator": FakeGenerator(lambda request: f"Answer: {request.key.path[-1]}"),
        "comparator": FakeComparator(compare),
    }


def best_found(strategy: Any, n: int, skill: float) -> float:
    found = 0
    for run in range(RUNS):
        outcome = waves(strategy, n, roles=roles(run, skill), question=Question(f"q{run}", "?"))[1]
        found += outcome.chosen == max(range(n), key=lambda i: strength(i, run))
    return found / RUNS


def simulated(n: int, skill: float, rounds: int, top: int) -> float:
    """Swiss rounds on bare numbers, player 0 the best: written again, with a table of who has met whom."""
    dice, found, runs = Random(7), 0, 4000
    for _ in range(runs):
        names = list(range(n))
        dice.shuffle(names)  # where in the draw each of them stands
        score, met = [0.0] * n, [[False] * n for _ in range(n)]

        def beats(a: int, b: int, names: Any = names) -> bool:
            return (names[a] < names[b]) == (dice.random() < skill)

        for _ in range(rounds):
            order, busy = sorted(range(n), key=lambda p: (-score[p], p)), [False] * n
            for place, a in enumerate(order):
                for b in order[place + 1 :]:
                    if not busy[a] and not busy[b] and not met[a][b]:
                        met[a][b] = met[b][a] = busy[a] = busy[b] = True
                        score[a if beats(a, b) else b] += 1
            for a in range(n):
                score[a] += 0.0 if busy[a] else 0.5
        final = sorted(range(n), key=lambda p: (-score[p], p))[:top]
        for i, a in enumerate(final):
            for b in final[i + 1 :]:
                score[a if beats(a, b) else b] += 1
        winner = max(final, key=lambda p: (score[p], -p))
        found += names[winner] == 0
    return found / runs


@pytest.mark.parametrize(("rounds", "top"), [("swiss", 1), ("swiss", 4), (6, 1)])
def test_swiss_rounds_find_the_best_of_16_as_often_as_a_simulation(rounds: Any, top: int) -> None:
    """With a comparator that is right at 0.8; 4 rounds by default."""
    expected = simulated(16, 0.8, 4 if rounds == "swiss" else rounds, top)
    got = best_found(Tournament(rounds, top), 16, 0.8)
    assert abs(got - expected) < 4 * math.sqrt(expected * (1 - expected) * (1 / RUNS + 1 / 4000))
    assert got > 0.3


@pytest.mark.parametrize(
    "strategy", [Tournament(), Tournament("all"), Tournament(2, top=16), GenSelect(), GenSelect(3)]
)
def test_who_is_always_right_finds_the_best(strategy: Any) -> None:
    for n in (1, 2, 5, 16):
        for run in range(20):
            outcome = waves(strategy, n, roles=roles(run, 1.0), question=Question(f"q{run}", "?"))[1]
            assert outcome.chosen == max(range(n), key=lambda i: strength(i, run))


def test_everyone_meets_everyone_once() -> None:
    seen, outcome = waves(Tournament("all"), 7, roles=roles(0, 1.0))
    pairs = [tuple(c.answer for c in q.candidates) for wave in seen for q, _ in wave if isinstance(q, Compare)]
    assert len(pairs) == len(set(pairs)) == 21
    assert sorted(outcome.scores, key=lambda s: s or 0) == [i / 6 for i in range(7)]


def test_nobody_meets_twice_in_swiss_rounds_and_who_is_odd_sits_out() -> None:
    played: set[tuple[int, int]] = set()
    for _ in range(4):
        pairs = pairing(range(5), played)
        assert not played & set(pairs)
        assert len({i for pair in pairs for i in pair}) == 2 * len(pairs)
        played |= set(pairs)
    seen, _ = waves(Tournament(), 16, roles=roles(0, 0.8))
    asked = [tuple(c.answer for c in q.candidates) for wave in seen for q, _ in wave if isinstance(q, Compare)]
    assert len(asked) == len(set(asked)) == 32
    assert [len(wave) for wave in seen] == [16, 8, 8, 8, 8]


def test_listwise_by_the_closed_form() -> None:
    """Right with chance s in its group of 4 and again among 4 winners: s^2 for 16 in groups of 4."""
    got = best_found(GenSelect(4), 16, 0.8)
    assert abs(got - 0.64) < 4 * math.sqrt(0.64 * 0.36 / RUNS)


def test_groups_are_as_equal_as_can_be() -> None:
    for n in range(1, 70):
        for most in range(2, 12):
            groups = split(range(n), most)
            assert [i for group in groups for i in group] == list(range(n))
            sizes = [len(group) for group in groups]
            assert max(sizes) <= most
            assert max(sizes) - min(sizes) <= 1
            assert len(sizes) == math.ceil(n / most)


def test_what_is_not_finished_does_not_play() -> None:
    def reply(request: Any) -> str:
        return "Answer: 1" if request.key.path[-1] == 2 else ""

    given: Any = {"generator": FakeGenerator(reply), "comparator": FakeComparator(AssertionError("nobody to compare"))}
    for strategy in (Tournament(), Tournament("all"), GenSelect()):
        outcome = waves(strategy, 4, roles=given)[1]
        assert outcome.chosen == 2


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Tournament(0), 'rounds must be "swiss", "all" or a positive integer; got 0'),
        (lambda: Tournament("knockout"), "rounds must be .* got 'knockout'"),  # type: ignore[arg-type]
        (lambda: Tournament(top=0), "top must be a positive integer; got 0"),
        (lambda: GenSelect(1), "group must be a whole number from 2 to 26"),
        (lambda: GenSelect(27), "group must be a whole number from 2 to 26"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()


def test_points_that_differ_by_rounding_alone_are_equal() -> None:
    """Everyone meets everyone, with weights in tenths: the winner by exact fractions, of equal ones the first."""
    ties = 0
    for run in range(300):
        dice = Random(run)
        n = dice.choice([3, 4, 5])
        tenths = {(a, b): dice.randint(1, 9) for a in range(n) for b in range(a + 1, n)}

        def compare(request: Compare, tenths: Any = tenths) -> tuple[float, float]:
            a, b = (int(candidate.key.path[-1]) for candidate in request.candidates)
            return tenths[a, b] / 10, 1 - tenths[a, b] / 10

        given = {
            "generator": FakeGenerator(lambda request: f"Answer: {request.key.path[-1]}"),
            "comparator": FakeComparator(compare),
        }
        outcome = waves(Tournament("all"), n, roles=given, question=Question(f"q{run}", "?"))[1]
        points = [sum(w if i == a else 10 - w for (a, b), w in tenths.items() if i in (a, b)) for i in range(n)]
        assert outcome.chosen == points.index(max(points))
        ties += points.count(max(points)) > 1
    assert ties > 20
