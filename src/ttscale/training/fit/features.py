"""From examples to token ids and labels, position by position. Long examples are left out and counted, never cut.

Knows tokenizers, and the prompt code that inference uses too (``prompts.tokenize``, ``hf.verifiers.families.ttscale``).
Must not know models or losses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

from ttscale.hf.verifiers.families.ttscale import StepEncoder
from ttscale.prompts.layouts import PromptFormat, whole_characters
from ttscale.prompts.tokenize import encode, piece_ids
from ttscale.training.data.examples import StepExample
from ttscale.training.data.revision_data import RevisionExample
from ttscale.training.fit.objectives import IGNORE

Feature = dict[str, Any]
X = TypeVar("X")
R = TypeVar("R")
TOO_LONG = "longer than the model reads"
NO_LABEL = "without any label"


class TokenizedExample(NamedTuple):
    """An example, its feature, and the positions its scores are read at."""

    example: StepExample
    feature: Feature
    reads: Sequence[int]


def rows_of(row_of: Callable[[X], R | str], examples: Iterable[X], side: str) -> tuple[list[R], Counter[str]]:
    """The rows of one side of the data, and how many examples were left out, by what ``row_of`` gives as the reason."""
    found = [row_of(example) for example in examples]
    rows = [row for row in found if not isinstance(row, str)]
    skipped = Counter(row for row in found if isinstance(row, str))
    need_some(rows, skipped, side)
    return rows, skipped


def need_some(rows: Sequence[object], skipped: Counter[str], side: str) -> None:
    """Refuse an empty side of the data, saying why it is empty."""
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        raise ValueError(f"there is nothing left in the {side} data{': left out ' + reasons if reasons else ''}")


def step_row(encode_steps: StepEncoder, limit: int, example: StepExample) -> TokenizedExample | str:
    """For a PRM or ORM: ``input_ids`` and float ``labels``, each step's where its score is read, IGNORE elsewhere."""
    ids, reads = encode_steps(example.prompt, example.steps, example.attempts)
    if all(label is None for label in example.labels):
        return NO_LABEL
    if len(ids) > limit:
        return TOO_LONG
    labels = [float(IGNORE)] * len(ids)
    for position, label in zip(reads, example.labels, strict=True):
        if label is not None:
            labels[position] = float(label)
    return TokenizedExample(example, {"input_ids": ids, "labels": labels}, reads)


def revision_feature(tokenizer: Any, form: PromptFormat, limit: int, example: RevisionExample) -> Feature | str:
    """For a reviser: question and wrong attempts as context, the right solution to learn."""
    context = encode(tokenizer, form, example.prompt, example.attempts)
    feature = text_feature(tokenizer, context, [example.target])
    return TOO_LONG if len(feature["input_ids"]) > limit else feature


def solution_row(tokenizer: Any, form: PromptFormat, limit: int, example: StepExample) -> TokenizedExample | str:
    """For an implicit PRM: the solution as text with its ``outcome``; a step is read at its last token."""
    context = encode(tokenizer, form, example.prompt, example.attempts)
    ended = example.finish == "stop"
    feature = text_feature(tokenizer, context, example.steps, ended) | {"outcome": float(bool(example.correct))}
    if len(feature["input_ids"]) > limit:
        return TOO_LONG
    lengths = [len(_ids(tokenizer, step)) for step in example.steps]
    if not all(lengths):
        raise ValueError(
            f"a step of an example of question {example.id!r} has no tokens ({example.steps[lengths.index(0)]!r}), "
            "so it has no likelihood; join it to its neighbour, or leave the example out"
        )
    ends = [len(context) + total - 1 for total in accumulate(lengths)]
    ends[-1] += ended  # the last step ends with EOS
    return TokenizedExample(example, feature, ends)


def text_feature(tokenizer: Any, context: Sequence[int], pieces: Sequence[str], ended: bool = True) -> Feature:
    """``input_ids`` and ``labels`` of a text after a context: labels are the text's tokens and, if it ended, EOS.

    ``pieces`` are tokenised apart, as steps are at inference.
    """
    target = [id for piece in pieces for id in _ids(tokenizer, piece)]
    target += [tokenizer.eos_token_id] * ended
    return {"input_ids": [*context, *target], "labels": [IGNORE] * len(context) + target}


def _ids(tokenizer: Any, text: str) -> list[int]:
    return piece_ids(tokenizer, whole_characters(text))
