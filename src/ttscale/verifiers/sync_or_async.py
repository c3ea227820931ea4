"""Roles made of other roles: one plan, written once, run by plain calls or by awaiting.

A plan is a generator that yields ``Ask``s and is sent their results, like a strategy with its waves. This file knows
nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Sequence
from collections.abc import Generator as PyGenerator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from ttscale.core.protocols import is_async, shared_worker

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a role's method, or any function, with these arguments."""

    method: Callable[..., Any]
    arguments: tuple[Any, ...]


Plan: TypeAlias = PyGenerator[Ask, Any, T]


def relay(plan: Callable[[Sequence[Any]], Plan[T]], awaited: bool) -> Callable[[Sequence[Any]], Any]:
    """A role's method that runs ``plan``: a coroutine function if ``awaited``, else a plain one."""
    if not awaited:
        return lambda requests: _run(plan(requests))
    # Synchronous roles in an asynchronous one: off the loop, and never two calls at a time.
    one_at_a_time = threading.Lock()

    async def run(requests: Sequence[Any]) -> T:
        return await _arun(plan(requests), one_at_a_time)

    return run


def common_worker(roles: Sequence[Any]) -> Hashable | None:
    """The worker of roles that are run one after the other: the first that names one, else None."""
    return next((worker for role in roles if (worker := shared_worker(role)) is not None), None)


def _run(plan: Plan[T]) -> T:
    result: Any = None
    while True:
        try:
            call = plan.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value
        result = call.method(*call.arguments)


async def _arun(plan: Plan[T], lock: threading.Lock) -> T:
    result: Any = None
    while True:
        try:
            call = plan.send(result)
        except StopIteration as stop:
            value: T = stop.value
            return value
        if is_async(call.method):
            result = await call.method(*call.arguments)
        else:
            result = await asyncio.to_thread(_locked, call, lock)


def _locked(call: Ask, lock: threading.Lock) -> Any:
    with lock:
        return call.method(*call.arguments)
