"""What happens along a chain of revisions: pass@1 at each step, what gets repaired and what gets broken.

Knows graded chains. Must not know models. Snell et al., section 6.1: pass@1 keeps rising past the four attempts in the
context, and about 38% of right answers are turned wrong by the next revision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ttscale.evaluation.statistics import Bools, Graded, Interval, mean_interval, paired_difference


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
    if bare := [place for place, own in enumerate(chains) if not own]:
        raise ValueError(f"every question needs a chain to be averaged with the others; chains[{bare[0]}] has none")
    lengths = {len(chain.correct) for own in chains for chain in own}
    if len(lengths) != 1:
        raise ValueError(f"chains must all have one length to be averaged step by step; got {sorted(lengths)}")
    every = [chain for own in chains for chain in own]
    correct = np.array([chain.correct for chain in every], dtype=np.bool_)  # [chains, steps]
    classes = np.array([chain.classes for chain in every])
    means = np.array([np.mean([chain.correct for chain in own], axis=0) for own in chains])  # [questions, steps]
    steps = []
    for at in range(lengths.pop()):
        now, before = correct[:, at], correct[:, at - 1]
        repeats = (classes[:, at] == classes[:, at - 1]) & (classes[:, at] >= 0)
        steps.append(
            ChainStep(
                at + 1,
                mean_interval(means[:, at]),
                paired_difference(means[:, at], means[:, 0]),
                _share(now, ~before) if at else None,
                _share(~now, before) if at else None,
                _share(repeats, ~before) if at else None,
            )
        )
    return steps


def _share(these: Bools, among: Bools) -> float | None:
    return float(these[among].mean()) if among.any() else None
