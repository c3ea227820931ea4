"""The stage that measures the finished models on test questions and writes ``results.json``.

Knows: the test split and the numbers worth reporting. Must not know: how the models were made, nor how a vote or an
interval is computed (``ttscale.evaluation`` does). All methods choose among one pool of samples per question, so
differences are paired. The library's own search (beam and so on) is measured by the project's benchmarks, not here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tools.reference_models.collect import Sampled, sample
from tools.reference_models.model import Llama
from tools.reference_models.sampler import Sampler

from ttscale.evaluation.statistics import Graded, Interval, Method, curves, paired_difference
from ttscale.evaluation.verifier_quality.metrics import auc, expected_calibration_error, reliability
from ttscale.reference.layout import answer_of
from ttscale.reference.problems import questions

SIZES = (1, 2, 4, 8, 16, 32, 64)
METHODS: dict[str, Method] = {
    "majority": "majority",
    "weighted": "weighted_best_of_n",
    "best": "best_of_n",
    "oracle": "oracle",
}


def graded(
    rows: Sequence[Sampled], sums: Sequence[Sequence[Sequence[float]]], scale: float, bias: float
) -> list[Graded]:
    """Every question's samples with calibrated final scores; ``sums`` are [question][distinct solution][step]."""
    found = []
    for number, (row, lines) in enumerate(zip(rows, sums, strict=True)):
        places: dict[str, int] = {}
        classes, correct, scores = [], [], []
        for (text, times, right), line in zip(row.solutions, lines, strict=True):
            margin = max(-60.0, min(60.0, scale * line[-1] + bias))
            classes += [places.setdefault(answer_of(text) or "", len(places))] * times
            correct += [right] * times
            scores += [1 / (1 + math.exp(-margin))] * times
        found.append(
            Graded(
                f"{number}: {row.prompt}",
                np.array(correct, dtype=np.bool_),
                np.array(classes, dtype=np.int64),
                np.array(scores),
                np.zeros(len(scores), dtype=np.int64),
            )
        )
    return found


def search_report(
    generator: Llama, rows: list[Sampled], margins: Sequence[Sequence[Sequence[float]]], scale: float, bias: float
) -> dict[str, object]:
    """The generator and a verifier on one pool of samples of test questions (seed 0)."""
    groups = graded(rows, margins, scale, bias)
    problems = questions(len(rows), "test", seed=0)
    assert [problem.prompt for problem in problems] == [row.prompt for row in rows]
    once = sample(Sampler(generator), problems, 1, 0, 0.0)
    greedy = np.array([float(any(right for _, _, right in row.solutions)) for row in once])
    ones = np.array([float(group.correct.mean()) if len(group.correct) else 0.0 for group in groups])
    levels = np.array([row.level for row in rows])
    few = [group for group in groups if len(group.correct) >= 16]
    sixteen = curves(few, ["weighted_best_of_n", "majority"], [16])
    kept = np.array([len(group.correct) >= 16 for group in groups])
    return {
        "questions": len(rows),
        "samples": sum(len(group.correct) for group in groups),
        "seed": 0,
        "pass@1": float(ones.mean()),
        "pass@1 by level": {str(level): float(ones[levels == level].mean()) for level in range(1, 6)},
        "pass@1 by difficulty quintile": [float(part.mean()) for part in np.array_split(np.sort(ones), 5)],
        "greedy": float(greedy.mean()),
        "greedy by level": {str(level): float(greedy[levels == level].mean()) for level in range(1, 6)},
        "selection": selection(groups),
        "selection, levels 1-3": selection([g for g, row in zip(groups, rows, strict=True) if row.level <= 3]),
        "selection, levels 4-5": selection([g for g, row in zip(groups, rows, strict=True) if row.level > 3]),
        "pair accuracy": pair_accuracy(groups),
        "ECE": calibration_error(groups),
        "weighted-16 minus majority-16": _numbers(
            paired_difference(sixteen["weighted_best_of_n"], sixteen["majority"])
        ),
        "weighted-16 minus greedy": _numbers(paired_difference(sixteen["weighted_best_of_n"][:, 0], greedy[kept])),
    }


def selection(groups: Sequence[Graded], sizes: Sequence[int] = SIZES) -> dict[str, dict[str, float]]:
    """Accuracy of every way to select, by the number of samples; a question that has fewer is left out."""
    found = {}
    for size in sizes:
        enough = [group for group in groups if len(group.correct) >= size]
        if enough:
            means = curves(enough, list(METHODS.values()), [size])
            found[str(size)] = {name: float(means[method].mean()) for name, method in METHODS.items()}
    return found


def pair_accuracy(groups: Sequence[Graded]) -> float:
    """Over questions with both kinds: how often a right sample scores above a wrong one (ties half)."""
    shares = [share for group in groups if (share := auc(group.scores, group.correct)) is not None]
    return float(np.mean(shares))


def calibration_error(groups: Sequence[Graded]) -> float:
    """Expected calibration error over all samples, ten equally wide bins."""
    scores = np.concatenate([group.scores for group in groups])
    correct = np.concatenate([group.correct for group in groups]).astype(float)
    return expected_calibration_error(reliability(scores, correct, 10)) or 0.0


def revision_report(made: Sequence[Sequence[tuple[str, bool]]]) -> dict[str, object]:
    """One chain per question: accuracy at every step and what revising does to right and wrong attempts."""
    right = np.array([[float(attempt[1]) for attempt in chain] for chain in made])  # [chains, steps]
    moves = [(chain[i], chain[i + 1]) for chain in made for i in range(right.shape[1] - 1)]
    return {
        "chains": len(made),
        "pass@1 by step": right.mean(axis=0).tolist(),
        "last step minus first": _numbers(paired_difference(right[:, -1], right[:, 0])),
        "last step minus fourth": _numbers(paired_difference(right[:, -1], right[:, 3])),
        "right to wrong": _share([not new[1] for old, new in moves if old[1]]),
        "wrong to right": _share([new[1] for old, new in moves if not old[1]]),
        "copies of a wrong attempt": _share([new[0] == old[0] for old, new in moves if not old[1]]),
    }


def chain_report(
    rows: Sequence[Sampled], margins: Sequence[Sequence[Sequence[float]]], scale: float, bias: float
) -> dict[str, object]:
    """A verifier on chains of attempts: does it rank a right attempt above a wrong one of the same chain?"""
    groups = graded(rows, margins, scale, bias)
    return {
        "chains": len(groups),
        "pair accuracy": pair_accuracy(groups),
        "ECE": calibration_error(groups),
        "selection": selection(groups, [max(len(group.correct) for group in groups)]),
    }


def _numbers(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def _share(outcomes: Sequence[bool]) -> float | None:
    return sum(outcomes) / len(outcomes) if outcomes else None


def records(out: Path) -> dict[str, object]:
    """What each training used: parameters, tokens, floating-point operations, seconds."""
    found: dict[str, object] = {}
    for file in sorted(out.rglob("record.json")):
        record = json.loads(file.read_text())
        keep = (
            "steps",
            "step",
            "stop",
            "tokens",
            "padded",
            "flops",
            "seconds",
            "loss",
            "parameters",
            "lr",
            "batch_tokens",
        )
        found[str(file.parent.relative_to(out))] = {key: record[key] for key in keep if key in record}
    return found
