"""Chats in front of a generator: the last message is the question, and the others stand before it.

The upstream's model sees the messages as they are. A verifier reads text: the last message where only a system prompt
precedes it, else the conversation written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ttscale.core.types import Question
from ttscale.openai.generator_and_reviser import OpenAIGenerator
from ttscale.prompts.layouts import Messages, fill, whole_characters

Message = Mapping[str, Any]
PROMPTS = ("system", "developer")


def question_of(messages: Sequence[Message]) -> Question:
    """The question that a chat of texts ends in. ``ValueError`` where it ends in none, or holds more than text."""
    if not messages or messages[-1].get("role") != "user":
        last = messages[-1] if messages else "no message"
        raise ValueError(f"a chat must end in a message of role user, to be answered; got {last!r:.200}")
    for message in messages:
        if not isinstance(message.get("content"), str) or message.get("tool_calls"):
            raise ValueError(
                "a search in this process takes chats of texts; for tools and images put `ttscale serve` before your "
                f"server. Got {message!r:.200}"
            )
    last = whole_characters(messages[-1]["content"])
    plain = all(message["role"] in PROMPTS for message in messages[:-1])
    return Question(Question.of(last).id, last if plain else transcript(messages))


def transcript(messages: Sequence[Message]) -> str:
    """The conversation as a verifier reads it."""
    return "\n\n".join(f"{one['role'].capitalize()}: {whole_characters(one['content'])}" for one in messages)


def in_conversation(generator: Any, messages: Sequence[Message]) -> Any:
    """The generator as it answers the last of ``messages``; ``ValueError`` for one that takes single questions."""
    if isinstance(generator, OpenAIGenerator):
        return _InConversation(generator, messages)
    raise ValueError(
        f"{generator!r} takes single questions, and this chat has {len(messages)} messages; use an OpenAIGenerator "
        "(the system prompt and examples of other generators are set by prompt=PromptFormat(...))"
    )


class _InConversation(OpenAIGenerator):
    """A generator, its connection and settings shared, with a chat in the place of the question."""

    def __init__(self, generator: OpenAIGenerator, messages: Sequence[Message]) -> None:
        vars(self).update(vars(generator))
        if not self.settings.chat:
            raise ValueError(f"{generator!r} writes plain text, and a chat of several messages needs api='chat'")
        *earlier, last = messages
        asked = fill(self.settings.prompt.user, question=last["content"])
        chat = [*(dict(message) for message in earlier), {"role": "user", "content": asked}]
        own_system = any(message["role"] in PROMPTS for message in earlier)

        def lay_out(turns: Messages) -> Messages:
            """The chat after what stands before the question; its system prompt replaces the generator's."""
            return [*(turn for turn in turns[:-1] if not (own_system and turn["role"] in PROMPTS)), *chat]

        self.settings = replace(self.settings, lay_out=lay_out)
        self._way = None
