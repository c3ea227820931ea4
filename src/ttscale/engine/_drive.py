"""Where the waiting happens: brings the engine's requests to the roles and their replies back.

``run`` is one plain loop in one thread; ``arun`` awaits asynchronous roles and runs synchronous ones in a thread per
worker. Both keep at most ``window`` questions in progress and start the next as soon as one ends: there is no barrier
between questions.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ttscale._cost import Limit
from ttscale._requests import Search
from ttscale._roles import Role
from ttscale._types import Candidate, Outcome
from ttscale.engine._core import Ended, Engine, Recall, Record
from ttscale.engine._workers import Answers, SyncWorker, ask_async, by_question, is_async, worker_of

WINDOW = 256
"""Questions in progress at once: enough to fill any batch, few enough that memory stays flat over thousands."""
SESSION_STEPS = 16
"""Steps a session takes in its thread before ``arun`` looks for new requests."""
SCORE_SHARE = 4
"""While a session decodes, candidates are scored once they are a quarter of its rows: a verifier call costs about as
much as a decode step, and a beam that waits leaves a row idle."""


@dataclass(frozen=True, slots=True)
class Job:
    """One question's search, ready to start; with an ``error`` it ends at once."""

    root: Candidate
    search: Search[Outcome]
    limit: Limit | None = None
    error: Exception | None = None


OnEnd = Callable[[int, Ended], None]


def run(
    jobs: Iterable[Job],
    roles: Mapping[Role, Any],
    on_end: OnEnd,
    record: Record | None = None,
    recall: Recall | None = None,
    window: int = WINDOW,
) -> None:
    """Run every job and call ``on_end(index, ended)`` as each ends.

    Ctrl-C ends what is in progress with the best so far, reports it, and is raised again.
    """
    if any(is_async(role, obj) for role, obj in roles.items()):
        _in_its_own_loop(lambda: asyncio.run(arun(jobs, roles, on_end, record, recall, window)))
        return
    engine = Engine(roles, record)
    floor = _Floor(engine, jobs, on_end, recall, window)
    workers = [SyncWorker(role, obj) for role, obj in roles.items()]
    try:
        while floor.fill():
            for worker in workers:
                if not _too_early(worker, workers, engine):
                    _deliver(engine, worker.turn(engine.take(worker.role), steps=1))
    except BaseException:
        floor.stop("interrupt")
        raise


async def arun(
    jobs: Iterable[Job],
    roles: Mapping[Role, Any],
    on_end: OnEnd,
    record: Record | None = None,
    recall: Recall | None = None,
    window: int = WINDOW,
) -> None:
    """``run`` inside an event loop: an asynchronous role gets one question's wave per call, many calls at once."""
    engine = Engine(roles, record)
    floor = _Floor(engine, jobs, on_end, recall, window)
    awaited = {role: obj for role, obj in roles.items() if is_async(role, obj)}
    crews: dict[Hashable, _Crew] = {}
    for role, obj in roles.items():
        if role not in awaited:
            crews.setdefault(worker_of(obj), _Crew()).workers.append(SyncWorker(role, obj))
    loop = asyncio.get_running_loop()
    tasks: dict[asyncio.Future[Answers], _Crew | None] = {}
    try:
        while floor.fill():
            for role, obj in awaited.items():
                for tickets in by_question(engine.take(role)):
                    tasks[asyncio.ensure_future(ask_async(role, obj, tickets))] = None
            for crew in crews.values():
                if not crew.busy and (turn := crew.next_turn(engine)):
                    crew.busy = True
                    tasks[loop.run_in_executor(crew.thread, turn)] = crew
            done, _ = await asyncio.wait(tasks, timeout=floor.patience(), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                finished_crew = tasks.pop(task)
                if finished_crew is not None:
                    finished_crew.busy = False
                _deliver(engine, task.result())
    except BaseException:
        floor.stop("interrupt")
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for crew in crews.values():
            crew.thread.shutdown()


@dataclass(slots=True, eq=False)
class _Crew:
    """The synchronous roles that share a worker, and the one thread they run in."""

    workers: list[SyncWorker] = field(default_factory=list)
    thread: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="ttscale"))
    busy: bool = False

    def next_turn(self, engine: Engine) -> Callable[[], Answers] | None:
        """What the thread should do next: each worker's turn with what waits for it, or None."""
        ready = [w for w in self.workers if not _too_early(w, self.workers, engine)]
        work = [(w, engine.take(w.role)) for w in ready]
        if not any(tickets or worker.rows for worker, tickets in work):
            return None
        return lambda: [answer for worker, tickets in work for answer in worker.turn(tickets, SESSION_STEPS)]


class _Floor:
    """Starts jobs while there is room, ends those out of time, reports every end."""

    def __init__(self, engine: Engine, jobs: Iterable[Job], on_end: OnEnd, recall: Recall | None, window: int) -> None:
        self._engine = engine
        self._jobs = enumerate(jobs)
        self._on_end = on_end
        self._recall = recall
        self._window = window
        self._index: dict[int, int] = {}
        self._deadlines: list[tuple[float, int]] = []

    def fill(self) -> bool:
        """Expire, report and start; False when nothing is left to do."""
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            self._engine.stop(heapq.heappop(self._deadlines)[1], "seconds")
        self._report()
        while self._engine.active < self._window:
            index, job = next(self._jobs, (-1, None))
            if job is None:
                break
            if job.error is not None:
                self._on_end(index, Ended(error=job.error))
                continue
            slot = self._engine.start(job.root, job.search, job.limit, self._recall)
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
    """Whether a verifier should wait for more candidates while a session beside it still decodes."""
    rows = sum(w.rows for w in workers)
    return worker.role == "verifier" and engine.pending("verifier") * SCORE_SHARE < rows


def _deliver(engine: Engine, answers: Answers) -> None:
    for ticket, reply in answers:
        if isinstance(reply, Exception):
            engine.fail(ticket, reply)
        else:
            engine.give(ticket, reply)


def _in_its_own_loop(work: Callable[[], None]) -> None:
    """Run ``work``, which starts an event loop; in a thread of its own where one is running already (notebooks)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        work()
        return
    failure: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=guarded, name="ttscale")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
