"""The same role asked in other ways: awaited, or as a session that requests enter and leave at any time.

A twin must give the results of the role it was made from; that is what law 2 says. Both answer in an order of their
own, so that nothing can lean on the order of arrival.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ttscale.core.protocols import METHOD_OF, aggregate_of, name_of, shared_worker


def as_async(role: Any) -> Any:
    """An asynchronous twin of a synchronous role. Calls overtake each other: each waits some turns of the loop."""
    return _Async(role)


def as_session(role: Any, rows: int = 3) -> Any:
    """A twin of a synchronous role that also offers ``session()``, which works on at most ``rows`` requests at once."""
    return _WithSession(role, rows)


class _Async:
    def __init__(self, role: Any) -> None:
        _dress(self, role)
        for method in METHOD_OF.values():
            if hasattr(role, method):
                setattr(self, method, _awaited(getattr(role, method)))


class _WithSession:
    def __init__(self, role: Any, rows: int) -> None:
        _dress(self, role)
        self._role, self._rows = role, rows
        for method in METHOD_OF.values():
            if hasattr(role, method):
                setattr(self, method, getattr(role, method))

    def session(self) -> _Rows:
        methods = [getattr(self._role, method) for method in METHOD_OF.values() if hasattr(self._role, method)]
        if len(methods) != 1:
            raise ValueError(f"a role with a session must have one method; {self._role!r} has {len(methods)}")
        return _Rows(methods[0], self._rows)


class _Rows:
    """A session of few rows, each of which takes one to four steps, by its key."""

    def __init__(self, method: Callable[[Sequence[Any]], Sequence[Any]], rows: int) -> None:
        self._method, self._most = method, rows
        self._waiting: list[tuple[int, Any]] = []
        self._working: dict[int, tuple[Any, int]] = {}

    @property
    def active(self) -> bool:
        return bool(self._waiting or self._working)

    def admit(self, requests: Sequence[tuple[int, Any]], /) -> None:
        self._waiting += requests

    def step(self) -> Sequence[tuple[int, Any]]:
        while self._waiting and len(self._working) < self._most:
            ticket, request = self._waiting.pop()
            self._working[ticket] = (request, 1 + request.key.seed % 4)
        self._working = {ticket: (request, left - 1) for ticket, (request, left) in self._working.items()}
        done = [(ticket, request) for ticket, (request, left) in self._working.items() if left == 0]
        for ticket, _ in done:
            del self._working[ticket]
        return [(ticket, self._answer(request)) for ticket, request in done]

    def _answer(self, request: Any) -> Any:
        try:
            return self._method([request])[0]
        except Exception as error:
            return error


def _dress(twin: Any, role: Any) -> None:
    """Give the twin the optional attributes of its role."""
    twin.name, twin.worker, twin.aggregate = name_of(role), shared_worker(role), aggregate_of(role)


def _awaited(method: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Awaitable[Any]]:
    async def call(requests: Sequence[Any], /) -> Any:
        for _ in range(requests[0].key.seed % 5 if requests else 0):
            await asyncio.sleep(0)
        return method(requests)

    return call
