"""The numbers a verifier is judged by: AUC, pair accuracy, calibration, and what a selection would have been worth.

Knows arrays and the arithmetic of ranks. Must not know models, files or where a score came from. Every function has a
brute-force twin in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auc(scores: Floats, positive: Bools) -> float | None:
    """P(a positive scores above a negative), a tie counting half; None when one of the two kinds is missing."""
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    ranks = rankdata(scores)  # average ranks: ties count half
    above = float(ranks[positive].sum()) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


@dataclass(frozen=True, slots=True)
class Bin:
    """One row of a reliability table: the scores in [low, high), the last bin including its upper end."""

    low: float
    high: float
    count: int
    score: float | None
    """Mean score of the bin; None when it is empty."""
    right: float | None
    """Share that was right (mean label where labels are soft); None when the bin is empty."""


def reliability(scores: Floats, labels: Floats, bins: int) -> tuple[Bin, ...]:
    """The reliability table over ``bins`` bins of equal width (Guo et al., arXiv 1706.04599)."""
    edges = np.arange(bins + 1) / bins  # linspace would put .3 below its own edge
    index = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
    table = []
    for b in range(bins):
        inside = index == b
        count = int(inside.sum())
        score = float(scores[inside].mean()) if count else None
        right = float(labels[inside].mean()) if count else None
        table.append(Bin(float(edges[b]), float(edges[b + 1]), count, score, right))
    return tuple(table)


def expected_calibration_error(table: Sequence[Bin]) -> float | None:
    """Mean distance between score and share right over a reliability table, weighted by count; None when empty."""
    total = sum(row.count for row in table)
    if total == 0:
        return None
    gaps = [row.count * abs(row.score - row.right) for row in table if row.score is not None and row.right is not None]
    return sum(gaps) / total


def subset_chance(total: int, chosen: int, inside: int) -> float:
    """P(all ``chosen`` of ``total``, drawn without replacement, fall into a given set of ``inside``)."""
    return math.comb(inside, chosen) / math.comb(total, chosen) if inside >= chosen else 0.0


def oracle_of(correct: Bools, n: int) -> float:
    """P(at least one of ``n`` solutions drawn without replacement is right): pass@n, unbiased (arXiv 2107.03374)."""
    return 1.0 - subset_chance(correct.size, n, int((~correct).sum()))


def best_of(scores: Floats, correct: Bools, n: int) -> float:
    """Exact expected accuracy of picking the highest score among ``n`` drawn without replacement; ties share.

    P(the best of the draw lies in a group of equal scores) is P(nothing above is drawn) - P(nothing above nor in the
    group is drawn); the members of the group are then equally likely.
    """
    total = scores.size
    accuracy, above = 0.0, 0
    for value in np.unique(scores)[::-1]:
        group = scores == value
        size = int(group.sum())
        here = subset_chance(total, n, total - above) - subset_chance(total, n, total - above - size)
        accuracy += here * float(correct[group].mean())
        above += size
    return accuracy


def draw_subsets(total: int, n: int, draws: int, seed: int) -> Bools:
    """[draws, total] masks of ``n`` chosen without replacement; a single full one when ``n == total``."""
    if n == total:
        return np.ones((1, total), dtype=np.bool_)
    order = np.random.default_rng(seed).random((draws, total)).argsort(axis=1)
    masks = np.zeros((draws, total), dtype=np.bool_)
    np.put_along_axis(masks, order[:, :n], True, axis=1)
    return masks


def vote(masks: Bools, weights: Floats, classes: NDArray[np.int64], correct: Bools) -> float:
    """Mean accuracy, over the subsets ``masks`` [draws, K], of the answer class with the largest summed weight.

    ``classes`` [K] is -1 where a solution states no answer: it never votes. Tied classes share; a subset without any
    answer is wrong.
    """
    voters = classes >= 0
    if not voters.any():
        return 0.0
    member = np.zeros((classes.size, int(classes.max()) + 1))  # [K, classes]
    member[np.flatnonzero(voters), classes[voters]] = 1.0
    right = (member * correct[:, None]).sum(axis=0) / np.maximum(member.sum(axis=0), 1.0)  # [classes]
    totals = masks @ (member * weights[:, None])  # [draws, classes]
    present = (masks @ member) > 0
    totals = np.where(present, totals, -np.inf)
    most = totals.max(axis=1, keepdims=True)
    top = present & (totals >= most - 1e-12 * np.abs(most))
    count = top.sum(axis=1)
    return float(np.where(count > 0, (top @ right) / np.maximum(count, 1), 0.0).mean())


def bootstrap(per_question: Floats, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """2.5% and 97.5% points of each column's mean when the rows (questions) are drawn again with replacement.

    The columns of one resample come from the same questions: the interval of a difference of columns is a paired one.
    """
    rows = per_question.shape[0]
    counts = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1.0 / rows), size=resamples)
    means = counts @ per_question / rows  # [resamples, columns]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high
