"""The eight primary contrasts, fixed before anything was drawn on the test questions, and how a verdict is reached.

Knows names, the paper's findings and arithmetic. Must not know models or files. Everything else on the page is
description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ttscale.evaluation import mean_interval

Floats = NDArray[np.float64]
Finding = Literal["more", "less", "level"]
MARGIN = 0.02
"""How far behind still counts as level."""
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Contrast:
    """One difference of accuracies, paired by question, and what the paper found it to be."""

    name: str
    paper: str
    finding: Finding
    """The sign of the difference in the paper; ``level``: not behind."""


CONTRASTS = (
    Contrast(
        "weighted best-of-16 minus majority of 16",
        "a trained PRM's weighted vote beats the majority vote (section 5)",
        "more",
    ),
    Contrast(
        "beam at N = 4 minus weighted best-of-4",
        "beam search is ahead of best-of-N at small budgets (figure 3)",
        "more",
    ),
    Contrast(
        "beam minus weighted best-of-N at N = 16, harder half minus easier half",
        "beam search helps on harder questions and hurts on easy ones (figure 3, right)",
        "more",
    ),
    Contrast(
        "lookahead k = 1 minus beam at N = 16",
        "lookahead is behind the other methods at the same budget (section 5.3)",
        "less",
    ),
    Contrast(
        "compute-optimal search at N = 16, predicted bins, minus best fixed strategy at N = 64",
        "compute-optimal search at 16 nearly matches best-of-N at 64 (figure 4)",
        "level",
    ),
    Contrast(
        "reviser's fourth attempt minus its first",
        "pass@1 rises along the chain (figure 6, left)",
        "more",
    ),
    Contrast(
        "four revisions in a chain minus four parallel first attempts, majority",
        "sequential revision is ahead of parallel sampling at equal N (figure 6, right)",
        "more",
    ),
    Contrast(
        "sequential minus parallel at N = 4, easier half minus harder half",
        "easy questions gain from sequential revision, hard ones from a mix with parallel (figure 7)",
        "more",
    ),
)


def of_groups(first: Floats, second: Floats) -> tuple[float, Floats]:
    """Mean of ``first`` minus mean of ``second``, two groups of questions, and its bootstrap distribution."""
    rng = np.random.default_rng(0)
    draws = [own[rng.integers(0, len(own), size=(RESAMPLES, len(own)))].mean(axis=1) for own in (first, second)]
    return float(first.mean() - second.mean()), draws[0] - draws[1]


def of_pairs(ours: Floats, theirs: Floats) -> tuple[float, Floats]:
    """Mean paired difference over questions, and its bootstrap distribution."""
    difference = ours - theirs
    rng = np.random.default_rng(0)
    draws = difference[rng.integers(0, len(difference), size=(RESAMPLES, len(difference)))].mean(axis=1)
    return float(difference.mean()), draws


def judge(
    found: Mapping[str, tuple[float, Floats, int]], seeds: Mapping[str, Sequence[int]] | None = None
) -> list[dict[str, Any]]:
    """A row for each contrast in ``found``, name -> (difference, bootstrap distribution, questions).

    ``seeds``: those of contrasts that have others than 0.

    The interval is the percentile interval at 95%. A verdict needs a p-value (two-sided, from the same distribution)
    below .05 after Holm's correction over all contrasts of the study. ``level`` is tested against a difference of
    minus ``MARGIN``.
    """
    rows, ps = [], []
    for contrast in CONTRASTS:
        if contrast.name not in found:
            continue
        difference, draws, questions = found[contrast.name]
        low, high = (float(value) for value in np.percentile(draws, [2.5, 97.5]))
        null = -MARGIN if contrast.finding == "level" else 0.0
        p = min(1.0, 2 * max(1 / RESAMPLES, min(float((draws <= null).mean()), float((draws >= null).mean()))))
        ps.append(p)
        rows.append(
            {
                "name": contrast.name,
                "paper": contrast.paper,
                "difference": round(difference, 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "p": round(p, 4),
                "verdict": "not shown",
                "questions": questions,
                "seeds": list((seeds or {}).get(contrast.name, (0,))),
            }
        )
        rows[-1]["side"] = (difference > null) == (contrast.finding != "less")
    for row, significant in zip(rows, holm(ps), strict=True):
        agrees = row.pop("side")
        if significant:
            row["verdict"] = "same" if agrees else "opposite"
    return rows


def holm(ps: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of the hypotheses Holm's step-down procedure rejects."""
    rejected = [False] * len(ps)
    for place, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        if ps[index] > level / (len(ps) - place):
            break
        rejected[index] = True
    return rejected


def interval(values: Floats) -> dict[str, float]:
    """A mean over questions with its bootstrap interval, for JSON."""
    found = mean_interval(values)
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}
