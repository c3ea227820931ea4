"""Work spread over a Ray cluster: pieces go out in batches of whole questions, records come back to one file.

Knows the runner; ``api/on_ray.py`` knows Ray. Must not know what is measured. Every worker loads the models once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ttscale.api.load_roles import ModelSpecs
from ttscale.api.on_ray import RayWorkers
from ttscale.core.errors import TtscaleError
from ttscale.core.idioms import Closing
from ttscale.core.protocols import Role
from ttscale.evaluation.collect.result_store import Store
from ttscale.evaluation.collect.runner import LocalExecutor, Piece, Turn, Work, run_pieces

QUESTIONS = 8
"""Questions sent out at once: a lost worker loses no more."""


class Stored:
    """A record as it travels: its key and its data."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.key: str = data["key"]
        self.data = data["data"]


class Worker:
    """Lives in a Ray actor: the models, loaded once."""

    def __init__(self, specs: ModelSpecs, wanted: frozenset[Role]) -> None:
        self._local = LocalExecutor(specs.load(wanted))

    def describe(self) -> tuple[dict[str, str], Any]:
        """The labels of the models, and how the verifier wants its scores aggregated."""
        return dict(self._local.labels), self._local.aggregate

    def run(self, pieces: Sequence[Piece], turn: Turn, share: bool) -> tuple[list[Any], dict[str, str]]:
        """The records of the pieces, and the errors of those that failed."""
        with Store(None, {}, lambda _: None, Stored) as store:
            work = self._local.work(store, lambda piece, ended: {"key": piece.key, "data": turn(piece, ended)}, share)
            failures = run_pieces(pieces, store, work, progress=False, unit="search")
            errors = {key: f"{type(error).__name__}: {error}" for key, error in failures.items()}
            return [stored.data for stored in store.records.values()], errors


class RayExecutor(Closing):
    """Workers on a Ray cluster. Use as a context manager: leaving it ends them."""

    def __init__(
        self, specs: ModelSpecs, wanted: frozenset[Role], workers: int, options: Mapping[str, Any] | None = None
    ) -> None:
        self._workers = RayWorkers(partial(Worker, specs, wanted), workers, options)
        self.labels: Mapping[str, str]
        self.aggregate: Any
        self.labels, self.aggregate = self._workers.ask("describe")

    def close(self) -> None:
        """End the workers."""
        self._workers.close()

    def work(self, store: Store[Any], turn: Turn, share: bool) -> Work:
        """What runs pieces on the workers and stores the records in this process."""

        def run(pieces: Sequence[Piece], failures: dict[str, Exception], tick: Callable[[int], object]) -> None:
            claimed = {owner for owner in dict.fromkeys(piece.owner for piece in pieces) if store.claim(owner)}
            mine = [piece for piece in pieces if piece.owner in claimed and piece.key not in store.records]
            for batch, reply in self._workers.map(_batches(mine), turn, share):
                lost = isinstance(reply, Exception)
                records, errors = ([], {piece.key: str(reply) for piece in batch}) if lost else reply
                for data in records:
                    store.append(data)
                failures.update((key, TtscaleError(message)) for key, message in errors.items())
                tick(len(batch))
            for owner in claimed:
                store.release(owner)

        return run


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
