"""What a model and a strategy must offer, and what they may. A plain object with the method is enough.

A role is synchronous (called with a batch, from as many questions as are ready) or asynchronous (awaited with one
question's requests at a time, many at once). Replies come in the order of the requests. What a role or a strategy may
offer beside its method stands in ``RoleOptions`` and ``StrategyOptions``, with the default of each; the functions at
the end of this file are all that reads them. Over 300 lines, so that a plugin author reads one file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from ttscale.core.cost import Cost
from ttscale.core.requests import (
    Compare,
    Completion,
    Preference,
    Reply,
    Request,
    Revise,
    Sample,
    Score,
    Search,
    Verdict,
)
from ttscale.core.selection import Aggregate
from ttscale.core.types import Candidate, Outcome

Role: TypeAlias = Literal["generator", "verifier", "reviser", "comparator"]

ROLE_OF: dict[type, Role] = {Sample: "generator", Revise: "reviser", Score: "verifier", Compare: "comparator"}
METHOD_OF: dict[Role, str] = {"generator": "sample", "verifier": "score", "reviser": "revise", "comparator": "compare"}


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
class Comparator(Protocol):
    """Says which of several candidates is the best."""

    def compare(self, requests: Sequence[Compare], /) -> Sequence[Preference]: ...


@runtime_checkable
class AsyncGenerator(Protocol):
    """The same as ``Generator``, with an ``async`` method."""

    async def sample(self, requests: Sequence[Sample], /) -> Sequence[Completion]: ...


@runtime_checkable
class AsyncVerifier(Protocol):
    """The same as ``Verifier``, with an ``async`` method."""

    async def score(self, requests: Sequence[Score], /) -> Sequence[Verdict]: ...


@runtime_checkable
class AsyncReviser(Protocol):
    """The same as ``Reviser``, with an ``async`` method."""

    async def revise(self, requests: Sequence[Revise], /) -> Sequence[Completion]: ...


@runtime_checkable
class AsyncComparator(Protocol):
    """The same as ``Comparator``, with an ``async`` method."""

    async def compare(self, requests: Sequence[Compare], /) -> Sequence[Preference]: ...


AnyGenerator: TypeAlias = Generator | AsyncGenerator
AnyVerifier: TypeAlias = Verifier | AsyncVerifier
AnyReviser: TypeAlias = Reviser | AsyncReviser
AnyComparator: TypeAlias = Comparator | AsyncComparator


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


class RoleOptions(Protocol):
    """What a generator, verifier or reviser may offer. One that leaves an attribute out has the default given here."""

    name: str = ""
    """What traces, errors and resume files call it. By default its class."""
    worker: Hashable | None = None
    """Roles with an equal worker share a device and never run at the same time. None: it has a worker of its own."""
    max_batch: int | None = None
    """The most requests that its method takes at once. None: any number. A session takes what comes."""
    session: Callable[[], Session] | None = None
    """Opens a ``Session``, for a synchronous role that can take requests while it works. None: it has only batches."""
    members: Sequence[object] = ()
    """The roles that it wraps, so that resume files can tell apart what is made of different ones."""
    weights: Sequence[str] = ()
    """The checkpoints it runs, as paths or ids. Resume files tell local folders apart by a hash of their files."""
    sampling: Mapping[str, object] = MappingProxyType({})
    """Its settings that are not the usual ones, which resume files keep apart as well."""
    live: Callable[[], int] | None = None
    """Tokens sampled so far by draws that have not been answered, for progress; called from another thread."""


class GeneratorOptions(RoleOptions, Protocol):
    """What a generator may offer beside the options of every role."""

    continues: bool = True
    """Whether it can go on with a begun solution. The default strategies use no step search where it cannot."""


@runtime_checkable
class ChoosesFirstToken(Protocol):
    """A generator that knows how likely its reply begins with each of a few words, for judges."""

    def choose(
        self, requests: Sequence[Sample], options: Sequence[str], /
    ) -> Sequence[tuple[tuple[float, ...], Cost]] | None:
        """Per request the probability of each option and the cost; None where the options cannot be told apart."""


class VerifierOptions(RoleOptions, Protocol):
    """What a verifier may offer beside the options of every role."""

    aggregate: Aggregate | None = None
    """How its step scores become one. Strategies that are named, not made, use it. None: it does not say."""
    whole_only: bool = False
    """Whether it judges whole solutions only. The default strategies never ask it about a begun one."""


@runtime_checkable
class BoundedSession(Session, Protocol):
    """A session that can stop a draw which has lost a race."""

    def bound(self, ticket: int, tokens: int, /) -> None:
        """Stop the draw of this ticket once it has sampled more than ``tokens``; it is answered as cut off."""


class ClosableSession(Session, Protocol):
    """A session that can give up what is still running."""

    def close(self) -> None:
        """Give up what is still running and let go of what it holds."""


@runtime_checkable
class Strategy(Protocol):
    """Decides what to ask for next. Pure: no I/O, clock, global random state, threads or ``await`` (law 1)."""

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]: ...


class StrategyOptions(Protocol):
    """What a strategy may offer. One that leaves an attribute out has the default given here."""

    needs: frozenset[Role] | None = None
    """The roles that it asks: without one of them it is refused before any token is spent. None: any at hand."""
    grows: bool = False
    """Whether N solutions are the first N of more, drawn under the same keys, so that a search can be gone on with by
    a larger budget. ``solve_all(total_budget=...)`` needs it."""
    aggregate: Aggregate | None = None
    """How it makes one score of a verifier's step scores, also where its search is cut short. None: the last one."""
    for_roles: Callable[[frozenset[Role]], Strategy] | None = None
    """Returns the same strategy fitted to the roles at hand. None: it is the same for all."""


def role_of(request: Request) -> Role:
    """Which role answers this request."""
    return ROLE_OF[type(request)]


def is_async(*methods: Callable[..., Any]) -> bool:
    """Whether any of these must be awaited: an ``async def``, or an object whose call is one."""
    return any(inspect.iscoroutinefunction(m) or inspect.iscoroutinefunction(type(m).__call__) for m in methods)


def name_of(role: object) -> str:
    """What traces, errors and resume files call a role."""
    return str(getattr(role, "name", RoleOptions.name) or type(role).__name__)


def shared_worker(role: object) -> Hashable | None:
    """The worker that a role names, to share it with others; None where it has one of its own."""
    worker: Hashable | None = getattr(role, "worker", RoleOptions.worker)
    return worker


def worker_of(role: object) -> Hashable:
    """The worker of a role: the one that it names, else the object itself by its ``id``."""
    worker = shared_worker(role)
    return id(role) if worker is None else worker


def max_batch_of(role: object) -> Any:
    """The most requests that a role takes at once, as its author wrote it."""
    return getattr(role, "max_batch", RoleOptions.max_batch)


def session_of(role: object) -> Callable[[], Session] | None:
    """What opens a session of a role, or None."""
    opens: Callable[[], Session] | None = getattr(role, "session", RoleOptions.session)
    return opens


def run_all(session: ClosableSession, requests: Sequence[Any]) -> list[Any]:
    """Answer a batch through a session of its own; the first request that cannot be served raises."""
    replies: dict[int, Reply | Exception] = {}
    try:
        session.admit(list(enumerate(requests)))
        while session.active:
            replies.update(session.step())
    finally:
        session.close()
    for index in range(len(requests)):
        reply = replies[index]
        if isinstance(reply, Exception):
            raise reply
    return [replies[index] for index in range(len(requests))]


def live_tokens(roles: Iterable[object]) -> int:
    """The tokens that roles have sampled in draws which they have not answered yet."""
    counts = [getattr(role, "live", RoleOptions.live) for role in roles]
    return sum(count() for count in counts if count is not None)


def members_of(role: object) -> Sequence[object]:
    """The roles that a role wraps."""
    return tuple(getattr(role, "members", RoleOptions.members) or ())


def weights_of(role: object) -> Sequence[str]:
    """The checkpoints that a role runs."""
    return tuple(getattr(role, "weights", RoleOptions.weights) or ())


def sampling_of(role: object) -> Mapping[str, object]:
    """The settings of a role that are not its usual ones."""
    settings = getattr(role, "sampling", RoleOptions.sampling)
    return settings if isinstance(settings, Mapping) else {}


def continues(generator: object) -> bool:
    """Whether a generator can go on with a begun solution."""
    return bool(getattr(generator, "continues", GeneratorOptions.continues))


def whole_only(verifier: object) -> bool:
    """Whether a verifier judges whole solutions only."""
    return bool(getattr(verifier, "whole_only", VerifierOptions.whole_only))


def aggregate_of(owner: object) -> Aggregate | None:
    """How a verifier wants its step scores aggregated, or a strategy aggregates them; None where it does not say."""
    how: Aggregate | None = getattr(owner, "aggregate", VerifierOptions.aggregate)
    return how


def needs_of(strategy: object, at_hand: Iterable[Role]) -> frozenset[Role]:
    """The roles that a strategy asks; one that does not say may ask any at hand."""
    needs = joined_needs([strategy])
    return frozenset(at_hand) if needs is None else needs


def joined_needs(strategies: Iterable[object]) -> frozenset[Role] | None:
    """The roles that any of these strategies asks; None where one of them does not say."""
    joined: frozenset[Role] = frozenset()
    for strategy in strategies:
        needs: frozenset[Role] | None = getattr(strategy, "needs", StrategyOptions.needs)
        if needs is None:
            return None
        joined |= needs
    return joined


def grows(strategy: object) -> bool:
    """Whether more solutions can be added to those that a strategy has drawn."""
    return bool(getattr(strategy, "grows", StrategyOptions.grows))


def fits_roles(strategy: object) -> bool:
    """Whether a strategy fits itself to the roles at hand."""
    return getattr(strategy, "for_roles", StrategyOptions.for_roles) is not None


def fitted_to(strategy: Strategy, roles: Iterable[Role]) -> Strategy:
    """The strategy fitted to the roles at hand."""
    fit: Callable[[frozenset[Role]], Strategy] | None = getattr(strategy, "for_roles", StrategyOptions.for_roles)
    return strategy if fit is None else fit(frozenset(roles))
