"""The strategies: what to ask for next, and who wins. Pure generators over requests and replies; see ``Strategy``.

Those of the paper are loaded with the package, the others when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttscale.core.idioms import lazy
from ttscale.strategies.allocation import Width, top_share
from ttscale.strategies.beam import DVTS, Beam, Lookahead
from ttscale.strategies.best_of_n import BestOfN, MajorityVote, WeightedBestOfN
from ttscale.strategies.compute_optimal import ComputeOptimalScheduler
from ttscale.strategies.policy import Policy, default_policy
from ttscale.strategies.revision import SequentialRevision
from ttscale.strategies.step_search import step_search

if TYPE_CHECKING:
    from ttscale.strategies.abmcts import ABMCTS
    from ttscale.strategies.adaptive import AdaptiveConsistency, AdaptiveScheduler
    from ttscale.strategies.best_of_n_stopping import BestOfNStopping
    from ttscale.strategies.confidence_vote import ConfidenceVote
    from ttscale.strategies.first_finished import FirstFinished
    from ttscale.strategies.gen_select import GenSelect
    from ttscale.strategies.mcts import MCTS
    from ttscale.strategies.mixture import Mixture
    from ttscale.strategies.particle_filter import ParticleFilter
    from ttscale.strategies.particle_gibbs import ParticleGibbs
    from ttscale.strategies.rebase import Rebase
    from ttscale.strategies.recursive_aggregation import RecursiveAggregation
    from ttscale.strategies.thinking_budget import ThinkingBudget
    from ttscale.strategies.tournament import Tournament


__all__ = [
    "ABMCTS",
    "DVTS",
    "MCTS",
    "AdaptiveConsistency",
    "AdaptiveScheduler",
    "Beam",
    "BestOfN",
    "BestOfNStopping",
    "ComputeOptimalScheduler",
    "ConfidenceVote",
    "FirstFinished",
    "GenSelect",
    "Lookahead",
    "MajorityVote",
    "Mixture",
    "ParticleFilter",
    "ParticleGibbs",
    "Policy",
    "Rebase",
    "RecursiveAggregation",
    "SequentialRevision",
    "ThinkingBudget",
    "Tournament",
    "WeightedBestOfN",
    "Width",
    "default_policy",
    "step_search",
    "top_share",
]

__getattr__ = lazy(
    __name__,
    {
        "ttscale.strategies.abmcts": "ABMCTS",
        "ttscale.strategies.adaptive": "AdaptiveConsistency AdaptiveScheduler",
        "ttscale.strategies.best_of_n_stopping": "BestOfNStopping",
        "ttscale.strategies.confidence_vote": "ConfidenceVote",
        "ttscale.strategies.first_finished": "FirstFinished",
        "ttscale.strategies.gen_select": "GenSelect",
        "ttscale.strategies.mcts": "MCTS",
        "ttscale.strategies.mixture": "Mixture",
        "ttscale.strategies.particle_filter": "ParticleFilter",
        "ttscale.strategies.particle_gibbs": "ParticleGibbs",
        "ttscale.strategies.rebase": "Rebase",
        "ttscale.strategies.recursive_aggregation": "RecursiveAggregation",
        "ttscale.strategies.thinking_budget": "ThinkingBudget",
        "ttscale.strategies.tournament": "Tournament",
    },
)
