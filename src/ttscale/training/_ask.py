"""Asking a generator, synchronous or asynchronous, without an engine: requests in, as many completions out.

Knows the two generator protocols. Must not know what the requests are for.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, cast

from ttscale._errors import RoleError
from ttscale._requests import Completion, Sample
from ttscale._roles import AnyGenerator, AsyncGenerator, Generator
from ttscale._types import Key

Ask: TypeAlias = Callable[[Sequence[Sample]], list[Completion]]


@contextmanager
def asker(generator: AnyGenerator) -> Iterator[Ask]:
    """A function that gets the completions of requests from a synchronous or an asynchronous generator."""
    name = str(getattr(generator, "name", type(generator).__name__))

    def checked(requests: Sequence[Sample], replies: Sequence[Completion]) -> list[Completion]:
        if len(replies) != len(requests):
            raise RoleError(
                f"The generator {name} returned {len(replies)} completions for {len(requests)} requests "
                f"(the first for question {requests[0].question.id!r}, key {requests[0].key}). One reply per request."
            )
        return list(replies)

    if not inspect.iscoroutinefunction(generator.sample):
        sample = cast(Generator, generator).sample
        yield lambda requests: checked(requests, sample(requests)) if requests else []
        return

    async def gather(requests: Sequence[Sample]) -> list[Completion]:
        by_question: dict[str, list[Sample]] = defaultdict(list)  # an asynchronous role is asked one question at a time
        for request in requests:
            by_question[request.question.id].append(request)
        groups = list(by_question.values())
        replies = await asyncio.gather(*(cast(AsyncGenerator, generator).sample(group) for group in groups))
        found: dict[Key, Completion] = {}
        for group, reply in zip(groups, replies, strict=True):
            found.update(zip([request.key for request in group], checked(group, reply), strict=True))
        return [found[request.key] for request in requests]

    with asyncio.Runner() as runner:
        yield lambda requests: runner.run(gather(requests)) if requests else []
