"""A verifier from a function: unit tests, exact rules, a checker of one's own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.core.checks import check_count
from ttscale.core.errors import RoleError
from ttscale.core.protocols import is_async
from ttscale.core.requests import Score, Verdict, where
from ttscale.core.types import Candidate
from ttscale.core.unscored import OnError, check_on_error, in_place, settle
from ttscale.verifiers.in_threads import in_threads


class FunctionVerifier:
    """Scores each candidate with ``fn(candidate)``.

    ``fn`` returns a number in [0, 1] or a bool, or a sequence of them with one per step; it may be ``async`` (then the
    candidates of a call are judged at the same time). It sees the question as ``candidate.question.prompt``, the text
    as ``candidate.text``, the final answer as ``candidate.answer``; in a step search also unfinished candidates, for
    which ``candidate.done`` is false. ``whole_only``: it is never given those; the default strategies respect it, and
    a step search that you name is an error.

    ``workers`` threads judge at the same time (for an async function: so many calls); ``timeout`` is in seconds for one
    candidate. A thread cannot be stopped: a function that hangs goes on in one of its own, so start a process inside it
    for code that you do not trust. ``on_error``: a candidate for which ``fn`` raises, takes too long or
    returns no score ends its question ("raise", the default), or competes without a score ("unscored"). Either way the
    message names the candidate; it is never a score of 0.

    Resume files know the function by ``name`` (by default its own). Give another name when it would score differently:
    after an edit, or with other values closed over.
    """

    def __init__(
        self,
        fn: Callable[[Candidate], Any],
        *,
        name: str | None = None,
        timeout: float | None = None,
        workers: int = 1,
        on_error: OnError | None = None,
        whole_only: bool = False,
    ) -> None:
        if not callable(fn):
            raise ValueError(f"FunctionVerifier needs a function of a candidate; got {fn!r}")
        if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
            raise ValueError(f"timeout must be a positive number of seconds or None; got {timeout!r}")
        check_count("workers", workers)
        self._fn, self._timeout, self._workers = fn, timeout, workers
        self.on_error = check_on_error(on_error)
        self.whole_only = whole_only
        self.name = name or _called(fn)
        self.score: Callable[[Sequence[Score]], Any] = self._ascore if is_async(fn) else self._score

    def __repr__(self) -> str:
        return f"FunctionVerifier({self.name})"

    def _score(self, requests: Sequence[Score], /) -> Sequence[Verdict | Exception]:
        if self._workers == 1 and self._timeout is None:
            replies = [self._outcome(request, partial(self._judge, request.candidate)) for request in requests]
        else:
            replies = self._in_threads(requests)
        return self._handed_out(requests, replies)

    def _handed_out(
        self, requests: Sequence[Score], replies: Sequence[Verdict | Exception]
    ) -> Sequence[Verdict | Exception]:
        """Where several questions are judged together, an error stands in its place and ends its own question only."""
        if len({request.question.id for request in requests}) > 1:
            return in_place(replies, self.on_error)
        return settle(replies, self.on_error)

    def _in_threads(self, requests: Sequence[Score]) -> list[Verdict | Exception]:
        """Every candidate in one of ``workers`` threads; the clock of each runs from when it begins."""
        candidates = [request.candidate for request in requests]
        ended = in_threads(self._judge, candidates, self._workers, self._timeout)
        return [
            self._outcome(request, partial(_result, value, error))
            for request, (_, value, error) in zip(requests, ended, strict=True)
        ]

    async def _ascore(self, requests: Sequence[Score], /) -> Sequence[Verdict | Exception]:
        gate = asyncio.Semaphore(self._workers) if self._workers > 1 else None
        results = await asyncio.gather(*[self._awaited(request, gate) for request in requests], return_exceptions=True)
        replies = [
            self._outcome(request, partial(_result, result, result if isinstance(result, BaseException) else None))
            for request, result in zip(requests, results, strict=True)
        ]
        return self._handed_out(requests, replies)

    async def _awaited(self, request: Score, gate: asyncio.Semaphore | None) -> Any:
        if gate is None:
            return await asyncio.wait_for(self._judge(request.candidate), self._timeout)
        async with gate:
            return await asyncio.wait_for(self._judge(request.candidate), self._timeout)

    def _judge(self, candidate: Candidate) -> Any:
        """What the function returns, which may have to be awaited."""
        if self.whole_only and not candidate.done:
            raise RoleError(
                f"{self.name} judges whole solutions only, and was asked about a begun one "
                f"({where(Score(candidate))}); use a strategy without step search, such as best_of_n"
            )
        return self._fn(candidate)

    def _outcome(self, request: Score, call: Callable[[], Any]) -> Verdict | Exception:
        """The verdict for one candidate, or what went wrong, naming it."""
        way_out = "" if self.on_error == "unscored" else '; on_error="unscored" lets the other solutions compete'
        try:
            return _verdict(self.name, request, call())
        except RoleError as error:
            return error
        except TimeoutError as error:
            took = f"took longer than {self._timeout} s" if self._timeout is not None else f"timed out ({error})"
            return _blamed(self.name, took, request, error, way_out)
        except Exception as error:
            if f"'{Candidate.__name__}'" in str(error):  # it was written for something else
                way_out = "; the function is given a ttscale.Candidate: judge its answer or its text"
            return _blamed(self.name, f"raised {type(error).__name__}: {error}", request, error, way_out)


def _called(fn: Callable[..., Any]) -> str:
    """The name of a function; that of a lambda says where it is written, that of an object is its class."""
    if not inspect.isfunction(fn):
        return type(fn).__name__
    code = fn.__code__
    place = f" at {Path(code.co_filename).name}:{code.co_firstlineno}" if fn.__name__ == "<lambda>" else ""
    return fn.__name__ + place


def _result(value: Any, error: BaseException | None) -> Any:
    if error is not None:
        raise error
    return value


def _blamed(name: str, what: str, request: Score, error: Exception, way_out: str) -> RoleError:
    blamed = RoleError(f"{name} {what} ({where(request)}){way_out}")
    blamed.__cause__ = error
    return blamed


def _verdict(name: str, request: Score, result: Any) -> Verdict:
    result = result.tolist() if hasattr(result, "tolist") else result  # arrays and tensors, without knowing them
    if isinstance(result, Verdict):
        return result
    several = isinstance(result, Sequence) and not isinstance(result, str | bytes)
    values = list(result) if several else [result]
    steps = len(request.candidate.steps)
    if len(values) not in (1, steps):
        raise RoleError(f"{name} returned {len(values)} scores for a candidate of {steps} steps ({where(request)})")
    for value in values:
        try:
            fine = 0 <= float(value) <= 1  # false for NaN
        except (TypeError, ValueError, OverflowError):
            fine = False
        if not fine or isinstance(value, str | bytes):
            raise RoleError(
                f"{name} returned {value!r} as a score ({where(request)}); return True, False or a number in [0, 1]"
            )
    return Verdict(tuple(float(value) for value in values))
