"""A verifier from a function: unit tests, exact rules, a checker of one's own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from ttscale.core.errors import RoleError
from ttscale.core.protocols import is_async
from ttscale.core.requests import Score, Verdict
from ttscale.core.types import Candidate


class FunctionVerifier:
    """Scores each candidate with ``fn(candidate)``.

    ``fn`` returns a number in [0, 1] or a bool, or a sequence of them with one per step; it may be ``async`` (then the
    candidates of a call are judged at the same time). It sees the question as ``candidate.question.prompt``, the text
    as ``candidate.text``, the final answer as ``candidate.answer``; in a step search also unfinished candidates, for
    which ``candidate.done`` is false. What it raises is an error of that question, never a score of 0.

    Resume files know the function by ``name`` (by default its own). Give another name when it would score differently:
    after an edit, or with other values closed over.
    """

    def __init__(self, fn: Callable[[Candidate], Any], *, name: str | None = None) -> None:
        if not callable(fn):
            raise ValueError(f"FunctionVerifier needs a function of a candidate; got {fn!r}")
        self._fn = fn
        self.name = name or _called(fn)
        self.score: Callable[[Sequence[Score]], Any] = self._ascore if is_async(fn) else self._score

    def __repr__(self) -> str:
        return f"FunctionVerifier({self.name})"

    def _score(self, requests: Sequence[Score], /) -> list[Verdict]:
        return [_verdict(self.name, request, self._fn(request.candidate)) for request in requests]

    async def _ascore(self, requests: Sequence[Score], /) -> list[Verdict]:
        work: list[Awaitable[Any]] = [self._fn(request.candidate) for request in requests]
        results = await asyncio.gather(*work)
        return [_verdict(self.name, request, result) for request, result in zip(requests, results, strict=True)]


def _called(fn: Callable[..., Any]) -> str:
    """The name of a function; that of a lambda says where it is written, that of an object is its class."""
    if not inspect.isfunction(fn):
        return type(fn).__name__
    code = fn.__code__
    place = f" at {Path(code.co_filename).name}:{code.co_firstlineno}" if fn.__name__ == "<lambda>" else ""
    return fn.__name__ + place


def _verdict(name: str, request: Score, result: Any) -> Verdict:
    result = result.tolist() if hasattr(result, "tolist") else result  # arrays and tensors, without knowing them
    several = isinstance(result, Sequence) and not isinstance(result, str | bytes)
    values = list(result) if several else [result]
    steps = len(request.candidate.steps)
    if len(values) not in (1, steps):
        raise RoleError(f"{name} returned {len(values)} scores for a candidate of {steps} steps ({_where(request)})")
    for value in values:
        try:
            fine = 0 <= float(value) <= 1  # false for NaN
        except (TypeError, ValueError, OverflowError):
            fine = False
        if not fine or isinstance(value, str | bytes):
            raise RoleError(
                f"{name} returned {value!r} as a score ({_where(request)}); return True, False or a number in [0, 1]"
            )
    return Verdict(tuple(float(value) for value in values))


def _where(request: Score) -> str:
    return f"question {request.question.label}, candidate {request.key}"
