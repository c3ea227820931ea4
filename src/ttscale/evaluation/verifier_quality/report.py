"""How good a verifier is: one report from scored solutions, the same for a PRM, an ORM and an implicit PRM.

Knows scores, right and wrong, and answers; needs numpy and scipy only. Must not know models. The *within-question* pair
accuracy decides best-of-N. A verifier can have a high pooled AUC only because it knows which questions are hard, and
still rank the solutions of one question at chance.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ttscale.answers import MATHEMATICS, AnswerRule, answer_classes, name_of_rule
from ttscale.core.checks import check_count
from ttscale.core.selection import Aggregate, aggregate, check_aggregate
from ttscale.evaluation.statistics import (
    Bools,
    Floats,
    Graded,
    Interval,
    Method,
    curves,
    mean_interval,
    paired_difference,
)
from ttscale.evaluation.verifier_quality.metrics import ReliabilityBin, auc, expected_calibration_error, reliability

METHODS: dict[str, Method] = {
    "pass@1": "pass@1",
    "majority": "majority",
    "best-of-N": "best_of_n",
    "weighted best-of-N": "weighted_best_of_n",
    "oracle": "oracle",
}
"""Names in the report, and the estimators they are."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A solution, whether it is right, and what the verifier said."""

    question: str
    """Id of the question: solutions are compared within it."""
    correct: bool
    answer: str | None
    """Its final answer; None never votes and is never selected before one that has an answer."""
    step_scores: tuple[float, ...]
    """One per step (PRM) or one in all (ORM)."""
    step_labels: tuple[float | None, ...] = ()
    """What each step is worth, in [0, 1], where known (None: not): Monte-Carlo values or step labels. May be empty."""
    answers: AnswerRule = MATHEMATICS
    """The answer rule of the question, by which its solutions vote; one for all solutions of a question."""


@dataclass(frozen=True, slots=True)
class StepAuc:
    """AUC of the scores at one step position (1 is the first), over the solutions that reach it."""

    step: int
    count: int
    auc: float | None


@dataclass(frozen=True, slots=True)
class SelectionAccuracy:
    """Expected accuracy of each way to choose among ``n`` solutions of a question, over ``questions`` questions."""

    n: int
    questions: int
    accuracy: dict[str, Interval]
    """Method -> accuracy. Without probabilities (``probabilities=False``) there is no weighted best-of-N."""
    gain: dict[str, Interval]
    """Method -> accuracy minus majority's, with a paired interval."""


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What ``quality_report`` found. None stands for "cannot be computed from these solutions"."""

    questions: int
    solutions: int
    steps: int
    aggregate: str
    auc: float | None
    """Pooled AUC of the final score. It can be high for the wrong reason; read ``pair_accuracy`` first."""
    pair_accuracy: Interval | None
    """Share of (right, wrong) pairs of one question ranked correctly, mean over the questions that have both kinds."""
    pair_accuracy_pooled: float | None
    """The same over all such pairs at once, so that questions with many pairs weigh more."""
    pair_questions: int
    pairs: int
    ece: float | None
    """Expected calibration error of the final score."""
    brier: float | None
    reliability: tuple[ReliabilityBin, ...]
    step_auc: float | None
    """AUC of step scores against step labels (the solution's outcome where there are none), all steps pooled."""
    step_ece: float | None
    step_reliability: tuple[ReliabilityBin, ...]
    by_step: tuple[StepAuc, ...]
    selection: tuple[SelectionAccuracy, ...]
    notes: tuple[str, ...]
    """What was left out and why."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def quality_report(
    judged: Iterable[Judged],
    *,
    aggregate: Aggregate = "last",
    budgets: Sequence[int] = (4, 16, 64),
    bins: int = 10,
    step_threshold: float = 0.5,
    draws: int = 200,
    resamples: int = 1000,
    probabilities: bool = True,
    seed: int = 0,
) -> QualityReport:
    """Judge a verifier by its scores on solutions whose outcome is known.

    A question with K solutions gives the expected accuracy of choosing among N <= K of them (``statistics.accuracy``,
    whose ``draws`` this is). Questions with fewer than N solutions are left out of that row and noted.
    ``step_threshold``: a step label counts as positive from here on. With ``probabilities=False`` scores may be any
    numbers (log-ratios, say): calibration and weighted best-of-N are left out. Intervals are 95%, from ``resamples``
    bootstrap resamples of the questions.
    """
    rows = list(judged)
    check_aggregate(aggregate)
    for name, number in [
        ("bins", bins),
        ("draws", draws),
        ("resamples", resamples),
        *(("a budget", n) for n in budgets),
    ]:
        check_count(name, number)
    _check(rows, probabilities)
    groups: dict[str, list[Judged]] = defaultdict(list)
    for row in rows:
        groups[row.question].append(row)
    final = {question: _final_scores(members, aggregate) for question, members in groups.items()}
    right = {question: np.array([m.correct for m in members], dtype=np.bool_) for question, members in groups.items()}
    scores, correct = np.concatenate(list(final.values())), np.concatenate(list(right.values()))
    table = reliability(scores, correct.astype(float), bins) if probabilities else ()
    pair_rows = [_pairs(final[q], right[q]) for q in groups]
    both = [(won, pairs) for won, pairs in pair_rows if pairs]
    shares = np.array([won / pairs for won, pairs in both])
    positions, step_scores, step_labels = _steps(rows)
    positive = step_labels >= step_threshold
    step_table = reliability(step_scores, step_labels, bins) if probabilities else ()
    pool = [_graded(question, members, final[question], right[question]) for question, members in groups.items()]
    selection, notes = _selections(pool, budgets, draws, resamples, probabilities, seed)
    return QualityReport(
        questions=len(groups),
        solutions=len(rows),
        steps=sum(len(row.step_scores) for row in rows),
        aggregate=aggregate,
        auc=auc(scores, correct),
        pair_accuracy=mean_interval(shares, resamples=resamples, seed=seed) if both else None,
        pair_accuracy_pooled=sum(won for won, _ in both) / sum(pairs for _, pairs in both) if both else None,
        pair_questions=len(both),
        pairs=sum(pairs for _, pairs in both),
        ece=expected_calibration_error(table),
        brier=float(((scores - correct) ** 2).mean()) if probabilities else None,
        reliability=table,
        step_auc=auc(step_scores, positive),
        step_ece=expected_calibration_error(step_table),
        step_reliability=step_table,
        by_step=_by_step(positions, step_scores, positive),
        selection=selection,
        notes=notes,
    )


def _check(rows: list[Judged], probabilities: bool) -> None:
    if not rows:
        raise ValueError("no solutions to report on: the list of judged solutions is empty")
    rules: dict[str, AnswerRule] = {}
    for index, row in enumerate(rows):
        where = f"solution {index} of question {row.question!r}"
        if row.correct not in (True, False):  # 1 and 0 of any kind are
            raise ValueError(f"the {where} is correct={row.correct!r}; it must be True or False")
        if rules.setdefault(row.question, row.answers) != row.answers:
            raise ValueError(
                f"the {where} has the answer rule {name_of_rule(row.answers)}, an earlier one of it has "
                f"{name_of_rule(rules[row.question])}; give every solution of a question the same rule"
            )
        if not row.step_scores:
            raise ValueError(f"the {where} has no score, which is not a score of 0; a verifier that fails must raise")
        if row.step_labels and len(row.step_labels) != len(row.step_scores):
            raise ValueError(
                f"the {where} has {len(row.step_scores)} step scores and {len(row.step_labels)} step labels; "
                "give one label per score, or none"
            )
        for label in row.step_labels:
            if label is not None and not 0.0 <= label <= 1.0:
                raise ValueError(f"the {where} has the step label {label}; labels are in [0, 1], or None")
        for score in row.step_scores:
            if not math.isfinite(score):
                raise ValueError(f"the {where} has the score {score}; scores must be finite")
            if probabilities and not 0.0 <= score <= 1.0:
                raise ValueError(
                    f"the {where} has the score {score}, outside [0, 1]; calibrate the scores first, or pass "
                    "probabilities=False to rank by them only"
                )


def _final_scores(members: Sequence[Judged], how: Aggregate) -> Floats:
    return np.array([aggregate(member.step_scores, how) for member in members], dtype=np.float64)


def _pairs(scores: Floats, correct: Bools) -> tuple[float, int]:
    """(pairs won, pairs) among the (right, wrong) pairs of one question; a tie is half a win."""
    pairs = int(correct.sum()) * int((~correct).sum())
    share = auc(scores, correct)
    return (0.0 if share is None else share * pairs), pairs


def _steps(rows: Sequence[Judged]) -> tuple[Floats, Floats, Floats]:
    """Position (1 is the first), score and label of every step whose label is known."""
    found = []
    for row in rows:
        known = row.step_labels or (float(row.correct),) * len(row.step_scores)
        pairs = zip(row.step_scores, known, strict=True)
        found += [(position, *pair) for position, pair in enumerate(pairs, start=1) if pair[1] is not None]
    positions, scores, labels = np.array(found, dtype=np.float64).reshape(-1, 3).T
    return positions, scores, labels


def _by_step(positions: Floats, scores: Floats, positive: Bools) -> tuple[StepAuc, ...]:
    places = [(int(step), positions == step) for step in np.unique(positions)]
    return tuple(StepAuc(step, int(here.sum()), auc(scores[here], positive[here])) for step, here in places)


def _graded(question: str, members: Sequence[Judged], scores: Floats, correct: Bools) -> Graded:
    found = answer_classes([member.answer for member in members], members[0].answers)
    classes = np.array([-1 if c is None else c for c in found])
    return Graded(question, correct, classes, scores, np.zeros(len(members), dtype=np.int64))


def _selections(
    pool: Sequence[Graded], budgets: Sequence[int], draws: int, resamples: int, probabilities: bool, seed: int
) -> tuple[tuple[SelectionAccuracy, ...], tuple[str, ...]]:
    """One row for each N that some question has enough solutions for, and a note for each that left questions out."""
    methods = {name: method for name, method in METHODS.items() if probabilities or name != "weighted best-of-N"}
    selection, notes = [], []
    for n in budgets:
        enough = [one for one in pool if len(one.scores) >= n]
        if len(enough) < len(pool):
            short = len(pool) - len(enough)
            notes.append(f"N = {n}: {short} of {len(pool)} questions have fewer than {n} solutions and are left out.")
        if not enough:
            continue
        found = curves(enough, list(methods.values()), [n], draws=draws, seed=seed)
        column = {name: found[method][:, 0] for name, method in methods.items()}
        mean = {name: mean_interval(values, resamples=resamples, seed=seed) for name, values in column.items()}
        gain = {
            name: paired_difference(values, column["majority"], resamples=resamples, seed=seed)
            for name, values in column.items()
            if name != "majority"
        }
        selection.append(SelectionAccuracy(n, len(enough), mean, gain))
    return tuple(selection), tuple(notes)
