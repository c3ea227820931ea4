"""Work on a Ray cluster: workers that make what they need once, shards that go to whoever is free.

Knows Ray. Must not know what a shard holds or what is done with it. A worker that dies, alone or with its node, takes
only its shard with it: another is started, and the shard goes out again. By law 2 it brings what it would have brought.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ttscale.core.checks import check_count
from ttscale.core.errors import TtscaleError
from ttscale.core.idioms import Closing, needed

TRIES = 3
"""Workers a shard may kill before it counts as failed (it may be what kills them)."""


class Actor:
    """Lives in a Ray actor and holds what ``make`` made."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._problem: str | None = None
        try:
            self._made = make()
        except Exception as error:  # said by ``problem``: Ray would wrap it into pages
            self._problem = f"{type(error).__name__}: {error}"

    def problem(self) -> str | None:
        """Why nothing could be made."""
        return self._problem

    def call(self, method: str, *arguments: Any) -> Any:
        """What a method of it returns."""
        return getattr(self._made, method)(*arguments)


class RayWorkers(Closing):
    """``workers`` actors on the cluster that is running (``ray.init``, RAY_ADDRESS), else on this machine.

    ``make`` travels to each of them and is called there once. ``options`` are Ray's own for an actor (``num_gpus``,
    ``resources``, ``scheduling_strategy`` and so on). Use as a context manager: leaving it ends the workers. Raises
    ``TtscaleError`` where ``make`` fails.
    """

    def __init__(self, make: Callable[[], Any], workers: int, options: Mapping[str, Any] | None = None) -> None:
        check_count("workers", workers)
        with needed("executor='ray' needs Ray: pip install 'ttscale[ray]'"):
            import ray
        self._ray: Any = ray
        self._lost = (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError)
        self._make = make
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(log_to_driver=False, include_dashboard=False)
        self._workers: list[Any] = []
        try:
            self._remote: Any = ray.remote(Actor).options(**(options or {}))
            for _ in range(workers):
                self._start()
            problem = ray.get(self._workers[0].problem.remote())
        except self._lost as error:
            problem = f"it died of it ({error})"
        except BaseException:
            self.close()
            raise
        if problem is not None:
            self.close()
            raise TtscaleError(f"a Ray worker could not load the models: {problem}")

    def close(self) -> None:
        """End the workers, and Ray if it was started here."""
        for worker in self._workers:
            self._ray.kill(worker)
        if self._started:
            self._ray.shutdown()

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of the first worker returns."""
        return self._ray.get(self._workers[0].call.remote(method, *arguments))

    def map(self, shards: Iterable[Any], *arguments: Any) -> Iterator[tuple[Any, Any]]:
        """Each shard with what ``run(shard, *arguments)`` returned, as they end; a ``TtscaleError`` for one given up.

        Shards are read as workers become free.
        """
        source, again = iter(shards), deque[tuple[Any, int]]()
        idle, out = list(self._workers), dict[Any, tuple[Any, Any, int]]()
        while True:
            while idle:
                shard, tries = again.popleft() if again else (next(source, None), 1)
                if shard is None:
                    break
                worker = idle.pop()
                out[worker.call.remote("run", shard, *arguments)] = (worker, shard, tries)
            if not out:
                return
            (done,), _ = self._ray.wait(list(out), num_returns=1)
            worker, shard, tries = out.pop(done)
            try:
                reply = self._ray.get(done)
            except self._lost as error:
                self._workers.remove(worker)
                self._ray.kill(worker)
                worker = self._start()
                if tries < TRIES:
                    again.append((shard, tries + 1))
                    idle.append(worker)
                    continue
                reply = TtscaleError(f"{TRIES} Ray workers died of it, the last of {error}")
            idle.append(worker)
            yield shard, reply

    def _start(self) -> Any:
        try:
            worker = self._remote.remote(self._make)
        except (TypeError, pickle.PicklingError) as error:
            why = " ".join(str(error.__cause__ or error).split())[:300]  # Ray says it on a page
            raise ValueError(
                f"the models cannot travel to Ray workers ({why}); pass ids, paths, or functions that make them"
            ) from error
        self._workers.append(worker)
        return worker


def portable(error: Exception) -> Exception:
    """The error, or one that says the same, that survives the way to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return TtscaleError(f"{type(error).__name__}: {error}")
    return error
