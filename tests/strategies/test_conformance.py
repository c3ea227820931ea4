"""Our own strategies, held to the suite that third parties use."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ttscale import (
    DVTS,
    Beam,
    BestOfN,
    ComputeOptimalScheduler,
    Lookahead,
    MajorityVote,
    SequentialRevision,
    WeightedBestOfN,
)
from ttscale.strategies import (
    ABMCTS,
    MCTS,
    AdaptiveConsistency,
    AdaptiveScheduler,
    BestOfNStopping,
    ConfidenceVote,
    FirstFinished,
    GenSelect,
    Mixture,
    ParticleFilter,
    ParticleGibbs,
    Rebase,
    RecursiveAggregation,
    ThinkingBudget,
    Tournament,
)
from ttscale.testing import StrategyTests

STRATEGIES: list[Any] = [
    MajorityVote(),
    BestOfN(),
    BestOfN("min"),
    WeightedBestOfN("prod"),
    Beam(),
    Beam("sqrt", aggregate="mean"),
    Beam(3, max_rounds=2),
    DVTS(),
    DVTS("sqrt"),
    Lookahead(),
    Lookahead(1, "sqrt"),
    SequentialRevision(),
    SequentialRevision(math.inf, context=0),
    SequentialRevision(1 / 4, select="majority"),
    ComputeOptimalScheduler(),
    ComputeOptimalScheduler(probe=3),
    AdaptiveConsistency(),
    AdaptiveScheduler(),
    Rebase(),
    Rebase(1.0, max_rounds=2),
    ParticleFilter(),
    ParticleFilter("multinomial", 0.5, "vote"),
    ParticleFilter(select="sample", max_rounds=2),
    ParticleGibbs(),
    ParticleGibbs(2, "sample", max_rounds=3),
    MCTS(),
    MCTS(0.5, children=3),
    ABMCTS(),
    ABMCTS("A", wave=3),
    ABMCTS("M"),
    RecursiveAggregation(),
    RecursiveAggregation(4, 2, 3),
    BestOfNStopping(),
    BestOfNStopping(0.001, 3),
    Tournament(),
    Tournament("all"),
    Tournament(2, top=3),
    GenSelect(),
    GenSelect(2),
    FirstFinished(),
    ThinkingBudget(20),
    Mixture(("a", "b")),
    Mixture(("a", "b"), "bandit", wave=3),
    Mixture(("a", "b", "c"), "bandit"),
    ConfidenceVote(0.5, 8),
    ConfidenceVote(0.9, 8, warmup=4, measure="lowest"),
    FirstFinished(1, k=4),
]


class TestOurs(StrategyTests):
    @pytest.fixture(params=STRATEGIES, ids=repr)
    def strategy(self, request: pytest.FixtureRequest) -> Any:
        return request.param
