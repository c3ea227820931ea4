"""The statistics of every report: what choosing among N of K solutions is worth, and how sure a mean is.

Knows arrays only. Must not know models, files or strategies. Two ideas:

- A pool of K solutions says what best-of-N, a vote or pass@N would have scored for every N <= K. Every estimate is the
  mean over all ways to draw N of the K in random order, which is unbiased for N fresh draws. The choice is that of
  ``ttscale.core.selection``: the earlier of equals wins, so in random order equals share.
- Questions are what is drawn again for an interval. The seeds of one question are averaged first, because two runs of
  one question are not two questions.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ttscale.core.checks import check_choice, check_count
from ttscale.core.selection import ROUNDING

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Method = Literal["pass@1", "majority", "best_of_n", "weighted_best_of_n", "oracle"]
EXACT = 2_000
"""Votes are averaged over all subsets up to this many of them, over ``draws`` random ones beyond."""
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Graded:
    """The K solutions of one question, ready for the estimators: every array has the shape [K]."""

    question: str
    correct: Bools
    classes: NDArray[np.int64]
    """Solutions with equivalent answers have one number; -1 states no answer and never votes."""
    scores: Floats
    """Final score in [0, 1]; NaN where a solution was cut off or never judged."""
    tokens: NDArray[np.int64]
    """Sampled tokens."""


def accuracy(graded: Graded, method: Method, n: int, *, draws: int = 200, seed: int = 0) -> float:
    """Expected accuracy of one question when ``method`` chooses among ``n`` of its K solutions.

    Exact for pass@1, best-of-N and the oracle. Votes (for best-of-N those among solutions without a score) are averaged
    over all subsets, or over ``draws`` random ones where there are more than ``EXACT``. ``ValueError`` for an unknown
    method, an N outside 1 to K, and missing scores.
    """
    check_choice("method", method, get_args(Method))
    if method not in ("pass@1", "oracle", "majority") and np.isnan(graded.scores).all() and graded.correct.any():
        raise ValueError(
            f"question {graded.question!r} has no scores: {method} needs a pool that was drawn with a verifier"
        )
    if method == "pass@1":
        return float(graded.correct.mean())
    if method == "oracle":
        return pass_at_k(len(graded.correct), int(graded.correct.sum()), n)
    if method == "best_of_n":
        return best_of_n(graded, n, draws=draws, seed=seed)
    return vote(graded, n, weighted=method == "weighted_best_of_n", draws=draws, seed=seed)


def curves(
    pool: Sequence[Graded], methods: Sequence[Method], ns: Sequence[int], *, draws: int = 200, seed: int = 0
) -> dict[Method, Floats]:
    """For each method the accuracy of every question at every N: an array [questions, len(ns)]."""
    return {
        method: np.array([[accuracy(one, method, n, draws=draws, seed=seed) for n in ns] for one in pool])
        for method in methods
    }


def pass_at_k(n: int, c: int, k: int) -> float:
    """P(at least one of ``k`` solutions is right), unbiased, from ``c`` right ones among ``n`` (arXiv 2107.03374)."""
    if not 0 <= c <= n:
        raise ValueError(f"c, the number of right solutions, must lie between 0 and n = {n}; got {c}")
    if not 1 <= k <= n:
        raise ValueError(f"k must lie between 1 and n = {n}, the number of solutions drawn; got {k}")
    return 1.0 - math.prod((n - c - i) / (n - i) for i in range(k)) if n - c >= k else 1.0


def best_of_n(graded: Graded, n: int, *, draws: int = 200, seed: int = 0) -> float:
    """Exact expected accuracy of the best score among ``n`` of the K, as ``ttscale.core.selection.best`` chooses.

    Solutions with an answer go before those without; one that was cut off is never chosen. Where no solution of a
    subset has a score, the most frequent answer wins, as in a ``vote`` among these with ``draws`` and ``seed``.
    """
    total = _check(graded, n)
    finished = ~np.isnan(graded.scores)
    # Rank of each: by having an answer, then by score. Equal ranks tie; -1 is never chosen.
    ranking = np.full(total, -1)
    pairs = np.column_stack([graded.classes >= 0, graded.scores])[finished]  # [finished, 2]
    ranking[finished] = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    # free[m]: P(none of the n lies among the K - m others) = C(m, n) / C(K, n)
    free = np.array([math.prod((m - i) / (total - i) for i in range(n)) if m >= n else 0.0 for m in range(total + 1)])
    found, above = 0.0, 0
    for rank in np.unique(ranking)[::-1]:
        group = ranking == rank
        size = int(group.sum())
        if rank >= 0:
            found += (free[total - above] - free[total - above - size]) * float(graded.correct[group].mean())
        above += size
    bare = np.isnan(graded.scores)
    if free[int(bare.sum())] and graded.correct[bare].any():
        unscored = Graded(
            graded.question, graded.correct[bare], graded.classes[bare], graded.scores[bare], graded.tokens[bare]
        )
        found += free[int(bare.sum())] * vote(unscored, n, weighted=False, draws=draws, seed=seed)
    return float(found)


def vote(graded: Graded, n: int, *, weighted: bool, draws: int = 200, seed: int = 0) -> float:
    """Expected accuracy of a vote among ``n`` of the K: by score (``weighted``), or one each (majority)."""
    masks = subsets(_check(graded, n), n, draws, f"{seed}/{graded.question}")
    return vote_over(masks, graded.scores if weighted else np.ones_like(graded.scores), graded.classes, graded.correct)


def vote_over(masks: Bools, weights: Floats, classes: NDArray[np.int64], correct: Bools) -> float:
    """Mean accuracy over the subsets ``masks`` [S, K] of the vote of ``ttscale.core.selection.weighted_vote``.

    The answer class with the largest summed weight wins. Of that class, and of classes that tie, the solution with the
    largest weight is chosen, the earlier of equals: in random order each of those is as likely. A class of -1 or a
    weight of NaN does not vote; in a subset where every weight is NaN all answers have one vote, and one without any
    voter is wrong. ``weights``, ``classes`` and ``correct`` are [K].
    """
    judged = ~np.isnan(weights)
    bare = ~(masks & judged).any(axis=1)
    if bare.any() and not judged.all():
        unscored = vote_over(masks[bare], np.ones_like(weights), classes, correct) * bare.sum()
        scored = 0.0 if bare.all() else vote_over(masks[~bare], weights, classes, correct) * (~bare).sum()
        return float((unscored + scored) / len(masks))
    voters = (classes >= 0) & judged
    if not voters.any():
        return 0.0
    weights = np.where(voters, weights, 0.0)
    member = np.zeros((len(classes), int(classes.max()) + 1))  # [K, classes]
    member[np.flatnonzero(voters), classes[voters]] = 1.0
    totals = masks @ (member * weights[:, None])  # [S, classes]
    mine = np.where(masks & voters, totals[:, np.maximum(classes, 0)], -np.inf)  # [S, K]: each one's class total
    most = mine.max(axis=1, keepdims=True)
    leading = mine >= most - ROUNDING * np.abs(most)
    weight = np.where(leading & np.isfinite(mine), weights, -np.inf)
    chosen = np.isfinite(weight) & (weight == weight.max(axis=1, keepdims=True))
    count = chosen.sum(axis=1)  # [S]
    return float(np.where(count > 0, (chosen @ correct.astype(float)) / np.maximum(count, 1), 0.0).mean())


def subsets(total: int, n: int, draws: int, address: str) -> Bools:
    """Masks [S, total] of ``n``: all of them up to ``EXACT``, else the first ``n`` of ``draws`` random orders."""
    check_count("draws", draws)
    if math.comb(total, n) > EXACT:
        return orders(total, draws, address) < n
    chosen = np.array(list(itertools.combinations(range(total), n)))
    masks = np.zeros((len(chosen), total), dtype=np.bool_)
    np.put_along_axis(masks, chosen, True, axis=1)
    return masks


def orders(total: int, draws: int, address: str) -> NDArray[np.int64]:
    """The place [draws, total] of each solution in random orders: the same for every N, so curves are smooth in N."""
    digest = hashlib.blake2b(address.encode(), digest_size=8).digest()
    noise = np.random.default_rng(int.from_bytes(digest, "big")).random((draws, total))
    return noise.argsort(axis=1).argsort(axis=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over questions with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference has one sign over the whole interval."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of per-question values [questions] or [questions, seeds], with its percentile bootstrap interval."""
    per_question = _per_question(values)
    means = resampled(len(per_question), resamples, seed) @ per_question.astype(np.float32) / len(per_question)
    # Rounded to what single precision, which halves the memory, is good for.
    low, high = np.percentile(means.astype(np.float64), [2.5, 97.5]).round(6)
    value = float(per_question.mean())
    return Interval(value, min(float(low), value), max(float(high), value))


def paired_difference(ours: Floats, theirs: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of ``ours - theirs`` over the same questions in the same order; each resample draws pairs.

    Both are [questions] or [questions, seeds]. ``ValueError`` for different numbers of questions.
    """
    a, b = _per_question(ours), _per_question(theirs)
    if a.shape != b.shape:
        raise ValueError(f"a paired comparison needs the same questions on both sides; got {len(a)} and {len(b)}")
    return mean_interval(a - b, resamples=resamples, seed=seed)


@lru_cache(maxsize=8)
def resampled(count: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """How often each of ``count`` questions is drawn in each resample: [resamples, count], the same at every call."""
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=resamples)
    return drawn.astype(np.float32)


def _per_question(values: Floats) -> Floats:
    """One value a question [questions]; seeds are averaged."""
    found = np.asarray(values, dtype=np.float64)
    if found.size == 0:
        raise ValueError("no values to take the mean of: there are no questions")
    if np.isnan(found).any():
        raise ValueError("some values are missing (NaN); leave those questions out on both sides first")
    return found if found.ndim == 1 else found.mean(axis=1)


def _check(graded: Graded, n: int) -> int:
    total = len(graded.correct)
    if not 1 <= n <= total:
        raise ValueError(f"N must lie between 1 and K = {total}, the samples of question {graded.question!r}; got {n}")
    return total
