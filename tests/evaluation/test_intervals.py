"""Bootstrap intervals: against the obvious loop, over questions and not over runs, paired where it matters."""

from __future__ import annotations

import numpy as np
import pytest

from ttscale.evaluation.statistics import Interval, mean_interval, paired_difference


def test_it_is_the_percentile_bootstrap_over_questions() -> None:
    """The obvious loop with another stream of random numbers; both have a standard error below 0.003 at each end."""
    values = np.random.default_rng(5).random(40)
    rng = np.random.default_rng(9)
    means = [float(rng.choice(values, 40).mean()) for _ in range(10_000)]
    found = mean_interval(values)
    assert found.value == pytest.approx(float(values.mean()))
    assert found.low == pytest.approx(float(np.percentile(means, 2.5)), abs=0.01)
    assert found.high == pytest.approx(float(np.percentile(means, 97.5)), abs=0.01)


def test_a_second_seed_of_the_same_questions_is_not_more_questions() -> None:
    once = np.random.default_rng(1).integers(0, 2, 50).astype(float)
    twice = np.stack([once, once], axis=1)
    assert mean_interval(twice) == mean_interval(once)


def test_pairs_cancel_what_questions_have_in_common() -> None:
    rng = np.random.default_rng(2)
    hardness = rng.random(200)
    theirs = (hardness < 0.5).astype(float)
    ours = (hardness < 0.55).astype(float)
    paired = paired_difference(ours, theirs)
    apart = mean_interval(ours), mean_interval(theirs)
    assert paired.value == pytest.approx(float((ours - theirs).mean()))
    assert paired.high - paired.low < (apart[0].high - apart[0].low) / 2
    assert paired.excludes_zero


def test_the_interval_of_a_constant_is_a_point() -> None:
    assert mean_interval(np.ones(7)) == Interval(1.0, 1.0, 1.0)
    assert str(mean_interval(np.ones(7))) == "1.000 [1.000, 1.000]"
    assert not paired_difference(np.ones(7), np.ones(7)).excludes_zero


@pytest.mark.parametrize("values", [[1 / 3] * 3, [1e-9] * 5, [0.0] * 2 + [1e-8] * 400, [-1 / 3] * 7])
def test_the_value_lies_in_its_interval(values: list[float]) -> None:
    found = mean_interval(np.array(values))
    assert found.low <= found.value <= found.high


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    """95% intervals of 60 coin flips; of 200 of them 95% +- 3 * 1.5% cover, a little fewer as the bootstrap is."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        found = mean_interval((rng.random(60) < 0.4).astype(float), resamples=500)
        covered += found.low <= 0.4 <= found.high
    assert 176 <= covered <= 200


def test_what_has_no_mean_is_refused() -> None:
    with pytest.raises(ValueError, match="no questions"):
        mean_interval(np.array([]))
    with pytest.raises(ValueError, match="missing"):
        mean_interval(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="same questions on both sides; got 3 and 2"):
        paired_difference(np.ones(3), np.ones(2))
