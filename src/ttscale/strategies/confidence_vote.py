"""DeepConf: a vote of the most confident solutions, weighted by confidence (arXiv 2508.15260).

Knows what ``core/confidence.py`` keeps with a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import weighted_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.waves import draw


@dataclass(frozen=True, slots=True)
class ConfidenceVote:
    """Draw N solutions, keep the share ``filter`` with the most confidence, and let those vote with it as weight.

    Confidence is the mean over the last ``window`` tokens (``measure`` "tail") or the lowest mean of any whole window
    ("lowest"; of a shorter solution, its mean). 0.1 and 0.9 are the paper's shares. A ``warmup`` (16 in the paper) is
    the online form: of so many first solutions, the share ``filter`` with the best lowest window sets a threshold, and
    further draws are stopped when a window falls below it. Draws that were not stopped vote, and those of the warm-up
    that reach it. Scores are the confidences; Hugging Face models, vLLM and servers with log-probabilities give them.
    """

    filter: float = 0.1
    window: int = 2048
    warmup: int | None = None
    measure: Literal["tail", "lowest"] = "tail"
    needs: ClassVar[frozenset[Role]] = frozenset({"generator"})
    grows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.filter, (int, float)) or isinstance(self.filter, bool) or not 0 < self.filter <= 1:
            raise ValueError(f"filter must be the share of solutions to keep, in (0, 1]; got {self.filter!r}")
        check_count("window", self.window)
        check_count("warmup", self.warmup, none=True)
        if self.measure not in ("tail", "lowest"):
            raise ValueError(f'measure must be "tail" or "lowest"; got {self.measure!r}')

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        first, keys = min(self.warmup or budget, budget), [root.key.child(i) for i in range(budget)]
        candidates = yield from draw([root] * first, keys[:first], window=self.window)
        ranked = [confidence(c, "lowest" if first < budget else self.measure) for c in candidates]
        bar = reached_by([s for s, c in zip(ranked, candidates, strict=True) if c.answer is not None], self.filter)
        if first < budget:
            below = bar if math.isfinite(bar) else None
            candidates += yield from draw([root] * (budget - first), keys[first:], None, None, self.window, below)
        scores = tuple(confidence(c, self.measure) if c.done else None for c in candidates)
        keeps = [s is not None and s >= bar for s in ranked] + [True] * (budget - first)
        kept = [score if keep else None for score, keep in zip(scores, keeps, strict=True)]
        voting = scores if all(score is None for score in kept) else kept
        return Outcome(tuple(candidates), scores, weighted_vote(candidates, voting), weights=tuple(voting))


def confidence(candidate: Candidate, measure: Literal["tail", "lowest"]) -> float | None:
    """A solution's confidence; None for one without text."""
    if not candidate.steps:
        return None
    tail = candidate.steps[-1].tail
    if tail is None:
        raise ValueError("the generator records no token confidence (Step.tail): use HFGenerator or a server that does")
    windows = [step.lowest for step in candidate.steps if step.lowest is not None]
    return min(windows) if measure == "lowest" and windows else tail


def reached_by(values: Sequence[float | None], share: float) -> float:
    """The (1 - share) quantile, linear between values as numpy's; minus infinity of none."""
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return -math.inf
    place = round((1 - share) * (len(ordered) - 1), 9)  # (1 - 0.7) * 20 is a little more than 6
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + place % 1 * (high - low)
