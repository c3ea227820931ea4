"""Who wins: from step scores to one score per candidate, and from scored candidates to the chosen one.

Pure functions over data (Snell et al., sections 5.1 and 6). Ties go to the earlier candidate, so the choice does not
depend on anything but the candidates in their order.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ttscale.answers import MATHEMATICS, AnswerRule, answer_classes
from ttscale.core.checks import check_choice
from ttscale.core.types import Candidate

Aggregate = Literal["last", "min", "prod", "mean"]
ROUNDING = 1e-9
"""Summed weights that differ by less than this share are equal."""


def check_aggregate(how: str) -> None:
    """Raise ``ValueError`` unless ``how`` names an aggregation."""
    check_choice("aggregate", how, get_args(Aggregate))


def aggregate(step_scores: Sequence[float], how: Aggregate) -> float:
    """One score in [0, 1] from the scores of a candidate's steps.

    ``last`` is the paper's choice for verifiers trained on Monte-Carlo values; ``min`` and ``prod`` suit step labels
    by people or judges (arXiv 2501.07301, section 3.2.4).
    """
    if how == "last":
        return step_scores[-1]
    if how == "min":
        return min(step_scores)
    if how == "prod":
        return math.prod(step_scores)
    return math.fsum(step_scores) / len(step_scores)


def best(candidates: Sequence[Candidate], scores: Sequence[float | None]) -> int | None:
    """The finished candidate with the highest score; one that states an answer goes before any that does not.

    Where no finished candidate has a score, the winner of a majority vote.
    """
    ranked = [
        (candidate.answer is not None, score, -index)
        for index, (candidate, score) in enumerate(zip(candidates, scores, strict=True))
        if candidate.done and score is not None
    ]
    if not ranked:
        return majority_vote(candidates) if any(c.done and c.steps for c in candidates) else None
    return -max(ranked)[2]


def vote_shares(candidates: Sequence[Candidate]) -> tuple[float | None, ...]:
    """For each candidate the share of the votes that its answer got.

    None for one that is not finished or states no answer: it does not vote.
    """
    weights = [1.0] * len(candidates)
    votes = _totals(_voting(candidates, weights), weights, rule_of(candidates))
    voters = sum(vote > 0 for vote in votes)
    return tuple(vote / voters if vote else None for vote in votes)


def rule_of(candidates: Sequence[Candidate]) -> AnswerRule:
    """The answer rule of the question that candidates belong to."""
    return candidates[0].question.answers if candidates else MATHEMATICS


def _voting(candidates: Sequence[Candidate], weights: Sequence[float | None]) -> list[str | None]:
    """The answer that each candidate votes for."""
    return [c.answer if c.done and w is not None else None for c, w in zip(candidates, weights, strict=True)]


def _totals(answers: Sequence[str | None], weights: Sequence[float | None], rule: AnswerRule) -> list[float]:
    """For each answer the weight of its class."""
    classes = answer_classes(answers, rule)
    votes: dict[int, list[float]] = defaultdict(list)
    for answer_class, weight in zip(classes, weights, strict=True):
        if answer_class is not None and weight is not None:
            votes[answer_class].append(weight)
    totals = {answer_class: math.fsum(weights) for answer_class, weights in votes.items()}
    return [0.0 if answer_class is None else totals[answer_class] for answer_class in classes]


def weighted_vote(candidates: Sequence[Candidate], scores: Sequence[float | None]) -> int | None:
    """Best-of-N weighted: the answer whose candidates' scores sum highest; of those, the candidate scored highest.

    Sums that differ by rounding alone tie, as .1 + .2 and .3 do. Where no candidate states an answer (free text), the
    best single candidate. Where no finished candidate has a score, a majority vote.
    """
    answers = _voting(candidates, scores)
    totals = _totals(answers, scores, rule_of(candidates))
    ranked = [
        (total, score, -index)
        for index, (answer, score, total) in enumerate(zip(answers, scores, totals, strict=True))
        if score is not None and answer is not None
    ]
    if not ranked:
        return best(candidates, scores)
    most = max(ranked)[0]
    return -max(place[1:] for place in ranked if place[0] >= most - ROUNDING * abs(most))[1]


def majority_vote(candidates: Sequence[Candidate]) -> int | None:
    """The first candidate that has the most frequent answer; without any answer, the first finished candidate."""
    return weighted_vote(candidates, [1.0 if candidate.done else None for candidate in candidates])


def best_so_far(
    found: Sequence[tuple[Candidate, float | None]],
) -> tuple[tuple[Candidate, ...], tuple[float | None, ...], int | None]:
    """What to return when a search is cut short: a weighted vote of what is scored, else a majority vote."""
    candidates = tuple(candidate for candidate, _ in found)
    scores = tuple(score for _, score in found)
    return candidates, scores, weighted_vote(candidates, scores)


@dataclass(frozen=True, slots=True)
class Vote:
    """How one answer fared: the first spelling seen, its candidates, and its share of all weight."""

    answer: str
    count: int
    share: float


def tally(candidates: Sequence[Candidate], scores: Sequence[float | None]) -> list[Vote]:
    """The answers with their votes, heaviest first: weighted by scores, or counted where those are shares of a vote.

    Where every score is 0 no answer has any weight.
    """
    unscored = all(score is None for score in scores)
    answers = _voting(candidates, [1.0] * len(candidates) if unscored else scores)
    groups: dict[int, list[int]] = defaultdict(list)
    for index, answer_class in enumerate(answer_classes(answers, rule_of(candidates))):
        if answer_class is not None:
            groups[answer_class].append(index)
    voters = sum(map(len, groups.values()))
    shares = {i: len(members) / voters for members in groups.values() for i in members}
    counted = unscored or all(scores[i] is not None and math.isclose(scores[i] or 0.0, shares[i]) for i in shares)
    if counted:  # a majority vote's scores are what its answers got, and must not weigh a second time
        totals = {first[0]: shares[first[0]] for first in groups.values()}
    else:
        weights = {group[0]: math.fsum(scores[i] or 0.0 for i in group) for group in groups.values()}
        whole = math.fsum(weights.values()) or 1.0
        totals = {first: weight / whole for first, weight in weights.items()}
    votes = [Vote(answers[group[0]] or "", len(group), totals[group[0]]) for group in groups.values()]
    return sorted(votes, key=lambda vote: -vote.share)
