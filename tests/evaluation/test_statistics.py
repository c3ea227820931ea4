"""Estimates from a pool against brute force: every ordered draw, decided by the strategies' own selection."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from benchmarks._contrasts import holm, paired_p_value
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.core.selection import best, majority_vote, weighted_vote
from ttscale.core.types import Candidate, Key, Question, Step
from ttscale.evaluation.statistics import (
    EXACT,
    Graded,
    Method,
    accuracy,
    curves,
    pass_at_k,
    vote_over,
)

RIGHT = "0"
"""The answer that is right in every pool here."""

# A solution: its answer (None: states none), whether it was finished, its score.
Solution = tuple[str | None, bool, float]
SOLUTIONS = st.lists(
    st.tuples(st.sampled_from([None, "0", "1", "2"]), st.booleans(), st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0])),
    min_size=1,
    max_size=5,
)


def candidate(place: int, solution: Solution) -> Candidate:
    answer, finished, _ = solution
    text = "no answer" if answer is None else f"Answer: {answer}"
    return Candidate(Question("q", "?"), Key((0, "q", place)), (Step(text),), "stop" if finished else "length")


def pool_of(solutions: list[Solution]) -> Graded:
    answers = [answer if finished else None for answer, finished, _ in solutions]
    return Graded(
        "q",
        np.array([answer == RIGHT for answer in answers]),
        np.array([-1 if answer is None else int(answer) for answer in answers]),
        np.array([score if finished else math.nan for _, finished, score in solutions]),
        np.array([1 for _ in solutions]),
    )


def chosen(method: Method, drawn: list[Candidate], scores: list[float | None]) -> int | None:
    if method == "pass@1":
        return 0
    if method == "majority":
        return majority_vote(drawn)
    return best(drawn, scores) if method == "best_of_n" else weighted_vote(drawn, scores)


def brute_force(method: Method, solutions: list[Solution], n: int) -> float:
    """The mean over every ordered draw of ``n`` solutions of whether what the strategy chooses is right."""
    outcomes = []
    for order in itertools.permutations(range(len(solutions)), n):
        drawn = [candidate(i, solutions[i]) for i in order]
        scores = [solutions[i][2] if solutions[i][1] else None for i in order]
        if method == "oracle":
            outcomes.append(any(one.answer == RIGHT for one in drawn))
        else:
            place = chosen(method, drawn, scores)
            outcomes.append(place is not None and drawn[place].answer == RIGHT)
    return float(np.mean(outcomes))


@pytest.mark.parametrize("method", ["pass@1", "majority", "best_of_n", "weighted_best_of_n", "oracle"])
@given(solutions=SOLUTIONS)
@settings(max_examples=60, deadline=None)
def test_every_estimate_is_the_mean_over_all_ordered_draws(method: Method, solutions: list[Solution]) -> None:
    pool = pool_of(solutions)
    if method in ("best_of_n", "weighted_best_of_n") and np.isnan(pool.scores).all():
        return  # nothing was scored, nothing can be chosen
    for n in range(1, len(solutions) + 1):
        expected = brute_force(method, solutions, 1 if method == "pass@1" else n)
        assert accuracy(pool, method, n) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("method", ["majority", "best_of_n", "weighted_best_of_n"])
@given(solutions=SOLUTIONS, judged=st.lists(st.booleans(), min_size=5, max_size=5))
@settings(max_examples=200, deadline=None)
def test_solutions_that_nobody_could_judge_count_as_solve_counts_them(
    method: Method, solutions: list[Solution], judged: list[bool]
) -> None:
    """One that was finished and is longer than the verifier reads has an answer and no score."""
    pool = pool_of(solutions)
    known = [score if was else math.nan for score, was in zip(pool.scores, judged, strict=False)]
    pool = Graded("q", pool.correct, pool.classes, np.array(known), pool.tokens)
    if method != "majority" and np.isnan(pool.scores).all():
        return
    for n in range(1, len(solutions) + 1):
        outcomes = []
        for order in itertools.permutations(range(len(solutions)), n):
            drawn = [candidate(i, solutions[i]) for i in order]
            place = chosen(method, drawn, [None if math.isnan(known[i]) else known[i] for i in order])
            outcomes.append(place is not None and drawn[place].answer == RIGHT)
        assert accuracy(pool, method, n) == pytest.approx(float(np.mean(outcomes)), abs=1e-9)


@pytest.mark.parametrize("method", ["majority", "best_of_n", "weighted_best_of_n"])
@given(solutions=SOLUTIONS, scale=st.sampled_from([1e-10, 1e-17, 1e-300]))
@settings(max_examples=60, deadline=None)
def test_tiny_scores_are_ranked_like_others(method: Method, solutions: list[Solution], scale: float) -> None:
    """The product of many step scores is tiny; what it says about which solution is better is the same."""
    tiny = [(answer, finished, score * scale) for answer, finished, score in solutions]
    pool = pool_of(tiny)
    if np.isnan(pool.scores).all():
        return
    for n in range(1, len(solutions) + 1):
        assert accuracy(pool, method, n) == pytest.approx(brute_force(method, tiny, n), abs=1e-9)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (6, 6, 2), (7, 3, 5), (4, 1, 4)])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(n: int, c: int, k: int) -> None:
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_is_unbiased() -> None:
    """Averaged over how many of 6 samples are right at p = 0.3, it is 1 - (1 - p)^k; 1 - (1 - c/n)^k is not."""
    p, n, k = 0.3, 6, 3
    chances = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    assert sum(w * pass_at_k(n, c, k) for c, w in enumerate(chances)) == pytest.approx(1 - (1 - p) ** k)
    assert sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(chances)) < 1 - (1 - p) ** k - 0.02


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_pass_at_k_refuses_what_cannot_be(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="must lie between"):
        pass_at_k(n, c, k)


def random_pool(k: int, seed: int) -> Graded:
    rng = np.random.default_rng(seed)
    classes = rng.choice([-1, 0, 1, 2, 3], size=k, p=[0.1, 0.4, 0.3, 0.1, 0.1])
    scores = np.where(classes == 0, rng.beta(4, 2, k), rng.beta(2, 3, k))
    return Graded(f"q{seed}", classes == 0, classes, scores, np.ones(k, dtype=np.int64))


def test_random_subsets_agree_with_all_of_them() -> None:
    """K = 14, N = 7: 3,432 subsets, more than are enumerated. 4,000 random draws have a standard error below 0.008."""
    pool = random_pool(14, seed=1)
    assert math.comb(14, 7) > EXACT
    masks = np.zeros((math.comb(14, 7), 14), dtype=np.bool_)
    for row, members in enumerate(itertools.combinations(range(14), 7)):
        masks[row, list(members)] = True
    exact = vote_over(masks, pool.scores, pool.classes, pool.correct)
    assert accuracy(pool, "weighted_best_of_n", 7, draws=4_000) == pytest.approx(exact, abs=0.03)


def test_random_subsets_are_the_same_every_time_and_differ_by_question() -> None:
    one, other = random_pool(40, seed=1), random_pool(40, seed=2)
    assert accuracy(one, "majority", 9) == accuracy(one, "majority", 9)
    alone = curves([one], ["majority"], [9])["majority"]
    among = curves([other, one], ["majority"], [9])["majority"]
    assert alone[0, 0] == among[1, 0]


def test_curves_are_questions_by_budgets() -> None:
    pools = [random_pool(20, seed) for seed in range(3)]
    found = curves(pools, ["oracle", "pass@1"], [1, 4, 20])
    assert {method: array.shape for method, array in found.items()} == {"oracle": (3, 3), "pass@1": (3, 3)}
    assert np.all(np.diff(found["oracle"], axis=1) >= 0)
    assert np.all(found["oracle"][:, 0] == pytest.approx(found["pass@1"][:, 0]))


def test_errors_say_what_to_do() -> None:
    pool = random_pool(6, seed=0)
    with pytest.raises(ValueError, match="N must lie between 1 and K = 6"):
        accuracy(pool, "majority", 7)
    with pytest.raises(ValueError, match="method must be one of"):
        accuracy(pool, "median", 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="draws must be a positive integer"):
        accuracy(random_pool(30, 0), "majority", 9, draws=0)
    unscored = Graded("q", pool.correct, pool.classes, np.full(6, math.nan), pool.tokens)
    with pytest.raises(ValueError, match="needs a pool that was drawn with a verifier"):
        accuracy(unscored, "best_of_n", 2)


def test_a_p_value_is_the_share_of_sign_flips_as_far_out() -> None:
    """Against every one of the 2^8 flips; 20,000 random ones have a standard error below .0035."""
    rng = np.random.default_rng(3)
    ours, theirs = rng.random(8) + 0.15, rng.random(8)
    differences = ours - theirs
    flips = [abs(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=8)]
    exact = np.mean([flip >= abs(differences.sum()) - 1e-9 for flip in flips])
    assert paired_p_value(ours, theirs, resamples=20_000) == pytest.approx(exact, abs=0.014)
    assert paired_p_value(theirs, ours, resamples=20_000) == paired_p_value(ours, theirs, resamples=20_000)
    assert paired_p_value(ours, ours) == 1.0
    assert paired_p_value(np.stack([ours, theirs], axis=1), np.stack([theirs, ours], axis=1)) == 1.0


def test_holm_adjusts_for_the_number_of_claims() -> None:
    """The example of Holm's procedure: .01 x 4, .03 x 2 and .04, which may not fall below it, .005 x ... first."""
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert holm({"a": 0.6, "b": 0.5}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
