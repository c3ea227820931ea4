"""The generator's greedy answers against what a smaller model makes of the same FLOPs (section 7 of the paper).

The smaller model is cut from the same pre-trained one and fine-tuned in the same way. Its own likelihood, which costs
nothing, judges its samples. Knows both models, what they cost, and arithmetic. Must not know how strategies are chosen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study.contrasts import Floats, interval
from benchmarks.real_study.plan import Plan
from benchmarks.real_study.solutions import DTYPE, SEED, generator, problems_of
from torch.nn import ModuleList
from transformers import AutoModelForCausalLM, AutoTokenizer

from ttscale.evaluation import Pool, draw_pool, load_pool
from ttscale.evaluation.analyse.flops import PAPER_RATIOS
from ttscale.hf import HFGenerator, HFModel
from ttscale.verifiers import ConfidenceVerifier


def folder_of(folder: Path) -> Path:
    """Where the smaller model lies."""
    return folder / "smaller"


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


def samples(folder: Path, plan: Plan) -> Pool:
    """The smaller model's samples, on the test questions that have more samples, with its own confidence."""
    problems, small = problems_of(plan.rows(folder, "test"))[: plan.many_questions], folder_of(folder)
    return draw_pool(
        problems,
        folder / "pools" / "smaller.jsonl",
        plan.test_samples,
        generator=generator(small, plan),
        verifier=ConfidenceVerifier(),
        seed=SEED,
        progress=False,
    )


def sizes(folder: Path) -> None:
    """Keep the parameters of both models."""
    found = {"larger": parameters(folder / "generator"), "smaller": parameters(folder_of(folder) / "generator")}
    sizes_file(folder).write_text(json.dumps(found))


def sizes_file(folder: Path) -> Path:
    """Where they are kept; it is the last that is made here."""
    return folder / "parameters.json"


def file(folder: Path) -> Path:
    """Where the greedy answers are kept."""
    return folder / "pools" / "greedy.jsonl"


def rows(
    folder: Path, plan: Plan, small: Pool, arms: Mapping[int, Floats], pass_at_1: Floats, bins: Any
) -> dict[str, Any]:
    """For each R of the paper the smaller model's accuracy at what the FLOPs allow, minus the larger one's, by bin.

    ``arms``: N -> accuracy of the smaller model's best way to choose among N samples of ``small``; all arrays are over
    its questions.
    """
    problems = [one for one in problems_of(plan.rows(folder, "test")) if one.id in {*small.questions}]
    greedy = load_pool(file(folder)).of(problems)
    large = np.array([float(one.correct[0]) for one in greedy.graded()])
    costs = {"larger, an answer": greedy, "smaller, a sample": small}
    flops = {name: float(np.mean([own.cost(one.id).flops for one in problems])) for name, own in costs.items()}
    flops["smaller, a sample"] /= small.size
    parameters = json.loads(sizes_file(folder).read_text())
    scale = parameters["larger"] / parameters["smaller"]
    found: dict[str, Any] = {
        "questions": len(problems),
        "larger": interval(large),
        "smaller, one sample": interval(pass_at_1),
        "larger minus one sample": with_bins(large - pass_at_1, bins),
        "scale": scale,
        "flops": flops,
        "R": {},
    }
    for ratio in PAPER_RATIOS[1]:
        multiplier = affordable(flops["larger, an answer"], flops["smaller, a sample"], scale, ratio)
        n = max((n for n in arms if n <= multiplier), default=1)
        gain = arms[n] - large
        found["R"][str(ratio)] = {
            "samples": multiplier,
            "N": n,
            "accuracy": interval(arms[n]),
            "minus larger": with_bins(gain, bins),
        }
    return found


def affordable(large: float, sample: float, scale: float, ratio: float) -> float:
    """How many of the smaller model's samples the larger one's FLOPs pay for.

    Both models were pre-trained on as many tokens; the larger one's pre-training took ``scale`` times as much. R is
    tokens of inference to tokens of pre-training: one ``sample`` (2 P D) stands beside 3 x ``sample`` / R of
    pre-training (6 P D). All costs are FLOPs a question.
    """
    return (large + 3 * (scale - 1) * sample / ratio) / sample


def with_bins(values: Floats, bins: Any) -> list[dict[str, float]]:
    """The mean over all questions with its interval, then that in each bin."""
    return [interval(values), *(interval(values[bins == bin_]) for bin_ in sorted({*bins.tolist()}))]


def parameters(folder: Path) -> int:
    """Of a model."""
    return sum(one.numel() for one in HFModel(folder, dtype=DTYPE).module.parameters())
