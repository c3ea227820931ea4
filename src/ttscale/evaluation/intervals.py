"""How sure a number is: 95% bootstrap intervals over questions, paired where two methods answered the same questions.

Knows arrays only. Questions are what is drawn again: the seeds of one question are averaged first, because two runs of
the same question are not two questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 10_000


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
    count = len(per_question)
    rng = np.random.default_rng(seed)
    # How often each question was drawn in each resample; in parts, so that memory stays flat.
    means = np.concatenate(
        [
            rng.multinomial(count, np.full(count, 1.0 / count), size=min(1_000, resamples - begin)) @ per_question
            for begin in range(0, resamples, 1_000)
        ]
    )
    low, high = np.percentile(means / count, [2.5, 97.5])
    return Interval(float(per_question.mean()), float(low), float(high))


def paired_difference(ours: Floats, theirs: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of ``ours - theirs`` over the same questions in the same order; each resample draws pairs."""
    a, b = _per_question(ours), _per_question(theirs)
    if a.shape != b.shape:
        raise ValueError(f"a paired comparison needs the same questions on both sides; got {len(a)} and {len(b)}")
    return mean_interval(a - b, resamples=resamples, seed=seed)


def _per_question(values: Floats) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.size == 0:
        raise ValueError("no values to take the mean of: there are no questions")
    if np.isnan(found).any():
        raise ValueError("some values are missing (NaN); leave those questions out on both sides first")
    return found if found.ndim == 1 else found.mean(axis=1)
