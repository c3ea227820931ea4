"""Scripted roles: a generator, a verifier, a reviser and a comparator that say what the test tells them to.

A script is a list with a line for each request in the order they arrive, a function of the request, or a single line
said every time. A line that is an exception is the reply to its own request alone. Knows requests and replies; nothing
of strategies or engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeAlias, TypeVar

from ttscale.core.cost import Cost
from ttscale.core.requests import Compare, Completion, Preference, Revise, Sample, Score, Verdict
from ttscale.core.types import Step

ScriptLine: TypeAlias = str | Completion | Exception
"""What a fake generator or reviser says: a text of one step per line, a whole completion, or an error."""
Mark: TypeAlias = float | Sequence[float] | Verdict | Exception
"""What a fake verifier says: one score, one per step, a whole verdict, or an error."""
ScriptChoice: TypeAlias = int | tuple[float, ...] | Preference | Exception
"""What a fake comparator says: the index of the best, a weight for each, a whole preference, or an error."""

R = TypeVar("R", Sample, Revise, Score, Compare)
L = TypeVar("L")


def steps_of(text: str) -> tuple[Step, ...]:
    """A text as steps, one per line, each with its newline; the tokens are the bytes."""
    return tuple(Step(line, tuple(line.encode())) for line in text.splitlines(keepends=True))


def completion_of(text: str, max_steps: int | None = None) -> Completion:
    """A text as the reply of a model that was about to say all of it and was asked for at most ``max_steps`` lines."""
    steps = steps_of(text)
    whole = max_steps is None or len(steps) <= max_steps
    kept = steps if whole else steps[:max_steps]
    # A model that ends a solution draws one token more, its end-of-sequence.
    tokens = sum(len(step.tokens) for step in kept) + whole
    return Completion(kept, "stop" if whole else "open", Cost(sampled_tokens=tokens))


class _Scripted(Generic[R, L]):
    """A role that says what its script says, and records what it was asked."""

    def __init__(self, script: Sequence[L] | Callable[[R], L] | L, *, name: str = "fake") -> None:
        self.name = name
        self.requests: list[R] = []
        self.batches: list[int] = []
        self._script: Any = script
        self._said = 0

    def _lines(self, requests: Sequence[R]) -> list[Any]:
        self.requests += requests
        self.batches.append(len(requests))
        return [self._line(request) for request in requests]

    def _line(self, request: R) -> Any:
        script = self._script
        if callable(script):
            return script(request)
        if not isinstance(script, Sequence) or isinstance(script, str):
            return script
        if self._said == len(script):
            raise AssertionError(
                f"the script has {len(script)} lines and was asked for one more, at key {request.key}; "
                "give it more lines, or a function of the request"
            )
        self._said += 1
        return script[self._said - 1]


class FakeGenerator(_Scripted[Sample, ScriptLine]):
    """Says what ``script`` says: texts (one step per line), ``Completion``s or exceptions.

    A text is a whole solution: a request that continues a beginning of it gets the rest, and one with ``max_steps`` no
    more than so many lines. ``requests`` and ``batches`` (sizes) record what was asked. Steps have the ``confidence``
    that a request with a ``window`` asks for; None: it records none.
    """

    def __init__(
        self,
        script: Sequence[ScriptLine] | Callable[[Sample], ScriptLine] | ScriptLine,
        *,
        name: str = "fake",
        confidence: float | None = None,
    ) -> None:
        super().__init__(script, name=name)
        self._confidence = confidence

    def sample(self, requests: Sequence[Sample], /) -> list[Completion | Exception]:
        """The next line of the script for each request."""
        lines = self._lines(requests)
        return [
            self._sure(request, _completion(line, request.max_steps, request.prefix.text))
            for request, line in zip(requests, lines, strict=True)
        ]

    def _sure(self, request: Sample, reply: Completion | Exception) -> Completion | Exception:
        if request.window is None or self._confidence is None or isinstance(reply, Exception):
            return reply
        sure = self._confidence
        return replace(reply, steps=tuple(replace(step, tail=sure, lowest=sure) for step in reply.steps))


class FakeReviser(_Scripted[Revise, ScriptLine]):
    """Says what ``script`` says: texts (one step per line), ``Completion``s or exceptions. Records as the others do."""

    def revise(self, requests: Sequence[Revise], /) -> list[Completion | Exception]:
        """The next line of the script for each request."""
        return [_completion(line) for line in self._lines(requests)]


class FakeVerifier(_Scripted[Score, Mark]):
    """Scores as ``script`` says: numbers, a number per step, ``Verdict``s or exceptions. Records as the others do."""

    def score(self, requests: Sequence[Score], /) -> list[Verdict | Exception]:
        """The next line of the script for each request."""
        return [_verdict(line) for line in self._lines(requests)]


class FakeComparator(_Scripted[Compare, ScriptChoice]):
    """Prefers what ``script`` says: an index, weights that add up to 1, ``Preference``s or exceptions."""

    def compare(self, requests: Sequence[Compare], /) -> list[Preference | Exception]:
        """The next line of the script for each request."""
        lines = self._lines(requests)
        return [_preference(line, len(request.candidates)) for request, line in zip(requests, lines, strict=True)]


def _completion(line: ScriptLine, max_steps: int | None = None, begun: str = "") -> Completion | Exception:
    return completion_of(line.removeprefix(begun), max_steps) if isinstance(line, str) else line


def _verdict(mark: Mark) -> Verdict | Exception:
    if isinstance(mark, Verdict | Exception):
        return mark
    return Verdict(tuple(mark) if isinstance(mark, Sequence) else (mark,))


def _preference(choice: ScriptChoice, candidates: int) -> Preference | Exception:
    if isinstance(choice, int):
        return Preference(tuple(float(i == choice) for i in range(candidates)))
    return Preference(choice) if isinstance(choice, tuple) else choice
