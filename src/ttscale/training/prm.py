"""Training verifiers: a PRM from soft step labels, an ORM from outcomes, each with attempts in context or without.

Knows the paper's recipe (Snell et al., appendix D). The result is a token-classification checkpoint with two labels
that ``HFVerifier(path)`` serves and ``AutoModelForTokenClassification`` loads; its ``ttscale_verifier.json`` says where
scores are read.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ttscale.evaluation.problems.problem import WithQuestion
from ttscale.evaluation.problems.splits import fingerprints
from ttscale.evaluation.verifier_quality.report import Judged, quality_report
from ttscale.hf.verifiers.families.ttscale import StepEncoder
from ttscale.hf.verifiers.input_format import FILE, VerifierFormat, VerifierKind
from ttscale.prompts.layouts import PromptFormat
from ttscale.training.data.examples import StepExample, last_step_labels
from ttscale.training.fit.arguments import check_call, sides_of
from ttscale.training.fit.calibration import Calibration, calibrate
from ttscale.training.fit.checkpoints import base_settings, context_length, load_tokenizer, pad_id
from ttscale.training.fit.features import TokenizedExample, rows_of, step_row
from ttscale.training.fit.objectives import STEP_BCE, Collator, step_margin
from ttscale.training.fit.recipe import PRM_RECIPE, Recipe
from ttscale.training.fit.run import Data, TrainingResult, run, split


def train_prm(
    base: str | os.PathLike[str],
    examples: Iterable[StepExample],
    out: str | os.PathLike[str],
    *,
    validation: Iterable[StepExample] | None = None,
    test: Iterable[WithQuestion] = (),
    recipe: Recipe = PRM_RECIPE,
    separator: str | None = None,
    prompt: PromptFormat | None = None,
    calibrated: bool = True,
    progress: bool = True,
) -> TrainingResult:
    """Train a process reward model (Snell et al., appendix D): soft-label binary cross-entropy at the end of each step.

    ``base``: a causal LM, a folder or hub id, that transformers has a token classifier for (Llama, Qwen, Mistral, Gemma
    2, GPT-2 and many others; not OPT, Granite or Cohere). ``examples``: with labels in [0, 1] per step. Without
    ``validation``, ``recipe.held_out`` of the questions is held out. ``test``: questions that will be measured on; one
    of them among the others is refused. ``separator`` ends each step (None: the base model's delimiter, else a
    newline); ``prompt`` lays out the question (None: the base model's ``ttscale.json``, else plain text).
    ``calibrated``: fit scale and bias of the log-odds on the held-out questions and fold them into the head.
    """
    return _train("prm", base, examples, out, validation, test, recipe, separator, prompt, calibrated, progress)


def train_orm(
    base: str | os.PathLike[str],
    examples: Iterable[StepExample],
    out: str | os.PathLike[str],
    *,
    validation: Iterable[StepExample] | None = None,
    test: Iterable[WithQuestion] = (),
    recipe: Recipe = PRM_RECIPE,
    separator: str | None = None,
    prompt: PromptFormat | None = None,
    calibrated: bool = True,
    progress: bool = True,
) -> TrainingResult:
    """Train an outcome reward model: the PRM's recipe with a label at the end of the last step only.

    Examples that hold the earlier attempts of a revision make it the revision ORM (Snell et al., section 6). It then
    sees the attempts in its context, laid out as for the reviser. The arguments are those of ``train_prm``.
    """
    return _train("orm", base, examples, out, validation, test, recipe, separator, prompt, calibrated, progress)


def _train(
    kind: VerifierKind,
    base: str | os.PathLike[str],
    examples: Iterable[StepExample],
    out: str | os.PathLike[str],
    validation: Iterable[StepExample] | None,
    test: Iterable[WithQuestion],
    recipe: Recipe,
    separator: str | None,
    prompt: PromptFormat | None,
    calibrated: bool,
    progress: bool,
) -> TrainingResult:
    given, held = sides_of(examples, validation, StepExample)
    if kind == "orm":
        given, held = last_step_labels(given), None if held is None else last_step_labels(held)
    check_call(base, out, recipe, prompt)
    training, held_out = split(base, given, held, test, recipe)
    tokenizer = load_tokenizer(base)
    form = _format(kind, base, given, separator, prompt)
    limit = min(recipe.max_tokens or 2**31, context_length(base))
    row_of = partial(step_row, StepEncoder(tokenizer, form), limit)
    trained, skipped = rows_of(row_of, training, "training")
    validated, also_skipped = rows_of(row_of, held_out, "held-out")

    def finish(model: Any, folder: Path) -> dict[str, Any]:
        found = _margins(model, tokenizer, validated, recipe.micro_batch)
        calibration = _fit_calibration(found, validated) if calibrated else None
        if calibration is not None:
            _fold(model, calibration)
        (folder / FILE).write_text(json.dumps(form.to_json(), indent=1), encoding="utf-8")
        return measured(validated, found, calibration, last_only=kind == "orm")

    return run(
        base,
        out,
        "steps",
        STEP_BCE,
        data_of(trained, validated, skipped + also_skipped),
        tokenizer,
        recipe,
        {"kind": kind, "format": form.to_json(), "calibrated": calibrated},
        finish,
        progress,
    )


def data_of(trained: Sequence[TokenizedExample], validated: Sequence[TokenizedExample], skipped: Counter[str]) -> Data:
    """What ``run`` needs to know of the rows of both sides."""
    questions = fingerprints(row.example for row in (*trained, *validated))
    features = [row.feature for row in trained], [row.feature for row in validated]
    return Data(*features, dict(skipped), questions)


def measured(
    rows: Sequence[TokenizedExample],
    margins: Sequence[Sequence[float]],
    calibration: Calibration | None,
    last_only: bool = False,
) -> dict[str, Any]:
    """The calibration and, where outcomes are known, the quality on the held-out questions."""
    found: dict[str, Any] = {"calibration": "none" if calibration is None else asdict(calibration)}
    if any(row.example.correct is None for row in rows):
        return found
    probability = calibration or Calibration()
    judged = []
    for row, values in zip(rows, margins, strict=True):
        scores = tuple(probability(value) for value in (values[-1:] if last_only else values))
        labels = () if last_only else row.example.labels
        judged.append(Judged(row.example.id, bool(row.example.correct), row.example.answer, scores, labels))
    report = quality_report(judged, budgets=(), resamples=200)
    pairs = None if report.pair_accuracy is None else report.pair_accuracy.value
    return found | {"pair_accuracy": pairs, "auc": report.auc, "step_auc": report.step_auc, "ece": report.ece}


def _format(
    kind: VerifierKind,
    base: str | os.PathLike[str],
    examples: Sequence[StepExample],
    separator: str | None,
    prompt: PromptFormat | None,
) -> VerifierFormat:
    own = base_settings(base)
    if separator is None:
        separator = own.get("delimiter") or "\n"
    if prompt is None:
        prompt = PromptFormat.from_json({"chat": False} | own.get("prompt", {}))
    return VerifierFormat(kind, separator, prompt, attempts=any(example.attempts for example in examples))


@torch.no_grad()
def _margins(model: Any, tokenizer: Any, rows: Sequence[TokenizedExample], batch: int) -> list[list[float]]:
    """For each row the log-odds of "right" at every position read."""
    collate = Collator(pad_id(tokenizer))
    found: list[list[float]] = []
    for first in range(0, len(rows), batch):
        part = rows[first : first + batch]
        inputs = collate([{"input_ids": row.feature["input_ids"]} for row in part])
        logits = model(**{name: value.to(model.device) for name, value in inputs.items()}).logits
        found += [step_margin(logits[index, list(row.reads)]).tolist() for index, row in enumerate(part)]
    return found


def _fit_calibration(margins: Sequence[Sequence[float]], rows: Sequence[TokenizedExample]) -> Calibration | None:
    """Fitted on every labelled step of the held-out questions."""
    pairs = [
        (margin, label)
        for values, row in zip(margins, rows, strict=True)
        for margin, label in zip(values, row.example.labels, strict=True)
        if label is not None
    ]
    return calibrate([margin for margin, _ in pairs], [label for _, label in pairs])


def _fold(model: Any, calibration: Calibration) -> None:
    """Put the calibration into the head, so that the checkpoint's own softmax is calibrated."""
    head = model.score if hasattr(model, "score") else model.classifier
    with torch.no_grad():
        head.weight *= calibration.scale
        head.bias *= calibration.scale
        head.bias += torch.tensor([-0.5, 0.5], device=head.bias.device) * calibration.bias
