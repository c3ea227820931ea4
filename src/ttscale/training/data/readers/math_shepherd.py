"""Math-Shepherd (peiyi9979/Math-Shepherd): a question and its steps in one text, with a mark after each step.

``{"input": "question Step 1: ... ки\\nStep 2: ... ки", "label": the same with each mark replaced by + or -, "task"}``.
The mark is two characters and the sign one, so the two texts are aligned by order, never by offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ttscale.training.data.examples import StepExample
from ttscale.training.data.readers.rows import MalformedRow, Read, Source, cut_question, labelled, read, text_of

MARK = "ки"
FIRST_STEP = "Step 1:"


def read_math_shepherd(source: Source, *, separator: str = "\n", last_is_outcome: bool = False) -> Read:
    """Examples with hard labels 0 and 1.

    The question ends where "Step 1:" begins; a row without it, or with two before the first mark, is malformed
    rather than cut at a guess.
    ``last_is_outcome``: take the label of the last step as whether the answer is right. In this data set it is (the
    only continuation of a finished solution is itself), but the format does not say so.
    """
    return read(source, partial(_convert, separator=separator, last_is_outcome=last_is_outcome))


def _convert(row: Mapping[str, Any], separator: str, last_is_outcome: bool) -> list[StepExample]:
    text, marked = text_of(row, "input"), text_of(row, "label")
    *pieces, rest = text.split(MARK)
    if not pieces:
        raise MalformedRow("no step mark in 'input'")
    if rest.strip():
        raise MalformedRow("text after the last step mark")
    labels, position = [], 0
    for piece in pieces:
        if not marked.startswith(piece, position):
            raise MalformedRow("'label' is not 'input' with its marks replaced")
        position += len(piece)
        sign = marked[position : position + 1]
        if sign not in ("+", "-"):
            raise MalformedRow("a step mark is not replaced by + or -")
        labels.append(1.0 if sign == "+" else 0.0)
        position += 1
    if marked[position:].strip():
        raise MalformedRow("'label' is longer than 'input'")
    if pieces[0].count(FIRST_STEP) > 1:
        raise MalformedRow(f"{FIRST_STEP!r} comes twice before the first mark, so the question's end is not known")
    prompt, steps = cut_question(pieces, FIRST_STEP, "before the first mark")
    correct = labels[-1] == 1.0 if last_is_outcome else None
    return [labelled(prompt, steps, labels, separator, correct)]
