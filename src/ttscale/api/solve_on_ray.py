"""Questions solved on a Ray cluster: shards of them go out, results come back, equal to those of a run here.

Knows the entry points and ``on_ray.py``. Must not know how a search runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

from ttscale.api.call import Call
from ttscale.api.load_roles import ModelSpecs
from ttscale.api.on_ray import RayWorkers, portable
from ttscale.api.progress import Progress
from ttscale.api.result import Result, not_begun
from ttscale.api.settings import CallSettings
from ttscale.core.types import Question

SHARD = 64
"""Questions sent out at once: enough to fill a batch, and a lost worker loses no more."""
PER_WORKER = 4
"""Shards for each worker where the questions are counted, so that none waits long for the last."""


class Solver:
    """Lives on a worker: the models, loaded once."""

    def __init__(self, settings: CallSettings) -> None:
        names = ("generator", "verifier", "reviser", "comparator")
        opened = ModelSpecs(*(getattr(settings, name) for name in names)).opened()
        roles = {name: getattr(opened, name) for name in names}
        self._settings = replace(settings, **roles, executor="local", ray_options=None, progress=False)

    def run(self, questions: list[Question]) -> list[Result]:
        """The results of one shard, in order."""
        results: dict[Question, Result] = {}
        with Call(self._settings, questions) as call:
            call.run(iter(questions), results.__setitem__)
        found = [results[question] for question in questions]
        return [one if one.error is None else replace(one, error=portable(one.error)) for one in found]


def pairs_on_ray(
    questions: Iterable[Question], settings: CallSettings, count: int | None = None
) -> Iterator[tuple[Question, Result]]:
    """Each question with its result as its shard ends; questions are read as workers become free.

    ``count`` is how many there are, where that is known. What is wrong with the call is refused at once.
    """
    Call(settings)
    return _pairs(questions, settings, count)


def _pairs(
    questions: Iterable[Question], settings: CallSettings, count: int | None
) -> Iterator[tuple[Question, Result]]:
    size = SHARD if count is None else max(1, min(SHARD, -(-count // (PER_WORKER * settings.workers))))
    progress = Progress(count, settings.budget, f"budget {settings.budget}, on Ray", bar=settings.progress)
    with RayWorkers(partial(Solver, settings), settings.workers, settings.ray_options) as workers, progress:
        for shard, reply in workers.map(_shards(questions, size)):
            results = [not_begun(question, reply) for question in shard] if isinstance(reply, Exception) else reply
            for question, result in zip(shard, results, strict=True):
                progress.solved(question, result.cost)
                yield question, result


def _shards(questions: Iterable[Question], size: int) -> Iterator[list[Question]]:
    source = iter(questions)
    while shard := list(islice(source, size)):
        yield shard
