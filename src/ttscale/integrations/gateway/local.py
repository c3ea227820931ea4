"""Models in this process, shared by all requests: one thread each, which takes in requests of any search at any time.

``asolve`` alone would run a model once for every search that is under way, one beside the other. Here the searches ask
awaited roles, and behind these one session of the model decodes what all of them have asked for, in one batch.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ttscale import reference
from ttscale.api.arguments import choose_strategy
from ttscale.api.load_roles import load_roles, roles_at_hand
from ttscale.api.role_labels import label
from ttscale.core.protocols import METHOD_OF, Role, aggregate_of, continues, is_async, worker_of
from ttscale.core.types import Question
from ttscale.engine.ask_roles import Answers, SyncWorker
from ttscale.engine.core import Ticket
from ttscale.integrations.gateway.errors import refused
from ttscale.integrations.gateway.request import Asked
from ttscale.integrations.gateway.settings import GatewaySettings
from ttscale.integrations.gateway.upstream import Roles, fixed_verifier

SESSION_STEPS = 16
"""Steps of a session before its thread looks for new requests, as ``asolve`` does."""


@dataclass(slots=True)
class _Worker:
    """The roles that share a device, the thread they run in, and what waits for them."""

    roles: dict[Role, SyncWorker] = field(default_factory=dict)
    waiting: dict[Role, deque[Ticket]] = field(default_factory=dict)
    replies: dict[tuple[int, int], asyncio.Future[Any]] = field(default_factory=dict)
    """What somebody still waits for, by slot and place of the ticket."""
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="ttscale"))
    pump: asyncio.Task[None] | None = None
    numbers: Any = field(default_factory=itertools.count)

    async def ask(self, role: Role, requests: Sequence[Any]) -> list[Any]:
        """The replies to these requests; an exception in the place of one that failed."""
        slot, loop = next(self.numbers), asyncio.get_running_loop()
        mine = {(slot, place): loop.create_future() for place in range(len(requests))}
        self.replies |= mine
        self.waiting[role].extend(Ticket(slot, place, request) for place, request in enumerate(requests))
        if self.pump is None or self.pump.done():
            self.pump = asyncio.create_task(self._work())
        try:
            return await asyncio.gather(*mine.values())
        finally:
            for name in mine:
                del self.replies[name]

    async def _work(self) -> None:
        """Turns in the thread while there is work; hands out what they answer."""
        loop = asyncio.get_running_loop()
        while any(self.waiting.values()) or any(worker.rows for worker in self.roles.values()):
            turns = [(worker, self._taken(role, worker.most)) for role, worker in self.roles.items()]
            for ticket, reply in await loop.run_in_executor(self.thread, _turn, turns):
                future = self.replies.get((ticket.slot, ticket.place))
                if future is not None and not future.done():  # else whoever asked has gone
                    future.set_result(reply)

    def _taken(self, role: Role, most: int | None) -> list[Ticket]:
        """The oldest requests that somebody still waits for."""
        queue, taken = self.waiting[role], list[Ticket]()
        while queue and (most is None or len(taken) < most):
            ticket = queue.popleft()
            if (ticket.slot, ticket.place) in self.replies:
                taken.append(ticket)
        return taken


def _turn(turns: list[tuple[SyncWorker, list[Ticket]]]) -> Answers:
    return [answer for worker, tickets in turns for answer in worker.turn(tickets, SESSION_STEPS)]


class SharedRole:
    """One role of a model that all requests share, as an awaited role; with a temperature of the request's own."""

    def __init__(self, role: Role, obj: Any, worker: _Worker, temperature: float | None = None) -> None:
        self._role, self._obj, self._worker, self._temperature = role, obj, worker, temperature
        self.name = label(obj)
        self.continues = continues(obj)
        self.aggregate = aggregate_of(obj)
        setattr(self, METHOD_OF[role], self._ask)

    def at(self, temperature: float | None) -> SharedRole:
        """The same role for a request with this temperature."""
        return self if temperature is None else SharedRole(self._role, self._obj, self._worker, temperature)

    async def _ask(self, requests: Sequence[Any], /) -> list[Any]:
        """What the role's method returns; a strategy that sets a temperature keeps it."""
        if self._temperature is not None:
            requests = [
                replace(one, temperature=self._temperature) if one.temperature is None else one for one in requests
            ]
        return await self._worker.ask(self._role, requests)


class LocalRoles:
    """The models of this process. Loaded when the gateway starts, not when the first client waits."""

    def __init__(self, settings: GatewaySettings) -> None:
        given = settings.verifier
        from ttscale.hf import HFGenerator  # brings torch, which a gateway in front of a server needs not

        verifier = given.id if given.url is None else fixed_verifier(given, None)
        at_hand = roles_at_hand(settings.generator, verifier, None, settings.comparator)
        self.bundled = settings.generator is None
        loaded = load_roles(at_hand, list(at_hand))
        if settings.max_new_tokens is not None:
            loaded["generator"] = HFGenerator(loaded["generator"].model, max_new_tokens=settings.max_new_tokens)
        self.run_here = [role for role in at_hand if role != "verifier" or given.url is None]
        self._workers: dict[Hashable, _Worker] = {}
        self._roles: dict[Role, Any] = {role: self._shared(role, obj) for role, obj in loaded.items()}

    @asynccontextmanager
    async def roles(self, asked: Asked, key: str | None) -> AsyncIterator[Roles]:
        """The roles for a request."""
        _refuse(asked)
        generator, get = self._roles["generator"].at(asked.temperature), self._roles.get
        yield Roles(generator, get("verifier"), get("reviser"), get("comparator"))

    def strategy(self, asked: Asked) -> Any:
        """What ``solve`` would run: for the bundled models with the policy that was fitted for them."""
        return choose_strategy(asked.strategy, self._roles, True) if self.bundled else asked.strategy

    def question(self, asked: Asked) -> Question:
        """The question as the models are asked it; the bundled ones refuse those that are not of their domain."""
        if not self.bundled:
            return asked.question
        try:
            return Question(asked.question.id, reference.check(asked.question.prompt))
        except reference.OutOfDomainError as error:
            raise refused("messages" if asked.chat else "prompt", str(error)) from error

    async def close(self) -> None:
        """End the threads, once what they are at is done."""
        for worker in self._workers.values():
            if worker.pump is not None:
                worker.pump.cancel()
            await asyncio.to_thread(worker.thread.shutdown)

    def _shared(self, role: Role, obj: Any) -> Any:
        if is_async(getattr(obj, METHOD_OF[role])):  # a verifier behind a URL
            return obj
        worker = self._workers.setdefault(worker_of(obj), _Worker())
        worker.roles[role] = SyncWorker(role, obj)
        worker.waiting[role] = deque()
        return SharedRole(role, obj, worker)


def _refuse(asked: Asked) -> None:
    """What a model in this process cannot do for a single request."""
    if asked.tools:
        raise refused("tools", "the model of this server calls no tools; serve one behind an upstream")
    if len(asked.messages) > 1 or not asked.readable:
        raise refused(
            "messages",
            "the model of this server answers a single message of text; for a conversation, a system prompt or images "
            "put an upstream behind the gateway",
        )
    for name in ("top_p", "max_tokens", "stop"):
        if getattr(asked, name):
            flag = " (--max-new-tokens)" if name == "max_tokens" else ""
            raise refused(name, f"{name} is set where the model of this server is loaded{flag}, not by a request")
    for name in asked.extra:
        if name not in ("user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"):
            raise refused(name, f"the model of this server has no {name}")
