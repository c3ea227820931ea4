"""The gate: every verifier ranked on the validation questions before a search is drawn on the test questions.

Knows the recipes and the validation pool. The verifier that searches is the trained one that ranks best here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study import verifiers
from benchmarks.real_study.blend import Blend, Floats, Reading, features, fit_outcomes, fit_pairs, sigmoid
from benchmarks.real_study.plan import BLENDS, FITS, FREE, RIGHT, RIGHT_ALONE, Plan
from benchmarks.real_study.solutions import examples, pool, problems_of

from ttscale.training import StepExample

TARGET = 0.85


def measure(folder: Path, plan: Plan, names: Sequence[str]) -> dict[str, Any]:
    """A row for each verifier and each blend; kept in ``gate.json`` with the fitted blends."""
    problems = problems_of(plan.rows(folder, "validation"))
    drawn = pool(folder, plan, "validation", plan.validation_samples)
    given = examples(drawn, problems)
    scores, read = verifiers.final_scores(names, folder, given, drawn)
    rows = {name: verifiers.row_of(verifiers.judged(given, own), plan.gate_budgets) for name, own in scores.items()}
    blends = {}
    for (name, kinds), fit in itertools.product(BLENDS.items() if read else (), FITS):
        final = np.array([features(kinds, one)[-1] for one in read])
        fitted, crossed = cross_fitted(given, final, fit)
        rows[f"{name}, fitted on {fit}"] = verifiers.row_of(verifiers.judged(given, crossed), plan.gate_budgets)
        blends[f"{name}, fitted on {fit}"] = {"kinds": kinds, **fitted}
    found = {"rows": rows, "blends": blends}
    (folder / "gate.json").write_text(json.dumps(found))
    return found


def cross_fitted(given: Sequence[StepExample], final: Floats, fit: str) -> tuple[dict[str, Any], list[float]]:
    """The blend fitted on all solutions, for use, and two-fold scores of them: each half of the questions by the fit
    on the other."""
    outcomes = np.array([bool(e.correct) for e in given])
    questions = np.array([e.id for e in given])
    fold = np.array([int(e.id[-1], 16) % 2 for e in given])

    def fitted(chosen: Any) -> tuple[list[float], float]:
        if fit == "pairs":
            return fit_pairs(final[chosen], outcomes[chosen], questions[chosen])
        return fit_outcomes(final[chosen], outcomes[chosen])

    scores = np.zeros(len(given))
    for half in (0, 1):
        weights, bias = fitted(fold != half)
        scores[fold == half] = sigmoid(final[fold == half] @ np.array(weights) + bias)
    weights, bias = fitted(fold >= 0)
    return {"weights": weights, "bias": bias}, scores.tolist()


def chosen(folder: Path) -> str:
    """The verifier that ranks best on the validation questions, the free ones aside."""
    rows = json.loads((folder / "gate.json").read_text())["rows"]
    return max(
        (name for name in rows if name not in FREE),
        key=lambda name: (rows[name]["pair accuracy"] or {"value": 0.0})["value"],
    )


def serve(name: str, folder: Path) -> Any:
    """The verifier of that name, a blend too."""
    fitted = json.loads((folder / "gate.json").read_text())["blends"].get(name)
    if fitted is None:
        return verifiers.serve(name, folder)
    return Blend(name, fitted["kinds"], verifiers.serve(RIGHT_ALONE, folder), fitted["weights"], fitted["bias"])


def blended(name: str, folder: Path, read: Sequence[Reading]) -> list[float]:
    """The final scores of solutions by a fitted blend, or by the implicit verifier alone, from their readings."""
    if name in (RIGHT, RIGHT_ALONE):
        return [verifiers.implicit_score(name, one) for one in read]
    fitted = json.loads((folder / "gate.json").read_text())["blends"][name]
    weights, bias = np.array(fitted["weights"]), fitted["bias"]
    return [float(sigmoid(features(fitted["kinds"], one)[-1] @ weights + bias)) for one in read]
