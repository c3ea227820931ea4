"""Strategies that decide while they spend: the stopping rule against its integral, what they spend, what is next."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from random import Random
from typing import Any

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betainc

import ttscale
from evaluation.worlds import Examiner, Problem, Student, problems
from ttscale.answers import number, text
from ttscale.api.result import Result
from ttscale.core.requests import Completion, Sample, Score, Verdict
from ttscale.core.types import Question, Step
from ttscale.strategies import (
    AdaptiveConsistency,
    AdaptiveScheduler,
    Beam,
    ComputeOptimalScheduler,
    MajorityVote,
    Policy,
    SequentialRevision,
    WeightedBestOfN,
    default_policy,
)
from ttscale.strategies.adaptive import chance_to_lead, marginal_budgets
from ttscale.testing import FakeGenerator


class Scripted:
    """Draws the answers of a script, the i-th for the i-th key; a "-" is cut off. Scores are the script's too."""

    def __init__(self, answers: str, scores: Sequence[float] = ()) -> None:
        self.answers, self.scores, self.place = answers, scores, 0

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        found = []
        for _ in requests:
            answer = self.answers[self.place % len(self.answers)]
            self.place += 1
            steps = (Step(f"Answer: {answer}", (self.place,)),)
            found.append(Completion(steps, "length" if answer == "-" else "stop"))
        return found

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        places = [request.candidate.tokens[0] - 1 for request in requests]
        return [Verdict((self.scores[place % len(self.scores)],)) for place in places]


def ask(strategy: ttscale.Strategy, budget: int, script: Scripted) -> Result:
    return ttscale.solve("?", budget, generator=script, verifier=script, strategy=strategy)


def upper_half(a: float, b: float) -> float:
    """The same chance by mpmath."""
    with mpmath.workdps(60):
        return float(mpmath.betainc(a + 1, b + 1, 0.5, 1, regularized=True))


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_closed_form_is_the_beta_integral(a: int, b: int) -> None:
    assert chance_to_lead(a, b) == pytest.approx(1 - betainc(a + 1, b + 1, 0.5), abs=1e-12)


@given(st.floats(0, 300), st.floats(0, 300))
def test_so_is_the_one_for_weights(a: float, b: float) -> None:
    assert chance_to_lead(a, b) == pytest.approx(upper_half(a, b), abs=1e-9)


def test_by_integration() -> None:
    norm = quad(lambda x: x**2.5 * (1 - x) ** 0.75, 0, 1)[0]
    assert chance_to_lead(2.5, 0.75) == pytest.approx(quad(lambda x: x**2.5 * (1 - x) ** 0.75, 0.5, 1)[0] / norm)


def test_four_to_none_stops_and_three_to_none_does_not() -> None:
    assert chance_to_lead(4, 0) == 0.96875
    assert chance_to_lead(3, 0) == 0.9375
    assert chance_to_lead(0, 0) == 0.5


@pytest.mark.parametrize(
    ("answers", "wave", "drawn"),
    [
        ("1111111111", 1, 4),
        ("1211111111", 1, 7),  # 6:1 is the first with 0.9648; 5:1 has 0.9375
        ("1212121212121212", 1, 16),
        ("11-1111111", 1, 5),  # one that was cut off does not vote
        ("1111111111", 3, 6),
        ("----------------", 1, 16),
    ],
)
def test_adaptive_consistency_draws_until_the_vote_is_decided(answers: str, wave: int, drawn: int) -> None:
    result = ask(AdaptiveConsistency(wave=wave), 16, Scripted(answers))
    assert result.cost.generations == drawn
    assert result.strategy.endswith(f"drew {drawn} of 16")


@pytest.mark.parametrize(
    ("rule", "says", "drawn"),
    [
        (text(), ["x+1", "1+x"], 16),  # two texts, one sum: nobody leads
        (number(2), ["0.331", "0.332", "0.333", "0.334"], 4),  # one number in two digits: four to none
    ],
)
def test_it_stops_by_the_question_s_own_rule(rule: Any, says: list[str], drawn: int) -> None:
    generator = FakeGenerator(lambda request: f"Answer: {says[request.key.path[-1] % len(says)]}")
    result = ttscale.solve(Question("q", "?", rule), 16, generator=generator, strategy=AdaptiveConsistency())
    assert result.cost.generations == drawn


def test_it_counts_no_draws_that_a_cap_kept_from_being_made() -> None:
    two = FakeGenerator(lambda request: f"Answer: {request.key.path[-1] % 2}")
    result = ttscale.solve("?", 16, generator=two, strategy=AdaptiveConsistency(), limit=ttscale.Limit(tokens=25))
    assert result.stopped_by == "tokens"
    assert result.strategy.endswith(f"drew {result.cost.generations} of 16")


def test_its_draws_are_the_first_of_the_majority_votes() -> None:
    for problem in problems(10):
        question = Question(problem.id, problem.prompt)
        few = ttscale.solve(question, 24, generator=Student(), strategy=AdaptiveConsistency())
        all_ = ttscale.solve(question, 24, generator=Student(), strategy=MajorityVote())
        assert few.candidates == all_.candidates[: len(few.candidates)]
        if len(few.candidates) == 24:
            assert few.answer == all_.answer


def test_it_agrees_with_the_full_vote_as_often_as_it_says() -> None:
    """At confidence 0.95 an early stop disagrees with the vote of 40 in less than 5% of questions, and spends less."""
    rng = Random(0)
    asked = [Problem(f"q{i}", f"{rng.uniform(0.2, 0.9)} of {i}", str(100 + i)) for i in range(160)]
    questions = [Question(problem.id, problem.prompt) for problem in asked]
    few = ttscale.solve_all(questions, 40, generator=Student(), strategy=AdaptiveConsistency(), progress=False)
    all_ = ttscale.solve_all(questions, 40, generator=Student(), strategy=MajorityVote(), progress=False)
    assert sum(a.answer != b.answer for a, b in zip(few, all_, strict=True)) < 8
    assert sum(result.cost.generations for result in few) < 0.6 * 40 * 160


def test_the_scheduler_stops_when_the_weighted_vote_is_decided() -> None:
    sure = ask(AdaptiveScheduler(first=4), 64, Scripted("1", [1.0]))
    assert (sure.answer, sure.cost.generations) == ("1", 4)
    # The same four votes with little weight behind them decide nothing.
    unsure = ask(AdaptiveScheduler(first=4, policy=policy_of(WeightedBestOfN())), 64, Scripted("1", [0.2]))
    assert unsure.cost.generations > 4


def test_rounds_double_and_never_pass_the_budget() -> None:
    for budget in (1, 2, 3, 5, 16, 23, 64):
        result = ask(AdaptiveScheduler(policy_of(WeightedBestOfN()), first=3), budget, Scripted("12", [0.5]))
        assert result.cost.generations == budget
        assert len(result.candidates) == budget


def test_it_escalates_when_the_verifier_becomes_unsure() -> None:
    """The first four look easy (0.9), the next four do not (0.1): the strategy changes from best-of-N to beam."""
    policy = Policy((0.3,), (1,), ((WeightedBestOfN(),), (Beam(2),)))
    script = Scripted("1234", [0.9] * 4 + [0.1] * 100)
    result = ask(AdaptiveScheduler(policy, first=4), 16, script)
    assert "difficulty 0.10 -> 4 by WeightedBestOfN" in result.strategy
    assert "difficulty 0.50 -> 8 by Beam" in result.strategy
    assert result.strategy.endswith("spent 16 of 16")


def test_the_estimate_is_the_mean_score_of_everything_so_far() -> None:
    script = Scripted("12-4", [0.8, 0.4, 1.0, 0.4])
    result = ask(AdaptiveScheduler(policy_of(WeightedBestOfN()), first=4), 8, script)
    assert "difficulty 0.60 -> 4 by" in result.strategy  # (0.8 + 0.4 + 0 + 0.4) / 4: the one cut off counts 0


def test_it_needs_what_its_policy_needs_and_has_a_default_for_the_roles_at_hand() -> None:
    reviser = policy_of(SequentialRevision())
    assert AdaptiveScheduler(reviser).needs == {"generator", "verifier", "reviser"}
    assert AdaptiveScheduler().needs == {"generator", "verifier"}
    roles = frozenset({"generator", "verifier"})
    assert AdaptiveScheduler().for_roles(roles).policy == default_policy(roles)
    assert AdaptiveScheduler(reviser).for_roles(roles).policy is reviser


def test_it_is_loaded_from_a_policy_and_by_name(tmp_path: object) -> None:
    path = f"{tmp_path}/policy.json"
    policy_of(WeightedBestOfN()).save(path)
    assert AdaptiveScheduler.load(path) == AdaptiveScheduler(policy_of(WeightedBestOfN()))
    for name in ("adaptive_scheduler", "adaptive-consistency"):
        result = ttscale.solve("0.9 of 1", 8, generator=Student(), verifier=Examiner(), strategy=name)
        assert result.answer == "101"


def expected_solved(chances: Sequence[float], budgets: Sequence[int]) -> float:
    return sum(1 - (1 - p) ** b for p, b in zip(chances, budgets, strict=True))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(0, 6), st.integers(0, 1))
def test_marginal_budgets_are_the_best_of_all_ways_to_share(chances: list[float], extra: int, least: int) -> None:
    total = least * len(chances) + extra
    found = marginal_budgets(chances, total, least=least)
    assert sum(found) == total
    ways = [way for way in itertools.product(range(least, total + 1), repeat=len(chances)) if sum(way) == total]
    best = max(expected_solved(chances, way) for way in ways)
    assert expected_solved(chances, found) == pytest.approx(best, abs=1e-12)


def test_marginal_budgets_by_hand() -> None:
    assert marginal_budgets([0.5, 0.5], 6) == [3, 3]
    assert marginal_budgets([1.0, 0.1], 6) == [1, 5]  # one solution of the first is enough
    assert marginal_budgets([0.0, 0.5], 6) == [1, 5]
    assert marginal_budgets([0.9, 0.4, 0.1], 12) == [2, 4, 6]
    assert marginal_budgets([0.5, 0.5], 12, most=4) == [4, 4]  # what nobody may have is not spent
    assert marginal_budgets([0.0, 0.0], 7) == [4, 3]
    assert math.isclose(expected_solved([0.9, 0.4, 0.1], [2, 4, 6]), 2.33, abs_tol=0.01)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: AdaptiveConsistency(confidence=0.5), "confidence must lie between"),
        (lambda: AdaptiveConsistency(wave=0), "wave must be"),
        (lambda: AdaptiveScheduler(first=0), "first must be"),
        (lambda: AdaptiveScheduler(confidence=1.0), "confidence must lie between"),
        (lambda: AdaptiveScheduler(aggregate="max"), "aggregate must be"),  # type: ignore[arg-type]
        (lambda: AdaptiveScheduler(policy="policy.json"), "AdaptiveScheduler.load"),  # type: ignore[arg-type]
        (lambda: marginal_budgets([0.5, 1.5], 4), "probabilities"),
        (lambda: marginal_budgets([0.5, 0.5], 3, least=2), "is too small for 2 questions with least = 2"),
        (lambda: marginal_budgets([0.5], 3, least=2, most=1), "most = 1 is less than least = 2"),
    ],
)
def test_bad_settings(call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()  # type: ignore[operator]


def policy_of(strategy: ttscale.Strategy) -> Policy:
    return Policy((), (1,), ((strategy,),))


@pytest.mark.parametrize(("a", "b"), [(51, 50), (300, 290), (30_000, 29_000), (29_000, 30_000), (60_000, 1)])
def test_many_votes_are_the_finite_sum_too(a: int, b: int) -> None:
    ways = total = 1
    for k in range(a):
        ways = ways * (a + b + 1 - k) // (k + 1)
        total += ways
    assert chance_to_lead(a, b) == pytest.approx(total / 2 ** (a + b + 1), abs=1e-9)


@pytest.mark.parametrize(("kind", "first"), [(AdaptiveScheduler, "first"), (ComputeOptimalScheduler, "probe")])
def test_what_a_vote_finds_is_judged_before_it_competes(kind: Any, first: str) -> None:
    """Shares of a vote are no scores: nine that the verifier takes for wrong lose against one that it believes."""
    policy = Policy((), (1,), ((MajorityVote(),),))
    script = Scripted("1111111119", [0.02] * 9 + [0.9])
    result = ask(kind(policy, **{first: 2}), 20, script)
    assert result.answer == "9"
    assert set(result.scores) == {0.02, 0.9}
