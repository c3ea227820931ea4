"""Several requests at once, and what becomes of the others when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from ttscale.core.requests import Completion, FinishLine

T = TypeVar("T")


async def together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; the first failure cancels the rest and is raised as it is."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def told(writing: Coroutine[Any, Any, list[Completion]], line: FinishLine | None) -> list[Completion]:
    """What is written, told to a race as soon as it is."""
    written = await writing
    if line is not None:
        for one in written:
            line.finished(one)
    return written
