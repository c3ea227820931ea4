"""The mixed model of AB-MCTS-M (arXiv 2503.04412): scores in groups, and a draw of the next one of each.

y = mu + sigma_a z_group + sigma_y noise, with mu ~ N(0.5, 0.2^2), sigma_a ~ HalfNormal(0.2), sigma_y ~ HalfNormal(0.3):
treequest's priors. Given the two sigmas all is Gaussian and exact; they are summed over a geometric grid, in
the place of treequest's Markov chains. Knows numbers and keys; must not know of nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ttscale.core.types import Key
from ttscale.strategies.chance import normal, pick, softmax, uniform

CENTRE, SPREAD, GROUPS, NOISE = 0.5, 0.2, 0.2, 0.3
SIGMAS = tuple((0.01 * 70 ** (i / 7), 0.01 * 110 ** (j / 11)) for i in range(8) for j in range(12))
"""From a hundredth to where the priors end. A finer grid moves means by less than 0.003."""
PRIOR = tuple(math.log(a * y) - (a / GROUPS) ** 2 / 2 - (y / NOISE) ** 2 / 2 for a, y in SIGMAS)
"""Log densities of the half-normal priors, over the logarithms of the sigmas."""

Group = tuple[int, float, float]
"""How many scores, their mean, and their squares about it."""


def summary(scores: Sequence[float]) -> Group:
    """A group from its scores; it has at least one."""
    mean = math.fsum(scores) / len(scores)
    return len(scores), mean, math.fsum((score - mean) ** 2 for score in scores)


def next_scores(groups: Sequence[Group], key: Key) -> list[float]:
    """One draw of the next score of every group, and last of a new group, from their posterior predictive."""
    weights = softmax([log + log_evidence(groups, *sigmas) for log, sigmas in zip(PRIOR, SIGMAS, strict=True)])
    drawn = []
    for i, group in enumerate([*groups, None]):
        # Each on its own, as treequest does: what compares them is chance, not a shared mean.
        own = key.child(i)
        sigma_a, sigma_y = SIGMAS[pick(weights, uniform(own.child("sigmas")))]
        precision, mean = centre(groups, sigma_a, sigma_y)
        level = mean + normal(own.child("mu")) / math.sqrt(precision)
        spread = sigma_a
        if group is not None:
            count, average, _ = group
            pull = count * sigma_a**2 / (count * sigma_a**2 + sigma_y**2)
            level += pull * (average - level)
            spread = sigma_a * math.sqrt(1 - pull)
        drawn.append(level + spread * normal(own.child("group")) + sigma_y * normal(own.child("noise")))
    return drawn


def centre(groups: Sequence[Group], sigma_a: float, sigma_y: float) -> tuple[float, float]:
    """Precision and mean of mu given the sigmas."""
    shares = [1 / (sigma_a**2 + sigma_y**2 / count) for count, _, _ in groups]
    precision = SPREAD**-2 + math.fsum(shares)
    total = SPREAD**-2 * CENTRE + math.fsum(share * mean for share, (_, mean, _) in zip(shares, groups, strict=True))
    return precision, total / precision


def log_evidence(groups: Sequence[Group], sigma_a: float, sigma_y: float) -> float:
    """The logarithm of the density of all scores given the sigmas, up to a constant."""
    precision, mu = centre(groups, sigma_a, sigma_y)
    log = -math.log(precision) / 2 - (mu - CENTRE) ** 2 / (2 * SPREAD**2)
    for count, mean, squares in groups:
        variance = sigma_a**2 + sigma_y**2 / count
        log -= (count - 1) * math.log(sigma_y) + squares / (2 * sigma_y**2)
        log -= (math.log(variance) + (mean - mu) ** 2 / variance) / 2
    return log
