"""Runs pieces of work, each the search of one question, and stores what comes out.

Knows the engine, claims, progress. Must not know what is measured. Pieces of one question that ask for the same draw
share one model call: best-of-16 and best-of-64 begin alike, by law 2. A reply depends on its request and the model
only, and brings its own cost. So a record says what its strategy costs on its own. Processes that share a file
therefore claim whole questions: with one piece here and one there, both would draw the same.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ttscale.api.load_roles import Models
from ttscale.core.protocols import Strategy, aggregate_of
from ttscale.core.requests import Reply, Request, Revise, Sample
from ttscale.core.trace import Address, address
from ttscale.core.types import Candidate, Key, Question
from ttscale.engine.core import Ended, blame_strategy
from ttscale.engine.drive import Job, run
from ttscale.evaluation.collect.result_store import Store
from ttscale.evaluation.problems.problem import Problem

MOST_TOGETHER, LEAST_TOGETHER = 48, 8
"""Questions worked on at once: enough to fill a batch, few enough that their shared replies fit in memory."""
PARTS = 4
"""A process takes at most one in so many of all questions, so that others find some to work on."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One search to run: its key in the store, its question and where in the tree of draws it starts."""

    key: str
    problem: Problem
    path: tuple[str | int, ...]
    strategy: Strategy
    budget: int
    spec: str = ""
    """What records call the strategy."""
    probe: bool = False
    """Whether it is run only to decide how another is run."""

    @property
    def owner(self) -> str:
        """What is claimed to work on it: its seed and question, which all pieces that share draws have in common."""
        return json.dumps(["claim", *self.path[:2]], ensure_ascii=False)


Turn = Callable[[Piece, Ended], Mapping[str, Any]]
Work = Callable[[Sequence[Piece], dict[str, Exception], Callable[[int], object]], None]
"""Runs those of the pieces that nobody else is at; stores them, or their errors by key, and says how many are done."""


ShowProgress = bool | Callable[[int, int], None]
"""Whether to show a bar where standard error is a terminal; or what to call with how many are done, of how many."""


def run_pieces(
    pieces: Sequence[Piece], store: Store[Any], work: Work, *, progress: ShowProgress, unit: str
) -> dict[str, Exception]:
    """Have every piece done that the store lacks; the errors of those that failed, by key.

    Returns when every piece is in the store (some by other processes) or has failed. Ctrl-C is raised again; what was
    finished is stored. Errors are not stored, so another run tries these pieces again.
    """
    failures: dict[str, Exception] = {}
    left = [piece for piece in pieces if piece.key not in store.records]
    with _shown(len(pieces), progress, unit) as tick:
        tick(len(pieces) - len(left))
        while left:
            work(left, failures, tick)
            left = [piece for piece in left if piece.key not in store.records and piece.key not in failures]
            # What is left is being worked on by others: wait for one of them to finish, or to die.
            if left and store.claim(left[0].owner, wait=True):
                store.release(left[0].owner)
            store.refresh()
            tick(sum(piece.key in store.records for piece in left))
            left = [piece for piece in left if piece.key not in store.records]
    return failures


def run_claimed(
    models: Models,
    store: Store[Any],
    turn: Turn,
    share: bool,
    most: int,
    pieces: Sequence[Piece],
    failures: dict[str, Exception],
    tick: Callable[[int], object],
) -> None:
    """Run the pieces of those questions that nobody else is at, in this process, on at most ``most`` at once.

    ``turn`` makes the record of what came out. With ``share``, one piece of a question at a time and the largest budget
    first, so that the next finds its draws.
    """
    shared = _Shared(pieces) if share else None
    size = together(pieces, most)
    queue = _ClaimQueue(pieces, store, size, one_at_a_time=share)
    running: list[Piece] = []

    def done(piece: Piece) -> None:
        queue.ended(piece)
        if shared:
            shared.forget(piece)
        tick(1)

    def jobs() -> Iterator[Job | None]:
        while not queue.empty:
            piece = queue.next()
            if piece is None:
                yield None
            elif piece.key in failures or piece.key in store.records:
                done(piece)
            else:
                running.append(piece)
                yield _job(piece, models)
        for piece in queue.refused:
            if piece.key in store.records:
                tick(1)

    def on_end(index: int, ended: Ended) -> None:
        piece = running[index]
        if ended.stopped_by == "interrupt":
            return
        if ended.error is not None:
            failures[piece.key] = ended.error
        else:
            store.append(turn(piece, ended))
        done(piece)

    run(
        jobs(),
        models.roles,
        on_end,
        shared.record if shared else None,
        shared.recall if shared else None,
        window=size if share else most,
    )


class LocalExecutor:
    """The models in this process. What runs them elsewhere (``ray_executor.py``) looks the same."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.labels = models.labels
        """What the models are called, by role."""
        self.aggregate: Any = aggregate_of(models.roles.get("verifier"))
        """How the verifier wants its step scores aggregated, or None."""

    def work(self, store: Store[Any], turn: Turn, share: bool) -> Work:
        """What runs pieces and stores the records that ``turn`` makes of them."""
        return partial(run_claimed, self._models, store, turn, share, MOST_TOGETHER)


def together(pieces: Sequence[Piece], most: int = MOST_TOGETHER) -> int:
    """How many questions are worked on at once."""
    questions = len({piece.owner for piece in pieces})
    return max(1, min(questions, max(LEAST_TOGETHER, min(most, questions // PARTS))))


class _ClaimQueue:
    """The questions that this process works on: claimed from the first piece to the last, ``size`` at once."""

    def __init__(self, pieces: Sequence[Piece], store: Store[Any], size: int, one_at_a_time: bool) -> None:
        self._store, self._size, self._alone = store, size, one_at_a_time
        self._waiting: dict[str, deque[Piece]] = {}
        for piece in pieces:
            self._waiting.setdefault(piece.owner, deque()).append(piece)
        for owner, own in self._waiting.items():
            self._waiting[owner] = deque(sorted(own, key=lambda piece: -piece.budget))
        self._open: dict[str, deque[Piece]] = {}
        self._running: Counter[str] = Counter()
        self._ready: deque[str] = deque()
        self.refused: list[Piece] = []
        """Pieces of questions that somebody else is at."""

    @property
    def empty(self) -> bool:
        """Whether every piece has been handed out or refused."""
        return not self._waiting and not any(self._open.values())

    def next(self) -> Piece | None:
        """A piece to work on; None when one that is out has to come back first."""
        while not self._ready:
            if len(self._open) >= self._size or not self._waiting:
                return None
            owner = next(iter(self._waiting))
            own = self._waiting.pop(owner)
            if self._store.claim(owner):
                self._open[owner] = own
                self._ready.append(owner)
            else:
                self.refused += own
                if self.empty:
                    return None
        owner = self._ready.popleft()
        piece = self._open[owner].popleft()
        self._running[owner] += 1
        if self._open[owner] and not self._alone:
            self._ready.append(owner)
        return piece

    def ended(self, piece: Piece) -> None:
        """The piece is done with; with the last of its question, the claim is given up."""
        owner = piece.owner
        self._running[owner] -= 1
        if self._open[owner]:
            if self._alone:
                self._ready.append(owner)
        elif self._running[owner] == 0:
            del self._open[owner], self._running[owner]
            self._store.release(owner)


def _job(piece: Piece, models: Models) -> Job:
    error: Exception | None = None
    question = piece.problem.question
    try:
        asked = models.question(piece.problem.id, piece.problem.prompt)
        question = Question(asked.id, asked.prompt, piece.problem.answers)
    except ValueError as refusal:
        error = refusal
    root = Candidate(question, Key(piece.path))
    search = None
    try:
        search = piece.strategy.search(root, piece.budget)
    except Exception as failure:
        error = error or blame_strategy(failure, question)
    return Job(root, search, None, error, piece.budget)


class _Shared:
    """Replies of the questions being worked on, forgotten with the last piece of their question."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._left = Counter(piece.path[:2] for piece in pieces)
        self._replies: dict[tuple[str | int, ...], dict[Address, Reply]] = {}

    def recall(self, request: Request) -> Reply | None:
        if isinstance(request, Sample | Revise) and request.race is not None:
            return None  # the whole draw costs more than a race pays for one that it stops
        known = self._replies.get(request.key.path[:2])
        return known.get(address(request)) if known else None

    def record(self, question: Question, request: Request, reply: Reply) -> None:
        if self._left[request.key.path[:2]] > 1:
            self._replies.setdefault(request.key.path[:2], {})[address(request)] = reply

    def forget(self, piece: Piece) -> None:
        owner = piece.path[:2]
        self._left[owner] -= 1
        if self._left[owner] <= 0:
            self._replies.pop(owner, None)


@contextmanager
def _shown(total: int, progress: ShowProgress, unit: str) -> Iterator[Callable[[int], object]]:
    """What to call with how many more are done."""
    from tqdm import tqdm

    if not callable(progress):
        # disable=None: no bar where the output is not a terminal.
        disable = None if progress and sys.stderr is not None else True
        with tqdm(total=total, unit=unit, disable=disable, smoothing=0.05) as bar:
            yield bar.update
        return
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    yield tick
