"""A LiteLLM provider: ``litellm.completion("ttscale/any-name", ...)`` searches for the answer.

It knows LiteLLM's custom providers; what a search is made of is in the ``Searcher``. ``budget``, ``strategy`` and
``seed`` of a call are the search's; usage counts every draw and the verifier.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import litellm
from litellm.llms.custom_llm import CustomLLM, CustomLLMError

from ttscale.api.result import Result
from ttscale.core.errors import RoleError
from ttscale.integrations.searcher import Searcher, about, best_text, tokens_of


def register(searcher: Searcher, name: str = "ttscale") -> None:
    """Let LiteLLM answer models called ``name/...`` with this search."""
    others = [one for one in litellm.custom_provider_map if one["provider"] != name]
    litellm.custom_provider_map = [*others, {"provider": name, "custom_handler": TtscaleLLM(searcher)}]


class TtscaleLLM(CustomLLM):
    """The provider. LiteLLM passes much by keyword that a search has no use for; its parameters are all checked."""

    def __init__(self, searcher: Searcher) -> None:
        super().__init__()
        self._searcher = searcher

    def completion(
        self, *, model: str, messages: list[Any], model_response: Any, optional_params: dict[str, Any], **_: Any
    ) -> Any:
        """A whole reply."""
        with _errors():
            result = self._set(optional_params).ask(messages)
        return _filled(model_response, model, result)

    async def acompletion(
        self, *, model: str, messages: list[Any], model_response: Any, optional_params: dict[str, Any], **_: Any
    ) -> Any:
        """A whole reply, awaited."""
        with _errors():
            result = await self._set(optional_params).aask(messages)
        return _filled(model_response, model, result)

    def streaming(self, *, messages: list[Any], optional_params: dict[str, Any], **_: Any) -> Iterator[Any]:
        """The reply in one piece, once the search is over."""
        with _errors():
            yield _chunk(self._set(optional_params).ask(messages))

    async def astreaming(self, *, messages: list[Any], optional_params: dict[str, Any], **_: Any) -> AsyncIterator[Any]:
        """The same, awaited."""
        with _errors():
            yield _chunk(await self._set(optional_params).aask(messages))

    def _set(self, params: Mapping[str, Any]) -> Searcher:
        return self._searcher.set({name: value for name, value in params.items() if name != "stream"})


@contextmanager
def _errors() -> Iterator[None]:
    """Errors as LiteLLM maps them: what was asked wrongly is 400, what the model's server did is 502."""
    try:
        yield
    except (RoleError, ValueError) as error:
        status = 502 if isinstance(error, RoleError) else 400
        raise CustomLLMError(status_code=status, message=str(error)) from error


def _usage(result: Result) -> dict[str, int]:
    read, drawn = tokens_of(result)
    return {"prompt_tokens": read, "completion_tokens": drawn, "total_tokens": read + drawn}


def _filled(reply: Any, model: str, result: Result) -> Any:
    text, finished = best_text(result)
    reply.model = model
    reply.choices[0].message.content = text
    reply.choices[0].message.provider_specific_fields = {"ttscale": about(result)}
    reply.choices[0].finish_reason = "stop" if finished else "length"
    reply.usage = litellm.Usage(**_usage(result))
    return reply


def _chunk(result: Result) -> dict[str, Any]:
    text, finished = best_text(result)
    ending = "stop" if finished else "length"
    chunk = {"text": text, "is_finished": True, "finish_reason": ending, "index": 0, "tool_use": None}
    return chunk | {"usage": _usage(result), "provider_specific_fields": {"ttscale": about(result)}}
