"""Filling a rollout file: a search for each missing question, run by the engine, written in the questions' order.

Knows the engine's driver, which batches over questions, keeps sessions busy, awaits asynchronous roles and holds each
question's errors apart. Must not know what the searches ask for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Generator as PyGenerator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from tqdm import tqdm

from ttscale.api.arguments import is_factory
from ttscale.api.load_roles import open_role
from ttscale.api.on_ray import RayWorkers, portable
from ttscale.api.settings import Executor
from ttscale.core.checks import check_count
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.protocols import Role, name_of
from ttscale.core.requests import Reply, Request, Search
from ttscale.core.types import Candidate, Key, Outcome, Question
from ttscale.engine.core import Ended
from ttscale.engine.drive import Job, run
from ttscale.evaluation.problems.problem import Problem
from ttscale.training.data.rollout_file import RolloutFile

FileRow: TypeAlias = dict[str, Any]
QuestionRows: TypeAlias = tuple[list[FileRow], FileRow]
"""A question's rows and its closing line."""
Fills: TypeAlias = Callable[[Problem, Candidate], PyGenerator[Sequence[Request], Sequence[Any], QuestionRows]]
"""A search that ends with what to write of its question."""

GIVE_UP = 10
"""Questions that may fail in a row. After that the role is taken to be broken."""
SHOWN_EVERY = 64
"""Replies between two updates of the throughput shown."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in the file now, and what this run spent."""

    path: Path
    closings: list[FileRow]
    """The closing line of every question in the file."""
    new: int
    """Questions this run wrote."""
    cost: Cost
    seconds: float


def fill(
    path: str | Path,
    settings: Mapping[str, Any],
    role: Role,
    obj: object,
    problems: Sequence[Problem],
    search: Fills,
    seed: int,
    together: int,
    progress: bool,
    workers: RayWorkers | None = None,
) -> Filled:
    """Write every missing question to the file at ``path``, which was begun with ``settings`` or is new.

    A question whose requests fail is left out and the others are written; then a ``RoleError`` says which. A full
    disk, an interrupt or ``GIVE_UP`` failures in a row end everything at once. What is in the file stays. With
    ``workers`` (of ``SearchWorker``s) the searches run there, and ``obj`` is not asked.
    """
    check_count("together", together)
    started = time.monotonic()
    with RolloutFile(path, settings) as file:
        missing = [problem for problem in problems if not file.has(problem)]
        done = len(problems) - len(missing)
        with tqdm(total=len(problems), initial=done, unit="question", disable=not progress) as bar:
            writer = _Writer(file, missing, bar, together)
            try:
                if workers is not None:
                    shards = (missing[i : i + together] for i in range(0, len(missing), together))
                    for shard, reply in workers.map(shards, search, seed):
                        writer.take(shard, reply)
                else:
                    jobs = (writer.job(index, search, seed) for index in range(len(missing)))
                    run(jobs, {role: obj}, writer.end, writer.note, window=together)
            finally:
                writer.flush()
        if writer.failed:
            raise writer.blame(
                f"{len(writer.failed)} of {len(missing)} questions failed; the others are in {file.path}"
            )
        return Filled(file.path, list(file.done.values()), len(missing), writer.cost, time.monotonic() - started)


class SearchWorker:
    """Lives on a Ray worker: the role, loaded once."""

    def __init__(self, role: Role, given: Any) -> None:
        self._role, self._obj = role, open_role(role, given() if is_factory(role, given) else given)

    def name(self) -> str:
        """What rows call the role."""
        return name_of(self._obj)

    def run(self, problems: Sequence[Problem], search: Fills, seed: int) -> list[tuple[QuestionRows | None, Ended]]:
        """What to write of each problem, and how its search ended."""
        written: dict[int, QuestionRows] = {}
        ended: dict[int, Ended] = {}
        keep = written.__setitem__
        jobs = (_job(problem, search, seed, partial(keep, index)) for index, problem in enumerate(problems))
        run(jobs, {self._role: self._obj}, ended.__setitem__, window=max(1, len(problems)))
        errors = {index: portable(one.error) for index, one in ended.items() if one.error is not None}
        return [(written.get(i), Ended(cost=ended[i].cost, error=errors.get(i))) for i in range(len(problems))]


@contextmanager
def workers_of(
    role: Role, given: Any, executor: Executor, workers: int, options: Mapping[str, Any] | None
) -> Iterator[tuple[Any, str, RayWorkers | None]]:
    """The role as an object, its name, and who does the work where that is not this process."""
    if executor == "local":
        obj = open_role(role, given)
        yield obj, name_of(obj), None
    elif executor == "ray":
        with RayWorkers(partial(SearchWorker, role, given), workers, options) as crew:
            yield None, crew.ask("name"), crew
    else:
        raise ValueError(f'executor must be "local" or "ray"; got {executor!r}')


def _job(problem: Problem, search: Fills, seed: int, keep: Callable[[QuestionRows], None]) -> Job:
    root = Candidate(problem.question, Key((seed, problem.id)))

    def filling() -> Search[Outcome]:
        keep((yield from search(problem, root)))
        return Outcome((), (), None)

    return Job(root, filling())


class _Writer:
    """Keeps what is finished until it is its turn in the file, but no more than ``most`` questions.

    Behind a question slower than so many others these are written before it, so that a kill loses few.
    """

    def __init__(self, file: RolloutFile, missing: Sequence[Problem], bar: Any, most: int) -> None:
        self._most = most
        self._file = file
        self._missing = missing
        self._index = {problem.id: index for index, problem in enumerate(missing)}
        self._bar = bar
        self._finished: dict[int, QuestionRows] = {}
        self._early: set[int] = set()
        """Written before their turn."""
        self._next = 0
        self._over = False
        self._tokens = self._replies = self._in_a_row = 0
        self._started = time.monotonic()
        self.failed: dict[int, Exception] = {}
        self.cost = Cost()

    def job(self, index: int, search: Fills, seed: int) -> Job:
        return _job(self._missing[index], search, seed, partial(self._finished.__setitem__, index))

    def take(self, problems: Sequence[Problem], reply: Sequence[tuple[QuestionRows | None, Ended]] | Exception) -> None:
        """Take in what a worker has done for some of the problems, or why it could not."""
        done = [(None, Ended(error=reply))] * len(problems) if isinstance(reply, Exception) else reply
        for problem, (written, ended) in zip(problems, done, strict=True):
            index = self._index[problem.id]
            if written is not None:
                self._finished[index] = written
            self.end(index, ended)

    def note(self, question: Question, request: Request, reply: Reply) -> None:
        """Count a reply for the throughput that is shown."""
        self._replies += 1
        self._tokens += reply.cost.sampled_tokens
        if self._replies % SHOWN_EVERY == 0:
            rate = 1.0 / max(time.monotonic() - self._started, 1e-9)
            self._bar.set_postfix_str(f"{self._replies * rate:.1f} draws/s, {self._tokens * rate:.0f} tokens/s")

    def end(self, index: int, ended: Ended) -> None:
        """Take in the end of a question; write all whose turn it is."""
        if self._over:
            return
        self.cost += ended.cost
        try:
            if ended.error is not None:
                self.failed[index] = ended.error
                self._in_a_row += 1
                if self._in_a_row >= GIVE_UP:
                    raise self.blame(f"{GIVE_UP} questions in a row failed; what was finished is in {self._file.path}")
            else:
                self._in_a_row = 0
            self._write()
        except OSError:
            self._finished.clear()  # there is no room for them
            self._over = True
            raise
        except BaseException:
            self._over = True
            raise

    def blame(self, what: str) -> RoleError:
        """The error that says what failed, with the first failure as its cause."""
        index, first = next(iter(self.failed.items()))
        error = RoleError(
            f"{what}. The first to fail was {self._missing[index].id!r}: {first}. Start again with the same "
            "arguments to try again, or leave the question out."
        )
        error.__cause__ = first
        return error

    def _write(self) -> None:
        while self._next in self._finished or self._next in self.failed or self._next in self._early:
            if self._next in self._finished:
                self._append(self._next)
            self._next += 1
        if len(self._finished) > self._most:
            self._early.update(self._finished)
            self.flush()

    def flush(self) -> None:
        """Write what is finished, whoever's turn it is."""
        for index in sorted(self._finished):
            self._append(index)

    def _append(self, index: int) -> None:
        problem = self._missing[index]
        rows, closing = self._finished.pop(index)
        self._file.append(problem, rows, closing)
        self._bar.update(1)
