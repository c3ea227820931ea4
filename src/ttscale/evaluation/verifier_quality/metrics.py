"""How well scores rank and how far they are to be believed: AUC and calibration.

Knows arrays only. Must not know models, files or where a score came from. Every function has a brute-force twin in the
tests. What a selection by the scores is worth stands in ``ttscale.evaluation.statistics``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from ttscale.evaluation.statistics import Bools, Floats


def auc(scores: Floats, positive: Bools) -> float | None:
    """P(a positive scores above a negative), a tie counting half; None when one of the two kinds is missing.

    ``scores`` and ``positive`` are [K].
    """
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    ranks = rankdata(scores)  # average ranks: ties count half
    above = float(ranks[positive].sum()) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One row of a reliability table: the scores in [low, high), the last bin including its upper end."""

    low: float
    high: float
    count: int
    score: float | None
    """Mean score of the bin; None when it is empty."""
    right: float | None
    """Share that was right (mean label where labels are soft); None when the bin is empty."""


def reliability(scores: Floats, labels: Floats, bins: int) -> tuple[ReliabilityBin, ...]:
    """The reliability table of ``scores`` and ``labels`` [K], in ``bins`` bins of equal width (arXiv 1706.04599)."""
    edges = np.arange(bins + 1) / bins  # linspace would put .3 below its own edge
    index = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
    table = []
    for b in range(bins):
        inside = index == b
        count = int(inside.sum())
        score = float(scores[inside].mean()) if count else None
        right = float(labels[inside].mean()) if count else None
        table.append(ReliabilityBin(float(edges[b]), float(edges[b + 1]), count, score, right))
    return tuple(table)


def expected_calibration_error(table: Sequence[ReliabilityBin]) -> float | None:
    """Mean distance between score and share right over a reliability table, weighted by count; None when empty."""
    total = sum(row.count for row in table)
    if total == 0:
        return None
    gaps = [row.count * abs(row.score - row.right) for row in table if row.score is not None and row.right is not None]
    return sum(gaps) / total
