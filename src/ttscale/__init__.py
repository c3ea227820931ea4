"""Scale LLM test-time compute: sample, verify, search, revise, and spend a budget of generations where it pays.

``solve`` answers a question; ``solve_all`` many; the strategies, protocols and data below are what they are made of.
Backends (``ttscale.hf``, ``ttscale.openai``), ``ttscale.training``, ``ttscale.evaluation``, ``ttscale.reference`` and
``ttscale.testing`` are imported on their own; importing ``ttscale`` loads neither torch nor transformers.
"""

from ttscale.api.arguments import MAX_BUDGET
from ttscale.api.result import Result
from ttscale.api.solve import asolve, asolve_all, solve, solve_all
from ttscale.api.stream import asolve_stream, solve_stream
from ttscale.core.chat import Chat
from ttscale.core.cost import Cost, Price
from ttscale.core.errors import BudgetError, MissingRoleError, RoleError, StrategyError, TtscaleError
from ttscale.core.limit import Limit
from ttscale.core.protocols import (
    AsyncComparator,
    AsyncGenerator,
    AsyncReviser,
    AsyncVerifier,
    Comparator,
    Generator,
    Reviser,
    Session,
    Strategy,
    Verifier,
)
from ttscale.core.requests import (
    Compare,
    Completion,
    Preference,
    Race,
    Reply,
    Request,
    Revise,
    Sample,
    Score,
    Search,
    Verdict,
)
from ttscale.core.types import Candidate, Key, Outcome, Question, Step
from ttscale.core.version import __version__
from ttscale.strategies import (
    DVTS,
    Beam,
    BestOfN,
    ComputeOptimalScheduler,
    Lookahead,
    MajorityVote,
    Policy,
    SequentialRevision,
    WeightedBestOfN,
)

__all__ = [
    "DVTS",
    "MAX_BUDGET",
    "AsyncComparator",
    "AsyncGenerator",
    "AsyncReviser",
    "AsyncVerifier",
    "Beam",
    "BestOfN",
    "BudgetError",
    "Candidate",
    "Chat",
    "Comparator",
    "Compare",
    "Completion",
    "ComputeOptimalScheduler",
    "Cost",
    "Generator",
    "Key",
    "Limit",
    "Lookahead",
    "MajorityVote",
    "MissingRoleError",
    "Outcome",
    "Policy",
    "Preference",
    "Price",
    "Question",
    "Race",
    "Reply",
    "Request",
    "Result",
    "Revise",
    "Reviser",
    "RoleError",
    "Sample",
    "Score",
    "Search",
    "SequentialRevision",
    "Session",
    "Step",
    "Strategy",
    "StrategyError",
    "TtscaleError",
    "Verdict",
    "Verifier",
    "WeightedBestOfN",
    "__version__",
    "asolve",
    "asolve_all",
    "asolve_stream",
    "solve",
    "solve_all",
    "solve_stream",
]
