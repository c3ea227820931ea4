"""Asking a role: a batch call, an awaited call, or a session that requests enter and leave at any time.

A role's mistakes become answers: a ``RoleError`` for the tickets concerned. An exception in place of a reply ends one
question. A batch that raises is asked again question by question, and a failed session is asked again as a batch, so
only the question at fault fails.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from ttscale.core.errors import RoleError
from ttscale.core.protocols import (
    METHOD_OF,
    BoundedSession,
    Role,
    Session,
    max_batch_of,
    name_of,
    session_of,
)
from ttscale.core.requests import FinishLine, Reply, RunsRaces
from ttscale.core.watch import WATCHES
from ttscale.engine.core import Ticket

Answers = list[tuple[Ticket, Reply | Exception]]
NONE: Mapping[tuple[int, int], int] = MappingProxyType({})

FAULTS = (Exception, asyncio.CancelledError)
"""The exceptions of a synchronous role that end its question. Nobody can cancel such a role from outside, so a
``CancelledError`` comes from an event loop of its own, for example when a server closes the connection."""


def by_question(tickets: Sequence[Ticket]) -> Iterator[list[Ticket]]:
    """The tickets of each search together."""
    for _, group in groupby(sorted(tickets, key=lambda ticket: ticket.slot), key=lambda ticket: ticket.slot):
        yield list(group)


def ask(role: Role, obj: Any, tickets: Sequence[Ticket]) -> Answers:
    """Call a synchronous role with one batch."""
    began = time.monotonic()
    try:
        replies = getattr(obj, METHOD_OF[role])([ticket.request for ticket in tickets])
        return _told(role, obj, _paired(role, obj, tickets, replies), began, tickets)
    except FAULTS as error:
        groups = list(by_question(tickets))
        if len(groups) > 1:
            return [answer for group in groups for answer in ask(role, obj, group)]
        return _told(role, obj, [(ticket, blame(role, obj, tickets, error)) for ticket in tickets], began, tickets)


async def ask_async(role: Role, obj: Any, tickets: Sequence[Ticket], line: FinishLine | None = None) -> Answers:
    """Await an asynchronous role with one question's requests; ``line`` where they are the draws of a race."""
    began = time.monotonic()
    requests = [ticket.request for ticket in tickets]
    try:
        if line is not None and isinstance(obj, RunsRaces):
            replies = await obj.race(requests, line)
        else:
            replies = await getattr(obj, METHOD_OF[role])(requests)
        return _told(role, obj, _paired(role, obj, tickets, replies), began, tickets)
    except FAULTS as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
            raise  # it is us who are being cancelled
        return _told(role, obj, [(ticket, blame(role, obj, tickets, error)) for ticket in tickets], began, tickets)


class SyncWorker:
    """One synchronous role: a session where it offers one, else batches."""

    def __init__(self, role: Role, obj: Any) -> None:
        self.role = role
        self._obj = obj
        self._session = _opened(obj)
        self._stops_losers = self._session is not None and isinstance(self._session, BoundedSession)
        self.most: int | None = None if self._session else max_batch_of(obj)
        """The most requests it takes at once."""
        self._out: dict[int, Ticket] = {}
        self._numbers = 0

    @property
    def rows(self) -> int:
        """Requests the session has not answered yet."""
        return len(self._out)

    def holding(self, tickets: Sequence[Ticket]) -> list[Ticket]:
        """What the session holds and what it is about to get, where it can stop draws that have lost a race."""
        return [*self._out.values(), *tickets] if self._stops_losers else []

    def turn(self, tickets: Sequence[Ticket], steps: int, bounds: Mapping[tuple[int, int], int] = NONE) -> Answers:
        """Take in tickets, work for at most ``steps`` session steps or one batch, return what was answered.

        ``bounds`` says, by slot and place, of how many tokens a draw has lost its race.
        """
        if self._session is None:
            return ask(self.role, self._obj, tickets) if tickets else []
        began = time.monotonic()
        arrived = dict(enumerate(tickets, self._numbers))
        self._numbers += len(arrived)
        self._out |= arrived
        try:
            if arrived:
                self._session.admit([(number, ticket.request) for number, ticket in arrived.items()])
            if bounds and isinstance(self._session, BoundedSession):
                for number, ticket in self._out.items():
                    if (most := bounds.get((ticket.slot, ticket.place))) is not None:
                        self._session.bound(number, most)
            replied: Sequence[tuple[int, Reply | Exception]] = ()
            while self._session.active and not replied and steps > 0:
                steps -= 1
                replied = self._session.step()
            numbers = {number for number, _ in replied}
            if len(numbers) != len(replied) or not numbers <= self._out.keys():
                raise RoleError("the session answered a ticket twice, or one that it does not hold")
            if numbers != self._out.keys() and not self._session.active:
                raise RoleError("the session has ended and left requests without a reply")
        except FAULTS:
            return self._start_over()
        done = _blamed(self.role, self._obj, ((self._out.pop(number), reply) for number, reply in replied))
        return _told(self.role, self._obj, done, began, tickets)

    def _start_over(self) -> Answers:
        """Ask again, in a batch, for everything a failed session has not answered, and open a new session."""
        owed, self._out = list(self._out.values()), {}
        self._session = _opened(self._obj)
        return ask(self.role, self._obj, owed)


def _told(role: Role, obj: Any, answers: Answers, began: float, arrived: Sequence[Ticket]) -> Answers:
    """The answers, after those who watch have heard of them and of how long the requests that ``arrived`` waited."""
    if WATCHES and (answers or arrived):
        seconds = time.monotonic() - began
        waits = [max(0.0, began - ticket.since) for ticket in arrived if ticket.since]
        for watch in WATCHES:
            watch.asked(role, name_of(obj), waits, [reply for _, reply in answers], seconds)
    return answers


def _opened(obj: Any) -> Session | None:
    """A session of the role. None if it has none or cannot open one now; it is then asked in batches."""
    open_session = session_of(obj)
    try:
        return open_session() if open_session else None
    except FAULTS:
        return None


def _paired(role: Role, obj: Any, tickets: Sequence[Ticket], replies: Any) -> Answers:
    if inspect.iscoroutine(replies):
        replies.close()
        raise RoleError(
            f"{METHOD_OF[role]}() returned a coroutine, though it is not an async def (a decorator can hide that); "
            f"write 'async def {METHOD_OF[role]}(self, requests)' around it, and await it there"
        )
    if not isinstance(replies, Sequence) or len(replies) != len(tickets):
        got = f"{len(replies)} replies" if isinstance(replies, Sequence) else f"a {type(replies).__name__}"
        yields = inspect.isgenerator(replies) or inspect.isasyncgen(replies)
        collect = "it has a yield: collect the replies, and " if yields else ""
        raise RoleError(
            f"{METHOD_OF[role]}() returned {got} for {len(tickets)} requests; {collect}"
            "return a list with one reply per request"
        )
    return _blamed(role, obj, zip(tickets, replies, strict=True))


def _blamed(role: Role, obj: Any, answers: Iterable[tuple[Ticket, Reply | Exception]]) -> Answers:
    """The answers, with the exceptions among them blamed on the role."""
    return [
        (ticket, blame(role, obj, [ticket], reply)) if isinstance(reply, Exception) else (ticket, reply)
        for ticket, reply in answers
    ]


def blame(role: Role, obj: Any, tickets: Sequence[Ticket], error: BaseException) -> RoleError:
    """The error of a role as a ``RoleError`` that says for which question and key; the original is its cause."""
    first = tickets[0].request
    more = f" and {len(tickets) - 1} more" if len(tickets) > 1 else ""
    said = (
        f"{name_of(obj)} raised {type(error).__name__}: {error} "
        f"(question {first.question.label}, key {first.key}{more})"
    )
    if isinstance(error, RoleError) and first.question.label in str(error):  # says all that already
        said = str(error)
    blamed = RoleError(f"the {role}{':' if said.startswith('the ') else ''} {said}")
    blamed.__cause__ = error
    return blamed
