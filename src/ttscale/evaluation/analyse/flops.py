"""Test-time compute of a small model against the pretraining of a large one, at the same FLOPs.

Snell et al., section 7. Knows arithmetic and outcomes. Must not know models. Pretraining costs X = 6 P D_pre. The
paper's first version counts inference as Y = 2 P D_inf (c = 1), the camera-ready as twice that for the verifier (c =
2). A model with M times the parameters costs M (X + Y); so the small model may multiply its own inference by M + (3/c)
(M - 1) / R at equal cost, with R = D_inf / D_pre.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ttscale.core.checks import is_finite
from ttscale.evaluation.analyse.difficulty import Bins
from ttscale.evaluation.analyse.outcomes import Outcomes
from ttscale.evaluation.statistics import Interval

PAPER_RATIOS = {1: (0.16, 0.79, 22.0), 2: (0.08, 0.40, 11.0)}
"""c -> the three R = inference tokens / pretraining tokens of that version of the paper."""
ROUNDING = 1.02
"""The paper reads its multipliers 63.4 and 15.8 as 64 and 16 samples; so do we."""
PAPER_SCALE = 14.0
"""M: how many times more parameters the paper's larger model has."""


def matched_multiplier(scale: float, ratio: float, c: int = 1) -> float:
    """How many times its own inference the small model may spend: M + (3/c) (M - 1) / R.

    Snell et al., section 7. ``scale`` is M, ``ratio`` R; ``c`` is 1 without the verifier's work and 2 with it.
    """
    if not scale >= 1 or not math.isfinite(scale):
        raise ValueError(f"scale, the large model's size in units of the small one's, must be at least 1; got {scale}")
    if not ratio > 0:
        raise ValueError(f"ratio, inference tokens per pretraining token, must be positive; got {ratio}")
    if c not in (1, 2):
        raise ValueError(f"c must be 1 (inference 2 P D) or 2 (4 P D, with the verifier); got {c!r}")
    return scale + (3 / c) * (scale - 1) / ratio


@dataclass(frozen=True, slots=True)
class Rung:
    """One model of a ladder with everything it cost, measured in FLOPs."""

    name: str
    parameters: float
    pretraining: float
    finetuning: float = 0.0
    """Training of its verifier, reviser and whatever else its answers need."""
    inference: float = 0.0
    """Per question: for the small model one generation with its judging, for the large one its greedy answer."""

    def total(self, questions: float, generations: float = 1.0) -> float:
        """FLOPs of training it and answering ``questions`` with ``generations`` each."""
        return self.pretraining + self.finetuning + questions * generations * self.inference


def read_ladder(path: str | Path) -> tuple[Rung, Rung]:
    """What the small and the large model cost, from JSON: {"small": {...}, "large": {...}}, the fields of ``Rung``.

    FLOPs and parameters are positive; only ``finetuning`` may be 0.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        rungs = {model: Rung(**found[model]) for model in ("small", "large")}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f'{path} is no ladder: expected {{"small": {{...}}, "large": {{...}}}}, each with name, parameters, '
            f"pretraining, finetuning and inference in FLOPs ({type(error).__name__}: {error})"
        ) from error
    for model, rung in rungs.items():
        for key in ("parameters", "pretraining", "finetuning", "inference"):
            value = getattr(rung, key)
            if not is_finite(value) or value < 0 or (value == 0 and key != "finetuning"):
                wanted = "a finite number of at least 0" if key == "finetuning" else "a finite number above 0"
                raise ValueError(f"{path}: the {model} model's {key} must be {wanted}; got {value!r}")
    return rungs["small"], rungs["large"]


def measured_multiplier(small: Rung, large: Rung, questions: float) -> float:
    """Generations per question at which the small model has cost what the large one has, over its whole life.

    From totals, fine-tuning included, which the paper leaves out; negative where the small one alone costs more.
    """
    if not small.inference > 0 or not questions > 0:
        raise ValueError(
            "the small model's inference FLOPs and the number of questions must be positive; got "
            f"{small.inference} and {questions}"
        )
    return (large.total(questions) - small.pretraining - small.finetuning) / (questions * small.inference)


def questions_for_ratio(small: Rung, ratio: float) -> float:
    """How many questions make the small model's inference ``ratio`` of its pretraining, in tokens.

    Tokens are FLOPs / 2P in inference and FLOPs / 6P in pretraining, so R = 3 Y / X with one generation each.
    """
    return ratio * small.pretraining / (3 * small.inference)


@dataclass(frozen=True, slots=True)
class Match:
    """Small model with test-time compute against the large one at equal FLOPs, on one difficulty bin."""

    bin: int | None
    """None: all questions."""
    ratio: float
    multiplier: float
    budget: int | None
    """The largest measured N that the multiplier, times ``ROUNDING``, pays for; None where there is none so small."""
    small: Interval | None
    large: Interval
    gain: Interval | None
    """Small minus large, paired by question."""


def compare(small: Outcomes, large: Outcomes, bins: Bins, multipliers: Sequence[tuple[float, float]]) -> list[Match]:
    """For each (R, multiplier) and bin: the small model at the N its FLOPs pay for against the large one, greedy.

    Snell et al., section 7. ``large`` has one budget. The small model is read at the largest measured N not above the
    multiplier (to within ``ROUNDING``), which favours the large one. ``ValueError`` where the two were not measured on
    the same questions.
    """
    if len(large.budgets) != 1:
        raise ValueError(
            f"the large model answers once per question; {large.name!r} has budgets {large.budgets}: give it one"
        )
    if only_one := set(small.questions) ^ set(large.questions):
        raise ValueError(
            f"the two models must be measured on the same questions; {len(only_one)} were asked of one only, "
            f"{min(only_one)!r} first"
        )
    groups: list[tuple[int | None, tuple[str, ...]]] = [(None, small.questions)]
    for bin_ in range(bins.count):
        members = tuple(question for question in small.questions if bins.of.get(question) == bin_)
        if not members:
            raise ValueError(f"difficulty bin {bin_ + 1} of {bins.count} is empty; use fewer bins")
        groups.append((bin_, members))
    once = large.budgets[0]
    found = []
    for ratio, multiplier in multipliers:
        affordable = [budget for budget in small.budgets if budget <= multiplier * ROUNDING]
        budget = max(affordable) if affordable else None
        for group, members in groups:
            found.append(
                Match(
                    group,
                    ratio,
                    multiplier,
                    budget,
                    None if budget is None else small.accuracy(budget, members),
                    large.accuracy(once, members),
                    None if budget is None else small.gain(budget, large, once, members),
                )
            )
    return found
