"""Plain supervised fine-tuning: a generator that writes worked solutions as yours are written.

Knows questions with solutions. It is the plain case of the reviser's training: no attempt in the context, loss on the
solution and its end only, laid out by the same functions that ``HFGenerator`` uses at inference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ttscale.evaluation.problems.jsonl import read_rows
from ttscale.evaluation.problems.problem import QUESTION_FIELDS, WithQuestion
from ttscale.prompts.layouts import PromptFormat, whole_characters
from ttscale.training.data.examples import id_in
from ttscale.training.data.revision_data import RevisionExample
from ttscale.training.fit.recipe import SFT_RECIPE, Recipe
from ttscale.training.fit.run import TrainingResult
from ttscale.training.reviser import train_writer

SOLUTION_FIELDS = ("solution", "target", "response", "completion")


def train_sft(
    base: str | os.PathLike[str],
    examples: Iterable[RevisionExample],
    out: str | os.PathLike[str],
    *,
    validation: Iterable[RevisionExample] | None = None,
    test: Iterable[WithQuestion] = (),
    recipe: Recipe = SFT_RECIPE,
    prompt: PromptFormat | None = None,
    delimiter: str | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Fine-tune a causal LM on worked solutions; serve it by ``HFGenerator(out)``.

    ``examples``: from ``read_solutions``; one with attempts is a ``ValueError`` (``train_reviser`` is for those).
    ``prompt`` lays the question out (None: the base model's ``ttscale.json``, else the default format). ``delimiter``
    ends a step (None: the base model's, else a newline). Both are saved in ``out`` for every role to read.
    """
    if delimiter == "":
        raise ValueError("delimiter must not be empty: it is what ends a step")
    own = {} if delimiter is None else {"delimiter": delimiter}
    return train_writer(base, examples, out, validation, test, recipe, prompt, own, progress, attempts=False)


def read_solutions(path: str | os.PathLike[str]) -> list[RevisionExample]:
    """Worked solutions from JSONL: the question as ``problem``, ``question`` or ``prompt``, the text to write as
    ``solution``, ``target``, ``response`` or ``completion``. ``ValueError``, with file and line, for a bad line."""
    examples = []
    for place, row in read_rows(os.fspath(path)):
        try:
            prompt, solution = _text(row, QUESTION_FIELDS), _text(row, SOLUTION_FIELDS)
            examples.append(RevisionExample(id_in(row, prompt), prompt, (), solution))
        except ValueError as error:
            raise ValueError(f"{place}: not a worked solution: {error}") from error
    if not examples:
        raise ValueError(f"{os.fspath(path)} holds no worked solutions")
    return examples


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    found = [row[name] for name in names if row.get(name) is not None]
    if not found or not isinstance(found[0], str) or not found[0].strip():
        raise ValueError(f"no text under {' or '.join(names)}")
    return whole_characters(found[0])
