"""RLHFlow's PRM data (Mistral-Data, Deepseek-Data): a conversation of steps, each answered by "+" or "-".

The first user turn is the question and step 1 in one text; every later one is a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ttscale.training.data.examples import StepExample
from ttscale.training.data.readers.rows import MalformedRow, Read, Source, cut_question, labelled, list_of, read

ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


def read_rlhflow(source: Source, *, boundary: str = "Step 1:", separator: str = "\n") -> Read:
    """Examples with hard labels from ``{"conversations": [{"role": "user", "content": ...}, ...]}`` rows.

    ``boundary`` is the text that step 1 begins with: the question ends there, and a row without it is malformed. The
    ShareGPT spelling (``from``/``value``, ``human``/``gpt``) and the name ``messages`` are read too.
    """
    if not boundary:
        raise ValueError("boundary must not be empty: it tells the question from the first step")
    return read(source, partial(_convert, boundary=boundary, separator=separator))


def _convert(row: Mapping[str, Any], boundary: str, separator: str) -> list[StepExample]:
    turns = [_turn(turn) for turn in list_of(row, "messages" if "messages" in row else "conversations")]
    if turns[0][0] == "system":
        turns = turns[1:]
    if len(turns) % 2 or [role for role, _ in turns] != ["user", "assistant"] * (len(turns) // 2) or not turns:
        raise MalformedRow("turns are not user and assistant in alternation")
    if any(sign.strip() not in ("+", "-") for _, sign in turns[1::2]):
        raise MalformedRow("an assistant turn is not + or -")
    labels = [1.0 if sign.strip() == "+" else 0.0 for _, sign in turns[1::2]]
    prompt, steps = cut_question([text for _, text in turns[::2]], boundary, "in the first turn")
    return [labelled(prompt, steps, labels, separator)]


def _turn(turn: Any) -> tuple[str, str]:
    if not isinstance(turn, Mapping):
        raise MalformedRow("a turn is not an object")
    role, text = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if not isinstance(role, str) or not isinstance(text, str):
        raise MalformedRow("a turn without role or content")
    return ROLES.get(role, role), text
