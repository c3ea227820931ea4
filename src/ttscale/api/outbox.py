"""Where results of a stream wait for the consumer, who may go at any time; the search in its thread learns of it here.

Must not know how anything is solved.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

from ttscale.api.arguments import check_question
from ttscale.api.call import Call
from ttscale.api.result import Result
from ttscale.api.solve import Messages
from ttscale.core.types import Question
from ttscale.engine.drive import WINDOW

Pair = tuple[Question, Result]
QUICK = 0.1
"""Seconds that a read may take without being put off: batches are larger where the questions are read first."""


class Closed(Exception):
    """The consumer has gone."""


class Outbox:
    """Results that wait for the consumer, and how the search ended."""

    def __init__(self) -> None:
        self._ready: list[Pair] = []
        self._change = threading.Condition()
        self._over = self._closed = False
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Future[None] | None = None

    def put(self, question: Question, result: Result) -> None:
        """Add a result; never waits."""
        with self._change:
            self._ready.append((question, result))
            self._change.notify_all()

    def gated(self, questions: Iterable[str | Question | Messages], call: Call) -> Iterator[Question | None]:
        """The questions, checked, as long as the consumer keeps up; ``Closed`` once it has gone.

        At most ``WINDOW`` are in progress. With room for one more the search asks for it at every turn, and so learns
        at once that the consumer has gone. What is wrong with the input is raised once the questions before it have
        ended. Where the last read took longer than ``QUICK``, the search works for as long, or until nothing is in
        progress, before the next one: a source that makes one wait does not hold back what can be answered. (Under a
        total limit it would decide who gets what.)
        """
        failure: Exception | None = None
        source = _checked(questions)
        took = worked = 0.0  # by the last read; on the search, which reads may now take as well
        while True:
            while max(len(self._ready), call.in_progress) >= WINDOW and not self._closed:
                if call.in_progress:
                    yield None
                else:
                    self.wait_for_room()
            while call.in_progress and took > max(QUICK, worked) and not call.shares_limit:
                began = monotonic()
                yield None
                worked += monotonic() - began
                self.check()
            self.check()
            began = monotonic()
            given = next(source, None)
            took = monotonic() - began
            worked = max(0.0, worked - took) if took > QUICK else 0.0
            self.check()
            if given is None:
                break
            if isinstance(given, Exception):
                failure = given
                break
            began = monotonic()
            yield given
            worked += monotonic() - began
        while call.in_progress:
            yield None
            self.check()
        if failure is not None:
            raise failure

    def check(self) -> None:
        """``Closed`` once the consumer has gone: what is in progress is not for anyone."""
        if self._closed:
            raise Closed

    async def until_closed(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; ``Closed`` once the consumer has gone, whose leaving cancels it."""
        with self._change:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.ensure_future(work)
            if self._closed:
                self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            self.check()
            raise

    def wait_for_room(self) -> None:
        """Wait until the consumer has taken enough; ``Closed`` once it has gone."""
        with self._change:
            while len(self._ready) >= WINDOW and not self._closed:
                self._change.wait()
        self.check()

    def end(self, failure: BaseException | None) -> None:
        """The search is over."""
        with self._change:
            self._over, self._failure = True, failure
            self._change.notify_all()

    def close(self) -> None:
        """The consumer takes no more."""
        with self._change:
            self._closed = True
            self._change.notify_all()
            if self._loop is not None and self._task is not None:
                with suppress(RuntimeError):  # over already
                    self._loop.call_soon_threadsafe(self._task.cancel)

    def pairs(self) -> Iterator[Pair]:
        """Results as they come, all that wait at a time; raises what ended the search."""
        while True:
            with self._change:
                while not self._ready and not self._over:
                    self._change.wait()
                if not self._ready:
                    if self._failure is not None:
                        raise self._failure
                    return
                pairs, self._ready = self._ready, []
                self._change.notify_all()
            yield from pairs


def _checked(questions: Iterable[str | Question | Messages]) -> Iterator[Question | Exception]:
    """The questions; last of all what is wrong with the input, if anything is."""
    try:
        for position, given in enumerate(questions):
            yield check_question(given, position)
    except Exception as error:
        yield error
