"""OmegaPRM trees as openr writes them: step prefixes of one question, each with a Monte-Carlo value.

``{"question", "reasoning_steps": [{"solution_prefix": question + solution so far, "mc_value"}]}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ttscale.core.checks import is_finite
from ttscale.core.types import Question
from ttscale.prompts.layouts import split_steps
from ttscale.training.data.examples import StepExample
from ttscale.training.data.readers.rows import LeftOut, MalformedRow, Read, Source, list_of, read, text_of


def read_omegaprm(source: Source, *, separator: str = "\n\n") -> Read:
    """One example per distinct prefix: cut into steps at ``separator``, the value on the last step, none before it.

    The prefix that is the bare question has no step to label and gives nothing. The same prefix with two values gives
    an example for each.
    """
    return read(source, partial(_convert, separator=separator))


def _convert(row: Mapping[str, Any], separator: str) -> list[StepExample]:
    prompt = text_of(row, "question")
    id = Question.of(prompt).id
    examples: dict[tuple[str, float], StepExample] = {}
    for entry in list_of(row, "reasoning_steps"):
        if not isinstance(entry, Mapping):
            raise MalformedRow("a reasoning step is not an object")
        prefix, value = text_of(entry, "solution_prefix"), entry.get("mc_value")
        if not prefix.startswith(prompt):
            raise MalformedRow("a prefix does not begin with the question")
        if not is_finite(value) or not 0 <= value <= 1:
            raise MalformedRow("mc_value is not a number in [0, 1]")
        steps = split_steps(prefix[len(prompt) :].strip(), separator)
        if any(step.strip() for step in steps):
            labels = (None,) * (len(steps) - 1) + (float(value),)
            examples.setdefault((prefix, float(value)), StepExample(id, prompt, tuple(steps), labels))
    if not examples:
        raise LeftOut("no prefix beyond the question")
    return list(examples.values())
