"""Particle filtering over steps, with a verifier's scores as weights (arXiv 2502.01618).

Knows how many particles there are and who wins; ``filter_pass.py`` has the filter itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.filter_pass import run_filter
from ttscale.strategies.particles import Select, check_ending, choose, finished_weights
from ttscale.strategies.resampling import Resample, check_resample


@dataclass(frozen=True, slots=True)
class ParticleFilter:
    """N particles take a step each, are judged, and are resampled in proportion to the odds of their scores.

    ``resample``: "systematic" or "multinomial"; ``ess``: only where the effective number of open particles is at most
    this share of them (1: after every step, as in the paper). ``select``: "best" takes the particle with the highest
    score, as the paper and its_hub do. "vote" takes the answer with the most weight. "sample" takes one particle in
    proportion to its weight, which is a draw from the posterior for large N. Scores are the verifier's. At most
    ``max_rounds`` steps.
    """

    resample: Resample = "systematic"
    ess: float = 1.0
    select: Select = "best"
    max_rounds: int = 40
    aggregate: Aggregate = "last"
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})

    def __post_init__(self) -> None:
        check_resample(self.resample)
        check_aggregate(self.aggregate)
        check_ending(self.select, self.max_rounds)
        if not isinstance(self.ess, (int, float)) or not 0 <= self.ess <= 1:
            raise ValueError(
                f"ess must be a share of the particles, 0 (never resample) to 1 (always); got {self.ess!r}"
            )

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        particles = yield from run_filter(root, budget, self.resample, self.ess, self.max_rounds, self.aggregate)
        candidates, scores = [p.candidate for p in particles], [p.score for p in particles]
        winner = choose(particles, self.select, root.key.child("choose"))
        weights = finished_weights(particles)
        votes = tuple(map(weights.get, range(budget))) if self.select == "vote" else None
        return Outcome(tuple(candidates), tuple(scores), winner, weights=votes)
