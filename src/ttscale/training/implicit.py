"""Training an implicit PRM: outcome labels in, a value for every step out (arXiv 2412.01981).

Knows log-likelihood ratios. The trained model and its reference are causal LMs over one tokenizer. The value of a
prefix is the running sum of log p(token) / p_reference(token). The scale and bias in ``ttscale_verifier.json`` bring it
into [0, 1]. ``ImplicitVerifier(out, reference)`` serves it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import accumulate
from math import inf
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch.nn.functional import cross_entropy

from ttscale.core.checks import check_choice
from ttscale.evaluation.problems.problem import WithQuestion
from ttscale.hf.model import default_device
from ttscale.hf.verifiers.input_format import FILE
from ttscale.prompts.layouts import PromptFormat
from ttscale.training.data.examples import StepExample, outcome_labels
from ttscale.training.fit.arguments import check_call, questions_of, sides_of
from ttscale.training.fit.calibration import Calibration, calibrate, step_weights
from ttscale.training.fit.checkpoints import (
    check_ids,
    context_length,
    load_frozen,
    load_tokenizer,
    pad_id,
    weights_hash,
)
from ttscale.training.fit.features import TokenizedExample, need_some, rows_of, solution_row
from ttscale.training.fit.objectives import IGNORE, TOKEN_CE, Collator, implicit_bce
from ttscale.training.fit.recipe import IMPLICIT_RECIPE, Recipe
from ttscale.training.fit.run import TrainingResult, check_untrained, run, seen_by, split
from ttscale.training.prm import data_of, measured
from ttscale.training.reviser import prompt_of, write_settings

Goal: TypeAlias = Literal["ratio", "right"]
"""What is trained: the log-ratio by cross-entropy with the outcome (the paper's), or a model of right solutions only,
whose log-ratio to the generator is the log of V(prefix) / V(question) by Bayes."""


def train_implicit_prm(
    base: str | os.PathLike[str],
    examples: Iterable[StepExample],
    out: str | os.PathLike[str],
    *,
    reference: str | os.PathLike[str] | None = None,
    goal: Goal = "ratio",
    beta: float = 0.05,
    validation: Iterable[StepExample] | None = None,
    test: Iterable[WithQuestion] = (),
    recipe: Recipe = IMPLICIT_RECIPE,
    prompt: PromptFormat | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train a causal LM whose log-likelihood ratio to ``reference`` (None: ``base`` itself) values every prefix.

    ``examples`` must say whether they are right; step labels are not looked at. ``beta`` scales the log-ratio inside
    the sigmoid (0.05 in the paper). ``goal="right"`` trains on the likelihood of the right solutions alone. Scale and
    bias are then fitted on the held-out solutions, the last step of each weighing as much as those before it together;
    without enough of them, scale is ``beta`` (1 for "right") and bias 0.
    """
    check_choice("goal", goal, get_args(Goal))
    if not isinstance(beta, int | float) or not 0 < beta < inf:
        raise ValueError(f"beta must be positive and finite, got {beta!r}")
    check_call(base, out, recipe, prompt)
    given, held = sides_of(examples, validation, StepExample)
    rows = outcome_labels(given)
    held = None if held is None else outcome_labels(held)
    measured_on = questions_of(test)
    training, held_out = split(base, rows, held, measured_on, recipe)
    reference = base if reference is None else reference
    check_untrained(reference, measured_on)
    tokenizer = load_tokenizer(base)
    _check_same_tokens(tokenizer, base, reference)
    form, saved = prompt_of(base, prompt)
    limit = min(recipe.max_tokens or 2**31, context_length(base), context_length(reference))
    row_of = partial(solution_row, tokenizer, form, limit)
    trained, skipped = rows_of(row_of, training, "training")
    validated, also_skipped = rows_of(row_of, held_out, "held-out")
    if goal == "right":
        trained = [row for row in trained if row.example.correct]
        need_some(trained, skipped, "training")
    batch = recipe.micro_batch
    compared = [*trained, *validated] if goal == "ratio" else validated
    check_ids(reference, tokenizer, (row.feature for row in compared))
    fixed = _token_logprobs(load_frozen(reference), tokenizer, compared, batch)
    before = fixed[-len(validated) :]
    data = data_of(trained, validated, skipped + also_skipped)
    data = replace(data, questions=sorted({*data.questions, *seen_by(Path(reference))}))  # the score is of both
    if goal == "ratio":
        for row, logprobs in zip(compared, fixed, strict=True):
            row.feature["reference"] = sum(logprobs)
    else:
        data = replace(data, held_out=[row.feature for row in validated if row.example.correct])
        need_some(data.held_out, also_skipped, "held-out (right solutions)")
        for feature in (*data.training, *data.held_out):
            del feature["outcome"]
    start = Calibration(beta if goal == "ratio" else 1.0)

    def finish(model: Any, folder: Path) -> dict[str, Any]:
        after = _token_logprobs(model, tokenizer, validated, batch)
        ratios = [_running_ratio(row, a, b) for row, a, b in zip(validated, after, before, strict=True)]
        values = [value for values in ratios for value in values]
        outcomes = [float(bool(row.example.correct)) for row in validated for _ in row.reads]
        calibration = calibrate(values, outcomes, start.scale, step_weights(ratios)) or start
        attempts = any(row.example.attempts for row in (*trained, *validated))
        content = {"kind": "implicit", "reference": _seen_from(folder, reference), "attempts": attempts}
        content |= asdict(calibration)
        (folder / FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")
        write_settings(folder, saved)
        return measured(validated, ratios, calibration)

    compared_with = {"reference": os.fspath(reference), "reference_weights": weights_hash(reference)}
    settings = {"goal": goal, "beta": beta, "prompt": asdict(form)} | compared_with
    objective = implicit_bce(beta) if goal == "ratio" else TOKEN_CE
    return run(base, out, "text", objective, data, tokenizer, recipe, settings, finish, progress)


@torch.no_grad()
def _token_logprobs(model: Any, tokenizer: Any, rows: Sequence[TokenizedExample], batch: int) -> list[list[float]]:
    """For each row the log-probability of each token of the solution, in fp32."""
    model = model.to(default_device())
    collate = Collator(pad_id(tokenizer))
    found: list[list[float]] = []
    for first in range(0, len(rows), batch):
        features = [
            {name: row.feature[name] for name in ("input_ids", "labels")} for row in rows[first : first + batch]
        ]
        inputs = {name: value.to(model.device) for name, value in collate(features).items()}
        labels = inputs.pop("labels")[:, 1:]
        logits = model(**inputs).logits[:, :-1]
        for row_logits, row_labels in zip(logits, labels, strict=True):
            read = row_labels != IGNORE
            found.append((-cross_entropy(row_logits[read].float(), row_labels[read], reduction="none")).tolist())
    return found


def _running_ratio(row: TokenizedExample, after: Sequence[float], before: Sequence[float]) -> list[float]:
    """The sum of token log-ratios up to the end of each step."""
    totals = list(accumulate(a - b for a, b in zip(after, before, strict=True)))
    context = len(row.feature["input_ids"]) - len(totals)
    return [totals[position - context] for position in row.reads]


def _seen_from(folder: Path, reference: str | os.PathLike[str]) -> str:
    """The reference as the checkpoint names it: relative to its own folder, or a hub id."""
    if not os.path.isdir(reference):
        return os.fspath(reference)
    return os.path.relpath(os.path.realpath(reference), os.path.realpath(folder))  # links do not lead back the way


def _check_same_tokens(tokenizer: Any, base: str | os.PathLike[str], reference: str | os.PathLike[str]) -> None:
    other = load_tokenizer(reference)
    if other.get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            f"{os.fspath(base)!r} and the reference {os.fspath(reference)!r} have different tokenizers, so their "
            "likelihoods of the same tokens cannot be compared; choose a reference of the same family"
        )
