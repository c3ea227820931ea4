"""Chance inside a strategy: every random number is a hash of an address, so it is the same in any run (law 2).

Knows keys and arithmetic. Must not know what is decided with its numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist

from ttscale.core.types import Key

_STANDARD = NormalDist()


def uniform(key: Key) -> float:
    """A number in (0, 1), uniform over keys."""
    return (key.seed // 2**11 + 0.5) / 2**52


def normal(key: Key) -> float:
    """A standard normal number."""
    return _STANDARD.inv_cdf(uniform(key))


def student(key: Key, degrees: float) -> float:
    """A number from Student's t distribution (Bailey's polar method, Mathematics of Computation 62, 1994)."""
    radius = math.sqrt(degrees * math.expm1(-2 / degrees * math.log(uniform(key.child("radius")))))
    return radius * math.cos(2 * math.pi * uniform(key.child("angle")))


def pick(weights: Sequence[float], point: float) -> int:
    """The index whose share of the total weight holds ``point``, a number in (0, 1). Some weight must be positive."""
    sums = list(accumulate(weights))
    last = max(i for i, weight in enumerate(weights) if weight > 0)  # where rounding points beyond the end
    return min(bisect_right(sums, point * sums[-1]), last)


def subset(key: Key, size: int, of: int) -> list[int]:
    """``size`` different numbers below ``of`` in ascending order, all such sets equally likely."""
    ranked = sorted(range(of), key=lambda i: key.child(i).seed)
    return sorted(ranked[:size])


def softmax(logs: Sequence[float]) -> list[float]:
    """Weights that add up to 1 from their logarithms; equal ones where all are minus infinity."""
    top = max(logs)
    if top == -math.inf:
        return [1 / len(logs)] * len(logs)
    weights = [math.exp(log - top) for log in logs]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
