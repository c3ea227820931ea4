"""The votes of a result say why its answer won: none has more than it, whatever the strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

import ttscale
from ttscale.answers import equivalent
from ttscale.core.requests import Score, Verdict
from ttscale.strategies import ParticleFilter, ParticleGibbs
from ttscale.testing import ToyLM, ToyReviser, ToyVerifier, ToyWorld

VOTING: list[Any] = [
    *("majority_vote", "weighted_best_of_n", "beam", "dvts", "lookahead", "rebase", "sequential_revision"),
    *("adaptive_consistency", "adaptive_scheduler", "compute_optimal", "first_finished", "recursive_aggregation"),
    *(ParticleFilter(select="vote"), ParticleGibbs(select="vote")),
]


@pytest.mark.parametrize("strategy", VOTING, ids=str)
def test_the_winner_has_the_most_votes(strategy: Any) -> None:
    world = ToyWorld(p=0.5)
    roles: Any = {"generator": ToyLM(world), "verifier": ToyVerifier(world, 0.6), "reviser": ToyReviser(world)}
    for seed in range(30):
        result = ttscale.solve("Toy question 0?", 12, strategy=strategy, seed=seed, progress=False, **roles)
        votes = result.votes()
        (mine,) = [vote for vote in votes if equivalent(vote.answer, result.answer or "")]
        assert mine.share >= votes[0].share - 1e-9, (seed, result.answer, votes)


class Silent:
    """A verifier that can judge nothing."""

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [Verdict((), unscored="too long") for _ in requests]


@pytest.mark.parametrize("strategy", VOTING, ids=str)
def test_without_any_score_too(strategy: Any) -> None:
    world = ToyWorld(p=0.4)
    roles: Any = {"generator": ToyLM(world), "verifier": Silent(), "reviser": ToyReviser(world)}
    for seed in range(30):
        result = ttscale.solve("Toy question 0?", 12, strategy=strategy, seed=seed, progress=False, **roles)
        votes = result.votes()
        mine = [vote for vote in votes if equivalent(vote.answer, result.answer or "")]
        assert [vote.share for vote in mine] == [votes[0].share] if votes else not mine, (seed, result.answer, votes)
