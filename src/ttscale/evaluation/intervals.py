"""How sure a number is: 95% bootstrap intervals over questions, paired where two methods answered the same questions.

Knows arrays only. Questions are what is drawn again: the seeds of one question are averaged first, because two runs of
the same question are not two questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

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
    means = _resampled(len(per_question), resamples, seed) @ per_question.astype(np.float32) / len(per_question)
    # Rounded to what single precision, which halves the memory, is good for.
    low, high = np.percentile(means.astype(np.float64), [2.5, 97.5]).round(6)
    value = float(per_question.mean())
    return Interval(value, min(float(low), value), max(float(high), value))


def paired_difference(ours: Floats, theirs: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of ``ours - theirs`` over the same questions in the same order; each resample draws pairs."""
    a, b = _per_question(ours), _per_question(theirs)
    if a.shape != b.shape:
        raise ValueError(f"a paired comparison needs the same questions on both sides; got {len(a)} and {len(b)}")
    return mean_interval(a - b, resamples=resamples, seed=seed)


@lru_cache(maxsize=8)
def _resampled(count: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """How often each of ``count`` questions is drawn in each resample: [resamples, count], the same at every call."""
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=resamples)
    return drawn.astype(np.float32)


def _per_question(values: Floats) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.size == 0:
        raise ValueError("no values to take the mean of: there are no questions")
    if np.isnan(found).any():
        raise ValueError("some values are missing (NaN); leave those questions out on both sides first")
    return found if found.ndim == 1 else found.mean(axis=1)
