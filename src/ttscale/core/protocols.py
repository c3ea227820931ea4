"""The protocols a model must speak. A plain object with the method is enough; nothing here is inherited.

A role is synchronous (called with a batch, from as many questions as are ready) or asynchronous (awaited with one
question's requests at a time, many at once). Replies come in the order of the requests. A role may carry two optional
attributes: ``name`` (what traces and errors call it) and ``worker`` (any hashable: roles with the same worker share a
device and are never run at the same time).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from ttscale.core.requests import Completion, Reply, Request, Revise, Sample, Score, Search, Verdict
from ttscale.core.types import Candidate, Outcome

Role: TypeAlias = Literal["generator", "verifier", "reviser"]

ROLE_OF: dict[type, Role] = {Sample: "generator", Revise: "reviser", Score: "verifier"}
METHOD_OF: dict[Role, str] = {"generator": "sample", "verifier": "score", "reviser": "revise"}


@runtime_checkable
class Generator(Protocol):
    """Continues prefixes."""

    def sample(self, requests: Sequence[Sample], /) -> Sequence[Completion]: ...


@runtime_checkable
class Verifier(Protocol):
    """Judges candidates. It must raise when it cannot; a failure is never a score of 0."""

    def score(self, requests: Sequence[Score], /) -> Sequence[Verdict]: ...


@runtime_checkable
class Reviser(Protocol):
    """Writes a new attempt after seeing earlier ones."""

    def revise(self, requests: Sequence[Revise], /) -> Sequence[Completion]: ...


@runtime_checkable
class AsyncGenerator(Protocol):
    async def sample(self, requests: Sequence[Sample], /) -> Sequence[Completion]: ...


@runtime_checkable
class AsyncVerifier(Protocol):
    async def score(self, requests: Sequence[Score], /) -> Sequence[Verdict]: ...


@runtime_checkable
class AsyncReviser(Protocol):
    async def revise(self, requests: Sequence[Revise], /) -> Sequence[Completion]: ...


AnyGenerator: TypeAlias = Generator | AsyncGenerator
AnyVerifier: TypeAlias = Verifier | AsyncVerifier
AnyReviser: TypeAlias = Reviser | AsyncReviser


class Session(Protocol):
    """Work in progress on a device: requests enter and replies leave at any time (continuous batching).

    A synchronous role may offer ``session() -> Session`` beside its batch method. The driver then admits requests as
    they come and calls ``step`` as long as ``active`` is true, so that no question waits for another's slowest row.
    """

    @property
    def active(self) -> bool:
        """Whether any admitted request has not been answered yet."""

    def admit(self, requests: Sequence[tuple[int, Any]], /) -> None:
        """Take in (ticket, request) pairs."""

    def step(self) -> Sequence[tuple[int, Reply | Exception]]:
        """Do one unit of work; return (ticket, reply) for whatever is finished, an exception where one failed."""


@runtime_checkable
class Strategy(Protocol):
    """Decides what to ask for next. Pure: no I/O, clock, global random state, threads or ``await`` (law 1).

    Optional attributes: ``needs`` (a frozenset of roles, checked before any token is spent) and
    ``for_roles(roles) -> Strategy`` (the same strategy fitted to the roles at hand).
    """

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]: ...


def role_of(request: Request) -> Role:
    """Which role answers this request."""
    return ROLE_OF[type(request)]
