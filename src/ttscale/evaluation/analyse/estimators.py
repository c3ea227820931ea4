"""What a pool of K solutions says about choosing among N of them: exact where that is cheap, else over many subsets.

Knows arrays of right and wrong, answer classes and scores. Must not know models or files. Every estimate is the mean
over all ways to draw N of the K in random order, which is unbiased for N fresh draws; a single prefix of the pool would
be one draw of that. Ties fall as in
``ttscale.core.selection``: the earlier candidate wins, so in random order equals share.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ttscale.evaluation.collect.pool import Graded

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Method = Literal["pass@1", "majority", "best_of_n", "weighted_best_of_n", "oracle"]

EXACT = 2_000
"""Votes are averaged over all subsets up to this many of them, over ``draws`` random ones beyond."""


def pass_at_k(n: int, c: int, k: int) -> float:
    """P(at least one of ``k`` solutions is right), unbiased, from ``c`` right ones among ``n`` (arXiv 2107.03374)."""
    if not 0 <= c <= n:
        raise ValueError(f"c, the number of right solutions, must lie between 0 and n = {n}; got {c}")
    if not 1 <= k <= n:
        raise ValueError(f"k must lie between 1 and n = {n}, the number of solutions drawn; got {k}")
    return 1.0 - math.prod((n - c - i) / (n - i) for i in range(k)) if n - c >= k else 1.0


def best_of_n(graded: Graded, n: int) -> float:
    """Exact expected accuracy of the best score among ``n`` of the K, as ``ttscale.core.selection.best`` chooses.

    Solutions with an answer go before those without; one that was cut off is never chosen.
    """
    total = _check(graded, n)
    finished = ~np.isnan(graded.scores)
    # Rank of each: by having an answer, then by score. Equal ranks tie; -1 is never chosen.
    ranking = np.full(total, -1)
    pairs = np.column_stack([graded.classes >= 0, graded.scores])[finished]
    ranking[finished] = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    # free[m]: P(none of the n lies among the K - m others) = C(m, n) / C(K, n)
    free = np.array([math.prod((m - i) / (total - i) for i in range(n)) if m >= n else 0.0 for m in range(total + 1)])
    accuracy, above = 0.0, 0
    for rank in np.unique(ranking)[::-1]:
        group = ranking == rank
        size = int(group.sum())
        if rank >= 0:
            accuracy += (free[total - above] - free[total - above - size]) * float(graded.correct[group].mean())
        above += size
    return float(accuracy)


def vote(graded: Graded, n: int, *, weighted: bool, draws: int = 200, seed: int = 0) -> float:
    """Expected accuracy of a vote among ``n`` of the K: by score (``weighted``), or one each (majority)."""
    subsets = _subsets(_check(graded, n), n, draws, f"{seed}/{graded.question}")
    voters = graded.classes >= 0
    weights = np.ones_like(graded.scores) if not weighted else graded.scores
    if weighted:
        voters = voters & ~np.isnan(graded.scores)
    return vote_over(subsets, np.where(voters, np.nan_to_num(weights), 0.0), voters, graded.classes, graded.correct)


def vote_over(subsets: Bools, weights: Floats, voters: Bools, classes: NDArray[np.int64], correct: Bools) -> float:
    """Mean accuracy over ``subsets`` [S, K] of the answer class with the largest summed weight.

    Of the class that wins, and of classes that tie, the solution with the largest weight is chosen, the earlier of
    equals: in random order each of those is as likely. A subset without any voter is wrong.
    """
    if not voters.any():
        return 0.0
    member = np.zeros((len(classes), int(classes.max()) + 1))
    member[np.flatnonzero(voters), classes[voters]] = 1.0
    totals = subsets @ (member * weights[:, None])  # [S, classes]
    mine = np.where(subsets & voters, totals[:, np.maximum(classes, 0)], -np.inf)  # [S, K]: each one's class total
    # Sums of the same weights in another order differ by rounding; that must not break a tie.
    most = mine.max(axis=1, keepdims=True)
    leading = mine >= most - 1e-9 * np.abs(most)
    weight = np.where(leading & np.isfinite(mine), weights, -np.inf)
    chosen = np.isfinite(weight) & (weight == weight.max(axis=1, keepdims=True))
    count = chosen.sum(axis=1)
    return float(np.where(count > 0, (chosen @ correct.astype(float)) / np.maximum(count, 1), 0.0).mean())


def accuracy(graded: Graded, method: Method, n: int, *, draws: int = 200, seed: int = 0) -> float:
    """Expected accuracy of one question under a method at budget ``n``."""
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}; got {method!r}")
    if method not in ("pass@1", "oracle", "majority") and np.isnan(graded.scores).all() and graded.correct.any():
        raise ValueError(
            f"question {graded.question!r} has no scores: {method} needs a pool that was drawn with a verifier"
        )
    if method == "pass@1":
        return float(graded.correct.mean())
    if method == "oracle":
        return pass_at_k(len(graded.correct), int(graded.correct.sum()), n)
    if method == "best_of_n":
        return best_of_n(graded, n)
    return vote(graded, n, weighted=method == "weighted_best_of_n", draws=draws, seed=seed)


def curves(
    pool: Sequence[Graded], methods: Sequence[Method], ns: Sequence[int], *, draws: int = 200, seed: int = 0
) -> dict[Method, Floats]:
    """For each method the accuracy of every question at every N: an array [questions, len(ns)]."""
    return {
        method: np.array([[accuracy(one, method, n, draws=draws, seed=seed) for n in ns] for one in pool])
        for method in methods
    }


def _subsets(total: int, n: int, draws: int, address: str) -> Bools:
    """Masks [S, total] of ``n``: all of them where there are few, else prefixes of random orders.

    For one question the subsets of larger N contain those of smaller N, so curves are smooth in N.
    """
    if draws < 1:
        raise ValueError(f"draws must be a positive integer; got {draws!r}")
    if math.comb(total, n) <= EXACT:
        chosen = np.array(list(itertools.combinations(range(total), n)))
        masks = np.zeros((len(chosen), total), dtype=np.bool_)
        np.put_along_axis(masks, chosen, True, axis=1)
        return masks
    digest = hashlib.blake2b(address.encode(), digest_size=8).digest()
    noise = np.random.default_rng(int.from_bytes(digest, "big")).random((draws, total))
    places: Bools = noise.argsort(axis=1).argsort(axis=1) < n
    return places


def _check(graded: Graded, n: int) -> int:
    total = len(graded.correct)
    if not 1 <= n <= total:
        raise ValueError(f"N must lie between 1 and K = {total}, the samples of question {graded.question!r}; got {n}")
    return total
