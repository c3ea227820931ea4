"""Roles in front of an OpenAI-compatible server, made for one request: its messages as they came, its settings.

It knows how a request of a client becomes requests to the upstream; not how a search goes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ttscale.api.load_roles import open_role
from ttscale.core.protocols import Role, needs_of
from ttscale.core.requests import Completion, Sample
from ttscale.core.types import Question, Step
from ttscale.integrations.gateway.request import Asked
from ttscale.integrations.gateway.settings import GatewaySettings, Upstream, VerifierSettings, key_from
from ttscale.integrations.gateway.tools import read_call
from ttscale.integrations.gateway.usage import CountedConnection
from ttscale.openai.connection import Connection
from ttscale.openai.draws import sample_task
from ttscale.openai.generator_and_reviser import OpenAIGenerator, OpenAIReviser
from ttscale.openai.tasks import together
from ttscale.openai.verifier import OpenAIVerifier
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
from ttscale.verifiers.comparator import PromptedComparator
from ttscale.verifiers.judge import JudgeVerifier

KEPT = 64
"""Clients' keys whose connections are kept open."""
STRANGER = "none"


@dataclass(slots=True)
class _Held:
    """The connections for one key, and how many requests use them now."""

    draws: CountedConnection
    judge: CountedConnection
    users: int = 0


@dataclass(frozen=True, slots=True)
class Roles:
    """Who answers one request."""

    generator: Any
    verifier: Any = None
    reviser: Any = None
    comparator: Any = None
    own_key: bool = False
    """Whether the upstream is asked with the client's key."""


class UpstreamRoles:
    """Makes the roles of each request; keeps connections by key, so that sockets are used again."""

    def __init__(self, settings: GatewaySettings) -> None:
        assert settings.upstream is not None
        self._upstream: Upstream = settings.upstream
        self._key = key_from(self._upstream.key_env)
        self.own_key = self._key is None
        """Whether the upstream is asked with the client's key."""
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._warned: set[str] = set()
        """What was looked into and warned of: once for the upstream, and not once a request."""
        self._judged = settings.verifier.id == "judge"
        self._verifier = fixed_verifier(settings.verifier, self._upstream)
        self._compared = settings.comparator == "judge"
        given = None if self._compared else settings.comparator
        self._comparator = None if given is None else open_role("comparator", given)
        here: dict[Role, Any] = {"verifier": settings.verifier.url is None and self._verifier, "comparator": given}
        self.run_here: list[Role] = [role for role, runs in here.items() if runs]
        """The roles that run in this process."""

    @asynccontextmanager
    async def roles(self, asked: Asked, key: str | None) -> AsyncIterator[Roles]:
        """The roles for a request whose client came with ``key``."""
        async with self._connections(key) as held:
            in_ids = _in_ids(asked, self._judged or self._verifier is not None)
            generator: Any = _generator(asked, held.draws, self._upstream, in_ids)
            generator._warned = self._warned
            wants_reviser = "reviser" in needs_of(_strategy_of(asked), ())
            reviser = _reviser(asked, held.draws, self._upstream) if wants_reviser else None
            judge = OpenAIGenerator(
                asked.model, connection=held.judge, server=self._upstream.kind, prompt=AS_IT_IS, token_ids=False
            )
            verifier = JudgeVerifier(judge) if self._judged else self._verifier
            comparator = PromptedComparator(judge) if self._compared else self._comparator
            judges = (verifier, comparator) if asked.readable else (None, None)
            yield Roles(generator, judges[0], reviser, judges[1], self.own_key)

    def strategy(self, asked: Asked) -> Any:
        """What ``solve`` is to run; None for its own choice."""
        return asked.strategy

    def question(self, asked: Asked) -> Question:
        """The question as the roles are asked it."""
        return asked.question

    async def models(self, key: str | None) -> Any:
        """What the upstream lists; None where it has no list."""
        async with self._connections(key) as held:
            return await held.draws.listing()

    async def close(self) -> None:
        """Close every connection."""
        for held in self._held.values():
            await held.draws.aclose()
            await held.judge.aclose()
        self._held.clear()

    @asynccontextmanager
    async def _connections(self, key: str | None) -> AsyncIterator[_Held]:
        """The connections for the upstream's key, else the client's."""
        used = self._key or key or STRANGER
        name = hashlib.sha256(used.encode()).hexdigest()
        held = self._held.get(name)
        if held is None:
            held = self._held[name] = _Held(
                _connection(self._upstream, used, "draws"), _connection(self._upstream, used, "verifier")
            )
        self._held.move_to_end(name)
        held.users += 1
        try:
            yield held
        finally:
            held.users -= 1
            await self._let_go()

    async def _let_go(self) -> None:
        """Close the connections that nobody uses and nobody has used for longest."""
        idle = [name for name, held in self._held.items() if not held.users]
        for name in idle[: max(0, len(self._held) - KEPT)]:
            held = self._held.pop(name)
            await held.draws.aclose()
            await held.judge.aclose()


def _connection(upstream: Upstream, key: str, who: Any) -> CountedConnection:
    return CountedConnection(
        upstream.url,
        key,
        who,
        concurrency=upstream.concurrency,
        retries=upstream.retries,
        timeout=upstream.timeout,
    )


def fixed_verifier(given: VerifierSettings, upstream: Upstream | None) -> Any:
    """The verifier that all requests share; None where there is none or it depends on the request."""
    if given.url is not None:
        patience = upstream or Upstream()
        connection: Connection = CountedConnection(
            given.url,
            key_from(given.key_env),
            "verifier",
            concurrency=patience.concurrency,
            retries=patience.retries,
            timeout=patience.timeout,
        )
        activation: Any = given.activation
        return OpenAIVerifier(given.model, layout=given.layout, connection=connection, activation=activation)
    return None if given.id in (None, "judge") else open_role("verifier", given.id)


# Generators: the library's own, with the client's messages in the place of a prompt.


AS_IT_IS = PromptFormat(system=None)
STEPWISE = (
    *(Beam, DVTS, Lookahead, Rebase, ParticleFilter, ParticleGibbs, MCTS, ThinkingBudget),
    *(ComputeOptimalScheduler, AdaptiveScheduler, Mixture),
)
"""Strategies that go on with what is begun, or may, in token ids where the upstream takes them. Whole solutions need
none."""


def _strategy_of(asked: Asked) -> Any:
    return None if asked.strategy is None else strategy_named(asked.strategy)


def _in_ids(asked: Asked, scored: bool) -> bool:
    """``scored``: whether there is a verifier, with which the library's own choice may go step by step."""
    strategy = _strategy_of(asked)
    return asked.readable and (scored if strategy is None else isinstance(strategy, STEPWISE))


def _generator(asked: Asked, connection: Connection, upstream: Upstream, in_ids: bool) -> Any:
    if not asked.chat:
        plain = PromptFormat(chat=False, system=None, template="{question}", stop=asked.stop)
        return OpenAIGenerator(
            asked.model,
            connection=connection,
            api="completions",
            server=upstream.kind,
            prompt=plain,
            extra=asked.extra,
            token_ids=in_ids,
            **_sampling(asked),
        )
    kind = ToolGenerator if asked.tools else ChatGenerator
    return kind(asked, connection, upstream, in_ids)


def _sampling(asked: Asked) -> dict[str, Any]:
    """How the client wants the upstream to sample."""
    return {
        "temperature": 1.0 if asked.temperature is None else asked.temperature,
        "top_p": asked.top_p or None,
        "max_new_tokens": asked.max_tokens,
    }


def _reviser(asked: Asked, connection: Connection, upstream: Upstream) -> Any:
    return ChatReviser(asked, connection, upstream) if asked.chat else None


class ChatGenerator(OpenAIGenerator):
    """Draws replies to a chat, and continues those that are begun."""

    def __init__(self, asked: Asked, connection: Connection, upstream: Upstream, in_ids: bool) -> None:
        super().__init__(
            asked.model,
            connection=connection,
            server=upstream.kind,
            prompt=PromptFormat(system=None, stop=asked.stop),
            extra=dict(asked.extra) | dict(asked.tools),
            token_ids=in_ids,
            lay_out=_chat_of(asked),
            **_sampling(asked),
        )


class ChatReviser(OpenAIReviser):
    """Draws new attempts at the reply to a chat."""

    def __init__(self, asked: Asked, connection: Connection, upstream: Upstream) -> None:
        super().__init__(
            asked.model,
            connection=connection,
            server=upstream.kind,
            prompt=PromptFormat(system=None, stop=asked.stop),
            extra=asked.extra,
            token_ids=False,
            lay_out=_chat_of(asked),
            **_sampling(asked),
        )


def _chat_of(asked: Asked) -> Callable[[Any], Any]:
    """Puts the client's messages in the place of the one that held the question."""
    return lambda turns: [*asked.messages, *turns[1:]]


class ToolGenerator(ChatGenerator):
    """Draws replies to a chat that may be tool calls. None is executed: a text stands for it in the search."""

    continues = False

    def __init__(self, asked: Asked, connection: Connection, upstream: Upstream, in_ids: bool) -> None:
        super().__init__(asked, connection, upstream, in_ids)
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
        written, message = await self.connection.post("/chat/completions", body, read_call, where=task.where, seed=seed)
        if message is not None:
            self.calls.setdefault(written.text, message)
        steps = (Step(written.text),) if written.text.strip() else ()
        return Completion(steps, written.finish, written.cost)
