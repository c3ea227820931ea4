"""The stage that measures the finished models on test questions and writes ``results.json``.

Knows: the test split and the numbers worth reporting. Must not know: how the models were made.
Selection here works on one pool of samples per question, so all methods see the same samples and differences are
paired. The library's own search (beam and so on) is measured by the project's benchmarks, not here.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

from tools.reference_models import quality
from tools.reference_models.collect import Sampled, sample
from tools.reference_models.model import Llama
from tools.reference_models.quality import Draw, interval, majority, mean, weighted
from tools.reference_models.sampler import Sampler

from ttscale.reference.problems import questions

SIZES = (1, 2, 4, 8, 16, 32, 64)


def graded(
    rows: Sequence[Sampled], sums: Sequence[Sequence[Sequence[float]]], scale: float, bias: float, seed: int
) -> list[list[Draw]]:
    """Every question's samples in random order, with calibrated final scores."""
    rng = random.Random(seed)
    return [
        quality.draws(row, [1 / (1 + math.exp(-max(-60.0, min(60.0, scale * line[-1] + bias)))) for line in lines], rng)
        for row, lines in zip(rows, sums, strict=True)
    ]


def search_report(
    generator: Llama,
    rows: list[Sampled],
    margins: Sequence[Sequence[Sequence[float]]],
    scale: float,
    bias: float,
    seed: int,
) -> dict[str, object]:
    """The generator and a verifier on one pool of samples."""
    groups = graded(rows, margins, scale, bias, seed)
    problems = questions(len(rows), "test", seed=seed)
    assert [problem.prompt for problem in problems] == [row.prompt for row in rows]
    greedy = [
        float(any(right for _, _, right in row.solutions)) for row in sample(Sampler(generator), problems, 1, 0, 0.0)
    ]
    ones = [mean([float(draw.right) for draw in group]) for group in groups]
    ranked = sorted(ones)
    voted = [weighted(group[:16]) for group in groups]
    sizes = [size for size in SIZES if size <= max(map(len, groups))]
    return {
        "questions": len(rows),
        "samples": sum(map(len, groups)),
        "seed": seed,
        "pass@1": mean(ones),
        "pass@1 by level": {
            str(level): mean([one for one, row in zip(ones, rows, strict=True) if row.level == level])
            for level in range(1, 6)
        },
        "pass@1 by difficulty quintile": [
            mean(ranked[i * len(ranked) // 5 : (i + 1) * len(ranked) // 5]) for i in range(5)
        ],
        "greedy": mean(greedy),
        "greedy by level": {
            str(level): mean([one for one, row in zip(greedy, rows, strict=True) if row.level == level])
            for level in range(1, 6)
        },
        "selection": quality.selection(groups, sizes),
        "selection, levels 1-3": quality.selection(
            [g for g, r in zip(groups, rows, strict=True) if r.level <= 3], sizes
        ),
        "selection, levels 4-5": quality.selection(
            [g for g, r in zip(groups, rows, strict=True) if r.level > 3], sizes
        ),
        "pair accuracy": quality.pair_accuracy(groups),
        "ECE": quality.calibration_error(groups),
        "weighted-16 minus majority-16": interval([a - majority(g[:16]) for a, g in zip(voted, groups, strict=True)]),
        "weighted-16 minus greedy": interval([a - b for a, b in zip(voted, greedy, strict=True)]),
    }


def revision_report(made: Sequence[Sequence[tuple[str, bool]]]) -> dict[str, object]:
    """One chain per question: accuracy at every step and what revising does to right and wrong attempts."""
    length = len(made[0])
    moves = [(chain[i], chain[i + 1]) for chain in made for i in range(length - 1)]
    after_right = [float(not new[1]) for old, new in moves if old[1]]
    after_wrong = [float(new[1]) for old, new in moves if not old[1]]
    copies = [float(new[0] == old[0]) for old, new in moves if not old[1]]
    return {
        "chains": len(made),
        "pass@1 by step": [mean([float(chain[i][1]) for chain in made]) for i in range(length)],
        "last step minus first": interval([float(chain[-1][1]) - float(chain[0][1]) for chain in made]),
        "last step minus fourth": interval([float(chain[-1][1]) - float(chain[3][1]) for chain in made]),
        "right to wrong": mean(after_right),
        "wrong to right": mean(after_wrong),
        "copies of a wrong attempt": mean(copies),
    }


def chain_report(
    rows: Sequence[Sampled], margins: Sequence[Sequence[Sequence[float]]], scale: float, bias: float
) -> dict[str, object]:
    """A verifier on chains of attempts: does it rank a right attempt above a wrong one of the same chain?"""
    groups = graded(rows, margins, scale, bias, 0)
    return {
        "chains": len(groups),
        "pair accuracy": quality.pair_accuracy(groups),
        "ECE": quality.calibration_error(groups),
        "selection": quality.selection(groups, [max(map(len, groups))]),
    }


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
