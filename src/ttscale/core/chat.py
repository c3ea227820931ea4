"""A question that is a conversation: chat messages, which read as plain text wherever only a text will do."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

ROLES = ("system", "developer", "user", "assistant", "tool")
PROMPTS = ("system", "developer")
"""Roles of messages that instruct the model."""
Message = Mapping[str, Any]


class Chat(str):
    """Messages as a prompt. As a text it is the last user message alone, or the transcript where there is a history.

    Models with a chat template, and servers, are given the messages; judges, verifiers and plain-text prompts read the
    text. ``messages`` are {"role": ..., "content": ...} with a text or a list of parts, as servers take them. Raises
    ``ValueError`` that names the message that is none.
    """

    messages: tuple[Message, ...]

    def __new__(cls, messages: Sequence[Message]) -> Chat:
        for position, message in enumerate(messages):
            _check(position, message)
        if not messages:
            raise ValueError("messages is empty; give at least one, of role user")
        if messages[-1]["role"] not in ("user", "tool"):
            raise ValueError(
                f"the last message, which is answered, must be of role user or tool; got {messages[-1]!r:.200}"
            )
        alone = messages[-1]["role"] == "user" and all(m["role"] in PROMPTS for m in messages[:-1])
        chat = super().__new__(cls, text_of(messages[-1]) if alone else transcript(messages))
        chat.messages = tuple(copy.deepcopy([dict(message) for message in messages]))
        return chat

    def __reduce__(self) -> tuple[Any, ...]:
        return Chat, (self.messages,)

    @cached_property
    def identity(self) -> str:
        """What tells this chat from others: its text where it is a single user message, else all of it as JSON.

        Two chats compare as their texts do, which leave out a system message and what an image shows.
        """
        plain = len(self.messages) == 1 and isinstance(self.messages[0]["content"], str)
        return str(self) if plain else json.dumps(self.messages, sort_keys=True, ensure_ascii=False)

    @property
    def has_media(self) -> bool:
        """Whether any part is more than text."""
        return any(other_parts(message) for message in self.messages)


class Inquiry(str):
    """A question about solutions, as judges and comparators put it: no prompt that asks for a solution goes with it."""


def identity_of(prompt: str) -> str:
    """What tells a prompt from others: of a ``Chat`` its ``identity``, else the text itself."""
    return prompt.identity if isinstance(prompt, Chat) else prompt


def transcript(messages: Sequence[Message]) -> str:
    """The conversation as a text, a paragraph each: "User: ..."."""
    lines = []
    for message in messages:
        said = [text_of(message), *(f"[{part.get('type')}]" for part in other_parts(message))]
        said += [json.dumps(call.get("function"), sort_keys=True) for call in message.get("tool_calls") or ()]
        lines.append(f"{message['role'].capitalize()}: " + "\n".join(text for text in said if text))
    return "\n\n".join(lines)


def text_of(message: Message) -> str:
    """The text of a message; of one made of parts, that of its text parts."""
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return content or ""
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


def other_parts(message: Message) -> list[Mapping[str, Any]]:
    """The parts of a message that are no text: images, audio, files."""
    content = message.get("content")
    return [part for part in content if "text" not in part] if isinstance(content, list) else []


def _check(position: int, message: Any) -> None:
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        raise ValueError(f"message {position} must be a dict with a role of {', '.join(ROLES)}; got {message!r}")
    content = message.get("content")
    parts = isinstance(content, list) and all(isinstance(part, Mapping) and "type" in part for part in content)
    called = message["role"] == "assistant" and content is None and message.get("tool_calls")
    if not (isinstance(content, str) or parts or called):
        raise ValueError(
            f"message {position} ({message['role']}): content must be a text or a list of parts; got {content!r:.80}"
        )
