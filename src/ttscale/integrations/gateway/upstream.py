"""Roles in front of an OpenAI-compatible server, made for one request: its messages as they came, its settings.

It knows how a request of a client becomes requests to the upstream; not how a search goes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ttscale.api.load_roles import open_role
from ttscale.core.protocols import Role, needs_of
from ttscale.core.types import Question
from ttscale.integrations.gateway.generators import AS_IT_IS, generator_of, settings_of, strategy_of
from ttscale.integrations.gateway.request import Asked
from ttscale.integrations.gateway.settings import GatewaySettings, Upstream, VerifierSettings, key_from
from ttscale.integrations.gateway.usage import CountedConnection
from ttscale.openai.generator_and_reviser import OpenAIGenerator, OpenAIReviser
from ttscale.openai.server_kinds import named
from ttscale.openai.verifier import OpenAIVerifier
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
        try:  # what would otherwise fail for every client
            named(self._upstream.kind)
            CountedConnection(self._upstream.url, STRANGER, "draws", self._upstream)
        except ValueError as error:
            raise ValueError(f"the upstream cannot be asked: {error}") from error
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
            generator = generator_of(asked, held.draws, self._upstream, self._judged or self._verifier is not None)
            generator._warned = self._warned
            wants_reviser = asked.chat and "reviser" in needs_of(strategy_of(asked), ())
            settings = settings_of(asked, held.draws, self._upstream)
            reviser = OpenAIReviser(**settings, token_ids=False) if wants_reviser else None
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
        if name not in self._held:
            url, patience = self._upstream.url, self._upstream
            draws = CountedConnection(url, used, "draws", patience)
            self._held[name] = _Held(draws, CountedConnection(url, used, "verifier", patience))
        held = self._held[name]
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


def fixed_verifier(given: VerifierSettings, upstream: Upstream | None) -> Any:
    """The verifier that all requests share; None where there is none or it depends on the request."""
    if given.url is not None:
        connection = CountedConnection(given.url, key_from(given.key_env), "verifier", upstream or Upstream())
        activation: Any = given.activation
        return OpenAIVerifier(given.model, layout=given.layout, connection=connection, activation=activation)
    return None if given.id in (None, "judge") else open_role("verifier", given.id)
