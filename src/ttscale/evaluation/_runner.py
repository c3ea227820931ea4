"""Runs pieces of work, each the search of one question, and stores what comes out.

Knows the engine, claims, progress. Must not know what is measured. Pieces of one question that ask for the same draw
(best-of-16 and best-of-64 begin alike, by law 2) share one model call: a reply depends on its request and the model
only, and it brings its own cost, so a record says what its strategy costs on its own. Processes that share a file
therefore claim whole questions: with one piece here and one there, both would draw the same.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ttscale._errors import TtscaleError
from ttscale._requests import Reply, Request
from ttscale._roles import Strategy
from ttscale._types import Candidate, Key, Question
from ttscale.engine._core import Ended
from ttscale.engine._drive import Job, run
from ttscale.engine._trace import Address, address
from ttscale.evaluation._models import Models
from ttscale.evaluation._problems import Gold
from ttscale.evaluation._store import Store

TOGETHER = 48
"""Questions worked on at once: enough to fill a batch, few enough that their shared replies fit in memory."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One search to run: its key in the store, its question and where in the tree of draws it starts."""

    key: str
    gold: Gold
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


@dataclass(slots=True)
class Failures:
    """Pieces that failed, by key. They are not stored, so another run tries them again."""

    errors: dict[str, Exception] = field(default_factory=dict)

    def check(self, what: str) -> None:
        """Raise a ``TtscaleError`` that names the first failure, if there is any."""
        if self.errors:
            key, error = next(iter(self.errors.items()))
            raise TtscaleError(
                f"{len(self.errors)} {what} failed; the first, {key}: {type(error).__name__}: {error}. Everything else "
                "is stored; a second run tries only these again"
            ) from error


Turn = Callable[[Piece, Ended], Mapping[str, Any]]
Work = Callable[[Sequence[Piece], Failures, Any], None]
"""Runs those of the pieces that nobody else is at, and stores them; ticks the progress bar."""


Progress = bool | Callable[[int, int], None]
"""Whether to show a bar where standard error is a terminal; or what to call with how many are done, of how many."""


def run_pieces(pieces: Sequence[Piece], store: Store[Any], work: Work, *, progress: Progress, unit: str) -> Failures:
    """Have every piece done that the store lacks.

    Returns when every piece is in the store (some by other processes) or has failed. Ctrl-C is raised again; what was
    finished is stored.
    """
    failures = Failures()
    left = [piece for piece in pieces if piece.key not in store.records]
    with _bar(len(pieces), progress, unit) as bar:
        bar.update(len(pieces) - len(left))
        while left:
            work(left, failures, bar)
            left = [piece for piece in left if piece.key not in store.records and piece.key not in failures.errors]
            # What is left is being worked on by others: wait for one of them to finish, or to die.
            if left and store.claim(left[0].owner, wait=True):
                store.release(left[0].owner)
            store.refresh()
            bar.update(sum(piece.key in store.records for piece in left))
            left = [piece for piece in left if piece.key not in store.records]
    return failures


def local_work(models: Models, store: Store[Any], turn: Turn, *, share: bool) -> Work:
    """Work in this process; ``turn`` makes the record of what came out."""
    return lambda pieces, failures, bar: run_claimed(pieces, models, store, turn, failures, bar, share)


def run_claimed(
    pieces: Sequence[Piece],
    models: Models,
    store: Store[Any],
    turn: Turn,
    failures: Failures,
    bar: Any,
    share: bool,
) -> None:
    """Run the pieces of those questions that nobody else is at."""
    running: dict[int, Piece] = {}
    shared = _Shared(pieces) if share else None
    claims = Claims(store, pieces)

    def jobs() -> Iterator[Job]:
        for index, piece in enumerate(pieces):
            running[index] = piece
            if piece.key in failures.errors or not claims.take(piece):
                if piece.key in store.records:
                    bar.update()
                running.pop(index)
                claims.done(piece)
                if shared:
                    shared.forget(piece)
                yield SKIP
                continue
            yield _job(piece, models)

    def on_end(index: int, ended: Ended) -> None:
        piece = running.pop(index, None)
        if piece is None or ended.stopped_by == "interrupt":
            return
        if ended.error is not None:
            failures.errors[piece.key] = ended.error
        else:
            store.append(turn(piece, ended))
        claims.done(piece)
        if shared:
            shared.forget(piece)
        bar.update()

    run(
        jobs(),
        models.roles,
        on_end,
        shared.record if shared else None,
        shared.recall if shared else None,
        # One piece of a question at a time, so that the next finds its draws.
        window=min(TOGETHER, len({piece.path[:2] for piece in pieces})) if share else TOGETHER,
    )


class Claims:
    """The questions that this process works on: each from its first piece to the last."""

    def __init__(self, store: Store[Any], pieces: Sequence[Piece]) -> None:
        self._store = store
        self._left = Counter(piece.owner for piece in pieces)
        self._taken: dict[str, bool] = {}

    def take(self, piece: Piece) -> bool:
        """Whether this process may work on the piece: the question is its own, and the piece is not done yet."""
        if piece.owner not in self._taken:
            self._taken[piece.owner] = self._store.claim(piece.owner)
        return self._taken[piece.owner] and piece.key not in self._store.records

    def done(self, piece: Piece) -> None:
        """The piece needs no more work here; with the last of its question, the claim is given up."""
        self._left[piece.owner] -= 1
        if self._left[piece.owner] == 0 and self._taken.pop(piece.owner, False):
            self._store.release(piece.owner)


def in_blocks(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces ordered so that those of one question come near each other, but not at the same time.

    Blocks of ``TOGETHER`` questions; inside a block all questions get their first piece, then their second, and so on.
    The largest budget of a strategy goes first, so that the smaller ones find its draws.
    """
    by_question: dict[tuple[str | int, ...], list[Piece]] = {}
    for piece in pieces:
        by_question.setdefault(piece.path[:2], []).append(piece)
    lists = [sorted(own, key=lambda piece: -piece.budget) for own in by_question.values()]
    ordered = []
    for begin in range(0, len(lists), TOGETHER):
        block = lists[begin : begin + TOGETHER]
        for place in range(max(map(len, block))):
            ordered += [own[place] for own in block if place < len(own)]
    return ordered


SKIP = Job(Candidate(Question("", ""), Key(())), iter(()), error=TtscaleError("skipped"))  # type: ignore[arg-type]
"""Stands for a piece that somebody else is at; ends at once and is never reported."""


def _job(piece: Piece, models: Models) -> Job:
    error: Exception | None = None
    question = Question(piece.gold.id, piece.gold.prompt)
    try:
        question = models.question(piece.gold.id, piece.gold.prompt)
    except ValueError as refusal:
        error = refusal
    root = Candidate(question, Key(piece.path))
    return Job(root, piece.strategy.search(root, piece.budget), None, error)


class _Shared:
    """Replies of the questions being worked on, forgotten with the last piece of their question."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._left = Counter(piece.path[:2] for piece in pieces)
        self._replies: dict[tuple[str | int, ...], dict[Address, Reply]] = {}

    def recall(self, request: Request) -> Reply | None:
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


class _Told:
    """A progress bar that calls a function instead of drawing."""

    def __init__(self, total: int, tell: Callable[[int, int], None]) -> None:
        self._total, self._tell, self._done = total, tell, 0

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int = 1) -> None:
        self._done += count
        self._tell(self._done, self._total)


def _bar(total: int, progress: Progress, unit: str) -> Any:
    from tqdm import tqdm

    if callable(progress):
        return _Told(total, progress)
    # disable=None: no bar where the output is not a terminal.
    return tqdm(total=total, unit=unit, disable=None if progress and sys.stderr is not None else True, smoothing=0.05)
