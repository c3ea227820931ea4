"""The drivers, which do the waiting: they bring the engine's requests to the roles and the replies back.

``run`` is one plain loop in one thread; ``arun`` awaits asynchronous roles and runs synchronous ones in a thread per
worker. Both keep at most ``window`` questions in progress and start the next as soon as one ends: there is no barrier
between questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import threading
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ttscale.core.limit import Limit
from ttscale.core.protocols import METHOD_OF, Role, is_async, worker_of
from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate
from ttscale.core.types import Candidate, Outcome
from ttscale.core.watch import WATCHES
from ttscale.engine.ask_roles import Answers, SyncWorker, ask_async, by_question
from ttscale.engine.batch_limit import BatchLimit
from ttscale.engine.core import Ended, Engine, Recall, RecordReply
from ttscale.engine.gc_tuning import fewer_passes

WINDOW = 256
"""Questions in progress at once: enough to fill any batch, few enough that memory stays flat over thousands."""
SESSION_STEPS = 16
"""Steps a session takes in its thread before ``arun`` looks for new requests."""
SCORE_SHARE = 4
"""While a session decodes, candidates are scored once they are a quarter of its rows. A verifier call costs about as
much as a decode step, but a beam that waits leaves a row idle."""


@dataclass(frozen=True, slots=True)
class Job:
    """One question's search, ready to start; with an ``error`` it ends at once and needs no search."""

    root: Candidate
    search: Search[Outcome] | None
    limit: Limit | None = None
    error: Exception | None = None
    budget: int | None = None
    """Solutions that the search may ask for."""
    aggregate: Aggregate | None = None
    """How its strategy makes one score of step scores; None for the last one."""


OnEnd = Callable[[int, Ended], None]


def run(
    jobs: Iterable[Job | None],
    roles: Mapping[Role, Any],
    on_end: OnEnd,
    record: RecordReply | None = None,
    recall: Recall | None = None,
    window: int = WINDOW,
    shared: BatchLimit | None = None,
) -> None:
    """Run every job and call ``on_end(index, ended)`` as each ends; indices count the jobs in the order they come.

    ``jobs`` yields None to wait until a running job ends. With a ``shared`` limit no job begins that it has no room
    for; once it is used up the rest of the jobs is left unread. Ctrl-C ends the running jobs with the best so far,
    reports them, and is raised again.
    """
    if is_async(*(getattr(obj, METHOD_OF[role]) for role, obj in roles.items())):
        in_its_own_loop(lambda: arun(jobs, roles, on_end, record, recall, window, shared))
        return
    engine = Engine(roles, record, shared, time.monotonic if WATCHES else None)
    feeder = _JobFeeder(engine, jobs, on_end, recall, window)
    workers = [SyncWorker(role, obj) for role, obj in roles.items()]
    try:
        with fewer_passes():
            while feeder.fill():
                for worker in workers:
                    if not _too_early(worker, workers, engine):
                        tickets = engine.take(worker.role, worker.most)
                        _deliver(engine, worker.turn(tickets, 1, engine.bounds(worker.holding(tickets))))
    except BaseException:
        feeder.stop("interrupt")
        raise


async def arun(
    jobs: Iterable[Job | None],
    roles: Mapping[Role, Any],
    on_end: OnEnd,
    record: RecordReply | None = None,
    recall: Recall | None = None,
    window: int = WINDOW,
    shared: BatchLimit | None = None,
) -> None:
    """``run`` inside an event loop: an asynchronous role gets one question's requests per call, many calls at once."""
    engine = Engine(roles, record, shared, time.monotonic if WATCHES else None)
    feeder = _JobFeeder(engine, jobs, on_end, recall, window)
    groups: dict[Hashable, _WorkerGroup] = {}
    for role, obj in roles.items():
        group = groups.setdefault(worker_of(obj), _WorkerGroup())
        if is_async(getattr(obj, METHOD_OF[role])):
            group.awaited[role] = obj
        else:
            group.workers.append(SyncWorker(role, obj))
    tasks: dict[asyncio.Future[Answers], _WorkerGroup] = {}
    try:
        with fewer_passes():
            while feeder.fill():
                for group in groups.values():
                    tasks |= dict.fromkeys(group.begin(engine), group)
                await asyncio.wait(tasks, timeout=feeder.patience(), return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in tasks if task.done()]:
                    tasks.pop(task).running -= 1
                    _deliver(engine, task.result())
    except BaseException:
        feeder.stop("interrupt")
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for group in groups.values():
            if group.workers:  # waits for a call that cannot be cancelled; off the loop, which has other things to do
                await asyncio.to_thread(group.thread.shutdown)


@dataclass(slots=True, eq=False)
class _WorkerGroup:
    """The roles that share a worker: one of them works at a time, the synchronous ones together in one thread.

    An asynchronous role may have many calls out at once, as long as no other role of the worker waits for its turn.
    """

    workers: list[SyncWorker] = field(default_factory=list)
    awaited: dict[Role, Any] = field(default_factory=dict)
    thread: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="ttscale"))
    running: int = 0
    """Calls that are out."""
    last: Role | None = None
    """The asynchronous role that was asked last; None for the thread."""

    def begin(self, engine: Engine) -> list[asyncio.Future[Answers]]:
        """Start what may start now."""
        begun: list[asyncio.Future[Answers]] = []
        for role, obj in self.awaited.items():
            if engine.pending(role) and self._may_ask(role, engine):
                groups = list(by_question(engine.take(role)))
                calls = [ask_async(role, obj, tickets, engine.line(tickets)) for tickets in groups]
                begun += [asyncio.ensure_future(call) for call in calls]
                self.running += len(groups)
                self.last = role
        if not self.running and (turn := self._turn(engine)):
            self.last = None
            self.running += 1
            begun.append(asyncio.get_running_loop().run_in_executor(self.thread, turn))
        return begun

    def _may_ask(self, role: Role, engine: Engine) -> bool:
        others = [other for other in self.awaited if other != role] + [worker.role for worker in self.workers]
        if any(engine.pending(other) for other in others) or any(worker.rows for worker in self.workers):
            return not self.running and self.last != role
        return not self.running or self.last == role

    def _turn(self, engine: Engine) -> Callable[[], Answers] | None:
        """What the thread should do next: each worker's turn with what waits for it, or None."""
        ready = [w for w in self.workers if not _too_early(w, self.workers, engine)]
        taken = [(w, engine.take(w.role, w.most)) for w in ready]
        if not any(tickets or worker.rows for worker, tickets in taken):
            return None
        work = [(w, tickets, engine.bounds(w.holding(tickets))) for w, tickets in taken]
        return lambda: [answer for w, tickets, bounds in work for answer in w.turn(tickets, SESSION_STEPS, bounds)]


class _JobFeeder:
    """Starts jobs while there is room, ends those out of time, reports every end."""

    def __init__(
        self, engine: Engine, jobs: Iterable[Job | None], on_end: OnEnd, recall: Recall | None, window: int
    ) -> None:
        self._engine = engine
        self._jobs, self._count = iter(jobs), 0
        self._on_end = on_end
        self._recall = recall
        self._window = window
        self._index: dict[int, int] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._budget: int | None = None
        """Of the last job; the next is likely to have the same."""

    def fill(self) -> bool:
        """Expire, report and start; False when nothing is left to do."""
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            self._engine.stop(heapq.heappop(self._deadlines)[1], "seconds")
        self._report()
        while self._engine.active < self._window and self._engine.has_room(self._budget):
            job = next(self._jobs, None)
            if job is None:
                break
            index, self._count = self._count, self._count + 1
            self._budget = job.budget
            if job.error is not None or job.search is None:
                self._on_end(index, Ended(error=job.error))
                continue
            slot = self._engine.start(
                job.root, job.search, job.limit, self._recall, job.budget, job.aggregate or "last"
            )
            self._index[slot] = index
            if job.limit and job.limit.seconds is not None:
                heapq.heappush(self._deadlines, (time.monotonic() + job.limit.seconds, slot))
            self._report()
        return self._engine.active > 0

    def patience(self) -> float | None:
        """Seconds until the next deadline, or None."""
        return max(0.0, self._deadlines[0][0] - time.monotonic()) if self._deadlines else None

    def stop(self, reason: str) -> None:
        """End everything in progress with the best so far."""
        for slot in self._index:
            self._engine.stop(slot, reason)
        self._report()

    def _report(self) -> None:
        for slot, ended in self._engine.ended():
            self._on_end(self._index.pop(slot), ended)


def _too_early(worker: SyncWorker, workers: list[SyncWorker], engine: Engine) -> bool:
    """Whether a verifier should wait for more candidates because a session still decodes."""
    if worker.role != "verifier" or worker.rows:
        return False
    return engine.pending("verifier") * SCORE_SHARE < sum(w.rows for w in workers)


def _deliver(engine: Engine, answers: Answers) -> None:
    for ticket, reply in answers:
        if isinstance(reply, Exception):
            engine.fail(ticket, reply)
        else:
            engine.give(ticket, reply)


def in_its_own_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` in a new event loop; in a thread of its own where one is running already (notebooks).

    Ctrl-C reaches the main thread only, so that one cancels the work, waits until it has put down what it had, and then
    raises ``KeyboardInterrupt`` as it would have without a thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return
    inside: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None] | None]] = []
    failure: list[BaseException] = []
    go, stopped, over = threading.Event(), threading.Event(), threading.Event()

    async def noted() -> None:
        inside.append((asyncio.get_running_loop(), asyncio.current_task()))
        if not stopped.is_set():
            await work()

    def guarded() -> None:
        go.wait()
        try:
            asyncio.run(noted())
        except BaseException as error:
            failure.append(error)
        finally:
            over.set()

    # Nothing begins before ``go``, so an interrupt is either before everything or inside the loop below. Waiting for
    # the thread itself would not do: Thread.join takes an interrupted thread for ended (bpo-45274).
    threading.Thread(target=guarded, name="ttscale", daemon=True).start()
    while not over.is_set():
        try:
            go.set()
            over.wait()
        except KeyboardInterrupt:
            stopped.set()
            for loop, task in inside:
                if task is not None:
                    with contextlib.suppress(RuntimeError):  # closed already
                        loop.call_soon_threadsafe(task.cancel)
    if stopped.is_set():
        raise KeyboardInterrupt
    if failure:
        raise failure[0]
