"""The messages of a chat: checked, and as the question that a search is about.

The upstream gets the messages as they came. The question's id, and with it every seed, is that of the last message's
text, so that a chat draws what ``ttscale.solve`` draws for that question with the rest as its prompt. A verifier reads
text: the last message where nothing but a system prompt precedes it, else the conversation written down.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ttscale.core.chat import PROMPTS, ROLES, Message, other_parts, text_of, transcript
from ttscale.core.types import Question
from ttscale.integrations.gateway.errors import refused
from ttscale.integrations.gateway.settings import Upstream
from ttscale.prompts.layouts import family_of


def read_messages(given: Any, upstream: Upstream | None, model: str) -> tuple[Message, ...]:
    """The chat; ``ApiError`` where it is none. The operator's system prompt goes before one that has none."""
    if not isinstance(given, list) or not given:
        raise refused("messages", "messages must be a list of messages, and not empty")
    for i, message in enumerate(given):
        _check(message, f"messages[{i}]")
    if given[-1]["role"] not in ("user", "tool"):
        raise refused(
            "messages",
            f"the last message must be of role user or tool, not {given[-1]['role']}: it is what is answered",
        )
    if not text_of(given[-1]).strip() and not other_parts(given[-1]):
        raise refused("messages", "the last message is empty")
    system = None if upstream is None else upstream.system
    if system is not None and given[0]["role"] not in PROMPTS:
        text = family_of(model).prompt.system if system == "family" else system
        if text:
            return ({"role": "system", "content": text}, *given)
    return tuple(given)


def question_of(messages: Sequence[Message]) -> tuple[Question, bool]:
    """The question, and whether its prompt holds all that the messages say."""
    last = messages[-1]
    id_ = Question.of(text_of(last)).id
    if other_parts(last):
        id_ = Question.of(json.dumps(last["content"], sort_keys=True)).id
    readable = not any(other_parts(message) for message in messages)
    alone = last["role"] == "user" and all(message["role"] in PROMPTS for message in messages[:-1])
    return Question(id_, text_of(last) if alone and readable else transcript(messages)), readable


def _check(message: Any, where: str) -> None:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise refused(where, f"{where} must be an object whose role is one of {', '.join(ROLES)}")
    content, calls = message.get("content"), message.get("tool_calls")
    if content is None and message["role"] == "assistant":
        pass
    elif isinstance(content, list):
        if not content or not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content):
            raise refused(f"{where}.content", f"{where}.content must be a list of objects, each with its type")
        if any(part["type"] == "text" and not isinstance(part.get("text"), str) for part in content):
            raise refused(f"{where}.content", f"a part of {where}.content of type text must hold a text")
    elif not isinstance(content, str):
        raise refused(f"{where}.content", f"{where}.content must be a text or a list of parts")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        raise refused(f"{where}.tool_calls", f"{where}.tool_calls must be a list of objects")
