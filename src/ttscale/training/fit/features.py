"""From examples to token ids and labels, position by position. Long examples are left out and counted, never cut.

Knows tokenizers, and the prompt code that inference uses too (``prompts.tokenize``, ``hf.verifiers.families.ttscale``).
Must not know models or losses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from ttscale.hf.verifiers.families.ttscale import StepEncoder
from ttscale.hf.verifiers.input_format import VerifierFormat
from ttscale.prompts.layouts import PromptFormat, whole_characters
from ttscale.prompts.tokenize import encode, piece_ids
from ttscale.training.data.examples import StepExample
from ttscale.training.data.revision_data import RevisionExample
from ttscale.training.fit.objectives import IGNORE

Feature = dict[str, Any]
TOO_LONG = "longer than the model reads"
NO_LABEL = "without any label"


class TokenizedExample(NamedTuple):
    """An example, its feature, and the positions its scores are read at (none for a writer of text)."""

    example: StepExample
    feature: Feature
    reads: Sequence[int]


def step_row(encode_steps: StepEncoder, example: StepExample) -> TokenizedExample:
    """``input_ids`` and float ``labels``: each step's label where its score is read, IGNORE everywhere else."""
    ids, reads = encode_steps(example.prompt, example.steps, example.attempts)
    labels = [float(IGNORE)] * len(ids)
    for position, label in zip(reads, example.labels, strict=True):
        if label is not None:
            labels[position] = float(label)
    return TokenizedExample(example, {"input_ids": ids, "labels": labels}, reads)


def text_feature(tokenizer: Any, context: Sequence[int], pieces: Sequence[str], ended: bool = True) -> Feature:
    """``input_ids`` and ``labels`` of a text after a context: labels are the text's tokens and, if it ended, EOS.

    ``pieces`` are tokenised apart, as steps are at inference.
    """
    target = [id for piece in pieces for id in _ids(tokenizer, piece)]
    target += [tokenizer.eos_token_id] * ended
    return {"input_ids": [*context, *target], "labels": [IGNORE] * len(context) + target}


def step_rows(
    tokenizer: Any, form: VerifierFormat, examples: Iterable[StepExample], limit: int
) -> tuple[list[TokenizedExample], Counter[str]]:
    """Rows for a PRM or ORM, and how many examples were left out, by reason."""
    rows, skipped = [], Counter[str]()
    encode_steps = StepEncoder(tokenizer, form)
    for example in examples:
        row = step_row(encode_steps, example)
        if all(label is None for label in example.labels):
            skipped[NO_LABEL] += 1
        elif len(row.feature["input_ids"]) > limit:
            skipped[TOO_LONG] += 1
        else:
            rows.append(row)
    return rows, skipped


def revision_features(
    tokenizer: Any, form: PromptFormat, examples: Iterable[RevisionExample], limit: int
) -> tuple[list[Feature], Counter[str]]:
    """Features for a reviser: question and wrong attempts as context, the right solution to learn."""
    features, skipped = [], Counter[str]()
    for example in examples:
        context = encode(tokenizer, form, example.prompt, example.attempts)
        feature = text_feature(tokenizer, context, [example.target])
        if len(feature["input_ids"]) > limit:
            skipped[TOO_LONG] += 1
        else:
            features.append(feature)
    return features, skipped


def solution_rows(
    tokenizer: Any, form: PromptFormat, examples: Iterable[StepExample], limit: int
) -> tuple[list[TokenizedExample], Counter[str]]:
    """Rows for an implicit PRM: the solution as text with its ``outcome``; a step is read at its last token."""
    rows, skipped = [], Counter[str]()
    for example in examples:
        context = encode(tokenizer, form, example.prompt, example.attempts)
        ended = example.finish == "stop"
        feature = text_feature(tokenizer, context, example.steps, ended) | {"outcome": float(bool(example.correct))}
        if len(feature["input_ids"]) > limit:
            skipped[TOO_LONG] += 1
            continue
        lengths = [len(_ids(tokenizer, step)) for step in example.steps]
        if not all(lengths):
            raise ValueError(
                f"a step of an example of question {example.id!r} has no tokens ({example.steps[lengths.index(0)]!r}), "
                "so it has no likelihood; join it to its neighbour, or leave the example out"
            )
        ends = [len(context) + total - 1 for total in accumulate(lengths)]
        ends[-1] += ended  # the last step ends with EOS
        rows.append(TokenizedExample(example, feature, ends))
    return rows, skipped


def _ids(tokenizer: Any, text: str) -> list[int]:
    return piece_ids(tokenizer, whole_characters(text))


def need_some(rows: Sequence[object], skipped: Counter[str], name: str) -> None:
    """Refuse an empty side of the data, saying why it is empty."""
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        raise ValueError(f"there is nothing left in the {name} data{': left out ' + reasons if reasons else ''}")
