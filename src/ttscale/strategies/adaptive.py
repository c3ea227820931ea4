"""Strategies that decide while they spend: stop when the vote is decided, change course when the verifier is unsure.

Beyond Snell et al., whose policy looks once. Adaptive consistency is arXiv 2305.11860. The rule for stopping is its
Beta rule, here also on weights instead of counts. The marginal-gain rule is arXiv 2410.04707's.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ttscale.answers import AnswerRule, answer_classes
from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate, check_aggregate, majority_vote, rule_of, vote_shares, weighted_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.strategies.policy import Policy, default_policy
from ttscale.strategies.waves import draw, draw_whole, judge, scores_of_outcome

FEW = 100
"""Votes up to which the chance to lead is a finite sum, exact but slow."""


@dataclass(frozen=True, slots=True)
class AdaptiveConsistency:
    """A majority vote that stops as soon as it is decided (arXiv 2305.11860). Spends at most N.

    After every ``wave`` of solutions it looks at the votes: a for the leading answer, b for the second. It stops when
    P(Beta(a + 1, b + 1) > 1/2) reaches ``confidence``: four votes to none are enough at 0.95, three are not. A wave of
    1 spends least; larger ones fill batches. Needs no verifier; scores are shares of the votes.
    """

    confidence: float = 0.95
    wave: int = 1
    needs: ClassVar[frozenset[Role]] = frozenset({"generator"})

    def __post_init__(self) -> None:
        _check_confidence(self.confidence)
        check_count("wave", self.wave)

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        candidates: list[Candidate] = []
        answers: Counter[str | None] = Counter()
        while len(candidates) < budget:
            begin, end = len(candidates), min(budget, len(candidates) + self.wave)
            keys = [root.key.child(i) for i in range(begin, end)]
            candidates += yield from draw([root] * len(keys), keys)
            answers.update(c.answer for c in candidates[begin:] if c.done)
            leading, second = heaviest(list(answers), list(answers.values()), rule_of(candidates))
            if chance_to_lead(leading, second) >= self.confidence:
                break
        note = f"drew {sum(bool(c.steps) for c in candidates)} of {budget}"  # past a cap replies are empty
        return Outcome(tuple(candidates), vote_shares(candidates), majority_vote(candidates), note)


@dataclass(frozen=True, slots=True)
class AdaptiveScheduler:
    """The compute-optimal scheduler that keeps looking: it spends in rounds and updates its estimate after each.

    The first round draws and judges ``first`` solutions. As long as the vote is not decided, the next round spends as
    much again as was spent so far. It spends it on the strategy that ``policy`` names for the difficulty as it now
    looks: 1 minus the mean verifier score of everything so far, where a solution that was cut off counts 0. So where
    the verifier stays unsure the search escalates to what the policy holds for harder questions. The vote is decided
    when, with a the summed scores of the leading answer and b those of the second, P(Beta(a + 1, b + 1) > 1/2) >=
    ``confidence``. ``policy`` None: the paper's findings, see ``default_policy``; ``aggregate`` is for those and the
    first round, the strategies of any other policy have their own. Spends at most N.
    """

    policy: Policy | None = None
    first: int = 4
    confidence: float = 0.95
    aggregate: Aggregate = "last"

    def __post_init__(self) -> None:
        check_aggregate(self.aggregate)
        _check_confidence(self.confidence)
        check_count("first", self.first)
        if self.policy is not None and not isinstance(self.policy, Policy):
            raise ValueError(
                f"policy must be a Policy (AdaptiveScheduler.load(path) reads one); got {self.policy!r:.80}"
            )

    @staticmethod
    def load(path: str | Path) -> AdaptiveScheduler:
        """A scheduler with the policy saved at ``path``."""
        return AdaptiveScheduler(Policy.load(path))

    @property
    def needs(self) -> frozenset[Role] | None:
        """The first round's roles and those of every strategy in the policy; None if one of those does not say."""
        own: frozenset[Role] = frozenset({"generator", "verifier"})
        more = self.policy.needs if self.policy else own
        return None if more is None else own | more

    def for_roles(self, roles: frozenset[Role]) -> AdaptiveScheduler:
        """The same scheduler with the default policy for these roles, where it has none of its own."""
        return self if self.policy else replace(self, policy=default_policy(roles, self.aggregate))

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        policy = self.policy or default_policy(frozenset({"generator", "verifier"}), self.aggregate)
        spent = min(self.first, budget)
        candidates = yield from draw_whole(Candidate(root.question, root.key.child("probe")), spent)
        scores = yield from judge(candidates, self.aggregate)
        course = []
        while spent < budget:
            leading, second = leaders(candidates, scores)
            if chance_to_lead(leading, second) >= self.confidence:
                break
            difficulty = 1 - sum(score or 0.0 for score in scores) / len(scores)
            strategy = policy.lookup(difficulty, budget)
            more = min(spent, budget - spent)
            course.append(f"difficulty {difficulty:.2f} -> {more} by {strategy!r}")
            start = Candidate(root.question, root.key.child("round", len(course)))
            outcome = yield from strategy.search(start, more)
            candidates += outcome.candidates
            scores += yield from scores_of_outcome(strategy, outcome, self.aggregate)
            spent += more
        note = "; ".join([*course, f"spent {spent} of {budget}"])
        return Outcome(tuple(candidates), tuple(scores), weighted_vote(candidates, scores), note)


def leaders(candidates: Sequence[Candidate], weights: Sequence[float | None]) -> tuple[float, float]:
    """The total weights of the heaviest and the second heaviest answer of candidates; 0 where there is none."""
    answers = [c.answer if c.done and w is not None else None for c, w in zip(candidates, weights, strict=True)]
    return heaviest(answers, weights, rule_of(candidates))


def heaviest(answers: Sequence[str | None], weights: Sequence[float | None], rule: AnswerRule) -> tuple[float, float]:
    """The same of answers, equivalent ones together."""
    totals: dict[int, float] = {}
    for answer_class, weight in zip(answer_classes(answers, rule), weights, strict=True):
        if answer_class is not None and weight is not None:
            totals[answer_class] = totals.get(answer_class, 0.0) + weight
    first, second, *_ = [*sorted(totals.values(), reverse=True), 0.0, 0.0]
    return first, second


def chance_to_lead(a: float, b: float) -> float:
    """P(X > 1/2) for X ~ Beta(a + 1, b + 1): how sure it is that the answer with weight ``a`` is ahead of ``b``.

    For few whole votes a finite sum, sum_{k<=a} C(a+b+1, k) / 2^(a+b+1); else the continued fraction of the incomplete
    beta function.
    """
    if float(a).is_integer() and float(b).is_integer() and a + b <= FEW:
        n = int(a + b) + 1
        return float(sum(math.comb(n, k) for k in range(int(a) + 1)) / 2**n)
    return 1 - _below_half(a + 1, b + 1)


def _below_half(p: float, q: float) -> float:
    """The regularised incomplete beta function I_x(p, q) at x = 1/2 (Lentz's method on its continued fraction)."""
    if (p + 1) / (p + q + 2) < 0.5:  # the fraction converges fast below the mean only
        return 1 - _below_half(q, p)
    front = math.exp(math.lgamma(p + q) - math.lgamma(p) - math.lgamma(q) - (p + q) * math.log(2)) / p
    c, d = 1.0, 1 / (1 - (p + q) * 0.5 / (p + 1))
    total = d
    for m in range(1, 1000):
        for numerator in (
            m * (q - m) * 0.5 / ((p + 2 * m - 1) * (p + 2 * m)),
            -(p + m) * (p + q + m) * 0.5 / ((p + 2 * m) * (p + 2 * m + 1)),
        ):
            d, c = 1 / (1 + numerator * d), 1 + numerator / c
            total *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * total


def marginal_budgets(chances: Sequence[float], total: int, *, least: int = 1, most: int | None = None) -> list[int]:
    """``total`` solutions shared out over questions so that most are expected to be solved (arXiv 2410.04707).

    ``chances`` are the probabilities that one solution is right. Each question gets ``least``; ``ValueError`` where the
    total does not reach for that. Every further solution goes where it gains most, which is p (1-p)^b for a question
    that has b. That is optimal because the gain falls with b. Ties go to the question with fewer, then to the earlier.
    ``most`` caps a question; what no question may have is not spent.
    """
    if not all(0 <= chance <= 1 for chance in chances):
        raise ValueError(f"chances must be probabilities in [0, 1]; got {list(chances)}")
    if total < least * len(chances):
        raise ValueError(f"a total of {total} is too small for {len(chances)} questions with least = {least}; raise it")
    if most is not None and most < least:
        raise ValueError(f"most = {most} is less than least = {least}; swap them or leave most out")
    budgets = [least] * len(chances)
    cap = total if most is None else most
    heap = [(-p * (1 - p) ** least, least, i) for i, p in enumerate(chances) if least < cap]
    heapq.heapify(heap)
    for _ in range(total - least * len(chances)):
        if not heap:
            break
        _, had, i = heap[0]
        budgets[i] = had + 1
        if had + 1 < cap:
            heapq.heapreplace(heap, (-chances[i] * (1 - chances[i]) ** (had + 1), had + 1, i))
        else:
            heapq.heappop(heap)
    return budgets


def _check_confidence(confidence: float) -> None:
    if not isinstance(confidence, (int, float)) or not 0.5 < confidence < 1:
        raise ValueError(f"confidence must lie between 0.5 and 1; got {confidence!r}")
