"""Particle Gibbs: particle filters in turn, each kept near a solution of the one before (arXiv 2502.01618).

Knows iterations; ``filter_pass.py`` has the filter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.filter_pass import run_filter
from ttscale.strategies.particles import Particle, Select, check_ending, choose, finished_weights


@dataclass(frozen=True, slots=True)
class ParticleGibbs:
    """``iterations`` particle filters that share N; each but the first keeps one solution of the one before.

    The kept solution is drawn in proportion to the weights. It takes part in every resampling and is never replaced. So
    the solutions kept one after the other are a Markov chain whose distribution goes to the posterior, however few
    particles there are. Resampling is multinomial after every step, for which this holds (Andrieu, Doucet and
    Holenstein 2010). The winner is chosen among the last filter's particles and the kept one, as in ``ParticleFilter``.
    With fewer solutions than iterations there are N iterations of one.
    """

    iterations: int = 4
    select: Select = "best"
    max_rounds: int = 40
    aggregate: Aggregate = "last"
    needs: ClassVar[frozenset[Role]] = frozenset({"generator", "verifier"})

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        check_ending(self.select, self.max_rounds)
        check_count("iterations", self.iterations)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        iterations = min(self.iterations, budget)
        each, extra = divmod(budget, iterations)
        found: dict[Candidate, float | None] = {}
        kept: Particle | None = None
        winner: Candidate | None = None
        for number in range(iterations):
            start = Candidate(root.question, root.key.child("iteration", number))
            n = each + (number < extra)
            particles = yield from run_filter(start, n, "multinomial", 1.0, self.max_rounds, self.aggregate, kept)
            found |= {particle.candidate: particle.score for particle in particles}
            best = choose(particles, self.select, start.key.child("choose"))
            winner = None if best is None else particles[best].candidate
            drawn = choose(particles, "sample", start.key.child("keep"))
            kept = None if drawn is None else particles[drawn]
        candidates = tuple(found)
        chosen, votes = None if winner is None else candidates.index(winner), None
        if self.select == "vote":  # the last filter's particles
            weights = {particles[i].candidate: weight for i, weight in finished_weights(particles).items()}
            votes = tuple(map(weights.get, candidates))
        return Outcome(candidates, tuple(found.values()), chosen, weights=votes)
