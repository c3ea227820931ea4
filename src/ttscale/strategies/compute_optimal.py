"""The compute-optimal scheduler: probe, estimate difficulty, go on with what pays (Snell et al., section 3).

The paper does not charge for estimating difficulty; here the probe comes out of the same N and its solutions compete in
the final vote. Where the policy names one strategy for every difficulty there is nothing to find out, and no probe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate, weighted_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.policy import Policy, default_policy
from ttscale.strategies.waves import draw_whole, judge, scores_of_outcome


@dataclass(frozen=True, slots=True)
class ComputeOptimalScheduler:
    """Spend N where it pays: by a policy over predicted difficulty (Snell et al., section 3).

    ``probe`` solutions are drawn and judged first. None takes the policy's own number, else a quarter of N and at most
    8. Where the policy's strategy for this budget does not depend on difficulty, there is no probe, and that strategy
    spends all of N. Difficulty is 1 minus the mean final verifier score of the probe, where a solution that was cut off
    counts as 0. The ``policy`` (None: the paper's findings, see ``default_policy``) names the strategy that spends the
    rest. The winner is a weighted vote over everything.

    ``aggregate`` is for the probe, and for the default policy; the strategies of any other have their own.
    """

    policy: Policy | None = None
    probe: int | None = None
    aggregate: Aggregate = "last"

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        check_count("probe", self.probe, none=True)
        if self.policy is not None and not isinstance(self.policy, Policy):
            raise ValueError(
                f"policy must be a Policy (ComputeOptimalScheduler.load(path) reads one); got {self.policy!r:.80}"
            )

    @staticmethod
    def load(path: str | Path, probe: int | None = None) -> ComputeOptimalScheduler:
        """A scheduler with the policy saved at ``path``."""
        return ComputeOptimalScheduler(Policy.load(path), probe)

    @property
    def needs(self) -> frozenset[Role] | None:
        """The probe's roles and those of every strategy in the policy; None if one of those does not say."""
        own: frozenset[Role] = frozenset({"generator", "verifier"})
        more = self.policy.needs if self.policy else own
        return None if more is None else own | more

    def for_roles(self, roles: frozenset[Role]) -> ComputeOptimalScheduler:
        """The same scheduler with the default policy for these roles, where it has none of its own."""
        return self if self.policy else replace(self, policy=default_policy(roles, self.aggregate))

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        policy = self.policy or default_policy(frozenset({"generator", "verifier"}), self.aggregate)
        fixed = policy.fixed_strategy(budget) if self.probe is None else None
        if fixed is not None:
            outcome = yield from fixed.search(root, budget)
            return replace(outcome, note=f"any difficulty -> {fixed!r}")
        wanted = self.probe or policy.probe or max(1, min(8, budget // 4))
        probe_root = Candidate(root.question, root.key.child("probe"))
        probe = yield from draw_whole(probe_root, min(wanted, budget))
        probe_scores = yield from judge(probe, self.aggregate)
        difficulty = 1 - sum(score or 0.0 for score in probe_scores) / len(probe)
        strategy = policy.lookup(difficulty, budget)
        candidates, scores = tuple(probe), tuple(probe_scores)
        if budget > len(probe):
            rest = yield from strategy.search(Candidate(root.question, root.key.child("main")), budget - len(probe))
            scores += yield from scores_of_outcome(strategy, rest, self.aggregate)
            candidates += rest.candidates
        note = f"difficulty {difficulty:.2f} -> {strategy!r}"
        return Outcome(candidates, scores, weighted_vote(candidates, scores), note)
