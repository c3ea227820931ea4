"""A search with everything but the question: what the adapters are made of. It knows chats; no framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ttscale.api.result import Result
from ttscale.api.solve import asolve, solve
from ttscale.core.chat import Chat, text_of
from ttscale.core.limit import Limit
from ttscale.core.types import Question


@dataclass(frozen=True, slots=True)
class Searcher:
    """The arguments of ``ttscale.solve`` other than the question. See there."""

    generator: Any = None
    verifier: Any = None
    reviser: Any = None
    strategy: Any = None
    budget: int = 16
    seed: int = 0
    limit: Limit | None = None

    def set(self, settings: Mapping[str, Any]) -> Searcher:
        """The same with a budget, strategy or seed of one call; ``ValueError`` names any other setting."""
        unknown = sorted(settings.keys() - {"budget", "strategy", "seed"})
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no setting of a search (budget, strategy, seed); set how the model samples where "
                "its generator is made"
            )
        return replace(self, **settings)

    def ask(self, messages: str | Sequence[Mapping[str, Any]]) -> Result:
        """Answer a question, or the last message of a chat. Raises what ``solve`` raises."""
        return solve(_question(messages), **self._arguments())

    async def aask(self, messages: str | Sequence[Mapping[str, Any]]) -> Result:
        """``ask`` for an event loop."""
        return await asolve(_question(messages), **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _question(messages: str | Sequence[Mapping[str, Any]]) -> Question:
    """The question; one that ends a chat draws what it draws alone with the rest as its prompt."""
    if isinstance(messages, str):
        return Question.of(messages)
    chat = Chat(messages)
    return Question(Question.of(text_of(messages[-1])).id, chat)


def best_text(result: Result) -> tuple[str, bool]:
    """The text to show, and whether it is finished: where nothing was, the first that was begun."""
    if result.text or any(candidate.done for candidate in result.candidates):
        return result.text, True
    return (result.candidates[0].text if result.candidates else ""), False


def tokens_of(result: Result) -> tuple[int, int]:
    """(tokens read, tokens drawn) of a search: every draw counts, and what its verifier read."""
    cost = result.cost
    return cost.prompt_tokens + cost.cached_tokens + cost.verifier_tokens, cost.sampled_tokens


def about(result: Result) -> dict[str, Any]:
    """What a search says of its answer, as plain data."""
    return {
        "answer": result.answer,
        "score": result.score,
        "strategy": result.strategy,
        "generations": result.cost.generations,
        "verifier_tokens": result.cost.verifier_tokens,
        "stopped_by": result.stopped_by,
    }
