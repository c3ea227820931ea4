"""Calibration: a slope and an offset on the log-odds, fitted on held-out questions (Platt scaling).

Knows margins (log-odds) and labels; numpy only. Must not know models. The slope is kept positive, so calibration never
changes which of two solutions ranks higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

MIN_LABELS = 50
"""Fewer labels than this, or all of one kind, say too little to calibrate by."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = sigmoid(bias + scale * margin)."""

    scale: float = 1.0
    bias: float = 0.0

    def __call__(self, margin: float) -> float:
        return float(expit(self.bias + self.scale * margin))


def step_weights(solutions: Sequence[Sequence[object]]) -> list[float]:
    """Half of a solution's weight on its last step (final scores are what votes add up), half on the others."""
    weights: list[float] = []
    for steps in solutions:
        others = len(steps) - 1
        weights += [0.5 / others] * others + [0.5] if others else [1.0]
    return weights


def calibrate(
    margins: Sequence[float], labels: Sequence[float], start: float = 1.0, weights: Sequence[float] | None = None
) -> Calibration | None:
    """The scale and bias of least cross-entropy with (soft) labels; None where there is too little to fit.

    ``start`` is the scale to begin from, and the one a weak prior pulls to (a normal of width 2 on its logarithm): it
    keeps separable labels from an infinite slope.
    """
    x, y = np.asarray(margins, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if x.size < MIN_LABELS or y.min() == y.max():
        return None
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)

    def loss(theta: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        z = theta[1] + np.exp(theta[0]) * x
        prior = ((theta[0] - np.log(start)) ** 2 + (theta[1] / 10.0) ** 2) / 8.0
        return float(np.sum(w * (np.logaddexp(0.0, z) - y * z)) + prior)

    found = minimize(loss, np.array([np.log(start), 0.0]), method="L-BFGS-B")
    return Calibration(float(np.exp(found.x[0])), float(found.x[1]))
