"""SVAMP and GSM8K: questions of other kinds, sampled with the same generator and judged by the same verifier.

Knows the two files and pools. Nothing was trained or chosen on them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study import gate, verifiers
from benchmarks.real_study.contrasts import interval
from benchmarks.real_study.plan import Plan, natural_questions
from benchmarks.real_study.solutions import SEED, examples, generator

from ttscale.evaluation import Pool, accuracy, draw_pool, load_pool
from ttscale.evaluation.collect.pool import Graded
from ttscale.training import Problem
from ttscale.verifiers import ConfidenceVerifier

FILES = {"SVAMP": "svamp.jsonl", "GSM8K": "gsm8k_test.jsonl"}


def problems(name: str, plan: Plan) -> list[Problem]:
    """The first questions of a file, as many as the plan says."""
    count = dict(zip(FILES, plan.transfer, strict=False))[name]
    with open(natural_questions().parent / FILES[name], encoding="utf-8") as lines:
        found = [json.loads(line) for _, line in zip(range(count), lines, strict=False)]
    return [
        Problem(f"{name}-{at}", one["question"], one["answer"].split("####")[-1].strip())
        for at, one in enumerate(found)
    ]


def samples(folder: Path, plan: Plan, name: str) -> Pool:
    """Samples of the questions of a file."""
    asked, judge = problems(name, plan), ConfidenceVerifier()
    own, count = generator(folder, plan), plan.transfer[-1]
    return draw_pool(asked, file(folder, name), count, generator=own, verifier=judge, seed=SEED, progress=False)


def file(folder: Path, name: str) -> Path:
    """Where samples are kept."""
    return folder / "pools" / f"{name.lower()}.jsonl"


def judged(folder: Path, plan: Plan, name: str) -> list[Graded]:
    """The samples with the scores of the verifier that ranks best on the validation questions."""
    asked, chosen = problems(name, plan), gate.chosen(folder)
    drawn = load_pool(file(folder, name)).of(asked)
    given = examples(drawn, asked)
    scores = iter(gate.blended(chosen, folder, verifiers.readings(folder, given, drawn)))
    graded = []
    for one, problem in zip(drawn.graded(), asked, strict=True):
        samples = drawn.drawn(problem.id)
        own = [next(scores) if drawn_.finish == "stop" and drawn_.text.strip() else np.nan for drawn_ in samples]
        graded.append(replace(one, scores=np.array(own)))
    return graded


def rows(folder: Path, plan: Plan) -> dict[str, Any]:
    """pass@1, majority, best-of-N, weighted best-of-N and any right, of the files that were drawn to their end."""
    found: dict[str, Any] = {}
    for name in FILES:
        asked = problems(name, plan)
        if not file(folder, name).is_file() or not asked:
            continue
        drawn = load_pool(file(folder, name))
        if not {one.id for one in asked} <= set(drawn.questions) or drawn.of(asked).size < plan.transfer[-1]:
            continue
        graded, n = judged(folder, plan, name), plan.transfer[-1]
        ways = {"pass@1": 1, "majority": n, "best_of_n": n, "weighted_best_of_n": n, "oracle": n}
        values = {way: np.array([accuracy(one, way, count) for one in graded]) for way, count in ways.items()}  # type: ignore[arg-type]
        found[name] = {"questions": len(asked), "N": n} | {way: interval(own) for way, own in values.items()}
        found[name]["best_of_n minus majority"] = interval(values["best_of_n"] - values["majority"])
    return found
