"""A verifier from a function: unit tests, exact rules, a checker of one's own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from types import CodeType
from typing import Any

from ttscale.core.errors import RoleError
from ttscale.core.requests import Score, Verdict
from ttscale.core.types import Candidate


class FunctionVerifier:
    """Scores each candidate with ``fn(candidate)``.

    ``fn`` returns a number in [0, 1] or a bool, or a sequence of them with one per step; it may be ``async`` (then the
    candidates of a call are judged at the same time). It sees the question as ``candidate.question.prompt``, the text
    as ``candidate.text``, the final answer as ``candidate.answer``; in a step search also unfinished candidates, for
    which ``candidate.done`` is false. What it raises is an error of that question, never a score of 0.
    """

    def __init__(self, fn: Callable[[Candidate], Any], *, name: str | None = None) -> None:
        if not callable(fn):
            raise ValueError(f"FunctionVerifier needs a function of a candidate; got {fn!r}")
        self._fn = fn
        self.name = name or str(getattr(fn, "__name__", type(fn).__name__))
        called = fn if hasattr(fn, "__code__") else getattr(type(fn), "__call__", None)  # noqa: B004
        code = getattr(called, "__code__", None)
        self.sampling = {"code": [*_code_of(code), *_plain_values(fn, called)]} if code else {}
        awaited = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
        self.score: Callable[[Sequence[Score]], Any] = self._ascore if awaited else self._score

    def __repr__(self) -> str:
        return f"FunctionVerifier({self.name})"

    def _score(self, requests: Sequence[Score], /) -> list[Verdict]:
        return [_verdict(self.name, request, self._fn(request.candidate)) for request in requests]

    async def _ascore(self, requests: Sequence[Score], /) -> list[Verdict]:
        work: list[Awaitable[Any]] = [self._fn(request.candidate) for request in requests]
        results = await asyncio.gather(*work)
        return [_verdict(self.name, request, result) for request, result in zip(requests, results, strict=True)]


def _plain_values(fn: Any, called: Any) -> list[str]:
    """The text and numbers, also in containers, that a function closes over, has as defaults, attributes or globals."""
    found: list[Any] = []
    for cell in getattr(called, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # a name that has no value yet
            found.append(cell.cell_contents)
    found += [*(getattr(called, "__defaults__", None) or ()), *(getattr(called, "__kwdefaults__", None) or {}).values()]
    known = called.__globals__
    found += [known[name] for name in called.__code__.co_names if name in known]
    found += [value for _, value in sorted(getattr(fn, "__dict__", {}).items())]
    return [text for text in map(_plain, found) if text is not None]


def _plain(value: Any, depth: int = 3) -> str | None:
    """A value in words, the same in every process; None for what may not be."""
    if isinstance(value, str | bytes | int | float | None):
        return repr(value)
    if depth and isinstance(value, list | tuple):
        return str([_plain(item, depth - 1) for item in value])
    if depth and isinstance(value, set | frozenset):
        return str(sorted(str(_plain(item, depth - 1)) for item in value))
    if depth and isinstance(value, dict):
        return str([(_plain(key, depth - 1), _plain(item, depth - 1)) for key, item in value.items()])
    return None


def _code_of(code: CodeType) -> list[str]:
    """What a function does, the same in every process: its bytecode and its constants."""
    found = [code.co_code.hex(), repr(code.co_names)]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _code_of(constant)
        elif isinstance(constant, frozenset):  # in no order of its own
            found += sorted(map(repr, constant))
        else:
            found.append(repr(constant))
    return found


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
