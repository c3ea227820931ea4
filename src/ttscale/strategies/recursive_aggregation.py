"""Recursive self-aggregation (RSA, arXiv 2509.26626): a population of solutions, each rewritten from several others.

Knows rounds and subsets. The reviser it asks writes one better solution from those it is shown:
``ttscale.revisers.PromptedAggregator``, or a model trained for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Completion, Revise, Search
from ttscale.core.selection import majority_vote, vote_shares
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.chance import subset

PAPER = 10 / 16
"""Rounds for each member of the population in the paper: 10 rounds of 16."""


@dataclass(frozen=True, slots=True)
class RecursiveAggregation:
    """``rounds`` populations of ``population`` solutions, rounds x population <= N; the last one votes.

    The first population is drawn from the bare question. In every later round each new solution is written after seeing
    ``k`` finished ones of the round before, a subset drawn by chance (4 in the paper). A population or a number of
    rounds that is None follows from N and the other; with both None they are as 16 : 10, the paper's. Scores are
    shares of the last population's votes; where nothing in it is finished, all rounds vote.
    """

    population: int | None = None
    k: int = 4
    rounds: int | None = None
    needs: ClassVar[frozenset[Role]] = frozenset({"reviser"})

    def __post_init__(self) -> None:
        check_count("population", self.population, none=True)
        check_count("k", self.k)
        check_count("rounds", self.rounds, none=True)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        population, rounds = self.sizes(budget)
        drawn: list[Candidate] = []
        for number in range(rounds):
            finished = [replace(c, attempts=()) for c in drawn[-population:] if c.done and c.steps] if number else []
            keys = [root.key.child("round", number, i) for i in range(population)]
            seen = [
                tuple(finished[i] for i in subset(key.child("subset"), min(self.k, len(finished)), len(finished)))
                for key in keys
            ]
            asked = [Revise(attempts or (root,), key) for attempts, key in zip(seen, keys, strict=True)]
            replies = cast(Sequence[Completion], (yield asked))
            drawn += [
                Candidate(root.question, key, reply.steps, reply.finish, attempts)
                for key, reply, attempts in zip(keys, replies, seen, strict=True)
            ]
        voters = drawn[-population:] if any(c.done for c in drawn[-population:]) else drawn
        before, winner = len(drawn) - len(voters), majority_vote(voters)
        shares = (*[None] * before, *vote_shares(voters))
        return Outcome(tuple(drawn), shares, None if winner is None else before + winner)

    def sizes(self, budget: int) -> tuple[int, int]:
        """The population and the rounds for this N; their product is at most N."""
        rounds = self.rounds or max(1, round(math.sqrt(budget * PAPER)))
        population = min(budget, self.population or max(1, budget // min(rounds, budget)))
        return population, min(rounds if self.rounds or not self.population else budget, budget // population)
