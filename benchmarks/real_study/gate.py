"""The gate: every verifier ranked on the validation questions before a search is drawn on the test questions.

Knows the recipes and the validation pool. The verifier that searches is chosen here.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study import verifiers
from benchmarks.real_study.blend import Blend, Floats, Reading, features, fit_pairs, sigmoid
from benchmarks.real_study.plan import BLENDS, RIGHT_ALONE, Plan
from benchmarks.real_study.solutions import examples, pool, problems_of

from ttscale.training import Judged, StepExample

TARGET = 0.85


def measure(folder: Path, plan: Plan, names: Sequence[str]) -> dict[str, Any]:
    """A row for each verifier and each blend; kept in ``gate.json`` with the fitted blends."""
    problems = problems_of(plan.rows(folder, "validation"))
    drawn = pool(folder, plan, "validation", plan.validation_samples)
    given = examples(drawn, problems)
    scores, read = verifiers.final_scores(names, folder, given, drawn)
    blends = {}
    for name, kinds in BLENDS.items() if read else ():
        final = np.array([features(kinds, one)[-1] for one in read])
        fitted, scores[name] = cross_fitted(given, final)
        blends[name] = {"kinds": kinds, **fitted}
    natural = {row.id for row in plan.rows(folder, "validation") if row.kind == "natural"}
    rows = {name: row_of(verifiers.judged(given, own), natural, plan.gate_budgets) for name, own in scores.items()}
    found = {"rows": rows, "blends": blends}
    (folder / "gate.json").write_text(json.dumps(found))
    return found


def row_of(judged: Sequence[Judged], natural: Container[str], budgets: Sequence[int]) -> dict[str, Any]:
    """A verifier's row, with its pair accuracy on natural and on templated questions alone."""
    parts: dict[str, list[Judged]] = {"natural": [], "templated": []}
    for one in judged:
        parts["natural" if one.question in natural else "templated"].append(one)
    kinds = {kind: verifiers.row_of(part, budgets)["pair accuracy"] for kind, part in parts.items()}
    return {**verifiers.row_of(judged, budgets), "kinds": kinds}


def cross_fitted(given: Sequence[StepExample], final: Floats) -> tuple[dict[str, Any], list[float]]:
    """The blend fitted on all solutions, for use, and two-fold scores of them: each half of the questions by the fit
    on the other."""
    outcomes = np.array([bool(e.correct) for e in given])
    questions = np.array([e.id for e in given])
    fold = np.array([int(e.id[-1], 16) % 2 for e in given])
    scores = np.zeros(len(given))
    for half in (0, 1):
        other = fold != half
        weights, bias = fit_pairs(final[other], outcomes[other], questions[other])
        scores[fold == half] = sigmoid(final[fold == half] @ np.array(weights) + bias)
    weights, bias = fit_pairs(final, outcomes, questions)
    return {"weights": weights, "bias": bias}, scores.tolist()


def chosen(folder: Path) -> str:
    """The verifier that searches: of the blends, whose scores are probabilities (weights of votes), the one that ranks
    best on the validation questions."""
    found = json.loads((folder / "gate.json").read_text())
    fitted: list[str] = [*found["blends"]]
    return max(fitted, key=lambda name: (found["rows"][name]["pair accuracy"] or {"value": 0.0})["value"])


def serve(name: str, folder: Path) -> Blend:
    """A blend as a verifier."""
    fitted = json.loads((folder / "gate.json").read_text())["blends"][name]
    return Blend(name, fitted["kinds"], verifiers.serve(RIGHT_ALONE, folder), fitted["weights"], fitted["bias"])


def blended(name: str, folder: Path, read: Sequence[Reading]) -> list[float]:
    """The final scores of solutions by a fitted blend, from their readings."""
    fitted = json.loads((folder / "gate.json").read_text())["blends"][name]
    weights, bias = np.array(fitted["weights"]), fitted["bias"]
    return [float(sigmoid(features(fitted["kinds"], one)[-1] @ weights + bias)) for one in read]
