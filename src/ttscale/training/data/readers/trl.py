"""TRL's stepwise supervision: ``{"prompt": str, "completions": [str], "labels": [bool | float]}``, and back to it.

TRL itself has dropped the format with its PRM trainer; public data sets (trl-lib/math_shepherd, trl-lib/prm800k) keep
it. Its tokenizer truncated float labels to integers (0.9 became 0); here they stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.evaluation.problems.jsonl import write_rows
from ttscale.training.data.examples import StepExample
from ttscale.training.data.readers.rows import MalformedRow, Read, Source, labelled, list_of, read, text_of


def read_trl(source: Source, *, separator: str = "\n") -> Read:
    """Examples from TRL's rows; labels true and false are 1 and 0.

    ``separator`` goes between the completions, which hold none. The format does not say whether the final answer is
    right, so ``correct`` is None.
    """
    return read(source, partial(_convert, separator=separator))


def write_trl(examples: Iterable[StepExample], path: str | Path, *, threshold: float) -> None:
    """Write examples as TRL rows: a step is true when its label is above ``threshold`` (0: any rollout was right).

    An example with a step without a label cannot be written in this format and is refused.
    """
    write_rows((_row(example, threshold) for example in examples), path)


def _row(example: StepExample, threshold: float) -> dict[str, Any]:
    if example.attempts:
        raise ValueError(
            f"an example of question {example.id!r} has earlier attempts in its context, which TRL's format has no "
            "place for; write_examples keeps them"
        )
    if any(label is None for label in example.labels):
        raise ValueError(f"an example of question {example.id!r} has a step without a label; TRL needs all")
    return {
        "prompt": example.prompt,
        "completions": [step.rstrip("\n") for step in example.steps],
        "labels": [label is not None and label > threshold for label in example.labels],
    }


def _convert(row: Mapping[str, Any], separator: str) -> list[StepExample]:
    prompt = text_of(row, "prompt")
    steps, labels = list_of(row, "completions"), list_of(row, "labels")
    if len(steps) != len(labels):
        raise MalformedRow("completions and labels differ in number")
    if not all(isinstance(step, str) and step.strip() for step in steps):
        raise MalformedRow("a completion is not a text")
    if not all(isinstance(label, bool | int | float) and 0 <= label <= 1 for label in labels):
        raise MalformedRow("a label is not true, false or a number in [0, 1]")
    return [labelled(prompt, steps, map(float, labels), separator)]
