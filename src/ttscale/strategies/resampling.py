"""Resampling: from weights to the indices of the particles that go on, each expected in proportion to its weight.

Knows weights and keys. Must not know what a particle is. Doucet and Johansen's tutorial (2009), section 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from ttscale.core.checks import check_choice
from ttscale.core.types import Key
from ttscale.strategies.chance import pick, uniform

Resample = Literal["systematic", "multinomial"]


def check_resample(how: str) -> None:
    """``ValueError`` unless ``how`` names a resampling."""
    check_choice("resample", how, get_args(Resample))


def resampled(weights: Sequence[float], count: int, how: Resample, key: Key) -> list[int]:
    """``count`` indices of ``weights``, in ascending order.

    "multinomial" draws each on its own; "systematic" takes evenly spaced points after one draw, so an index is taken
    the whole number of times below or above its expected number.
    """
    if how == "systematic":
        start = uniform(key)
        points = [(i + start) / count for i in range(count)]
    else:
        points = [uniform(key.child(i)) for i in range(count)]
    return sorted(pick(weights, point) for point in points)


def effective_size(weights: Sequence[float]) -> float:
    """How many equal particles the weights are worth, 1 / sum of squares of their shares: 1 to ``len(weights)``."""
    total = math.fsum(weights)
    return total * total / math.fsum(weight * weight for weight in weights)
