"""From logits to tokens: one hashed uniform per row and the inverse of the row's distribution.

Knows: tensors of logits, seeds, counters. Must not know: tokenizers, KV, search. A draw is a function of the row's own
logits, settings, seed and counter, whatever else is in the batch (laws 2 and 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which tokens may be drawn, applied in this order to the tempered distribution, as in transformers."""

    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and (not isinstance(self.top_k, int) or self.top_k < 1):
            raise ValueError(f"top_k must be a positive integer or None; got {self.top_k!r}")
        for name, value in (("top_p", self.top_p), ("min_p", self.min_p)):
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be in (0, 1] or None; got {value!r}")


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniforms(seeds: npt.NDArray[np.uint64], counters: npt.NDArray[np.uint64]) -> npt.NDArray[np.float32]:
    """One number in (0, 1) for each (seed, counter), the same on every machine: splitmix64 of the two, 24 bits."""
    with np.errstate(over="ignore"):
        bits = _mix(_mix(seeds) + (counters + np.uint64(1)) * _GOLDEN) >> np.uint64(40)
    return ((bits.astype(np.float64) + 0.5) * 2.0**-24).astype(np.float32)


def draw(logits: Tensor, uniform: Tensor, temperature: Tensor, filters: Filters) -> Tensor:
    """One token per row: ``logits`` [rows, vocabulary] fp32, ``uniform`` and ``temperature`` [rows] -> ids [rows].

    The token is the first whose cumulative weight passes ``uniform`` times the total. Temperature 0 is the argmax.
    """
    greedy = temperature == 0
    scaled = logits / torch.where(greedy, 1.0, temperature)[:, None]
    weights = torch.softmax(scaled, dim=-1)
    weights = _filtered(weights, filters)
    mass = weights.cumsum(-1)
    total = mass[:, -1:]
    # Strictly below the total, so that the search ends on a token with weight.
    target = torch.minimum(uniform[:, None] * total, total * (1 - 2.0**-23))
    drawn = torch.searchsorted(mass, target, right=True)[:, 0]
    return torch.where(greedy, logits.argmax(-1), drawn)


def _filtered(weights: Tensor, filters: Filters) -> Tensor:
    """Set the weight of excluded tokens to 0; ties at a threshold stay."""
    if filters.top_k is not None and filters.top_k < weights.shape[-1]:
        lowest = weights.topk(filters.top_k, dim=-1).values[:, -1:]
        weights = weights * (weights >= lowest)
    if filters.top_p is not None and filters.top_p < 1:
        ordered = weights.sort(dim=-1, descending=True).values
        before = ordered.cumsum(-1) - ordered
        kept = (before < filters.top_p * ordered.sum(-1, keepdim=True)).sum(-1, keepdim=True)
        weights = weights * (weights >= ordered.gather(-1, kept - 1))
    if filters.min_p is not None:
        weights = weights * (weights >= filters.min_p * weights.amax(-1, keepdim=True))
    return weights
