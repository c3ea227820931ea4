"""The verifiers of the study, each recipe by name: how it is trained, served and ranked on the validation questions.

Knows training calls and quality reports. Must not know searches. Every recipe that was tried keeps its row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study.blend import FLAT, Reading, sigmoid, step_sums
from benchmarks.real_study.plan import (
    FREE,
    HEAD,
    MEAN,
    ORM,
    RIGHT,
    RIGHT_ALONE,
    SUM,
    Plan,
)
from benchmarks.real_study.solutions import DTYPE, examples, lessons, pool, problems_of
from transformers import AutoTokenizer

from ttscale.core.requests import Score, Verdict
from ttscale.core.types import Step
from ttscale.evaluation import Drawn, Pool
from ttscale.hf import HFModel, HFVerifier, ImplicitVerifier
from ttscale.training import (
    Judged,
    StepExample,
    quality_report,
    train_implicit_prm,
    train_orm,
    train_prm,
    verifier_scores,
)

TOGETHER = 32
"""Solutions scored at once; changes speed and memory only."""
READ = "generator's log-probability, read"


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
    """The worked solutions of the training questions, and of questions that nothing else is made of."""
    found = []
    for row in [*plan.rows(folder, "train"), *plan.rows(folder, "worked")]:
        steps = tuple(row.solution.splitlines(keepends=True))
        found.append(StepExample(row.id, row.question, steps, (1.0,) * len(steps), True, row.answer))
    return found


def train(name: str, folder: Path, plan: Plan) -> None:
    """Train the verifier of that name; what is trained already is left as it is."""
    base, out = folder / "generator", folder / "verifiers" / slug(name)
    test = problems_of([*plan.rows(folder, "test"), *plan.rows(folder, "validation")])
    own = material(folder, plan)
    options: dict[str, Any] = {"test": test, "recipe": plan.prm_recipe, "progress": False}
    if name == HEAD:
        train_prm(base, own, out, **options)
    elif name == ORM:
        train_orm(base, own, out, **options)
    elif name == RIGHT:
        given = [
            *gold(folder, plan),
            *(e for e in own if e.correct),
            *(e for e in own[: len(own) // 8] if not e.correct),
        ]
        train_implicit_prm(base, given, out, goal="right", **options | {"recipe": plan.sft_recipe})
    else:
        raise ValueError(f"{name!r} is not trained")


def serve(name: str, folder: Path) -> Any:
    """The verifier of that name as a role."""
    if name in FREE:
        return LogProbability(mean=name == MEAN)
    where = folder / "verifiers" / slug(name)
    alone = {READ: folder / "generator", RIGHT_ALONE: folder / "verifiers" / slug(RIGHT)}
    if name in alone:
        return ImplicitVerifier(HFModel(alone[name], dtype=DTYPE), reference_weight=0.0, scale=FLAT, bias=0.0)
    if name == RIGHT:
        return ImplicitVerifier(HFModel(where, dtype=DTYPE), HFModel(folder / "generator", dtype=DTYPE))
    return HFVerifier(str(where), dtype=DTYPE)


def readings(folder: Path, given: Sequence[StepExample], drawn: Pool | None = None) -> list[Reading]:
    """What generator and model of right solutions say of each solution. ``given`` are the finished solutions of
    ``drawn``, in order, whose generator recorded its part; without a pool it is asked too."""
    right = [step_sums(scores) for scores in scored(RIGHT_ALONE, folder, given)]
    tokenizer = AutoTokenizer.from_pretrained(folder / "generator")
    split = (tokenizer(list(e.steps), add_special_tokens=False).input_ids for e in given)
    tokens = [np.array([len(ids) for ids in own]) for own in split]
    if drawn is None:
        own = [step_sums(scores) for scores in scored(READ, folder, given)]
        return [Reading(counts, said) for counts, said in zip(tokens, zip(own, right, strict=True), strict=True)]
    questions = list(dict.fromkeys(example.id for example in given))
    found = []
    samples = (one for question in questions for one in ended(drawn, question))
    for one, counts, said in zip(samples, tokens, right, strict=True):
        counts[-1] = one.tokens - counts[:-1].sum()  # the end of the text too
        means = np.log(np.maximum(one.scores, 1e-300))
        found.append(Reading(counts, (np.diff(means * np.cumsum(counts), prepend=0.0), said)))
    return found


def final_scores(
    names: Sequence[str], folder: Path, given: Sequence[StepExample], drawn: Pool
) -> tuple[dict[str, list[float]], list[Reading]]:
    """The final score of each solution by each verifier, and the readings that blends are made of where there is a
    model of right solutions. ``given`` are the finished solutions of the pool, in order."""
    questions = list(dict.fromkeys(example.id for example in given))
    samples = [one for question in questions for one in ended(drawn, question)]
    found = {MEAN: [one.scores[-1] for one in samples]}
    found[SUM] = [exp(math.log(max(one.scores[-1], 1e-300)) * one.tokens) for one in samples]
    read: list[Reading] = []
    if RIGHT in names:
        read = readings(folder, given, drawn)
        found |= {name: [implicit_score(name, one) for one in read] for name in (RIGHT_ALONE, RIGHT)}
    return found | {name: last(scored(name, folder, given)) for name in names if name != RIGHT}, read


def implicit_score(name: str, read: Reading) -> float:
    """The final score of the implicit verifier: without reference, or against the generator."""
    own, right = (steps.sum() for steps in read.models)
    return float(sigmoid(FLAT * right if name == RIGHT_ALONE else right - own))


def last(scores: Sequence[Sequence[float]]) -> list[float]:
    """The final one of each solution."""
    return [own[-1] for own in scores]


def scored(name: str, folder: Path, given: Sequence[StepExample]) -> list[list[float]]:
    """The scores of each solution by a trained verifier; every distinct one is scored once and kept."""
    file = folder / "scores" / f"{slug(name)}.json"
    known: dict[str, list[float]] = json.loads(file.read_text()) if file.is_file() else {}
    missing = {f"{e.id}\n{e.text}": e for e in given if f"{e.id}\n{e.text}" not in known}
    if missing:
        scores = verifier_scores(serve(name, folder), list(missing.values()), together=TOGETHER)
        known |= {key: list(own) for key, own in zip(missing, scores, strict=True)}
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(known))
    return [known[f"{e.id}\n{e.text}"] for e in given]


def judged(given: Sequence[StepExample], scores: Sequence[float]) -> list[Judged]:
    """The solutions with their final scores."""
    return [Judged(e.id, bool(e.correct), e.answer, (one,)) for e, one in zip(given, scores, strict=True)]


def ended(drawn: Pool, question: str) -> list[Drawn]:
    """The samples of a question that ended."""
    return [one for one in drawn.drawn(question) if one.finish == "stop" and one.text.strip()]


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
