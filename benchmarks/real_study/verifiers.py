"""The verifiers of the study, each recipe by name: how it is trained, served and ranked on the validation questions.

Knows training calls and quality reports. Must not know searches. Every recipe that was tried keeps its row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.real_study.plan import (
    BLEND,
    DISTILLED,
    FREE,
    HEAD,
    MEAN,
    ORM,
    RATIO,
    RIGHT,
    RIGHT_ALONE,
    SUM,
    Plan,
)
from benchmarks.real_study.solutions import examples, lessons, pool, problems_of
from scipy.optimize import minimize

from ttscale.core.requests import Score, Verdict
from ttscale.core.types import Step
from ttscale.evaluation import Drawn, Pool
from ttscale.hf import HFModel, HFVerifier, ImplicitVerifier
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

TOGETHER = 32
"""Solutions scored at once; changes speed and memory only."""
BF16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
"""Verifiers run in bf16 where the CPU has it: a third of the time, and an error of about .1 in a log-likelihood."""
FLAT = 0.25
"""Scale of a plain log-likelihood in the sigmoid: likelihoods down to exp(-40) stay apart in five digits."""


def ratios(alone: Sequence[float], sums: Sequence[float]) -> list[float]:
    """Scores of the implicit verifier with the generator as reference, from those without and the generator's own
    log-probabilities, which are recorded already."""
    return [float(sigmoid(log_odds(own) / FLAT - sum_)) for own, sum_ in zip(alone, sums, strict=True)]


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
    where, dtype = folder / "verifiers" / slug(name), "bfloat16" if BF16 else "float32"
    if name == RIGHT_ALONE:
        model = HFModel(folder / "verifiers" / slug(RIGHT), dtype=dtype)
        return ImplicitVerifier(model, reference_weight=0.0, scale=FLAT, bias=0.0)
    if name in (RIGHT, RATIO):
        return ImplicitVerifier(HFModel(where, dtype=dtype), HFModel(folder / "generator", dtype=dtype))
    return HFVerifier(str(where), dtype=dtype)


def logprob_sums(drawn: Pool, question: str) -> list[float]:
    """The sum of the generator's log-probabilities of each finished solution, from the mean that the pool holds."""
    return [math.log(max(one.scores[-1], 1e-300)) * one.tokens for one in ended(drawn, question)]


def final_scores(
    names: Sequence[str], folder: Path, given: Sequence[StepExample], drawn: Pool
) -> dict[str, list[float]]:
    """The final score of each solution by each verifier. ``given`` are the finished solutions of the pool, in order."""
    questions = list(dict.fromkeys(example.id for example in given))
    sums = [value for question in questions for value in logprob_sums(drawn, question)]
    lengths = [one.tokens for question in questions for one in ended(drawn, question)]
    found = {
        SUM: [exp(value) for value in sums],
        MEAN: [exp(value / n) for value, n in zip(sums, lengths, strict=True)],
    }
    if RIGHT in names:
        found[RIGHT_ALONE] = scored(RIGHT_ALONE, folder, given)
        found[RIGHT] = ratios(found[RIGHT_ALONE], sums)
    return found | {name: scored(name, folder, given) for name in names if name not in (RIGHT, RIGHT_ALONE, *FREE)}


def scored(name: str, folder: Path, given: Sequence[StepExample]) -> list[float]:
    """The final score of each solution by a trained verifier; every distinct one is scored once and kept."""
    file = folder / "scores" / f"{slug(name)}.json"
    known: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}
    missing = {f"{e.id}\n{e.text}": e for e in given if f"{e.id}\n{e.text}" not in known}
    if missing:
        scores = verifier_scores(serve(name, folder), list(missing.values()), together=TOGETHER)
        known |= {key: own[-1] for key, own in zip(missing, scores, strict=True)}
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(known))
    return [known[f"{e.id}\n{e.text}"] for e in given]


def judged(given: Sequence[StepExample], scores: Sequence[float]) -> list[Judged]:
    """The solutions with their final scores."""
    return [Judged(e.id, bool(e.correct), e.answer, (one,)) for e, one in zip(given, scores, strict=True)]


def ended(drawn: Pool, question: str) -> list[Drawn]:
    """The samples of a question that ended."""
    return [one for one in drawn.drawn(question)[: drawn.size] if one.finish == "stop" and one.text.strip()]


def exp(value: float) -> float:
    """Above 0."""
    return math.exp(max(value, -700.0))


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
    """A logistic regression on the scores of other verifiers (``feature`` of each), weights fitted on outcomes."""

    def __init__(self, names: Sequence[str], parts: Sequence[Any], weights: Sequence[float], bias: float) -> None:
        self.names, self.parts, self.weights, self.bias = list(names), list(parts), list(weights), bias
        self.name = BLEND
        self.worker = next((part.worker for part in parts if hasattr(part, "worker")), None)

    def __repr__(self) -> str:
        return f"Blend({self.names}, {self.weights}, {self.bias})"

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One score a step; what the parts cost is added up."""
        verdicts = [part.score(requests) for part in self.parts]
        found = []
        for own in zip(*verdicts, strict=True):
            named = zip(self.names, own, strict=True)
            odds = np.array([[feature(name, score) for score in verdict.step_scores] for name, verdict in named])
            cost = sum((verdict.cost for verdict in own[1:]), own[0].cost)
            found.append(Verdict(tuple(sigmoid(self.bias + np.array(self.weights) @ odds).tolist()), cost))
        return found


def feature(name: str, score: float) -> float:
    """What the blend reads of a score: the logarithm of a probability of text, else the log-odds."""
    return math.log(max(score, 1e-300)) if name in FREE else log_odds(score)


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
