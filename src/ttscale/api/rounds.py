"""Calls that add to what those before have drawn: rounds over one trace, and what is there when they are interrupted.

Must not know what decides how much a round draws.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeAlias

from ttscale.api.result import Result, not_begun
from ttscale.core.trace import Event, Trace, read_events
from ttscale.core.types import Question

Round: TypeAlias = Callable[[list[Question], int, Path], list[Result]]


@dataclass(frozen=True, slots=True)
class KeptTrace(Trace):
    """A trace whose file is gone; its events are in memory."""

    kept: tuple[Event, ...] = ()

    def events(self) -> Iterator[Event]:
        """Every event as plain JSON data, of all rounds."""
        yield from self.kept


class Rounds:
    """Use as a context manager. ``solve(questions, n, trace)`` makes a round, which draws what ``trace`` does not hold.

    ``resume`` is the trace; with None it is a file that is deleted in the end, and results keep their events.
    """

    def __init__(self, resume: str | Path | None, solve: Round) -> None:
        self._solve, self._resume = solve, resume
        self._found: dict[Question, Result] = {}

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._trace = Path(self._folder.name) / "rounds.jsonl" if self._resume is None else Path(self._resume)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def solve(self, questions: list[Question], n: int) -> list[Result]:
        """The results of a round with ``n`` solutions each; ``KeyboardInterrupt`` if Ctrl-C cut it short."""
        found = self._solve(questions, n, self._trace)
        for question, result in zip(questions, found, strict=True):
            before = self._found.get(question)
            if result.stopped_by == "interrupt" and before and len(before.candidates) >= len(result.candidates):
                result = replace(before, stopped_by="interrupt")
            self._found[question] = result
        if any(result.stopped_by == "interrupt" for result in found):
            raise KeyboardInterrupt
        return found

    def results(self, questions: Sequence[Question]) -> list[Result]:
        """The last result of each question, to be read before the trace goes; empty for one that had no round."""
        found = [self._found.get(question) or not_begun(question, stopped_by="interrupt") for question in questions]
        if self._resume is not None or not self._trace.exists():
            return found
        events: dict[str, list[Event]] = defaultdict(list)
        for event in read_events(self._trace):
            events[event.get("question", "")].append(event)
        return [
            replace(result, trace=KeptTrace(result.question, kept=tuple(events[result.question.id])))
            for result in found
        ]
