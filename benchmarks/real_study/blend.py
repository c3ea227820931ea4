"""Blends: logistic regressions on models' log-likelihoods of a solution, read step by step; how they are fitted.

Knows arrays and the verifier protocol. Must not know pools or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ttscale.core.requests import Score, Verdict

Floats = NDArray[np.float64]
FLAT = 0.1
"""Scale of a plain log-likelihood in the sigmoid: likelihoods down to exp(-100) stay apart in five digits."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What models say of a solution; every array is [steps]."""

    tokens: Floats
    models: tuple[Floats, Floats]
    """Log-likelihood of each step under the generator and under the model of right solutions."""


def features(kinds: Sequence[str], reading: Reading) -> Floats:
    """[steps, 2 x kinds]: of every prefix sum, mean over tokens, weakest or last step, as asked."""
    counts = np.maximum(np.cumsum(reading.tokens), 1)
    columns = []
    for steps in reading.models:
        sums = np.cumsum(steps)
        known = {"sum": sums, "mean": sums / counts, "weakest": np.minimum.accumulate(steps), "last": steps}
        columns += [known[kind] for kind in kinds]
    return np.array(columns).T


def step_sums(scores: Sequence[float]) -> Floats:
    """Log-likelihood of each step, from the scores of an ``ImplicitVerifier`` without reference, scale ``FLAT``."""
    return np.diff([log_odds(score) / FLAT for score in scores], prepend=0.0)


class Blend:
    """A blend as a verifier: the generator's part is what it recorded while it drew, the other model is asked."""

    def __init__(self, name: str, kinds: Sequence[str], right: Any, weights: Sequence[float], bias: float) -> None:
        self.name, self.kinds, self.right = name, tuple(kinds), right
        self.factors, self.bias = np.array(weights), bias
        self.worker, self.weights = right.worker, right.weights

    def __repr__(self) -> str:
        return f"Blend({self.name!r}, {self.kinds}, {self.factors.tolist()}, {self.bias})"

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One score a step."""
        found = []
        for request, verdict in zip(requests, self.right.score(requests), strict=True):
            steps = request.candidate.steps
            tokens = np.array([float(len(step.tokens)) for step in steps])
            own = np.array([step.logprob or 0.0 for step in steps])
            scores = self.scores(Reading(tokens, (own, step_sums(verdict.step_scores))))
            found.append(Verdict(tuple(scores.tolist()), verdict.cost))
        return found

    def scores(self, reading: Reading) -> Floats:
        """One score a step, from what the two models say."""
        return np.asarray(sigmoid(features(self.kinds, reading) @ self.factors + self.bias))


def fit_outcomes(given: Floats, outcomes: Any) -> tuple[list[float], float]:
    """Weights and bias by maximum likelihood with a slight pull to 0; ``given`` [solutions, features]."""
    scale = given.std(axis=0) + 1e-9

    def loss(point: Any) -> float:
        margin = given / scale @ point[:-1] + point[-1]
        return float(np.logaddexp(0, np.where(outcomes, -margin, margin)).mean() + 1e-4 * (point[:-1] ** 2).sum())

    found = minimize(loss, np.zeros(given.shape[1] + 1), method="L-BFGS-B").x
    return (found[:-1] / scale).tolist(), float(found[-1])


def fit_pairs(given: Floats, outcomes: Any, questions: Any) -> tuple[list[float], float]:
    """The same from pairs: how likely the right one of two solutions of a question is to have the larger margin.

    What tells easy questions from hard ones has no say in it. Scale and bias are then fitted on the outcomes, and all
    of it where there is no pair.
    """
    right, wrong = np.nonzero(outcomes[:, None] & ~outcomes & (questions[:, None] == questions))
    if not len(right):
        return fit_outcomes(given, outcomes)
    between = given[right] - given[wrong]
    scale = between.std(axis=0) + 1e-9

    def loss(point: Any) -> float:
        return float(np.logaddexp(0, -(between / scale @ point)).mean() + 1e-4 * (point**2).sum())

    weights = minimize(loss, np.zeros(given.shape[1]), method="L-BFGS-B").x / scale
    (factor,), bias = fit_outcomes((given @ weights)[:, None], outcomes)
    return (factor * weights).tolist(), bias


def log_odds(score: float) -> float:
    """Kept finite: a score of 0 or 1 is rounding."""
    kept = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(kept / (1 - kept))


def sigmoid(value: Any) -> Any:
    """Of an array."""
    return 1 / (1 + np.exp(-np.clip(value, -60, 60)))
