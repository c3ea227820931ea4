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
from benchmarks.real_study.plan import BLEND, FREE, RIGHT_ALONE, SUM, Plan
from benchmarks.real_study.solutions import examples, pool, problems_of
from benchmarks.real_study.verifiers import Blend, feature, fit_blend, sigmoid

from ttscale.training import StepExample

TARGET = 0.85
PARTS = (SUM, RIGHT_ALONE)
"""What the blend is made of."""


def measure(folder: Path, plan: Plan, names: Sequence[str]) -> dict[str, Any]:
    """A row for each verifier, and for the blend of those of ``PARTS`` that are there; kept in ``gate.json``."""
    problems = problems_of(plan.rows(folder, "validation"))
    drawn = pool(folder, plan, "validation", plan.validation_samples)
    given = examples(drawn, problems)
    scores = verifiers.final_scores(names, folder, given, drawn)
    rows = {name: verifiers.row_of(verifiers.judged(given, own), plan.gate_budgets) for name, own in scores.items()}
    parts = [name for name in PARTS if name in rows]
    fitted, rows[BLEND] = _blend(given, parts, scores, plan)
    found = {"rows": rows, "blend": fitted}
    (folder / "gate.json").write_text(json.dumps(found))
    return found


def _blend(
    given: Sequence[StepExample], parts: Sequence[str], scores: dict[str, list[float]], plan: Plan
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fitted on all validation questions for use; its row is two-fold: each half scored by the fit on the other."""
    odds = np.array([[feature(name, score) for score in scores[name]] for name in parts]).T
    outcomes = np.array([bool(e.correct) for e in given])
    fold = np.array([int(e.id[-1], 16) % 2 for e in given])
    predicted = np.zeros(len(given))
    for half in (0, 1):
        weights, bias = fit_blend(odds[fold != half], outcomes[fold != half])
        predicted[fold == half] = sigmoid(odds[fold == half] @ np.array(weights) + bias)
    weights, bias = fit_blend(odds, outcomes)
    fitted = {"parts": list(parts), "weights": weights, "bias": bias}
    return fitted, verifiers.row_of(verifiers.judged(given, predicted.tolist()), plan.gate_budgets)


def chosen(folder: Path) -> str:
    """The verifier that ranks best on the validation questions, the free ones aside."""
    rows = json.loads((folder / "gate.json").read_text())["rows"]
    return max(
        (name for name in rows if name not in FREE),
        key=lambda name: (rows[name]["pair accuracy"] or {"value": 0.0})["value"],
    )


def serve(name: str, folder: Path) -> Any:
    """The verifier of that name, the blend included."""
    if name != BLEND:
        return verifiers.serve(name, folder)
    fitted = json.loads((folder / "gate.json").read_text())["blend"]
    parts = [verifiers.serve(part, folder) for part in fitted["parts"]]
    return Blend(fitted["parts"], parts, fitted["weights"], fitted["bias"])
