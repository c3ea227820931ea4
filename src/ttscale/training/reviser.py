"""Training a reviser: wrong attempts in context, loss on the right solution only (Snell et al., section 6.1).

Knows the paper's recipe. The context is ``prompts.tokenize.encode``, the function that ``HFReviser`` uses, with the
prompt format that is saved beside the weights; so training and inference cannot differ.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.evaluation.problems.problem import WithQuestion
from ttscale.evaluation.problems.splits import fingerprints
from ttscale.prompts.layouts import PromptFormat
from ttscale.prompts.tokenize import uses_chat
from ttscale.training.data.revision_data import RevisionExample
from ttscale.training.fit.arguments import check_call, sides_of
from ttscale.training.fit.checkpoints import base_settings, context_length, load_tokenizer
from ttscale.training.fit.features import revision_feature, rows_of
from ttscale.training.fit.objectives import TOKEN_CE
from ttscale.training.fit.recipe import REVISION_RECIPE, Recipe
from ttscale.training.fit.run import Data, TrainingResult, run, split


def train_reviser(
    base: str | os.PathLike[str],
    examples: Iterable[RevisionExample],
    out: str | os.PathLike[str],
    *,
    validation: Iterable[RevisionExample] | None = None,
    test: Iterable[WithQuestion] = (),
    recipe: Recipe = REVISION_RECIPE,
    prompt: PromptFormat | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Fine-tune a causal LM, chat or plain, to write a right solution after wrong ones; serve it by ``HFReviser(out)``.

    Snell et al., section 6.1. ``examples``: from ``build_revision_data``. ``prompt`` lays out question and attempts
    (None: the base model's ``ttscale.json``, else the default format: its chat template if it has one). The prompt
    format and the base model's other settings are saved in ``out``. Without ``validation``, a share of the questions is
    held out; that set is off-policy, so the checkpoint taken is the one ``recipe.after_best`` evaluations after its
    lowest loss.
    """
    return train_writer(base, examples, out, validation, test, recipe, prompt, {}, progress)


def train_writer(
    base: str | os.PathLike[str],
    examples: Iterable[RevisionExample],
    out: str | os.PathLike[str],
    validation: Iterable[RevisionExample] | None,
    test: Iterable[WithQuestion],
    recipe: Recipe,
    prompt: PromptFormat | None,
    settings: dict[str, Any],
    progress: bool,
    attempts: bool = True,
) -> TrainingResult:
    """Fine-tune a causal LM to write each example's target in its context; ``settings`` go into ``ttscale.json``.

    ``attempts=False`` refuses examples with earlier attempts in their context.
    """
    check_call(base, out, recipe, prompt)
    given, held = sides_of(examples, validation, RevisionExample)
    if not attempts and (found := next((e for e in (*given, *(held or ())) if e.attempts), None)) is not None:
        raise ValueError(f"the example of question {found.id!r} has earlier attempts: train_reviser is for those")
    training, held_out = split(base, given, held, test, recipe)
    tokenizer = load_tokenizer(base)
    form, saved = prompt_of(base, prompt)
    saved |= settings
    uses_chat(tokenizer, form)  # refuses a chat format without a template
    limit = min(recipe.max_tokens or 2**31, context_length(base))
    feature_of = partial(revision_feature, tokenizer, form, limit)
    trained, skipped = rows_of(feature_of, training, "training")
    validated, also_skipped = rows_of(feature_of, held_out, "held-out")
    data = Data(trained, validated, skipped + also_skipped, fingerprints([*training, *held_out]))
    identity = {"prompt": asdict(form), **settings}

    def finish(model: Any, folder: Path) -> dict[str, Any]:
        write_settings(folder, saved)
        return {}

    return run(base, out, "text", TOKEN_CE, data, tokenizer, recipe, identity, finish, progress)


def prompt_of(base: str | os.PathLike[str], prompt: PromptFormat | None) -> tuple[PromptFormat, dict[str, Any]]:
    """The prompt format to train with, and the ``ttscale.json`` to save: the base model's, with that format."""
    own = base_settings(base)
    form = PromptFormat.from_json(own.get("prompt", {})) if prompt is None else prompt
    return form, own | {"prompt": asdict(form)}


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write ``ttscale.json``, which the roles read when they load the checkpoint."""
    (folder / "ttscale.json").write_text(json.dumps(settings, indent=1, ensure_ascii=False), encoding="utf-8")
