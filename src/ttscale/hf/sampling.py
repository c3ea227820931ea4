"""From logits to tokens: one hashed uniform per row and the inverse of the row's distribution.

Knows: tensors of logits, seeds, counters. Must not know: tokenizers, KV, search. A draw is a function of the row's own
logits, settings, seed and counter, whatever else is in the batch (laws 2 and 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ttscale.core.confidence import TOP

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
COLDEST = 1e-30
"""Lower temperatures, at which only the largest logit counts, would overflow."""
CACHED = 800_000
"""Logits drawn from at once on a CPU: what is made of them on the way, 3 MB each, stays in its cache."""
HEAD = 256
"""Most likely tokens looked at first for top-p; a full sort only where they do not hold the mass."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which tokens may be drawn, applied in this order to the tempered distribution, as in transformers."""

    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        k: Any = self.top_k
        number = isinstance(k, Real) and not isinstance(k, bool)
        if k is not None and not (number and int(k) == k and k >= 1):
            raise ValueError(f"top_k must be a positive integer or None; got {k!r}")
        if k is not None:
            object.__setattr__(self, "top_k", int(k))
        for name in ("top_p", "min_p"):
            value: Any = getattr(self, name)
            number = isinstance(value, Real)
            if value is not None and not (number and 0 < value <= 1):
                raise ValueError(f"{name} must be in (0, 1] or None; got {value!r}")


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniforms(seeds: npt.NDArray[np.uint64], counters: npt.NDArray[np.uint64]) -> npt.NDArray[np.float32]:
    """One number in (0, 1) for each (seed, counter), the same on every machine: splitmix64 of the two, 23 bits."""
    with np.errstate(over="ignore"):
        bits = _mix(_mix(seeds) + (counters + np.uint64(1)) * _GOLDEN) >> np.uint64(41)
    return ((bits.astype(np.float64) + 0.5) * 2.0**-23).astype(np.float32)


def draw(
    logits: Tensor, uniform: Tensor, temperature: Sequence[float], filters: Filters, processed: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """One token per row from ``logits`` [rows, vocabulary] fp32: (ids, log-probabilities, certainties), each [rows].

    The token is the first whose cumulative weight passes ``uniform`` [rows] times the total; temperature 0 takes the
    argmax. Tokens are drawn from ``processed`` [rows, vocabulary] where that is given (penalties, bans).
    Log-probability (natural) and certainty (KL of the uniform distribution to the model's, arXiv 2502.18581) are the
    model's own: at temperature 1, before any filter or penalty.
    """
    whole = len(logits)
    count = max(1, CACHED // logits.shape[-1]) if logits.device.type == "cpu" else whole
    if whole <= count:
        return _draw(logits, uniform, temperature, filters, processed)
    parts = []
    for at in range(0, whole, count):
        rows = slice(at, at + count)
        allowed = None if processed is None else processed[rows]
        parts.append(_draw(logits[rows], uniform[rows], temperature[rows], filters, allowed))
    tokens, logprobs, certainties = (torch.cat(one) for one in zip(*parts, strict=True))
    return tokens, logprobs, certainties


def _draw(
    logits: Tensor, uniform: Tensor, temperature: Sequence[float], filters: Filters, processed: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    allowed = logits if processed is None else processed
    if processed is None and all(t == 1 for t in temperature):
        weights = logits.softmax(-1)
        tokens = inverse_cdf(_filtered(weights, filters), uniform)
        logprobs = weights.gather(-1, tokens[:, None])[:, 0].log()
        norm = logits.gather(-1, tokens[:, None])[:, 0] - logprobs
    else:
        heat = torch.tensor(list(temperature), dtype=torch.float32, device=logits.device)
        greedy = heat == 0
        if any(temperature):
            divisor = torch.where(greedy, 1.0, heat).clamp(min=COLDEST)
            weights = torch.softmax(allowed / divisor[:, None], dim=-1)
            tokens = inverse_cdf(_filtered(weights, filters), uniform)
        if not all(temperature):
            best = allowed.argmax(-1)
            tokens = torch.where(greedy, best, tokens) if any(temperature) else best
        norm = logits.logsumexp(-1)
        logprobs = logits.gather(-1, tokens[:, None])[:, 0] - norm
    return tokens, logprobs, norm - _mean_logit(logits)


def confidence(logits: Tensor) -> Tensor:
    """Minus the mean log-probability of each row's likeliest tokens [rows], at temperature 1 (2508.15260)."""
    top = logits.topk(min(TOP, logits.shape[-1]), dim=-1).values
    return logits.logsumexp(-1) - top.mean(-1)


def _mean_logit(logits: Tensor) -> Tensor:
    """Mean over the tokens that can be drawn, plus the logarithm of their number; logits of -inf are banned tokens."""
    mean = logits.mean(-1) + math.log(logits.shape[-1])
    if logits.device.type == "cpu" and not bool(mean.isinf().any()):  # elsewhere asking costs more than the sum below
        return mean
    banned = logits == -torch.inf
    count = (~banned).sum(-1)
    return logits.masked_fill(banned, 0.0).sum(-1) / count + count.log()


def inverse_cdf(weights: Tensor, uniform: Tensor) -> Tensor:
    """The first token of each row whose cumulative weight passes ``uniform`` times the row's total.

    ``weights`` [rows, vocabulary] >= 0 with a positive sum. Searched in two levels, the sums of stretches and then one
    stretch, which costs a sum over the vocabulary instead of a running sum. A token of weight 0 is never drawn.
    """
    rows, vocabulary = weights.shape
    stretch = next((size for size in (256, 128, 64, 32, 16) if vocabulary % size == 0), 0)
    if vocabulary <= 512 or not stretch:
        return _first_above(weights, uniform, None)
    parts = weights.view(rows, -1, stretch)
    sums = parts.sum(-1)
    block = _first_above(sums, uniform, None)
    below = sums.cumsum(-1)
    rest = uniform * below[:, -1] - (below.gather(-1, block[:, None]) - sums.gather(-1, block[:, None]))[:, 0]
    inner = parts.gather(1, block[:, None, None].expand(-1, 1, stretch))[:, 0]
    return block * stretch + _first_above(inner, uniform, rest)


def _first_above(weights: Tensor, uniform: Tensor, target: Tensor | None) -> Tensor:
    """Index of the first running sum above ``target`` (default: ``uniform`` times the total), on a positive weight."""
    mass = weights.cumsum(-1)
    total = mass[:, -1]
    if target is None:
        target = uniform * total
    # Between 0 and strictly below the total, so that rounding cannot end the search on a token without weight.
    target = torch.minimum(target.clamp(min=0.0), total * (1 - 2.0**-23))
    found = torch.searchsorted(mass, target[:, None], right=True)[:, 0]
    return found.clamp(max=mass.shape[-1] - 1)  # among NaN there is none: the draw's log-probability says so


def _filtered(weights: Tensor, filters: Filters) -> Tensor:
    """Set the weight of excluded tokens to 0; ties at a threshold stay."""
    vocabulary = weights.shape[-1]
    if filters.top_k is not None and filters.top_k < vocabulary:
        lowest = weights.topk(filters.top_k, dim=-1).values[:, -1:]
        weights = weights * (weights >= lowest)
    if filters.top_p is not None and filters.top_p < 1:
        mass = filters.top_p * weights.sum(-1, keepdim=True)
        ordered = weights.topk(min(HEAD, vocabulary), dim=-1).values
        if ordered.shape[-1] < vocabulary and bool((ordered.sum(-1, keepdim=True) < mass).any()):
            ordered = weights.sort(dim=-1, descending=True).values
        before = ordered.cumsum(-1) - ordered
        kept = (before < mass).sum(-1, keepdim=True).clamp(min=1)
        weights = weights * (weights >= ordered.gather(-1, kept - 1))
    if filters.min_p is not None:
        weights = weights * (weights >= filters.min_p * weights.amax(-1, keepdim=True))
    return weights
