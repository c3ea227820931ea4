"""How sure a fit is that its choices are the best: bootstrap probabilities, and the lead over the runner-up.

Knows records, arms and bins. Must not know models. The questions that a choice was made on are drawn again, so what is
said here is how stable a choice is; how good it is on other questions is for cross-validation to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ttscale.evaluation.analyse.policies import BinOf
from ttscale.evaluation.collect.records import Records
from ttscale.evaluation.statistics import RESAMPLES, Floats, Interval, paired_difference, resampled
from ttscale.strategies import Policy


@dataclass(frozen=True, slots=True)
class Certainty:
    """How sure it is that the choice for one difficulty bin and budget is the best of the menu."""

    bin: int
    """0 is the easiest."""
    budget: int
    choice: str
    """A name of the menu."""
    probability: float
    """The share of bootstrap resamples of the bin's questions in which the choice is the most accurate; ties share."""
    runner_up: str | None
    """The most accurate of the others; None in a menu of one."""
    lead: Interval | None
    """Accuracy of the choice minus that of the runner-up, paired over the bin's questions."""
    questions: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def certainty(
    records: Records,
    questions: Sequence[str],
    bin_of: BinOf,
    arms: Mapping[str, str],
    bin_: int,
    budget: int,
    choice: str,
) -> Certainty:
    """How sure ``choice`` is for a bin and budget; ``arms`` maps names of the menu to arms of ``records``.

    A question whose seeds fall into several bins counts in each with the seeds that do.
    """
    names = [name for name, arm in arms.items() if budget in records.budgets(arm)]
    seeds = {
        question: own for question in questions if (own := [s for s in records.seeds if bin_of(question, s) == bin_])
    }
    correct = np.array(
        [
            [float(np.mean([records.get(arms[name], budget, seed, q).correct for seed in own])) for name in names]
            for q, own in seeds.items()
        ]
    )  # [questions, names]
    place = names.index(choice)
    if len(names) == 1:
        return Certainty(bin_, budget, choice, 1.0, None, None, len(seeds))
    others = [i for i in range(len(names)) if i != place]
    second = max(others, key=lambda i: (correct[:, i].mean(), -i))
    return Certainty(
        bin_,
        budget,
        choice,
        probability_best(correct, place),
        names[second],
        paired_difference(correct[:, place], correct[:, second]),
        len(seeds),
    )


def probability_best(correct: Floats, place: int) -> float:
    """The share of resamples of the rows of ``correct`` [questions, arms] in which column ``place`` has the best mean.

    Columns that tie for the best share a resample.
    """
    means = resampled(len(correct), RESAMPLES, 0) @ correct.astype(np.float32) / len(correct)  # [resamples, arms]
    best = means >= means.max(axis=1, keepdims=True) - 1e-6
    return float((best[:, place] / best.sum(axis=1)).mean())


def described(policy: Policy) -> str:
    """What a policy comes to in one line: a constant, one strategy per budget, or a choice by difficulty."""
    if policy.constant is not None:
        return f"constant: {policy.constant} at every N and every difficulty; nothing is probed"
    by_budget = [budget for budget in policy.budgets if policy.fixed_strategy(budget) is None]
    if not by_budget:
        return "constant at every N: one strategy for every difficulty; nothing is probed"
    rest = [str(budget) for budget in policy.budgets if budget not in by_budget]
    constant = f"; constant, without a probe, at N = {', '.join(rest)}" if rest else ""
    return f"by difficulty at N = {', '.join(map(str, by_budget))}{constant}"


HEADER = ("difficulty bin", "N", "choice", "P(best)", "lead over the runner-up [95%]", "questions")


def certainty_rows(policy: Policy) -> list[tuple[str, ...]]:
    """A row under ``HEADER`` for each bin and budget of a fitted policy; none for a policy that was not fitted here."""
    return [
        (
            str(row["bin"] + 1),
            str(row["budget"]),
            row["choice"],
            f"{row['probability']:.2f}",
            "-" if row["lead"] is None else f"{Interval(**row['lead'])} over {row['runner_up']}",
            str(row["questions"]),
        )
        for row in policy.provenance.get("certainty", ())
    ]


def certainty_lines(policy: Policy) -> list[str]:
    """The rows as a table in plain text."""
    rows = [HEADER, *certainty_rows(policy)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
