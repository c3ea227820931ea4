"""What keeps best-of-N from choosing what only the verifier likes, as N grows.

Knows pools as arrays. Must not know models or files. Over-optimisation (the paper's Goodhart effect): among many
candidates the one with the highest score is more and more often one that the verifier is wrong about. Each remedy here
is another way to choose among the same N samples of a pool, so all of them cost the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ttscale.evaluation.collect.pool import Pool
from ttscale.evaluation.statistics import Bools, Floats, Graded, accuracy, orders, subsets, vote_over
from ttscale.strategies.adaptive import chance_to_lead

DRAWS = 100
"""Random subsets per question and N for what has no closed form."""
FIRST = 4
CONFIDENCE = 0.95
"""Of the early stop: those of ``AdaptiveScheduler``."""
FLOOR = 1e-6


def remedies(
    pool: Pool, budgets: Sequence[int], second: Pool | None = None, draws: int = DRAWS
) -> tuple[dict[str, Floats], Floats]:
    """Accuracies [questions, budgets] of each way to choose, and the mean solutions drawn where the vote stops early.

    ``second`` is the same samples judged by another verifier: with it there are ensembles of both.
    """
    graded = pool.graded()
    found: dict[str, list[list[float]]] = {}
    spent = np.zeros((len(graded), len(budgets)))
    others = {} if second is None else {one.question: one for one in second.graded()}
    for row, one in enumerate(graded):
        texts = [solution.text for solution in pool.drawn(one.question)[: len(one.scores)]]
        ways: dict[str, list[float]] = {}
        for column, n in enumerate(budgets):
            masks = subsets(len(one.scores), n, draws, f"0/{one.question}")
            now = {
                "best-of-N": accuracy(one, "best_of_n", n),
                "weighted best-of-N": _weighted(one, masks),
                "majority": accuracy(one, "majority", n, draws=draws),
                "weighted, duplicates merged": _weighted(one, once_each(masks, texts)),
                "weighted, scores sharpened (logit x 2)": _weighted(tempered(one, 2.0), masks),
                "weighted, scores flattened (logit / 2)": _weighted(tempered(one, 0.5), masks),
            }
            right, used = stopped(one, n, draws)
            now["weighted, stopped once decided"], spent[row, column] = right, used
            if other := others.get(one.question):
                mean = replace(one, scores=(one.scores + other.scores) / 2)
                least = replace(one, scores=np.minimum(one.scores, other.scores))
                now["best-of-N, mean of two verifiers"] = accuracy(mean, "best_of_n", n)
                now["best-of-N, least of two verifiers"] = accuracy(least, "best_of_n", n)
                now["weighted, mean of two verifiers"] = _weighted(mean, masks)
            for name, value in now.items():
                ways.setdefault(name, []).append(value)
        for name, values in ways.items():
            found.setdefault(name, []).append(values)
    return {name: np.array(values) for name, values in found.items()}, spent


def once_each(masks: Bools, texts: Sequence[str]) -> Bools:
    """``masks`` [S, K] with only the first of equal texts left in each subset."""
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        groups.setdefault(text, []).append(place)
    kept = masks.copy()
    for group in groups.values():
        if len(group) > 1:
            own = masks[:, group]
            kept[:, group] = own & (np.cumsum(own, axis=1) == 1)
    return kept


def tempered(graded: Graded, factor: float) -> Graded:
    """The scores with their logits multiplied: surer of themselves above 1, less sure below. The order stays."""
    clipped = np.clip(graded.scores, FLOOR, 1 - FLOOR)
    return replace(graded, scores=1 / (1 + ((1 - clipped) / clipped) ** factor))


def stopped(graded: Graded, n: int, draws: int = DRAWS) -> tuple[float, float]:
    """Accuracy and mean solutions drawn when the weighted vote ends once decided: looked at after 4, 8, 16, ... of N.

    The rule is ``AdaptiveScheduler``'s. Orders are random, the same for every n.
    """
    places = orders(len(graded.scores), draws, graded.question)
    right = spent = 0.0
    rows = len(places)
    open_ = np.ones(rows, dtype=np.bool_)
    sizes = [FIRST * 2**k for k in range(n.bit_length()) if FIRST * 2**k < n]
    for size in [*sizes, n]:
        mask = places < size
        leads = np.array([decided(graded, mask[row], CONFIDENCE) if open_[row] else False for row in range(rows)])
        ends = open_ & (leads | (size == n))
        if ends.any():
            right += _weighted(graded, mask[ends]) * ends.sum()
            spent += float(size * ends.sum())
        open_ &= ~ends
    return right / rows, spent / rows


def decided(graded: Graded, mask: Bools, confidence: float) -> bool:
    """Whether the weighted vote of a subset is decided, by the Beta rule of adaptive consistency on weights."""
    voters = mask & (graded.classes >= 0) & ~np.isnan(graded.scores)
    if not voters.any():
        return False
    totals = np.sort(np.bincount(graded.classes[voters], graded.scores[voters]))[::-1]
    return chance_to_lead(float(totals[0]), float(totals[1]) if len(totals) > 1 else 0.0) >= confidence


def _weighted(graded: Graded, masks: Bools) -> float:
    return vote_over(masks, graded.scores, graded.classes, graded.correct)
