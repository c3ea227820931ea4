"""Difficulty: bins with their ties, predictions against the oracle, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ttscale.evaluation.analyse.difficulty import (
    Bins,
    absolute_bins,
    bins_that_fit,
    oracle_difficulty,
    predicted_difficulty,
    probe_agreement,
    quantile_bins,
    rank_correlation,
)
from ttscale.evaluation.statistics import Graded
from ttscale.strategies import MajorityVote, Policy


def graded(question: str, correct: Sequence[int], scores: Sequence[float]) -> Graded:
    right = np.array(correct, dtype=bool)
    return Graded(question, right, np.where(right, 0, 1), np.array(scores), np.full(len(right), 10))


def by_value(values: Sequence[float]) -> dict[str, float]:
    return {f"q{i}": value for i, value in enumerate(values)}


def test_difficulties_by_hand() -> None:
    pool = [graded("a", [1, 1, 0, 0], [0.9, 0.7, math.nan, 0.4]), graded("b", [0, 0, 0, 1], [0.1, 0.1, 0.1, 0.5])]
    assert oracle_difficulty(pool) == {"a": 0.5, "b": 0.75}
    assert predicted_difficulty(pool) == pytest.approx({"a": 0.5, "b": 0.8})  # the one that was cut off counts as 0
    assert predicted_difficulty(pool, 2) == pytest.approx({"a": 0.2, "b": 0.9})
    assert predicted_difficulty(pool, 2, first=2) == pytest.approx({"a": 0.8, "b": 0.7})


def test_a_question_whose_samples_were_all_cut_off_is_as_hard_as_can_be() -> None:
    cut = graded("cut", [0] * 4, [math.nan] * 4)
    pool = [*world(9, 4, noise=0.1), cut]
    assert predicted_difficulty(pool)["cut"] == 1.0
    assert predicted_difficulty(pool, 2, first=2)["cut"] == 1.0
    assert [one.probes for one in probe_agreement(pool, [1, 4], bins=2)] == [1, 4]
    with pytest.raises(ValueError, match="none of 1 questions has scores, 'cut' first"):
        predicted_difficulty([cut])


def test_rounding_makes_no_difference_between_difficulties() -> None:
    """0.1 + 0.2 is not 0.3: questions with the same scores in another order tie, and no bin is left empty."""
    low = 0.3
    above = np.nextafter(low, 1)
    further = float(np.nextafter(above, 1))
    for pair in ([low, above], [above, further], [low, further]):
        with pytest.raises(ValueError, match=r"would leave one empty: 2 of 2 questions have the difficulty 0\.3"):
            quantile_bins(by_value([float(value) for value in pair]), 2)
    bins = quantile_bins(by_value([low, float(above), further, 0.9]), 2)
    assert bins.sizes == (3, 1)
    exact, rounded = by_value([low] * 6), by_value([low, further, float(above)] * 2)
    assert quantile_bins(rounded, 3, ties="split").of == quantile_bins(exact, 3, ties="split").of
    assert rank_correlation([low, further, 0.5], [1, 1, 2]) == pytest.approx(1)
    assert rank_correlation([low, further, low], [1, 1, 2]) is None


def test_the_paper_has_five_bins_of_a_fifth_each() -> None:
    bins = quantile_bins(by_value([i / 500 for i in range(500)]), 5)
    assert bins.sizes == (100, 100, 100, 100, 100)
    assert bins.thresholds == pytest.approx((0.199, 0.399, 0.599, 0.799))
    assert bins.members(0) == tuple(f"q{i}" for i in range(100))


def test_ties_stay_together_by_default() -> None:
    """40 questions nobody fails, 20 nobody solves: the cut after 20 of 100 moves to 40, the nearest change of value."""
    values = [0.0] * 40 + [0.1 + i / 100 for i in range(40)] + [1.0] * 20
    bins = quantile_bins(by_value(values), 4)
    assert bins.sizes == (40, 10, 25, 25)
    for i, one in enumerate(values):
        for j, other in enumerate(values):
            assert one != other or bins.of[f"q{i}"] == bins.of[f"q{j}"]


def test_ties_may_be_split_by_a_hash_of_the_id() -> None:
    values = by_value([0.0] * 7 + [1.0] * 3)
    bins = quantile_bins(values, 5, ties="split")
    assert bins.sizes == (2, 2, 2, 2, 2)
    assert bins.thresholds is None
    assert [values[question] for b in range(5) for question in bins.members(b)] == sorted(values.values())
    backwards = quantile_bins(dict(reversed(values.items())), 5, ties="split")
    assert backwards.of == bins.of
    assert quantile_bins(values, 5, ties="split", seed=1).of != bins.of


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=40),
    st.integers(1, 5),
)
def test_bins_are_ordered_full_and_found_again_by_their_thresholds(values: list[float], count: int) -> None:
    named = by_value(values)
    try:
        bins = quantile_bins(named, count)
    except ValueError as error:
        assert "would leave one empty" in str(error)  # noqa: PT017
        return
    assert min(bins.sizes) > 0
    assert sum(bins.sizes) == len(values)
    assert bins.thresholds is not None
    policy = Policy(bins.thresholds, (1,), ((MajorityVote(),),) * count)  # accepts them, and agrees
    for question, value in named.items():
        assert bins.of[question] == policy.bin(value)
    for one, other in zip(
        sorted(named, key=lambda q: named[q]), sorted(named, key=lambda q: named[q])[1:], strict=False
    ):
        assert bins.of[one] <= bins.of[other]


def test_absolute_thresholds_may_leave_a_bin_empty() -> None:
    bins = absolute_bins(by_value([0.0, 0.49, 0.5, 0.89]))
    assert (bins.of, bins.sizes) == ({"q0": 0, "q1": 0, "q2": 1, "q3": 1}, (2, 2, 0))


def test_bins_that_fit_are_as_many_as_ties_allow() -> None:
    assert bins_that_fit(by_value([i / 50 for i in range(50)]), 5).count == 5
    assert bins_that_fit(by_value([0.0] * 30 + [0.5] * 10 + [1.0] * 10), 5).sizes == (30, 10, 10)
    assert bins_that_fit(by_value([0.5] * 9), 5).sizes == (9,)
    assert bins_that_fit(by_value([0.0, 0.0, 0.0, 1.0]), 5).count == 1  # one question alone is no bin


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, 40).tolist(), rng.integers(0, 6, 40).tolist()
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_rank_correlation_of_what_does_not_vary_is_unknown() -> None:
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def world(questions: int, samples: int, noise: float) -> list[Graded]:
    """Question i is solved with probability i / questions; the verifier sees right from wrong through noise."""
    rng = np.random.default_rng(0)
    pool = []
    for i in range(questions):
        correct = rng.random(samples) < (i + 0.5) / questions
        scores = np.clip(0.3 + 0.4 * correct + rng.normal(0, noise, samples), 0, 1)
        pool.append(graded(f"q{i}", correct.tolist(), scores.tolist()))
    return pool


def test_more_probes_agree_better() -> None:
    found = probe_agreement(world(60, 64, noise=0.2), [1, 2, 4, 8, 16, 64])
    correlations = [one.rank_correlation or 0.0 for one in found]
    assert correlations == sorted(correlations)
    assert correlations[-1] > 0.9
    assert [one.same_bin for one in found] == sorted(one.same_bin for one in found)
    assert [one.trials for one in found] == [32, 32, 16, 8, 4, 1]
    assert [one.tokens for one in found] == [10, 20, 40, 80, 160, 640]
    for one in found:
        confusion = np.array(one.confusion)
        assert confusion.sum() == pytest.approx(60)
        assert confusion.sum(axis=1) == pytest.approx([12] * 5)
        assert confusion.sum(axis=0) == pytest.approx([12] * 5)
        assert one.same_bin == pytest.approx(np.trace(confusion) / 60)
        assert one.within_one >= one.same_bin


def test_a_verifier_that_knows_nothing_agrees_by_chance() -> None:
    pool = [graded(one.question, one.correct.tolist(), [0.5] * 64) for one in world(60, 64, 0.2)]
    (found,) = probe_agreement(pool, [8])
    assert found.rank_correlation is None
    assert found.same_bin == pytest.approx(0.2, abs=0.15)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: quantile_bins({}), "no questions"),
        (lambda: quantile_bins(by_value([0.1, 0.2]), 0), "must be positive"),
        (lambda: quantile_bins(by_value([0.1, 1.2])), "'q1' is 1.2; it must lie in"),
        (lambda: quantile_bins(by_value([0.1, math.nan])), "'q1' is nan"),
        (
            lambda: quantile_bins(by_value([0.0] * 71 + [1.0] * 29)),
            r"5 quantile bins would leave one empty: 71 of 100 questions have the difficulty 0\. Use fewer bins",
        ),
        (lambda: quantile_bins(by_value([0.1]), 5, ties="split"), "1 questions cannot fill 5 bins"),
        (lambda: quantile_bins(by_value([0.1]), 1, ties="both"), "ties must be"),  # type: ignore[arg-type]
        (lambda: absolute_bins(by_value([0.1]), (0.5, 0.2)), "must ascend"),
        (lambda: predicted_difficulty(world(3, 4, 0.1), 5), "has 4 samples; 5 probes from 0 on need more"),
        (lambda: predicted_difficulty([graded("a", [1], [math.nan])]), "questions has scores, 'a' first"),
        (lambda: probe_agreement([], [1]), "no questions"),
        (lambda: probe_agreement(world(10, 4, 0.1), [8]), "between 1 and 4 samples"),
    ],
)
def test_what_is_refused(call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()  # type: ignore[operator]


def test_bins_know_their_members() -> None:
    bins = Bins({"a": 0, "b": 1, "c": 0}, 3, None)
    assert (bins.members(0), bins.members(2), bins.sizes) == (("a", "c"), (), (2, 1, 0))
