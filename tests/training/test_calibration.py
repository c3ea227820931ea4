"""Calibration recovers what distorted the log-odds, keeps the order, and abstains where there is too little."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from ttscale.training.fit.calibration import Calibration, calibrate, step_weights


def test_scale_and_bias_are_recovered():
    """Labels drawn from sigmoid(2 x - 1): 20,000 of them pin the two numbers down to about .05."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=20_000)
    y = rng.random(20_000) < expit(2 * x - 1)
    found = calibrate(x.tolist(), y.astype(float).tolist())
    assert found is not None
    assert (found.scale, found.bias) == (pytest.approx(2, abs=0.15), pytest.approx(-1, abs=0.1))
    assert found(0.5) == pytest.approx(expit(found.bias + 0.5 * found.scale))


def test_soft_labels_are_met_on_average():
    found = calibrate([1.0] * 50 + [-1.0] * 50, [0.9] * 50 + [0.2] * 50)
    assert found is not None
    assert (found(1.0), found(-1.0)) == (pytest.approx(0.9, abs=0.01), pytest.approx(0.2, abs=0.01))


def test_separable_labels_keep_a_finite_slope_and_reversed_ones_a_positive_one():
    separable = calibrate([-1.0] * 50 + [1.0] * 50, [0.0] * 50 + [1.0] * 50)
    reversed_ = calibrate([-1.0] * 50 + [1.0] * 50, [1.0] * 50 + [0.0] * 50)
    assert separable is not None
    assert reversed_ is not None
    assert 1 < separable.scale < 100
    assert 0 < reversed_.scale < 1


def test_too_little_to_fit():
    assert calibrate([1.0] * 49, [0.0, 1.0] * 24 + [0.0]) is None
    assert calibrate([1.0] * 50, [1.0] * 50) is None
    assert Calibration()(0.0) == 0.5


def test_half_of_a_solutions_weight_is_on_its_last_step():
    assert step_weights([[1, 2, 3], [1], [1, 2]]) == [0.25, 0.25, 0.5, 1.0, 0.5, 0.5]
    heavy = calibrate([0.0] * 100, [0.0, 1.0] * 50, weights=[1.0, 3.0] * 50)
    assert heavy is not None
    assert heavy(0.0) == pytest.approx(0.75, abs=0.01)
