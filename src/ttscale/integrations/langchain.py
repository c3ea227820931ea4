"""A LangChain chat model: every call is a search. It knows langchain-core's messages; nothing of how a search goes."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult

from ttscale.api.result import Result
from ttscale.integrations.searcher import Searcher, about, best_text, tokens_of


class ChatTtscale(BaseChatModel):
    """``ChatTtscale(searcher=Searcher(generator, verifier, budget=16))``, used like any other chat model.

    ``budget``, ``strategy`` and ``seed`` may be given with a call (``invoke(..., budget=64)`` or ``bind``). Usage
    counts every draw and the verifier; ``response_metadata["ttscale"]`` tells of the search. Tools and stop strings are
    refused: stop strings belong to the generator's ``PromptFormat(stop=...)``.
    """

    searcher: Any
    """A ``Searcher``; not a pydantic model."""

    @property
    def _llm_type(self) -> str:
        return "ttscale"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"searcher": repr(self.searcher)}

    def _generate(
        self, messages: list[Any], stop: list[str] | None = None, run_manager: Any = None, **settings: Any
    ) -> ChatResult:
        return _reply(_set(self.searcher, stop, settings).ask(_chat(messages)))

    async def _agenerate(
        self, messages: list[Any], stop: list[str] | None = None, run_manager: Any = None, **settings: Any
    ) -> ChatResult:
        return _reply(await _set(self.searcher, stop, settings).aask(_chat(messages)))


def _set(searcher: Searcher, stop: list[str] | None, settings: dict[str, Any]) -> Searcher:
    if stop:
        raise ValueError(f"set stop={stop!r} where the generator is made: prompt=PromptFormat(stop=...)")
    return searcher.set(settings)


def _chat(messages: list[Any]) -> list[dict[str, Any]]:
    chat: list[dict[str, Any]] = convert_to_openai_messages(messages)
    return chat


def _reply(result: Result) -> ChatResult:
    text, finished = best_text(result)
    read, drawn = tokens_of(result)
    message = AIMessage(
        content=text,
        usage_metadata={"input_tokens": read, "output_tokens": drawn, "total_tokens": read + drawn},
        response_metadata={"finish_reason": "stop" if finished else "length", "ttscale": about(result)},
    )
    return ChatResult(generations=[ChatGeneration(message=message)])
