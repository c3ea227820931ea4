"""The gate: every verifier ranked on the validation questions before a search is drawn on the test questions.

Knows the recipes and the validation pool. The verifier that searches is the trained one that ranks best here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study import verifiers
from benchmarks.real_study.plan import Plan
from benchmarks.real_study.solutions import examples, pool, problems_of
from benchmarks.real_study.verifiers import BLEND, FREE, SUM, Blend, fit_blend, log_odds, sigmoid

from ttscale.training import Judged, StepExample

TARGET = 0.85
PARTS = (SUM, verifiers.MEAN, verifiers.HEAD, verifiers.RIGHT_ALONE)
"""What the blend is made of."""


def measure(folder: Path, plan: Plan, names: Sequence[str]) -> dict[str, Any]:
    """A row for each verifier, and for the blend of those of ``PARTS`` that are there; kept in ``gate.json``."""
    file = folder / "gate.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {"rows": {}, "scores": {}}
    problems = problems_of(plan.rows(folder, "validation"))
    drawn = pool(folder, plan, "validation", plan.validation_samples)
    given = examples(drawn, problems)
    for name in names:
        if name not in found["rows"]:
            judgements = verifiers.judged(name, folder, given, *free(drawn, [p.id for p in problems]))
            found["scores"][name] = [one.step_scores[-1] for one in judgements]
            found["rows"][name] = verifiers.row_of(judgements, [4, plan.validation_samples])
            file.write_text(json.dumps(found))
            print(name, found["rows"][name]["pair accuracy"], flush=True)
    parts = [name for name in PARTS if name in found["rows"]]
    if len(parts) > 1:
        found["blend"], found["rows"][BLEND] = _blend(given, parts, found["scores"], plan)
        file.write_text(json.dumps(found))
    return found


def free(drawn: Any, questions: Sequence[str]) -> tuple[list[float], list[float]]:
    """Sums and means of the generator's log-probabilities, in the order of ``examples``."""
    sums = [value for question in questions for value in verifiers.logprob_sums(drawn, question)]
    means = [
        float(np.log(max(one.scores[-1], 1e-300)))
        for question in questions
        for one in drawn.drawn(question)
        if one.finish == "stop" and one.text.strip()
    ]
    return sums, means


def _blend(
    given: Sequence[StepExample], parts: Sequence[str], scores: dict[str, list[float]], plan: Plan
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fitted on all validation questions for use; its row is two-fold: each half scored by the fit on the other."""
    odds = np.array([[log_odds(score) for score in scores[name]] for name in parts]).T
    outcomes = np.array([bool(e.correct) for e in given])
    fold = np.array([int(e.id[-1], 16) % 2 for e in given])
    predicted = np.zeros(len(given))
    for half in (0, 1):
        weights, bias = fit_blend(odds[fold != half], outcomes[fold != half])
        predicted[fold == half] = sigmoid(odds[fold == half] @ np.array(weights) + bias)
    judgements = [
        Judged(e.id, bool(e.correct), e.answer, (float(score),)) for e, score in zip(given, predicted, strict=True)
    ]
    weights, bias = fit_blend(odds, outcomes)
    fitted = {"parts": list(parts), "weights": weights, "bias": bias}
    return fitted, verifiers.row_of(judgements, [4, plan.validation_samples])


def chosen(folder: Path) -> str:
    """The verifier that ranks best on the validation questions, the free ones aside."""
    rows = json.loads((folder / "gate.json").read_text())["rows"]
    return max((name for name in rows if name not in FREE), key=lambda name: rows[name]["pair accuracy"]["value"])


def serve(name: str, folder: Path) -> Any:
    """The verifier of that name, the blend included."""
    if name != BLEND:
        return verifiers.serve(name, folder)
    fitted = json.loads((folder / "gate.json").read_text())["blend"]
    parts = [verifiers.serve(part, folder) for part in fitted["parts"]]
    return Blend(parts, fitted["weights"], fitted["bias"])
