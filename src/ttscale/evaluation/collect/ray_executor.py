"""Work spread over a Ray cluster: pieces go out in batches of whole questions, records come back to one file.

Knows Ray and the runner. Must not know what is measured. Every worker loads the models once and keeps them. A worker
that dies takes only its batch with it: another worker is started, and the batch goes out again; by law 2 it brings the
same records as it would have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ttscale.api.load_roles import ModelSpecs
from ttscale.core.errors import TtscaleError
from ttscale.core.protocols import Role
from ttscale.evaluation.collect.executor import LocalExecutor
from ttscale.evaluation.collect.result_store import Store
from ttscale.evaluation.collect.runner import Failures, Piece, Turn, Work, run_pieces

QUESTIONS = 8
"""Questions sent out at once: a lost worker loses no more."""
TRIES = 3
"""Workers a batch may kill before its questions count as failed (it may be what kills them)."""


class Stored:
    """A record as it travels: its key and its data."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.key: str = data["key"]
        self.data = data["data"]


class Worker:
    """Lives in a Ray actor: the models, loaded once."""

    def __init__(self, specs: ModelSpecs, wanted: frozenset[Role]) -> None:
        self._problem: str | None = None
        try:
            self._local = LocalExecutor(specs.load(wanted))
        except Exception as error:  # said by describe: Ray would wrap it into pages
            self._problem = f"{type(error).__name__}: {error}"

    def describe(self) -> tuple[dict[str, str], Any, str | None]:
        """The labels of the models, how the verifier wants its scores aggregated, and why they could not be loaded."""
        if self._problem is not None:
            return {}, None, self._problem
        return dict(self._local.labels), self._local.aggregate, None

    def run(self, pieces: Sequence[Piece], turn: Turn, share: bool) -> tuple[list[Any], dict[str, str]]:
        """The records of the pieces, and the errors of those that failed."""
        with Store(None, {}, lambda _: None, Stored) as store:
            work = self._local.work(store, lambda piece, ended: {"key": piece.key, "data": turn(piece, ended)}, share)
            failures = run_pieces(pieces, store, work, progress=False, unit="search")
            errors = {key: f"{type(error).__name__}: {error}" for key, error in failures.errors.items()}
            return [stored.data for stored in store.records.values()], errors


class RayExecutor:
    """Workers on a Ray cluster: the one that is running (``ray.init``, RAY_ADDRESS), else one on this machine.

    Use as a context manager: leaving it ends the workers.
    """

    def __init__(self, specs: ModelSpecs, wanted: frozenset[Role], workers: int) -> None:
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise ValueError(f"workers must be a positive integer; got {workers!r}")
        try:
            import ray
        except ImportError as error:
            raise ImportError("executor='ray' needs Ray: pip install 'ttscale[ray]'") from error
        self._ray: Any = ray
        self._specs, self._wanted = specs, wanted
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(log_to_driver=False, include_dashboard=False)
        self._remote: Any = ray.remote(Worker)
        self._workers = [self._remote.remote(specs, wanted) for _ in range(workers)]
        self.labels: Mapping[str, str]
        self.aggregate: Any
        try:
            self.labels, self.aggregate, problem = ray.get(self._workers[0].describe.remote())
        except ray.exceptions.RayActorError as error:
            problem = f"it died of it ({error})"
        if problem is not None:
            self.__exit__(None, None, None)
            raise TtscaleError(f"a Ray worker could not load the models: {problem}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            self._ray.kill(worker)
        if self._started:
            self._ray.shutdown()

    def work(self, store: Store[Any], turn: Turn, share: bool) -> Work:
        """What runs pieces on the workers and stores the records in this process."""
        return lambda pieces, failures, bar: self._run(pieces, failures, bar, store, turn, share)

    def _run(
        self, pieces: Sequence[Piece], failures: Failures, bar: Any, store: Store[Any], turn: Turn, share: bool
    ) -> None:
        claimed = {owner for owner in dict.fromkeys(piece.owner for piece in pieces) if store.claim(owner)}
        mine = [piece for piece in pieces if piece.owner in claimed and piece.key not in store.records]
        waiting = deque((batch, 1) for batch in _batches(mine))
        idle = list(self._workers)
        out: dict[Any, tuple[Any, list[Piece], int]] = {}
        while waiting or out:
            while waiting and idle:
                worker = idle.pop()
                batch, tries = waiting.popleft()
                out[worker.run.remote(batch, turn, share)] = (worker, batch, tries)
            (done,), _ = self._ray.wait(list(out), num_returns=1)
            worker, batch, tries = out.pop(done)
            try:
                records, errors = self._ray.get(done)
            except self._ray.exceptions.RayActorError as error:
                self._workers.remove(worker)
                worker = self._remote.remote(self._specs, self._wanted)
                self._workers.append(worker)
                if tries < TRIES:
                    waiting.appendleft((batch, tries + 1))
                    idle.append(worker)
                    continue
                records = []
                errors = dict.fromkeys((p.key for p in batch), f"{TRIES} Ray workers died of it, the last of {error}")
            idle.append(worker)
            for data in records:
                store.append(data)
            failures.errors.update((key, TtscaleError(message)) for key, message in errors.items())
            bar.update(len(batch))
        for owner in claimed:
            store.release(owner)


def _batches(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """All pieces of a few questions together, so that they share draws."""
    by_question: dict[tuple[str | int, ...], list[Piece]] = {}
    for piece in pieces:
        by_question.setdefault(piece.path[:2], []).append(piece)
    lists = list(by_question.values())
    return [
        [piece for own in lists[begin : begin + QUESTIONS] for piece in own]
        for begin in range(0, len(lists), QUESTIONS)
    ]
