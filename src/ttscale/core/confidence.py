"""Token confidence in sliding windows (DeepConf, arXiv 2508.15260): what a step keeps of it, and when a draw stops.

The confidence of a token is minus the mean log-probability of the 20 likeliest tokens in its place: high where the
model is sure. Knows lists of such numbers; must not know where they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from ttscale.core.types import Step

TOP = 20
"""Likeliest tokens that count: DeepConf's number, and the most that servers return."""


def with_confidence(
    steps: Sequence[Step], confidences: Sequence[float], ends: Sequence[int], window: int
) -> list[Step]:
    """The steps, which end before the tokens ``ends``, with what they keep of the confidences of a draw's tokens.

    Two floats instead of one for every token: ``Step.tail``, over all tokens there are where they are fewer than
    ``window``, and ``Step.lowest``.
    """
    sums = [0.0, *accumulate(confidences)]
    means = [(sums[i] - sums[i - window]) / window for i in range(window, len(sums))]
    found = []
    begin = 0
    for step, end in zip(steps, ends, strict=True):
        size = max(1, min(window, end))
        ending = means[max(0, begin + 1 - window) : max(0, end + 1 - window)]
        tail = (sums[end] - sums[end - min(window, end)]) / size
        found.append(replace(step, tail=tail, lowest=min(ending, default=None)))
        begin = end
    return found


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
