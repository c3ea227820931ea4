"""Thompson sampling: what is known of an arm's mean score, and a draw from it.

Knows scores and keys. Must not know what an arm is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ttscale.core.types import Key
from ttscale.strategies.chance import student

MEAN, COUNT, DEGREES, SCALE = 0.0, 1, 1, 0.1
"""The prior of treequest's AB-MCTS-A: m = 0, kappa = 1, nu = 1, tau^2 = 0.1."""


@dataclass(frozen=True, slots=True)
class NormalArm:
    """Normal scores of unknown mean and variance with a normal-inverse-chi-squared prior, after ``n`` of them.

    Murphy, Probabilistic Machine Learning: Advanced Topics, section 3.4.3.3. ``squares`` are about the mean.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @staticmethod
    def of(scores: Sequence[float]) -> NormalArm:
        """What is known after these scores."""
        mean = math.fsum(scores) / len(scores) if scores else 0.0
        return NormalArm(len(scores), mean, math.fsum((score - mean) ** 2 for score in scores))

    def posterior(self, prior_mean: float = MEAN) -> tuple[float, float, int]:
        """Location, scale and degrees of freedom of the Student distribution of the mean score."""
        count, degrees = COUNT + self.n, DEGREES + self.n
        location = (COUNT * prior_mean + self.n * self.mean) / count
        apart = self.n * COUNT / count * (prior_mean - self.mean) ** 2
        variance = (DEGREES * SCALE + self.squares + apart) / degrees
        return location, math.sqrt(variance / count), degrees


def thompson(arms: Sequence[NormalArm], key: Key) -> int:
    """The arm whose mean, drawn from what is known of it, is the highest; the first of equal ones."""
    drawn = []
    for i, arm in enumerate(arms):
        location, scale, degrees = arm.posterior()
        drawn.append(location + scale * student(key.child(i), degrees))
    return drawn.index(max(drawn))
