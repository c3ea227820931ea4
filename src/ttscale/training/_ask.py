"""Asking a role, synchronous or asynchronous, without an engine: requests in, as many replies out.

Knows that a role is a method from requests to replies. Must not know what the requests are for.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from ttscale._errors import RoleError
from ttscale._types import Key, Question


class _Asks(Protocol):
    @property
    def question(self) -> Question: ...
    @property
    def key(self) -> Key: ...


Req = TypeVar("Req", bound=_Asks)
Rep = TypeVar("Rep")
Ask: TypeAlias = Callable[[Sequence[Req]], list[Rep]]


@contextmanager
def asker(
    role: object, method: Callable[[Sequence[Req]], Sequence[Rep] | Coroutine[Any, Any, Sequence[Rep]]]
) -> Iterator[Ask[Req, Rep]]:
    """A function from requests to their replies, over ``role``'s ``method``; no request, no call."""
    name = str(getattr(role, "name", type(role).__name__))

    def checked(requests: Sequence[Req], replies: Sequence[Rep]) -> list[Rep]:
        if len(replies) != len(requests):
            raise RoleError(
                f"{name} returned {len(replies)} replies for {len(requests)} requests (the first for question "
                f"{requests[0].question.id!r}, key {requests[0].key}). It must return one per request."
            )
        return list(replies)

    if not inspect.iscoroutinefunction(method):
        yield lambda requests: checked(requests, cast(Sequence[Rep], method(requests))) if requests else []
        return

    async def gather(requests: Sequence[Req]) -> list[Rep]:
        by_question: dict[str, list[Req]] = defaultdict(list)  # an asynchronous role is asked one question at a time
        for request in requests:
            by_question[request.question.id].append(request)
        groups = list(by_question.values())
        replies = await asyncio.gather(*(cast(Coroutine[Any, Any, Sequence[Rep]], method(group)) for group in groups))
        found: dict[Key, Rep] = {}
        for group, reply in zip(groups, replies, strict=True):
            found.update(zip([request.key for request in group], checked(group, reply), strict=True))
        return [found[request.key] for request in requests]

    with asyncio.Runner() as runner:
        yield lambda requests: runner.run(gather(requests)) if requests else []
