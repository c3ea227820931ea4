"""What counts as a number in data from outside."""

from __future__ import annotations

import math
from typing import TypeGuard


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether this is an ordinary number: no bool, NaN or infinity, however many digits an integer has."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf
