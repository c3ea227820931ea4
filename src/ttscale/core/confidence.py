"""Token confidence in sliding windows (DeepConf, arXiv 2508.15260): what a step keeps of it, and when a draw stops.

The confidence of a token is minus the mean log-probability of the 20 likeliest tokens in its place: high where the
model is sure. Knows lists of such numbers; must not know where they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

TOP = 20
"""Likeliest tokens that count: DeepConf's number, and the most that servers return."""


class StepConfidence(NamedTuple):
    """What a step keeps: two floats instead of one for every token."""

    tail: float
    """Mean over the last ``window`` tokens up to the end of the step, or over all there are."""
    lowest: float | None
    """Lowest mean of a whole window that ends in the step; None where there is none yet."""


def by_step(confidences: Sequence[float], ends: Sequence[int], window: int) -> list[StepConfidence]:
    """The records of steps that end before the tokens ``ends``, of a draw whose tokens have these confidences."""
    sums = [0.0, *accumulate(confidences)]
    means = [(sums[i] - sums[i - window]) / window for i in range(window, len(sums))]
    records = []
    begin = 0
    for end in ends:
        size = max(1, min(window, end))
        ending = means[max(0, begin + 1 - window) : max(0, end + 1 - window)]
        records.append(StepConfidence((sums[end] - sums[end - min(window, end)]) / size, min(ending, default=None)))
        begin = end
    return records


def of_likeliest(logprobs: Iterable[float]) -> float:
    """The confidence of a token from the log-probabilities of ``TOP`` or more of the likeliest in its place."""
    top = sorted(logprobs, reverse=True)[:TOP]
    return -sum(top) / len(top)


def first_below(confidences: Sequence[float], window: int, threshold: float) -> int | None:
    """After how many tokens a draw first falls below ``threshold``; None where it never does."""
    ends = range(window, len(confidences) + 1)
    return next((n for n in ends if falls_below(confidences[n - window : n], window, threshold)), None)


def falls_below(confidences: Sequence[float], window: int, threshold: float) -> bool:
    """Whether the last whole window is less confident than ``threshold``."""
    return len(confidences) >= window and sum(confidences[-window:]) / window < threshold
