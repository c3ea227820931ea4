"""The engine without the waiting: searches in, requests out, replies in, outcomes out (sans-I/O).

It knows queues, tickets and the ledger. It does not know models, batches, threads, files or the clock: drivers
(``_drive.py``) ask for requests with ``take``, answer with ``give`` or ``fail``, and collect ``ended``. An exception
from a strategy or a role ends its own question only. Any that escapes from a method here is a bug in ttscale.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ttscale._cost import Cost, Limit
from ttscale._errors import RoleError, StrategyError
from ttscale._requests import Completion, Reply, Request, Revise, Sample, Score, Search, Verdict
from ttscale._roles import METHOD_OF, ROLE_OF, Role
from ttscale._select import best_so_far
from ttscale._types import Candidate, Key, Outcome, Question

CUT_WAVES = 1000
"""Waves a strategy may go on asking after its token limit before it is ended; the longest of ours needs 256."""

Recall = Callable[[Request], Reply | None]
Record = Callable[[Question, Request, Reply], None]


class Ticket(NamedTuple):
    """One request out for work: which search, which place in its wave."""

    slot: int
    place: int
    request: Request


@dataclass(frozen=True, slots=True)
class Ended:
    """How a search ended. On an error or a limit the outcome is the best of what was finished by then."""

    outcome: Outcome = Outcome((), (), None)
    cost: Cost = Cost()
    error: Exception | None = None
    stopped_by: str | None = None


@dataclass(slots=True, eq=False)
class _Active:
    """One search in progress."""

    root: Candidate
    search: Search[Outcome]
    limit: Limit | None
    recall: Recall | None
    wave: Sequence[Request] = ()
    replies: list[Reply | None] = field(default_factory=list)
    missing: int = 0
    in_flight: int = 0
    held: deque[Ticket] = field(default_factory=deque)
    keys: set[Key] = field(default_factory=set)
    cost: Cost = Cost()
    dearest: Cost = Cost()
    finished: dict[Key, tuple[Candidate, float | None]] = field(default_factory=dict)
    stopped_by: str | None = None
    cut_waves: int = 0


class Engine:
    """Many searches at once, none waiting for another."""

    def __init__(self, roles: Iterable[Role], record: Record | None = None) -> None:
        self._roles = frozenset(roles)
        self._record = record
        self._queues: dict[Role, deque[Ticket]] = {role: deque() for role in METHOD_OF}
        self._active: dict[int, _Active] = {}
        self._ended: deque[tuple[int, Ended]] = deque()
        self._slots = 0

    # What goes in.

    def start(
        self, root: Candidate, search: Search[Outcome], limit: Limit | None = None, recall: Recall | None = None
    ) -> int:
        """Begin a search; returns the slot under which its end will be reported.

        ``recall`` answers requests from a trace, or returns None for those that need fresh work.
        """
        slot, self._slots = self._slots, self._slots + 1
        self._active[slot] = _Active(root, search, limit, recall)
        self._advance(slot, None)
        return slot

    def give(self, ticket: Ticket, reply: Reply) -> None:
        """Answer a ticket. A reply that breaks the protocol ends its question with a ``RoleError``."""
        active = self._active.get(ticket.slot)
        problem = _check_reply(ticket.request, reply)
        if problem:
            self.fail(ticket, RoleError(f"{problem} ({_where(ticket.request)})"))
            return
        if self._record:
            self._record(ticket.request.question, ticket.request, reply)
        if active is None:  # ended meanwhile; the reply is in the trace, a resumed run has it
            return
        active.in_flight -= 1
        self._enter(active, ticket, reply)
        self._release(ticket.slot, active)
        if active.missing == 0 and ticket.slot in self._active:
            self._advance(ticket.slot, _whole(active.replies))

    def fail(self, ticket: Ticket, error: Exception) -> None:
        """Say that a ticket cannot be answered: ends its question, and no other, with ``error``."""
        if ticket.slot in self._active:
            self._end(ticket.slot, None, error=error)

    def stop(self, slot: int, reason: str) -> None:
        """End a search now, with the best it has finished so far."""
        if slot in self._active:
            self._end(slot, None, stopped_by=reason)

    # What comes out.

    def pending(self, role: Role) -> int:
        """How many requests wait for ``role`` (some may be of searches that have ended)."""
        return len(self._queues[role])

    def take(self, role: Role) -> list[Ticket]:
        """All requests that wait for ``role``, oldest first."""
        queue = self._queues[role]
        tickets = [ticket for ticket in queue if ticket.slot in self._active]
        queue.clear()
        return tickets

    def ended(self) -> list[tuple[int, Ended]]:
        """The searches that have ended since the last call."""
        ended = list(self._ended)
        self._ended.clear()
        return ended

    @property
    def active(self) -> int:
        """How many searches are in progress."""
        return len(self._active)

    # Inside.

    def _advance(self, slot: int, replies: Sequence[Reply] | None) -> None:
        """Send replies to a search and queue its next wave; loops while a wave is answered without fresh work."""
        active = self._active[slot]
        while True:
            try:
                wave = next(active.search) if replies is None else active.search.send(replies)
            except StopIteration as stop:
                problem = _check_outcome(stop.value)
                error = StrategyError(f"{problem} (question {active.root.question.id!r})") if problem else None
                self._end(slot, None if problem else stop.value, error=error, stopped_by=active.stopped_by)
                return
            except Exception as error:
                self._end(slot, None, error=_blame_strategy(error, active.root.question))
                return
            problem = self._check_wave(active, wave)
            if problem:
                self._end(slot, None, error=StrategyError(f"{problem} (question {active.root.question.id!r})"))
                return
            active.wave, active.missing = wave, len(wave)
            active.replies = [None] * len(wave)
            for index, request in enumerate(wave):
                ticket = Ticket(slot, index, request)
                reply = active.recall(request) if active.recall else None
                if reply is None:
                    active.held.append(ticket)
                else:
                    self._enter(active, ticket, reply)
            self._release(slot, active)
            if active.missing or slot not in self._active:
                return
            replies = _whole(active.replies)

    def _enter(self, active: _Active, ticket: Ticket, reply: Reply) -> None:
        """Put a reply in its place in the wave and in the ledger."""
        request = ticket.request
        cost = _count(request, reply)
        active.cost += cost
        if active.limit:
            active.dearest = _larger(active.dearest, cost)
        active.replies[ticket.place] = reply
        active.missing -= 1
        if isinstance(reply, Completion):
            if reply.finish == "stop" and reply.steps:
                candidate = _candidate(request, reply)
                active.finished.setdefault(candidate.key, (candidate, None))
        elif request.key in active.finished:
            active.finished[request.key] = (active.finished[request.key][0], reply.step_scores[-1])

    def _release(self, slot: int, active: _Active) -> None:
        """Queue as many held requests as the limit allows; without a limit, all of them."""
        while active.held:
            ticket = active.held[0]
            drawing = not isinstance(ticket.request, Score)
            if active.limit:
                if active.stopped_by is None:
                    next_one = active.dearest if active.in_flight == 0 else Cost()
                    active.stopped_by = active.limit.reached(active.cost, next_one, drawing)
                if active.stopped_by in ("flops", "seconds"):
                    self._end(slot, None, stopped_by=active.stopped_by)
                    return
                if active.stopped_by and drawing:
                    # Past the token cap nothing more is drawn; the strategy sees cut-offs and chooses from what it has.
                    active.held.popleft()
                    active.replies[ticket.place] = Completion((), "length")
                    active.missing -= 1
                    continue
                if active.in_flight >= active.limit.affordable(active.cost, active.dearest):
                    return
            active.held.popleft()
            active.in_flight += 1
            self._queues[ROLE_OF[type(ticket.request)]].append(ticket)

    def _check_wave(self, active: _Active, wave: Sequence[Request]) -> str | None:
        """What is wrong with a wave, or None. Remembers its keys."""
        if not isinstance(wave, Sequence) or not wave:
            return "the strategy yielded an empty wave or something that is no sequence of requests"
        if active.stopped_by:
            active.cut_waves += 1
            if active.cut_waves > CUT_WAVES:
                return f"the strategy went on for {CUT_WAVES} waves after its token limit was reached"
        for request in wave:
            role = ROLE_OF.get(type(request))
            if role is None:
                return f"the strategy yielded {type(request).__name__}; requests are Sample, Revise and Score"
            if role not in self._roles:
                return f"the strategy asked for a {role} and none was given; pass {role}=... or choose another strategy"
            if isinstance(request, Score):
                continue
            if isinstance(request, Revise) and not request.attempts:
                return f"Revise without attempts at key {request.key}; pass the root candidate for a first attempt"
            if request.key in active.keys:
                return f"the strategy asked for key {request.key} twice; every draw needs a key of its own"
            active.keys.add(request.key)
        return None

    def _end(
        self, slot: int, outcome: Outcome | None, *, error: Exception | None = None, stopped_by: str | None = None
    ) -> None:
        active = self._active.pop(slot)
        active.search.close()
        if outcome is None:
            outcome = Outcome(*best_so_far(list(active.finished.values())))
        self._ended.append((slot, Ended(outcome, active.cost, error, stopped_by)))


def _count(request: Request, reply: Reply) -> Cost:
    """The reply's own cost, with what can be counted from outside counted here (law 5)."""
    if isinstance(request, Score):
        return reply.cost.counted(verifier_calls=1)
    assert isinstance(reply, Completion)
    fresh = isinstance(request, Revise) or not request.prefix.steps
    return reply.cost.counted(generations=int(fresh), steps=len(reply.steps))


def _larger(a: Cost, b: Cost) -> Cost:
    return Cost(sampled_tokens=max(a.sampled_tokens, b.sampled_tokens), flops=max(a.flops, b.flops))


def _candidate(request: Request, reply: Completion) -> Candidate:
    if isinstance(request, Sample):
        return request.prefix.extend(request.key, reply.steps, reply.finish)
    assert isinstance(request, Revise)
    seen = tuple(attempt for attempt in request.attempts if attempt.steps)
    return Candidate(request.question, request.key, reply.steps, reply.finish, seen)


def _whole(replies: Sequence[Reply | None]) -> list[Reply]:
    return [reply for reply in replies if reply is not None]


def _where(request: Request) -> str:
    return f"question {request.question.id!r}, key {request.key}"


def _check_reply(request: Request, reply: Reply) -> str | None:
    """What is wrong with a reply, or None."""
    if isinstance(request, Score):
        if not isinstance(reply, Verdict):
            return f"the verifier returned {type(reply).__name__} instead of a Verdict"
        scores, steps = reply.step_scores, len(request.candidate.steps)
        if len(scores) not in (1, steps) or not scores:
            return f"the verifier returned {len(scores)} scores for a candidate of {steps} steps; give one each, or one"
        for score in scores:
            # NaN fails both comparisons.
            if not isinstance(score, (int, float)) or not 0 <= score <= 1:
                return f"the verifier returned the score {score!r}; scores are probabilities in [0, 1]"
        return None
    role = ROLE_OF[type(request)]
    if not isinstance(reply, Completion):
        return f"the {role} returned {type(reply).__name__} instead of a Completion"
    if reply.finish not in ("open", "stop", "length"):
        return f'the {role} returned finish={reply.finish!r}; it must be "open", "stop" or "length"'
    most = request.max_steps if isinstance(request, Sample) else None
    if most is not None and len(reply.steps) > most:
        return f"the {role} returned {len(reply.steps)} steps where at most {most} were asked for"
    if reply.finish == "open" and len(reply.steps) != (most or math.inf):
        return f'the {role} left a completion "open" after {len(reply.steps)} steps with max_steps={most}'
    return None


def _check_outcome(outcome: object) -> str | None:
    """What is wrong with what a strategy returned, or None."""
    if not isinstance(outcome, Outcome):
        return f"the strategy returned {type(outcome).__name__} instead of an Outcome"
    if len(outcome.scores) != len(outcome.candidates):
        return f"the outcome has {len(outcome.candidates)} candidates and {len(outcome.scores)} scores"
    if outcome.chosen is None:
        return None
    if not 0 <= outcome.chosen < len(outcome.candidates):
        return f"the outcome chose candidate {outcome.chosen} of {len(outcome.candidates)}"
    if not outcome.candidates[outcome.chosen].done:
        return f"the outcome chose candidate {outcome.chosen}, which is not finished"
    return None


def _blame_strategy(error: Exception, question: Question) -> Exception:
    if isinstance(error, StrategyError):
        return error
    blamed = StrategyError(f"the strategy raised {type(error).__name__}: {error} (question {question.id!r})")
    blamed.__cause__ = error
    return blamed
