"""How hard a question is for a model: by its own success rate (oracle) or by what a verifier says (predicted).

Knows pools as arrays. Must not know models or strategies. Difficulty runs from 0 (always solved) to 1, as in
``ttscale.strategies.Policy``. Snell et al., section 3.2: five quantile bins of pass@1 over 2048 samples, or of the mean
final verifier score over the same samples, without labels.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from ttscale.evaluation.problems.splits import shuffled
from ttscale.evaluation.statistics import Graded

Ties = Literal["together", "split"]
PLACES = 12
"""Difficulties are compared to so many decimals: sums of the same scores in another order differ beyond."""
LIU_THRESHOLDS = (0.5, 0.9)
"""Easy, medium, hard as in arXiv 2502.06703: pass@1 above 50%, 10% to 50%, below 10%."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Each question's bin, 0 the easiest. ``thresholds`` separate them, None where tied questions were split."""

    of: Mapping[str, int]
    count: int
    thresholds: tuple[float, ...] | None

    def members(self, bin_: int) -> tuple[str, ...]:
        """The questions of a bin."""
        return tuple(question for question, own in self.of.items() if own == bin_)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many questions each bin has."""
        return tuple(sum(own == bin_ for own in self.of.values()) for bin_ in range(self.count))


def oracle_difficulty(pool: Sequence[Graded]) -> dict[str, float]:
    """1 - pass@1 of each question, over all its samples (Snell et al., section 3.2)."""
    return {one.question: 1 - float(one.correct.mean()) for one in pool}


def predicted_difficulty(pool: Sequence[Graded], probes: int | None = None, first: int = 0) -> dict[str, float]:
    """1 - mean final verifier score over ``probes`` samples from ``first`` on (None: all). No labels are looked at.

    Snell et al., section 3.2. A sample that was cut off counts as a score of 0, as in the scheduler. ``ValueError``
    where no question has any score.
    """
    if pool and all(np.isnan(one.scores).all() for one in pool):
        raise ValueError(
            f"none of {len(pool)} questions has scores, {pool[0].question!r} first; draw the pool with a verifier"
        )
    found = {}
    for one in pool:
        end = len(one.scores) if probes is None else first + probes
        if not 0 <= first < end <= len(one.scores):
            raise ValueError(
                f"question {one.question!r} has {len(one.scores)} samples; {probes} probes from {first} on need more"
            )
        found[one.question] = 1 - float(np.nan_to_num(one.scores[first:end]).mean())
    return found


def quantile_bins(difficulties: Mapping[str, float], count: int = 5, *, ties: Ties = "together", seed: int = 0) -> Bins:
    """``count`` bins of about equally many questions, easiest first.

    Ties, which pass@1 has many of: "together" (default) never separates questions of equal difficulty. Each cut moves
    to the nearest free place between two different difficulties, so bins are of uneven size (the paper's camera-ready
    has 100, 100, 100, 105 and 95). A threshold midway between the two tells a new question's bin. "split" makes bins of
    equal size to within one; equal difficulties are ordered by a seeded hash of the question's id, and there are no
    thresholds.

    ``ValueError`` where a bin would be empty.
    """
    _check(difficulties, count)
    if ties == "split":
        order = sorted(shuffled(difficulties, seed), key=lambda question: round(difficulties[question], PLACES))
        bins = {question: place * count // len(order) for place, question in enumerate(order)}
        if len(order) < count:
            raise ValueError(f"{len(order)} questions cannot fill {count} bins; use fewer bins or more questions")
        return Bins({question: bins[question] for question in difficulties}, count, None)
    if ties != "together":
        raise ValueError(f'ties must be "together" or "split"; got {ties!r}')
    values = np.sort(np.array(list(difficulties.values())))
    edges = np.flatnonzero(np.diff(values) > 10**-PLACES) + 1  # places between two different difficulties
    if len(edges) < count - 1:
        ((common, many),) = Counter(values.round(PLACES).tolist()).most_common(1)
        raise ValueError(
            f"{count} quantile bins would leave one empty: {many} of {len(values)} questions have the difficulty "
            f"{common:.3g}. Use fewer bins, absolute_bins, or ties='split'"
        )
    cuts, begin = [], 0
    for j in range(1, count):
        free = edges[begin : len(edges) - (count - 1 - j)]  # every later cut needs a place too
        begin += int(np.abs(free - len(values) * j / count).argmin()) + 1
        cuts.append(int(edges[begin - 1]))
    return absolute_bins(difficulties, [float(values[cut - 1] + values[cut]) / 2 for cut in cuts])


def absolute_bins(difficulties: Mapping[str, float], thresholds: Sequence[float] = LIU_THRESHOLDS) -> Bins:
    """Bins by fixed difficulties; a difficulty equal to a threshold belongs to the harder side. A bin may be empty."""
    if list(thresholds) != sorted(set(thresholds)):
        raise ValueError(f"thresholds must ascend; got {list(thresholds)}")
    _check(difficulties, 1)
    bins = {question: bisect_right(thresholds, difficulty) for question, difficulty in difficulties.items()}
    return Bins(bins, len(thresholds) + 1, tuple(thresholds))


def bins_that_fit(difficulties: Mapping[str, float], count: int) -> Bins:
    """Quantile bins, as many up to ``count`` as ties allow with at least two questions in each."""
    for fewer in range(count, 1, -1):
        with suppress(ValueError):
            bins = quantile_bins(difficulties, fewer)
            if min(bins.sizes) >= 2:
                return bins
    return quantile_bins(difficulties, 1)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a prediction from ``probes`` samples agrees with the oracle."""

    probes: int
    rank_correlation: float | None
    """Spearman's, mean over the disjoint probes the pool holds; None where all questions are equally hard."""
    same_bin: float
    """Share of questions put into the oracle's bin; 1 / bins is chance."""
    within_one: float
    """Share put into it or a neighbour."""
    confusion: tuple[tuple[float, ...], ...]
    """A row per bin of the oracle, a column per predicted bin: mean number of questions."""
    trials: int
    """How many disjoint probes were averaged over."""
    tokens: float
    """Sampled tokens of one probe, mean per question: what the prediction costs, beside ``probes`` generations."""


MOST_TRIALS = 32


def probe_agreement(pool: Sequence[Graded], probes: Sequence[int], *, bins: int = 5) -> list[Agreement]:
    """What a prediction from n samples is worth, for each n in ``probes`` (1, 2, 4, ... and the full pool).

    The oracle is that of the whole pool, which holds the probe's samples too, as in the paper. Bins have equal size on
    both sides (ties split), so that the confusion is not about bin sizes.
    """
    if not pool:
        raise ValueError("there are no questions to compare difficulties on")
    oracle = oracle_difficulty(pool)
    truth = quantile_bins(oracle, bins, ties="split").of
    size = min(len(one.correct) for one in pool)
    found = []
    for n in probes:
        if not 1 <= n <= size:
            raise ValueError(f"a probe must have between 1 and {size} samples, what the pool holds; got {n}")
        trials = min(size // n, MOST_TRIALS)
        correlations, confusion = [], np.zeros((bins, bins))
        for trial in range(trials):
            predicted = predicted_difficulty(pool, n, trial * n)
            guess = quantile_bins(predicted, bins, ties="split").of
            for question in oracle:
                confusion[truth[question], guess[question]] += 1 / trials
            correlation = rank_correlation(list(oracle.values()), [predicted[question] for question in oracle])
            if correlation is not None:
                correlations.append(correlation)
        offset = np.abs(np.subtract.outer(np.arange(bins), np.arange(bins)))
        found.append(
            Agreement(
                probes=n,
                rank_correlation=float(np.mean(correlations)) if correlations else None,
                same_bin=float(confusion[offset == 0].sum() / len(pool)),
                within_one=float(confusion[offset <= 1].sum() / len(pool)),
                confusion=tuple(tuple(row) for row in confusion.round(6).tolist()),
                trials=trials,
                tokens=n * float(np.mean([one.tokens.mean() for one in pool])),
            )
        )
    return found


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation with mean ranks for ties; None where either side does not vary."""
    ours, theirs = (rankdata(np.asarray(values, dtype=np.float64).round(PLACES)) for values in (a, b))
    if len(set(ours)) < 2 or len(set(theirs)) < 2:
        return None
    return float(np.asarray(np.corrcoef(ours, theirs))[0, 1])


def _check(difficulties: Mapping[str, float], count: int) -> None:
    if not difficulties:
        raise ValueError("there are no questions to put into bins")
    if count < 1:
        raise ValueError(f"the number of bins must be positive; got {count}")
    for question, difficulty in difficulties.items():
        if not 0 <= difficulty <= 1:
            raise ValueError(f"the difficulty of question {question!r} is {difficulty}; it must lie in [0, 1]")
