"""The verifiers of the study, each recipe by name: how it is trained, served and ranked on the validation questions.

Knows training calls and quality reports. Must not know searches. Every recipe that was tried keeps its row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study.plan import Plan
from benchmarks.real_study.solutions import examples, lessons, pool, problems_of
from scipy.optimize import minimize

from ttscale.core.requests import Score, Verdict
from ttscale.core.types import Step
from ttscale.evaluation import Pool
from ttscale.hf import HFVerifier, ImplicitVerifier
from ttscale.training import (
    Judged,
    StepExample,
    quality_report,
    relabel,
    train_implicit_prm,
    train_orm,
    train_prm,
    verifier_scores,
)

MEAN, SUM, HEAD, ORM, RIGHT, RIGHT_ALONE, RATIO, DISTILLED, BLEND = (
    "generator's log-probability, mean",
    "generator's log-probability, sum",
    "PRM head, soft labels",
    "ORM head",
    "implicit, right solutions",
    "implicit, right solutions, no reference",
    "implicit, log-ratio on outcomes",
    "PRM head, distilled",
    "log-ratio features",
)
FREE = (MEAN, SUM)


def slug(name: str) -> str:
    """The verifier's folder."""
    return name.replace(" ", "-").replace(",", "")


class LogProbability:
    """The generator's own log-probabilities as step scores: exp of their sum, or mean, so far. Costs nothing."""

    def __init__(self, mean: bool) -> None:
        self.mean = mean
        self.name = MEAN if mean else SUM

    def __repr__(self) -> str:
        return f"LogProbability(mean={self.mean})"

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One score a step, each over all steps so far."""
        return [Verdict(tuple(self._scores(request.candidate.steps))) for request in requests]

    def _scores(self, steps: Sequence[Step]) -> list[float]:
        totals = np.cumsum([step.logprob or 0.0 for step in steps])
        counts = np.cumsum([len(step.tokens) for step in steps]) if self.mean else np.ones(len(steps))
        return [float(score) for score in np.exp(totals / np.maximum(counts, 1))]


def material(folder: Path, plan: Plan) -> list[StepExample]:
    """The solutions verifiers are trained on."""
    drawn = pool(folder, plan, "train", plan.train_samples)
    return lessons(examples(drawn, problems_of(plan.rows(folder, "train"))), plan.lessons)


def gold(folder: Path, plan: Plan) -> list[StepExample]:
    """The worked solutions of the training questions, as right ones."""
    found = []
    for row in plan.rows(folder, "train"):
        steps = tuple(row.solution.splitlines(keepends=True))
        found.append(StepExample(row.id, row.question, steps, (1.0,) * len(steps), True, row.answer))
    return found


def train(name: str, folder: Path, plan: Plan) -> None:
    """Train the verifier of that name; what is trained already is left as it is."""
    base, out = folder / "generator", folder / "verifiers" / slug(name)
    test = problems_of([*plan.rows(folder, "test"), *plan.rows(folder, "validation")])
    own = material(folder, plan)
    recipe = plan.prm_recipe
    options: dict[str, Any] = {"test": test, "recipe": recipe, "progress": False}
    implicit = replace(recipe, learning_rate=recipe.learning_rate / 3)
    if name == HEAD:
        train_prm(base, own, out, **options)
    elif name == ORM:
        train_orm(base, own[: len(own) // 2], out, **options)
    elif name == RIGHT:
        given = [
            *gold(folder, plan),
            *(e for e in own if e.correct),
            *(e for e in own[: len(own) // 8] if not e.correct),
        ]
        train_implicit_prm(base, given, out, goal="right", **options | {"recipe": implicit})
    elif name == RATIO:
        train_implicit_prm(base, own[: len(own) // 2], out, goal="ratio", **options | {"recipe": implicit})
    elif name == DISTILLED:
        train_prm(base, relabel(own, verifier_scores(serve(RIGHT, folder), own)), out, **options)
    else:
        raise ValueError(f"{name!r} is not trained")


def serve(name: str, folder: Path) -> Any:
    """The verifier of that name as a role."""
    if name in FREE:
        return LogProbability(mean=name == MEAN)
    where = folder / "verifiers" / slug(name)
    if name == RIGHT_ALONE:
        return ImplicitVerifier(str(folder / "verifiers" / slug(RIGHT)), reference_weight=0.0)
    if name in (RIGHT, RATIO):
        return ImplicitVerifier(str(where), str(folder / "generator"))
    return HFVerifier(str(where))


def logprob_sums(drawn: Pool, question: str) -> list[float]:
    """The sum of the generator's log-probabilities of each finished solution, from the mean that the pool holds."""
    return [
        math.log(max(one.scores[-1], 1e-300)) * one.tokens
        for one in drawn.drawn(question)
        if one.finish == "stop" and one.text.strip()
    ]


def judged(
    name: str, folder: Path, given: Sequence[StepExample], sums: Sequence[float], means: Sequence[float]
) -> list[Judged]:
    """The solutions with the verifier's step scores; the free ones are in the pool already."""
    if name in FREE:
        found = [(math.exp(max(one, -700)),) for one in (means if name == MEAN else sums)]
    else:
        found = verifier_scores(serve(name, folder), given)
    return [
        Judged(e.id, bool(e.correct), e.answer, tuple(scores), e.labels if len(scores) == len(e.steps) else ())
        for e, scores in zip(given, found, strict=True)
    ]


def row_of(judgements: Sequence[Judged], budgets: Sequence[int]) -> dict[str, Any]:
    """What the study keeps of a quality report."""
    report = quality_report(judgements, budgets=tuple(budgets))
    row: dict[str, Any] = {"pair accuracy": report.pair_accuracy and asdict(report.pair_accuracy), "ece": report.ece}
    for selection in report.selection:
        row[f"N = {selection.n}"] = {
            "questions": selection.questions,
            **{method: asdict(interval) for method, interval in selection.accuracy.items()},
        }
    return row


class Blend:
    """A logistic regression on the final scores of other verifiers: log-odds of each, weights fitted on outcomes."""

    def __init__(self, parts: Sequence[Any], weights: Sequence[float], bias: float) -> None:
        self.parts, self.weights, self.bias = list(parts), list(weights), bias
        self.name = BLEND
        self.worker = next((part.worker for part in parts if hasattr(part, "worker")), None)

    def __repr__(self) -> str:
        return f"Blend({[part.name for part in self.parts]}, {self.weights}, {self.bias})"

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One score a step; what the parts cost is added up."""
        verdicts = [part.score(requests) for part in self.parts]
        found = []
        for own in zip(*verdicts, strict=True):
            odds = np.array([[log_odds(score) for score in verdict.step_scores] for verdict in own])
            cost = sum((verdict.cost for verdict in own[1:]), own[0].cost)
            found.append(Verdict(tuple(sigmoid(self.bias + np.array(self.weights) @ odds).tolist()), cost))
        return found


def log_odds(score: float) -> float:
    """Kept finite: a score of 0 or 1 is rounding."""
    kept = min(max(score, 1e-12), 1 - 1e-6)
    return math.log(kept / (1 - kept))


def sigmoid(value: Any) -> Any:
    """Of an array."""
    return 1 / (1 + np.exp(-np.clip(value, -60, 60)))


def fit_blend(odds: Any, outcomes: Any) -> tuple[list[float], float]:
    """Weights and bias by maximum likelihood with a slight pull to 0; ``odds`` [solutions, parts]."""

    def loss(point: Any) -> float:
        margin = odds @ point[:-1] + point[-1]
        return float(np.logaddexp(0, np.where(outcomes, -margin, margin)).mean() + 1e-4 * (point[:-1] ** 2).sum())

    found = minimize(loss, np.zeros(odds.shape[1] + 1), method="L-BFGS-B").x
    return [float(weight) for weight in found[:-1]], float(found[-1])
