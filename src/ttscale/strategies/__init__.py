"""The strategies: what to ask for next, and who wins. Pure generators over requests and replies; see ``Strategy``."""

from ttscale.strategies.adaptive import AdaptiveConsistency, AdaptiveScheduler
from ttscale.strategies.allocation import Width, top_share
from ttscale.strategies.beam import DVTS, Beam, Lookahead
from ttscale.strategies.best_of_n import BestOfN, MajorityVote, WeightedBestOfN
from ttscale.strategies.compute_optimal import ComputeOptimalScheduler
from ttscale.strategies.policy import Policy, default_policy
from ttscale.strategies.revision import SequentialRevision
from ttscale.strategies.step_search import step_search

__all__ = [
    "DVTS",
    "AdaptiveConsistency",
    "AdaptiveScheduler",
    "Beam",
    "BestOfN",
    "ComputeOptimalScheduler",
    "Lookahead",
    "MajorityVote",
    "Policy",
    "SequentialRevision",
    "WeightedBestOfN",
    "Width",
    "default_policy",
    "step_search",
    "top_share",
]
