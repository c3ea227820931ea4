"""``solve_stream``: any iterable of questions in, each question with its result out as it ends, in constant memory.

The search runs in a thread of its own, so that models work while the consumer does. A consumer that falls behind holds
the search up: at most twice ``WINDOW`` results wait for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ttscale.answers import AnswerRule
from ttscale.api.arguments import check_many, check_question
from ttscale.api.call import Call
from ttscale.api.keywords import INSTEAD
from ttscale.api.outbox import Closed, Outbox, Pair
from ttscale.api.settings import CallSettings, Executor, Observe
from ttscale.api.solve import Messages
from ttscale.core.keywords import helpful_keywords
from ttscale.core.limit import Limit
from ttscale.core.protocols import AnyComparator, AnyGenerator, AnyReviser, AnyVerifier, Strategy
from ttscale.core.types import Question
from ttscale.engine.drive import WINDOW

Questions = Iterable[str | Question | Messages] | AsyncIterable[str | Question | Messages]


@helpful_keywords(INSTEAD)
def solve_stream(
    questions: Questions,
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    comparator: AnyComparator | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
    progress: bool = True,
    resume: str | Path | None = None,
    answers: AnswerRule | str | None = None,
    total_limit: Limit | None = None,
    executor: Executor = "local",
    workers: int = 2,
    ray_options: Mapping[str, Any] | None = None,
) -> Iterator[Pair]:
    """Yield each question with its result as it ends; the order is that of ending.

    ``questions`` is any iterable, or an async one; it is read as far as there is work for it, and may be endless. Where
    it makes one wait (a queue, say), what was read is worked on before the next read. Only an async one is read while
    models work. Their ids must differ. A question that fails has ``Result.error`` set and never costs the others
    anything. Arguments are those of ``solve_all``. Closing the iterator stops the search. On Ctrl-C what has ended is
    yielded, then questions in progress with their best so far (``stopped_by="interrupt"``), and ``KeyboardInterrupt``
    is raised. Once a ``total_limit`` is used up, what is in progress ends with its best so far (``stopped_by`` says so)
    and no further question is read.
    """
    settings = CallSettings(
        *(budget, generator, verifier, reviser, strategy, seed, limit, observe, progress, resume, comparator),
        *(answers, total_limit, executor, workers, ray_options),
    )
    check_many(questions)
    if executor == "ray":
        if isinstance(questions, AsyncIterable):
            raise ValueError(f"executor='ray' takes no async iterable, give a list or generator; got {questions!r:.80}")
        from ttscale.api.solve_on_ray import pairs_on_ray

        return pairs_on_ray((check_question(given, i) for i, given in enumerate(questions)), settings)
    return _stream(questions, Call(settings))


@helpful_keywords(INSTEAD)
def asolve_stream(
    questions: Questions,
    budget: int = 64,
    *,
    generator: AnyGenerator | str | Path | None = None,
    verifier: AnyVerifier | str | Path | None = None,
    reviser: AnyReviser | str | Path | None = None,
    comparator: AnyComparator | str | Path | None = None,
    strategy: Strategy | str | None = None,
    seed: int = 0,
    limit: Limit | None = None,
    observe: Observe | None = None,
    progress: bool = True,
    resume: str | Path | None = None,
    answers: AnswerRule | str | None = None,
    total_limit: Limit | None = None,
) -> AsyncIterator[Pair]:
    """``solve_stream`` for an event loop: ``async for question, result in asolve_stream(...)``."""
    settings = CallSettings(
        *(budget, generator, verifier, reviser, strategy, seed, limit, observe, progress, resume, comparator),
        *(answers, total_limit),
    )
    check_many(questions)
    return _astream(questions, Call(settings))


def _stream(questions: Questions, call: Call) -> Iterator[Pair]:
    outbox = Outbox()

    def work() -> None:
        try:
            with call:
                if isinstance(questions, AsyncIterable):
                    asyncio.run(outbox.until_closed(_pump(questions, call, outbox)))
                elif call.is_async:
                    asyncio.run(outbox.until_closed(call.arun(outbox.gated(questions, call), outbox.put, WINDOW + 1)))
                else:
                    call.run(outbox.gated(questions, call), outbox.put, WINDOW + 1)
            outbox.end(None)
        except Closed:
            outbox.end(None)
        except BaseException as error:
            outbox.end(error)

    worker = threading.Thread(target=work, name="ttscale-stream", daemon=True)
    worker.start()
    try:
        yield from outbox.pairs()
    except KeyboardInterrupt:
        outbox.close()
        yield from outbox.pairs()  # what has ended, and what was in progress with its best so far
        raise
    finally:
        outbox.close()
        worker.join()


async def _pump(questions: AsyncIterable[str | Question | Messages], call: Call, outbox: Outbox) -> None:
    async with aclosing(_arun(questions, call)) as pairs:
        async for question, result in pairs:
            outbox.put(question, result)
            await asyncio.to_thread(outbox.wait_for_room)


async def _astream(questions: Questions, call: Call) -> AsyncIterator[Pair]:
    with call:
        async with aclosing(_arun(questions, call)) as pairs:
            async for pair in pairs:
                yield pair


async def _arun(questions: Questions, call: Call) -> AsyncGenerator[Pair, None]:
    """Results as they end; a feeder reads the questions ahead, and a search takes them while the consumer keeps up."""
    waiting: asyncio.Queue[Question | None] = asyncio.Queue(WINDOW)
    ready: asyncio.Queue[Pair | Exception | None] = asyncio.Queue()
    room = asyncio.Event()

    async def feed() -> None:
        position = 0
        try:
            if isinstance(questions, AsyncIterable):
                async for given in questions:
                    await waiting.put(check_question(given, position))
                    position += 1
            else:
                for position, given in enumerate(questions):
                    await waiting.put(check_question(given, position))
        except Exception as error:
            failures.append(error)
        await waiting.put(None)

    over, failures = False, list[Exception]()

    def at_hand(first: Question) -> Iterator[Question | None]:
        nonlocal over
        yield first
        while not over:
            if ready.qsize() >= WINDOW or waiting.empty():
                if not call.in_progress:
                    return
                yield None
                continue
            question = waiting.get_nowait()
            over = question is None
            if question is not None:
                yield question

    async def work() -> None:
        nonlocal over
        try:
            while not over:
                while ready.qsize() >= WINDOW:
                    room.clear()
                    await room.wait()
                first = await waiting.get()
                over = first is None or call.used_up is not None
                if first is not None and not over:
                    await call.arun(at_hand(first), lambda question, result: ready.put_nowait((question, result)))
            ready.put_nowait(failures[0] if failures else None)
        except Exception as error:
            ready.put_nowait(error)

    tasks = [asyncio.ensure_future(part) for part in (feed(), work())]
    try:
        while True:
            pair = await ready.get()
            if isinstance(pair, Exception):
                raise pair
            room.set()
            if pair is None:
                return
            yield pair
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
