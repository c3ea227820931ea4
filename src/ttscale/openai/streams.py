"""A reply that arrives piece by piece, put together as if it had come whole; and when to stop listening.

Knows the events of streams: completions, chats, and llama.cpp's own endpoint. Must not know retries or search.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import openai

from ttscale.core.confidence import falls_below
from ttscale.openai.draws import Task
from ttscale.openai.failures import MalformedReply
from ttscale.openai.reply import token_confidences

StopListening: TypeAlias = Callable[["Assembly"], bool]
"""Whether nothing more of a reply is wanted. The connection is closed then, so that the server stops drawing."""


class Assembly:
    """The events of one draw so far."""

    def __init__(self) -> None:
        self.tokens = 0
        """Tokens drawn so far, as far as the events say so: never more than there are."""
        self.confidences: list[float] = []
        """Of each token, where likeliest tokens were asked for."""
        self._reply: dict[str, Any] = {}
        self._choice: dict[str, Any] = {}

    def add(self, event: Any) -> None:
        """Take in the next event."""
        if not isinstance(event, dict):
            return
        choices = event.get("choices")
        if not isinstance(choices, list):  # llama.cpp's own
            self._merge(event)
            return
        self._reply |= {name: value for name, value in event.items() if name not in ("choices", "object")}
        for choice in choices:
            if isinstance(choice, dict):
                self._merge(choice)

    def data(self) -> dict[str, Any]:
        """The reply as it would have come whole."""
        delta = self._choice.pop("delta", None)
        if "content" in self._choice:
            return self._choice
        if delta is not None:
            self._choice["message"] = delta
        return {**self._reply, "choices": [self._choice]}

    def cut(self) -> dict[str, Any]:
        """The same for one that was closed: cut off, at the cost of the tokens that came."""
        if "content" in self._choice:
            return {**self._choice, "stop_type": "limit", "tokens_predicted": self.tokens, "tokens_evaluated": 0}
        self._choice["finish_reason"] = "length"
        usage = self._reply.get("usage") or {"prompt_tokens": 0}
        return {**self.data(), "usage": {**usage, "completion_tokens": self.tokens}}

    def _merge(self, event: dict[str, Any]) -> None:
        counted = (self._reply.get("usage") or {}).get("completion_tokens")
        ids = event.get("token_ids") or event.get("tokens") or ()
        logprobs = event.get("logprobs") or {}
        shown = logprobs.get("content") or logprobs.get("tokens") or ()
        delta = event.get("delta") or {}
        said = event.get("text") or event.get("content") or any(v for name, v in delta.items() if name != "role")
        self.tokens = max(self.tokens + (len(ids) or len(shown) or bool(said)), counted or 0)
        self.confidences += token_confidences(event)
        _join(self._choice, event)


def _join(whole: dict[str, Any], part: dict[str, Any]) -> None:
    """Add a part to what it continues: texts, lists and objects grow, all else is replaced."""
    for name, value in part.items():
        before = whole.get(name)
        lists = isinstance(value, list) and isinstance(before, list)
        if isinstance(value, dict):
            grown = whole[name] = before if isinstance(before, dict) else {}
            _join(grown, value)
        elif lists or (name in _TEXTS and isinstance(value, str) and isinstance(before, str)):
            whole[name] = before + value
        elif value is not None or name not in whole:
            whole[name] = value


_TEXTS = ("text", "content", "reasoning_content", "reasoning", "refusal")


def watch_of(task: Task) -> StopListening | None:
    """What ends a draw early: it has lost its race, or a window fell below what was asked for; None for neither."""
    line, window, below, settled = task.line, task.window, task.stop_below, task.cost.sampled_tokens
    if line is None and below is None:
        return None

    def over(so_far: Assembly) -> bool:
        lost = line is not None and line.lost(settled + so_far.tokens)
        unsure = window is not None and below is not None and falls_below(so_far.confidences, window, below)
        return lost or unsure

    return over


async def listen(client: openai.AsyncOpenAI, path: str, body: Any, limits: Any, watch: StopListening) -> str:
    """A streamed reply as one JSON text, up to its end or to where ``watch`` has enough; then the stream is closed."""
    usage = {} if path.endswith("/completion") else {"stream_options": {"include_usage": True}}
    asked = {**body, "stream": True, **usage}
    stream: Any = await client.post(
        path, cast_to=object, body=asked, options=limits, stream=True, stream_cls=openai.AsyncStream[object]
    )
    so_far = Assembly()
    try:
        async for event in stream:
            so_far.add(event)
            if watch(so_far):
                return json.dumps(so_far.cut())
        return json.dumps(so_far.data())
    except openai.APIError as error:
        if type(error) is openai.APIError:  # an error in the midst of the stream
            raise MalformedReply(f"the stream ended in an error: {error.message}") from None
        raise
    finally:
        await stream.close()
