"""Who draws for one request in front of an upstream: the library's own generator and reviser, told what a client wants.

It knows what becomes of the parameters of a request; not how a search goes, nor connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ttscale.core.requests import Completion, Sample
from ttscale.core.types import Candidate, Step
from ttscale.integrations.gateway.errors import refused
from ttscale.integrations.gateway.request import Asked
from ttscale.integrations.gateway.settings import Upstream
from ttscale.integrations.gateway.tools import read_call
from ttscale.openai.connection import Connection
from ttscale.openai.draws import sample_task
from ttscale.openai.generator_and_reviser import OpenAIGenerator
from ttscale.openai.tasks import together
from ttscale.openai.write_text import TextWriter
from ttscale.prompts.layouts import PromptFormat
from ttscale.strategies import (
    DVTS,
    MCTS,
    AdaptiveScheduler,
    Beam,
    ComputeOptimalScheduler,
    Lookahead,
    Mixture,
    ParticleFilter,
    ParticleGibbs,
    Rebase,
    ThinkingBudget,
)
from ttscale.strategies.names import strategy_named

AS_IT_IS = PromptFormat(system=None)
STEPWISE = (
    *(Beam, DVTS, Lookahead, Rebase, ParticleFilter, ParticleGibbs, MCTS, ThinkingBudget),
    *(ComputeOptimalScheduler, AdaptiveScheduler, Mixture),
)
"""Strategies that go on with what is begun, or may, in token ids where the upstream takes them. Whole solutions need
none."""


def strategy_of(asked: Asked) -> Any:
    """The strategy that the client or the operator named; None for the library's choice."""
    return None if asked.strategy is None else strategy_named(asked.strategy)


def generator_of(asked: Asked, connection: Connection, upstream: Upstream, scored: bool) -> Any:
    """Who draws. ``scored``: whether there is a verifier, with which the library's own choice may go step by step."""
    form = asked.extra.get("response_format")
    whole = form is not None and form != {"type": "text"}
    strategy = strategy_of(asked)
    stepwise = isinstance(strategy, STEPWISE)
    if whole and stepwise:
        raise refused(
            "response_format",
            f"response_format holds for a whole reply, and {asked.strategy} writes one step by step, each of which the "
            "upstream would hold to it; leave it out, or choose a strategy such as majority_vote",
        )
    in_ids = asked.readable and not whole and (scored if strategy is None else stepwise)
    made = ToolGenerator if asked.tools else CappedGenerator
    generator = made(**settings_of(asked, connection, upstream), token_ids=in_ids)
    generator.continues = generator.continues and not whole
    return generator


def settings_of(asked: Asked, connection: Connection, upstream: Upstream) -> dict[str, Any]:
    """What the library's generator or reviser is told of a request."""
    chat = PromptFormat(system=None, stop=asked.stop)
    plain = PromptFormat(chat=False, system=None, template="{question}", stop=asked.stop)
    return {
        "model": asked.model,
        "connection": connection,
        "server": upstream.kind,
        "prompt": chat if asked.chat else plain,
        "lay_out": (lambda turns: [*asked.messages, *turns[1:]]) if asked.chat else None,
        "extra": {**asked.extra, **asked.tools},
        "temperature": 1.0 if asked.temperature is None else asked.temperature,
        "top_p": asked.top_p,
        "max_new_tokens": asked.max_tokens,
    }


class CappedGenerator(OpenAIGenerator):
    """One whose ``max_new_tokens`` limit a whole reply, as clients mean it, however many requests write it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._drawn: dict[tuple[str | int, ...], int] = {}
        """Tokens of what was begun, by the candidate's key, for servers that count the tokens of a request only."""

    async def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Continue each prefix within what is left of the limit."""
        most = self.settings.max_new_tokens
        if most is None:
            return await super().sample(requests)
        left = [most - self._tokens_of(request.prefix) for request in requests]
        asked = [_within(request, n) for request, n in zip(requests, left, strict=True) if n > 0]
        replies = iter(await super().sample(asked))
        found = [next(replies) if n > 0 else Completion((), "length") for n in left]
        ends_at_steps = (await self._server()).stop != "hidden"  # else it wrote more than is kept
        for request, reply in zip(requests, found, strict=True):
            before = self._tokens_of(request.prefix)
            self._drawn[request.key.path] = before + reply.cost.sampled_tokens * ends_at_steps
        return found

    def _tokens_of(self, prefix: Candidate) -> int:
        """Tokens drawn for what is begun, as far as the server says so."""
        counts = [len(step.tokens) or step.drawn for step in prefix.steps]
        known = [n for n in counts if n is not None]
        return sum(known) if len(known) == len(counts) else self._drawn.get(prefix.key.path, 0)


def _within(request: Sample, most: int) -> Sample:
    return replace(request, max_tokens=min(most, request.max_tokens or most)) if request.prefix.steps else request


class ToolGenerator(CappedGenerator):
    """Draws replies to a chat that may be tool calls. None is executed: a text stands for it in the search."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.continues = False
        self.calls: dict[str, Mapping[str, Any]] = {}
        """The messages with calls as the upstream wrote them, by the text that stands for them."""

    async def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """One whole reply for each request."""
        return await together([self._reply(request) for request in requests])

    async def _reply(self, request: Sample) -> Completion:
        task, way = sample_task(request, self.settings.prompt), TextWriter(self.settings, await self._server())
        seed = task.next_seed(way.server)
        body = way.body(task, seed, self.settings.stop)
        written, message = await way.post(task, seed, body, read_call)
        if message is not None:
            self.calls.setdefault(written.text, message)
        steps = (Step(written.text),) if written.text.strip() else ()
        return Completion(steps, written.finish, written.cost)
