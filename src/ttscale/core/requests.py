"""What a strategy may ask for and what it gets back.

One request is one unit of work: n samples are n requests (law 3). Requests are frozen and hashable, so a trace of them
is a cache and a checkpoint. A reply depends on its request and the model, never on its neighbours (law 4).
"""

from __future__ import annotations

import math
from collections.abc import Generator as PyGenerator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, final, overload, runtime_checkable

from ttscale.core.cost import FREE, Cost
from ttscale.core.types import Candidate, Finish, Key, Question, Step, tokens_drawn


@dataclass(frozen=True, slots=True)
class Sample:
    """Continue ``prefix`` by at most ``max_steps`` steps (None: to the end), with noise from ``key``.

    ``temperature`` None leaves the generator's own; 0 is greedy. With a ``window``, in tokens, the steps keep the
    draw's confidence over such windows. Windows do not reach back into the prefix. A draw whose last whole window is
    less confident than ``stop_below`` is cut off there. A draw that has sampled ``max_tokens`` is cut off too;
    strategies leave that to the engine, which sets it under a ``Limit``. ``race`` is the engine's as well: it marks the
    draw that a trace remembers as cut off because it lost that race. No role sees it.
    """

    prefix: Candidate
    key: Key
    max_steps: int | None = None
    temperature: float | None = None
    window: int | None = None
    stop_below: float | None = None
    max_tokens: int | None = None
    race: str | None = None

    @property
    def question(self) -> Question:
        return self.prefix.question


def is_temperature(value: Any) -> bool:
    """Whether this is a finite number of at least 0, or None for the model's own."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf)


def check_temperature(value: Any) -> None:
    """``ValueError`` unless this is a temperature."""
    if not is_temperature(value):
        raise ValueError(f"temperature must be a finite number of at least 0, or None; got {value!r}")


@dataclass(frozen=True, slots=True)
class Revise:
    """Write a new whole solution after seeing ``attempts``, oldest first, with noise from ``key``.

    At least one attempt must be given. The root candidate (no steps) stands for "no attempt yet": ``Revise((root,),
    key)`` asks the reviser for a first attempt. ``max_tokens`` and ``race``: as in ``Sample``.
    """

    attempts: tuple[Candidate, ...]
    key: Key
    max_tokens: int | None = None
    race: str | None = None

    @property
    def question(self) -> Question:
        return self.attempts[0].question


@dataclass(frozen=True, slots=True)
class Score:
    """Judge ``candidate``: one score for every step of it (a PRM), or one for all of it (an ORM)."""

    candidate: Candidate

    @property
    def key(self) -> Key:
        return self.candidate.key

    @property
    def question(self) -> Question:
        return self.candidate.question


@dataclass(frozen=True, slots=True)
class Compare:
    """Say which of ``candidates``, 2 or more and all of one question, is the best, with noise from ``key``."""

    candidates: tuple[Candidate, ...]
    key: Key

    @property
    def question(self) -> Question:
        return self.candidates[0].question


@dataclass(frozen=True, slots=True)
class Completion:
    """The reply to ``Sample`` and ``Revise``: the new steps only, and how they ended.

    ``finish`` is "open" when ``max_steps`` steps were written and the model had not ended, "stop" when it had,
    "length" when the context or the token limit cut it off.
    """

    steps: tuple[Step, ...]
    finish: Finish
    cost: Cost = FREE


def length_of(reply: Completion) -> int:
    """The tokens that a draw sampled, its end of sequence among them; those of its steps where nobody counted."""
    return reply.cost.sampled_tokens or tokens_drawn(reply.steps)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The reply to ``Score``: probabilities in [0, 1], one per step of the candidate (PRM) or a single one (ORM).

    A candidate that cannot be judged may be left without a score: ``step_scores`` is empty then, and ``unscored`` says
    why. It competes without one and never wins against one that has a score. Where none has, a majority vote decides.
    """

    step_scores: tuple[float, ...]
    cost: Cost = FREE
    unscored: str | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    """The reply to ``Compare``: for each candidate the probability that it is the best; they add up to 1."""

    weights: tuple[float, ...]
    cost: Cost = FREE


Request: TypeAlias = Sample | Revise | Score | Compare
"""What a search may ask for."""
Reply: TypeAlias = Completion | Verdict | Preference
"""What it is sent: a completion for a draw, a verdict for a score, a preference for a comparison."""


def where(request: Request) -> str:
    """The question and the key of a request, as messages name them; of a ``Score`` the candidate's key."""
    return f"question {request.question.label}, {'candidate' if isinstance(request, Score) else 'key'} {request.key}"


@final  # so that asking for its type is enough, which takes a tenth of the time
@dataclass(frozen=True, slots=True)
class Race(Sequence[Request]):
    """A wave of draws of which only the ``first`` to finish count.

    First is who sampled fewest tokens until the end, never who ended first by the clock; of equal ones the lower
    key. A draw that was cut off at the length limit has not finished. The search is sent ``LOST`` for every other
    draw; where fewer finish than could win, it is sent all as they are. As soon as enough have finished, draws that
    have sampled more tokens than those are stopped, where the backend can; what they sampled is in the cost.
    """

    draws: tuple[Sample | Revise, ...]
    first: int

    def __init_subclass__(cls) -> None:
        raise TypeError(f"{cls.__name__} is based on Race, which the engine knows by its type alone: yield a Race")

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Request]: ...
    def __getitem__(self, index: int | slice) -> Request | Sequence[Request]:
        return self.draws[index]

    def __len__(self) -> int:
        return len(self.draws)


class FinishLine(Protocol):
    """What a role that runs the draws of a race in one call is told, and tells."""

    def lost(self, tokens: int, /) -> bool:
        """Whether a draw that has sampled so many tokens, and not ended, has lost and may be stopped."""

    def finished(self, reply: Completion, /) -> None:
        """Say that one of the draws has ended."""


@runtime_checkable
class RunsRaces(Protocol):
    """A generator or reviser that stops the draws that have lost a race, where it is awaited."""

    async def race(self, requests: Sequence[Any], line: FinishLine, /) -> Sequence[Completion]:
        """Answer the draws as its method would; those that have lost may be cut off. All that they sampled is in
        their cost, as far as it is known."""


LOST = Completion((), "length")
"""What a search is sent for a draw that lost a race."""

T = TypeVar("T")
Search: TypeAlias = PyGenerator[Sequence[Request], Sequence[Reply], T]
"""A search: yields a wave of requests, is sent their replies in the same order, returns its outcome."""
