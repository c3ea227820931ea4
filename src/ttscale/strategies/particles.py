"""Weighted solutions, whole or begun, and who wins among them: what particle filters are made of.

The model behind the weights (arXiv 2502.01618): a solution is right at every step with the odds r / (1 - r) of the
verifier's score r there. So the target is the generator's distribution times the product of those odds. (The paper
takes the softmax of rewards on a logit scale, whose exponentials are the odds.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ttscale.core.checks import check_choice, check_count
from ttscale.core.selection import best, weighted_vote
from ttscale.core.types import Candidate, Key
from ttscale.strategies.chance import pick, softmax, uniform

Select = Literal["best", "vote", "sample"]

TINY = 1e-7
"""Scores are kept this far from 0 and 1, so that no odds are infinite (its_hub's number)."""


@dataclass(frozen=True, slots=True)
class Particle:
    """A solution and the logarithm of its weight.

    ``path`` has each of its prefixes with the verifier's score (None: cut off), the last one its own.
    """

    path: tuple[tuple[Candidate, float | None], ...]
    log_weight: float = 0.0

    @property
    def candidate(self) -> Candidate:
        return self.path[-1][0]

    @property
    def score(self) -> float | None:
        return self.path[-1][1]

    def moved(self, candidate: Candidate, score: float | None) -> Particle:
        """The same one step further, its weight multiplied by the odds of its new score."""
        return Particle((*self.path, (candidate, score)), self.log_weight + log_odds(score))


def log_odds(score: float | None) -> float:
    """ln(r / (1 - r)) of a score; minus infinity for what was cut off."""
    if score is None:
        return -math.inf
    score = min(max(score, TINY), 1 - TINY)
    return math.log(score / (1 - score))


def check_ending(select: str, max_rounds: int) -> None:
    """``ValueError`` unless these are a way to choose and a number of rounds."""
    check_choice("select", select, get_args(Select))
    check_count("max_rounds", max_rounds)


def choose(particles: Sequence[Particle], select: Select, key: Key) -> int | None:
    """The index of the winner; None where no particle is finished."""
    candidates = [particle.candidate for particle in particles]
    if select == "best":
        return best(candidates, [particle.score for particle in particles])
    weights = finished_weights(particles)
    if select == "vote" or not weights:
        return weighted_vote(candidates, [weights.get(i) for i in range(len(particles))])
    return list(weights)[pick(list(weights.values()), uniform(key))]


def finished_weights(particles: Sequence[Particle]) -> dict[int, float]:
    """The weight of each finished particle by its index; they add up to 1."""
    finished = [i for i, particle in enumerate(particles) if particle.candidate.done]
    if not finished:
        return {}
    weights = softmax([particles[i].log_weight for i in finished])  # among all of them they could round to nothing
    return dict(zip(finished, weights, strict=True))
