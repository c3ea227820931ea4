"""The generator's greedy answers against what a smaller model makes of the same FLOPs (section 7 of the paper).

The smaller model is cut from the same pre-trained one and goes through the same stages: fine-tuning, verifier, gate,
samples. Its part of the study lies in a folder of its own. Knows both models, what they cost, and arithmetic. Must not
know how strategies are chosen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study import gate
from benchmarks.real_study.contrasts import Floats, interval
from benchmarks.real_study.plan import RIGHT, Plan
from benchmarks.real_study.solutions import DTYPE, generator, problems_of
from torch.nn import ModuleList
from transformers import AutoModelForCausalLM, AutoTokenizer

from ttscale.evaluation import Arm, Pool, Records, draw_pool, load_pool, load_records, sweep
from ttscale.evaluation.analyse.flops import PAPER_RATIOS
from ttscale.hf import HFGenerator, HFModel
from ttscale.strategies import BestOfN, MajorityVote

PRICED = 60
"""Test questions on which the cost of a judged sample is measured."""


def folder_of(folder: Path) -> Path:
    """Where the smaller model's part lies."""
    return folder / "smaller"


def plan_of(plan: Plan) -> Plan:
    """The smaller model's part: the same questions and recipes, one verifier, no revisions."""
    return replace(plan, layers=None, recipes=(RIGHT,), many_samples=plan.test_samples, lengths=())


def cut(source: Path, out: Path, layers: int) -> None:
    """The pre-trained model with its first layers and its last one, ``layers`` in all."""
    model = AutoModelForCausalLM.from_pretrained(source)
    model.model.layers = ModuleList([*model.model.layers[: layers - 1], model.model.layers[-1]])
    model.config.num_hidden_layers = layers
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)


def answers(folder: Path, plan: Plan) -> Pool:
    """The generator's greedy answers to the test questions."""
    own = HFGenerator(HFModel(folder / "generator", dtype=DTYPE), temperature=0.0, max_new_tokens=plan.longest)
    return draw_pool(problems_of(plan.rows(folder, "test")), file(folder), 1, generator=own, progress=False)


def prices(folder: Path, plan: Plan) -> Records:
    """One sample of the smaller model, and best-of-N at the study's budgets, on some of the test questions, for what
    they cost; and how many parameters both models have."""
    small = folder_of(folder)
    sizes = {name: parameters(at / "generator") for name, at in (("larger", folder), ("smaller", small))}
    (folder / "parameters.json").write_text(json.dumps(sizes))
    return sweep(
        [Arm("one sample", MajorityVote(), (1,)), Arm("best-of-N", BestOfN(), plan.budgets)],
        plan.budgets,
        problems_of(plan.rows(folder, "test"))[:PRICED],
        generator=generator(small, plan),
        verifier=gate.serve(gate.chosen(small), small),
        seeds=[0],
        resume=folder / "prices.jsonl",
        progress=False,
    )


def file(folder: Path) -> Path:
    """Where the greedy answers are kept."""
    return folder / "pools" / "greedy.jsonl"


def rows(
    folder: Path, plan: Plan, ids: Sequence[str], arms: Mapping[int, Floats], pass_at_1: Floats, bins: Any
) -> dict[str, Any]:
    """For each R of the paper the smaller model's accuracy at what the FLOPs allow, minus the larger one's, by bin.

    ``arms``: N -> accuracy of the smaller model's best way to choose among N samples; all arrays are over ``ids``.
    Empty where nothing of it was drawn.
    """
    if not file(folder).is_file() or not (folder / "prices.jsonl").is_file():
        return {}
    problems = [one for one in problems_of(plan.rows(folder, "test")) if one.id in {*ids}]
    pool = load_pool(file(folder)).of(problems)
    large = np.array([float(one.correct[0]) for one in pool.graded()])
    flops = float(np.mean([pool.cost(problem.id).flops for problem in problems]))
    records = load_records(folder / "prices.jsonl")
    paid = {n: float(np.mean([one.cost.flops for one in records if one.budget == n])) for n in (1, *plan.budgets)}
    least, most = min(plan.budgets), max(plan.budgets)
    judged = (paid[most] - paid[least]) / (most - least) if most > least else paid[most] / most
    prompt = paid[least] - least * judged
    sizes = json.loads((folder / "parameters.json").read_text())
    scale = sizes["larger"] / sizes["smaller"]
    found: dict[str, Any] = {
        "questions": len(ids),
        "larger": interval(large),
        "smaller, one sample": interval(pass_at_1),
        "larger minus one sample": with_bins(large - pass_at_1, bins),
        "scale": scale,
        "flops": {"larger, an answer": flops, "one sample": paid[1], "each judged sample": judged, "prompt": prompt},
        "R": {},
    }
    for ratio in PAPER_RATIOS[1]:
        multiplier = affordable(flops, prompt, judged, paid[1], scale, ratio)
        n = max((n for n in arms if n <= multiplier), default=1)
        gain = arms[n] - large
        found["R"][str(ratio)] = {
            "samples": multiplier,
            "N": n,
            "accuracy": interval(arms[n]),
            "minus larger": with_bins(gain, bins),
        }
    return found


def affordable(large: float, prompt: float, judged: float, alone: float, scale: float, ratio: float) -> float:
    """How many judged samples the larger model's FLOPs pay for, once the ``prompt`` is read.

    Both models were pre-trained on as many tokens; the larger one's pre-training took ``scale`` times as much. R is
    tokens of inference to tokens of pre-training: one sample ``alone`` (2 P D) stands beside 3 x ``alone`` / R of
    pre-training (6 P D). All costs are FLOPs a question.
    """
    return (large + 3 * (scale - 1) * alone / ratio - prompt) / judged


def with_bins(values: Floats, bins: Any) -> list[dict[str, float]]:
    """The mean over all questions with its interval, then that in each bin."""
    return [interval(values), *(interval(values[bins == bin_]) for bin_ in sorted({*bins.tolist()}))]


def parameters(folder: Path) -> int:
    """Of a model."""
    return sum(one.numel() for one in HFModel(folder, dtype=DTYPE).module.parameters())
