"""What happens along a chain of revisions: pass@1 at each step, what gets repaired and what gets broken.

Knows graded chains. Must not know models. Snell et al., section 6.1: pass@1 keeps rising past the four attempts in the
context, and about 38% of right answers are turned wrong by the next revision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttscale.evaluation.statistics import Graded, Interval, mean_interval, paired_difference


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One position along the chains, 1 the first attempt; means over all chains of all questions."""

    step: int
    pass_at_1: Interval
    gain: Interval
    """pass@1 here minus that of the first attempt, paired by question."""
    repaired: float | None
    """Share of wrong attempts that were followed by a right one here; None at the first step or without any."""
    broken: float | None
    """Share of right attempts that were followed by a wrong one here (the paper's 38%)."""
    repeated: float | None
    """Share of wrong attempts whose answer was given again here."""


def along_the_chain(chains: Sequence[Sequence[Graded]]) -> list[ChainStep]:
    """Each step of the chains (Snell et al., figure 6); ``chains`` are ``pool.graded_chains()``, all of one length."""
    lengths = {len(chain.correct) for own in chains for chain in own}
    if len(lengths) != 1:
        raise ValueError(f"chains must all have one length to be averaged step by step; got {sorted(lengths)}")
    steps = []
    first = np.array([np.mean([chain.correct[0] for chain in own]) for own in chains])
    for at in range(lengths.pop()):
        per_question = np.array([np.mean([chain.correct[at] for chain in own]) for own in chains])
        wrong = right = repaired = broken = repeated = 0
        for chain in (chain for own in chains for chain in own) if at else ():
            before, now = bool(chain.correct[at - 1]), bool(chain.correct[at])
            wrong, right = wrong + (not before), right + before
            repaired, broken = repaired + (now and not before), broken + (before and not now)
            same = chain.classes[at] == chain.classes[at - 1] >= 0
            repeated += int(same and not before)
        steps.append(
            ChainStep(
                at + 1,
                mean_interval(per_question),
                paired_difference(per_question, first),
                repaired / wrong if wrong else None,
                broken / right if right else None,
                repeated / wrong if wrong else None,
            )
        )
    return steps
