"""Student's distribution: its density, its tail, and how far it is expected to be above a level.

Knows numbers. Must not know what they are scores of.
"""

from __future__ import annotations

import math


def excess(location: float, scale: float, degrees: int, level: float) -> float:
    """E[max(X - level, 0)] for X from a Student distribution with at least 2 degrees of freedom."""
    z = (level - location) / scale
    return scale * ((degrees + z * z) / (degrees - 1) * density(z, degrees) - z * tail(z, degrees))


def density(z: float, degrees: int) -> float:
    """Student's density."""
    log = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - (degrees + 1) / 2 * math.log1p(z * z / degrees)
    return math.exp(log) / math.sqrt(degrees * math.pi)


def tail(z: float, degrees: int) -> float:
    """P(X > z) for Student's distribution with a whole number of degrees (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(z / math.sqrt(degrees))
    cosine, odd = math.cos(angle), degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(2 + odd, degrees + 1, 2):
        total += term
        term *= (power - 1) / power * cosine * cosine
    inside = math.sin(angle) * total
    return (1 - (2 / math.pi * (angle + inside) if odd else inside)) / 2
