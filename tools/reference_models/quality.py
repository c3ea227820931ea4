"""How good is a generator with a verifier: the numbers on the model card.

Knows: graded samples and their scores. Must not know: models.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.reference_models.collect import Sampled

from ttscale.reference.layout import answer_of


@dataclass(frozen=True)
class Draw:
    """One sample of a question: its answer, whether it is right, its score."""

    answer: str
    right: bool
    score: float


def draws(row: Sampled, scores: Sequence[float], rng: random.Random) -> list[Draw]:
    """The samples of a question in random order."""
    out = [
        Draw(answer_of(text) or "", right, score)
        for (text, times, right), score in zip(row.solutions, scores, strict=True)
        for _ in range(times)
    ]
    rng.shuffle(out)
    return out


def majority(some: Sequence[Draw]) -> float:
    return _vote(some, lambda draw: 1.0)


def weighted(some: Sequence[Draw]) -> float:
    return _vote(some, lambda draw: draw.score)


def best(some: Sequence[Draw]) -> float:
    return float(max(some, key=lambda draw: draw.score).right) if some else 0.0


def _vote(some: Sequence[Draw], weight: Callable[[Draw], float]) -> float:
    votes: dict[str, float] = defaultdict(float)
    right: dict[str, bool] = {}
    for draw in some:
        votes[draw.answer] += weight(draw)
        right[draw.answer] = draw.right
    return float(right[max(votes, key=lambda answer: votes[answer])]) if votes else 0.0


def pair_accuracy(groups: Sequence[Sequence[Draw]]) -> float:
    """Over questions with both kinds: how often a right sample scores above a wrong one (ties half)."""
    values = []
    for group in groups:
        good = [draw.score for draw in group if draw.right]
        bad = [draw.score for draw in group if not draw.right]
        if good and bad:
            wins = sum((g > b) + 0.5 * (g == b) for g in good for b in bad)
            values.append(wins / (len(good) * len(bad)))
    return sum(values) / len(values) if values else float("nan")


def calibration_error(groups: Sequence[Sequence[Draw]], bins: int = 10) -> float:
    """Expected calibration error over all samples, ``bins`` equally wide bins."""
    totals = [[0.0, 0.0, 0.0] for _ in range(bins)]
    for group in groups:
        for draw in group:
            total = totals[min(bins - 1, int(draw.score * bins))]
            total[0] += 1
            total[1] += draw.score
            total[2] += draw.right
    count = sum(total[0] for total in totals)
    return sum(abs(total[1] - total[2]) for total in totals) / count


def interval(differences: Sequence[float], seed: int = 0, rounds: int = 2000) -> tuple[float, float, float]:
    """Mean of paired differences and its 95% bootstrap interval."""
    rng = random.Random(seed)
    n = len(differences)
    means = sorted(sum(differences[int(rng.random() * n)] for _ in range(n)) / n for _ in range(rounds))
    return sum(differences) / n, means[int(0.025 * rounds)], means[int(0.975 * rounds)]


def selection(groups: Sequence[Sequence[Draw]], sizes: Sequence[int]) -> dict[str, dict[str, float]]:
    """Accuracy of every way to select, by the number of samples."""
    out: dict[str, dict[str, float]] = {}
    for size in sizes:
        cut = [group[:size] for group in groups]
        out[str(size)] = {
            "majority": mean([majority(g) for g in cut]),
            "weighted": mean([weighted(g) for g in cut]),
            "best": mean([best(g) for g in cut]),
            "oracle": mean([float(any(d.right for d in g)) for g in cut]),
        }
    return out


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
