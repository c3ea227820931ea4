"""The engine without the waiting: searches in, requests out, replies in, outcomes out (sans-I/O).

It knows queues and tickets. It does not know models, batches, threads, files or the clock: drivers
(``drive.py``) ask for requests with ``take``, answer with ``give`` or ``fail``, and collect ``ended``. An exception
from a strategy or a role ends its own question only. Any that escapes from a method here is a bug in ttscale.
Over 300 lines because limits, races and faults all decide what one wave may do next.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError, StrategyError
from ttscale.core.limit import Limit
from ttscale.core.protocols import METHOD_OF, ROLE_OF, Role
from ttscale.core.requests import Race, Reply, Request, Score, Search, where
from ttscale.core.selection import Aggregate, best_so_far
from ttscale.core.types import Candidate, Outcome, Question
from ttscale.engine.batch_limit import BatchLimit
from ttscale.engine.protocol_checks import outcome_problem, race_problem, reply_problem, request_problem
from ttscale.engine.races import TicketRace, after_race, bound, race_name
from ttscale.engine.search_state import CUT, ENDING, Active, begins, draws, enter_ledger, keep_finished, may_go
from ttscale.engine.search_state import Recall as Recall
from ttscale.engine.shares import recalled, remembered, share_out, stoppable_race

CUT_WAVES = 1000
"""Waves that a strategy may still ask for after its token limit. Then it is ended with the best so far."""

RecordReply = Callable[[Question, Request, Reply], None]


class Ticket(NamedTuple):
    """One request out for work: which search, which place in its wave."""

    slot: int
    place: int
    request: Request
    since: float = 0.0
    """When it was queued, by the clock of the engine's driver."""
    race: str | None = None
    """The race that it may be stopped for losing."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a search ended. On an error or a limit the outcome is the best of what was finished by then."""

    outcome: Outcome = Outcome((), (), None)
    cost: Cost = Cost()
    error: Exception | None = None
    stopped_by: str | None = None


class Engine:
    """Many searches at once, none waiting for another."""

    def __init__(
        self,
        roles: Iterable[Role],
        record: RecordReply | None = None,
        shared: BatchLimit | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._roles = frozenset(roles)
        self._clock = clock
        self._record = record
        self._shared = shared
        self._held: dict[int, None] = {}
        """Searches whose next request the shared limit holds back, the oldest first."""
        self._queues: dict[Role, deque[Ticket]] = {role: deque() for role in METHOD_OF}
        self._active: dict[int, Active] = {}
        self._ended: deque[tuple[int, Ended]] = deque()
        self._slots = 0

    # What goes in.

    def start(
        self,
        root: Candidate,
        search: Search[Outcome],
        limit: Limit | None = None,
        recall: Recall | None = None,
        budget: int | None = None,
        aggregate: Aggregate = "last",
    ) -> int:
        """Begin a search; returns the slot under which its end will be reported.

        ``recall`` answers requests from a trace, or returns None for those that need fresh work. A request with a
        ``race`` it may answer with the draw as it lost that race, or as it is outside of any. A search that asks for
        more solutions than ``budget`` ends with a ``StrategyError``, before they are drawn. ``aggregate`` makes one
        score of step scores, for the best of a search that is cut short.
        """
        slot, self._slots = self._slots, self._slots + 1
        self._active[slot] = Active(root, search, limit, recall, budget, aggregate)
        self._advance(slot, None)
        return slot

    def give(self, ticket: Ticket, reply: Reply) -> None:
        """Answer a ticket. A reply that breaks the protocol ends its question with a ``RoleError``."""
        problem = _caught(reply_problem, ticket.request, reply)
        if problem:
            self.fail(ticket, RoleError(f"{problem} ({where(ticket.request)})"))
            return
        if self._shared:
            self._shared.replied(draws(ticket.request), reply.cost)
        if self._record:
            self._record(ticket.request.question, remembered(ticket.request, ticket.race, reply), reply)
        active = self._active.get(ticket.slot)
        if active is not None:  # else it has ended; the reply is in the trace, a resumed run has it
            active.replies[ticket.place] = reply
            active.missing -= 1
            if active.missing == 0 or active.limit is not None or self._shared:
                self._go_on(ticket.slot, active)
        if self._held:
            self._go_on_with_held()

    def fail(self, ticket: Ticket, error: Exception) -> None:
        """Say that a ticket cannot be answered: ends its question, and no other, with ``error``."""
        if self._shared:
            self._shared.dropped(draws(ticket.request))
        if ticket.slot in self._active:
            self._end(ticket.slot, None, error=error)
        self._go_on_with_held()

    def stop(self, slot: int, reason: str) -> None:
        """End a search now, with the best it has finished so far."""
        if slot in self._active:
            self._end(slot, None, stopped_by=reason)
            self._go_on_with_held()

    # What comes out.

    def pending(self, role: Role) -> int:
        """How many requests wait for ``role``."""
        return sum(ticket.slot in self._active for ticket in self._queues[role])

    def take(self, role: Role, most: int | None = None) -> list[Ticket]:
        """The requests that wait for ``role``, oldest first, ``most`` at most."""
        queue, active = self._queues[role], self._active
        if most is None:
            tickets = [ticket for ticket in queue if ticket.slot in active]
            queue.clear()
            return tickets
        tickets = []
        while queue and len(tickets) < most:
            ticket = queue.popleft()
            if ticket.slot in active:
                tickets.append(ticket)
        return tickets

    def bounds(self, tickets: Sequence[Ticket]) -> dict[tuple[int, int], int]:
        """By slot and place the tokens beyond which a draw has lost its race, where that is known."""
        slots = {ticket.slot: self._active.get(ticket.slot) for ticket in tickets}
        races = {slot: bound(race, a.replies) for slot, a in slots.items() if a and (race := stoppable_race(a))}
        found = {(t.slot, t.place): races.get(t.slot) for t in tickets} if races else {}
        return {place: most for place, most in found.items() if most is not None}

    def line(self, tickets: Sequence[Ticket]) -> TicketRace | None:
        """The race that tickets of one search are part of; None where there is none, or nobody is to be stopped."""
        active = self._active.get(tickets[0].slot)
        race = active and stoppable_race(active)
        return TicketRace(race, active.replies) if active and race else None

    def ended(self) -> list[tuple[int, Ended]]:
        """The searches that have ended since the last call."""
        ended = list(self._ended)
        self._ended.clear()
        return ended

    @property
    def active(self) -> int:
        """How many searches are in progress."""
        return len(self._active)

    def has_room(self, budget: int | None) -> bool:
        """Whether the shared limit, if there is one, has room for another search of so many solutions."""
        return self._shared is None or self._shared.room_for(len(self._active), budget)

    # Inside.

    def _go_on(self, slot: int, active: Active) -> None:
        """Let out what may go now; a wave that is answered whole goes back to its search."""
        self._release(slot, active)
        if active.missing == 0 and slot in self._active:
            self._advance(slot, _answers(active))

    def _go_on_with_held(self) -> None:
        """Let out what the shared limit held back, search by search, as far as it now allows."""
        while self._held:
            slot = next(iter(self._held))
            active = self._active.get(slot)
            held = active is not None and active.let_out < len(active.wave)
            if active is not None and held and not may_go(active, self._shared) and active.stopped_by not in ENDING:
                return
            del self._held[slot]
            if active is not None:
                self._go_on(slot, active)

    def _advance(self, slot: int, replies: Sequence[Reply] | None) -> None:
        """Send replies to a search and release its next wave; loops while a wave is answered without fresh work."""
        active = self._active[slot]
        question = active.root.question
        if not hasattr(active.search, "send"):
            error = StrategyError(
                f"search() returned {type(active.search).__name__}, not a generator; write it with yield "
                f"(question {question.label})"
            )
            self._end(slot, None, error=error)
            return
        while True:
            try:
                wave = next(active.search) if replies is None else active.search.send(replies)
            except StopIteration as stop:
                problem = _caught(outcome_problem, stop.value)
                error = StrategyError(f"{problem} (question {question.label})")
                self._end(slot, None if problem else stop.value, error if problem else None, active.stopped_by)
                return
            except Exception as error:
                self._end(slot, None, blame_strategy(error, question))
                return
            problem = _caught(self._wave_problem, active, wave)
            if problem:
                self._end(slot, None, StrategyError(f"{problem} (question {question.label})"))
                return
            active.cut_waves += active.stopped_by is not None
            if active.cut_waves > CUT_WAVES:
                self._end(slot, None, stopped_by=active.stopped_by)
                return
            active.wave, active.missing, active.let_out, active.settled = wave, len(wave), 0, 0
            active.replies, active.shares, active.shared_at = [None] * len(wave), [], None
            race = stoppable_race(active)
            active.race = None if race is None else race_name(race)
            self._release(slot, active)
            if active.missing or slot not in self._active:
                return
            replies = _answers(active)

    def _release(self, slot: int, active: Active) -> None:
        """Let out as many requests as the limit allows, settle what has come in, and again.

        Both go in the order of the wave, whatever the order of arrival: what a limit lets out, and what the costs add
        up to, depends on the replies alone (law 2).
        """
        if active.limit is None and self._shared is None:  # nothing that a reply could change
            while active.let_out < len(active.wave):
                self._let_out(slot, active)
            if active.missing == 0:
                for place in range(active.settled, active.let_out):
                    enter_ledger(active, place)
                active.settled = active.let_out
            return
        while True:
            if active.let_out < len(active.wave) and may_go(active, self._shared):
                self._let_out(slot, active)
            elif active.settled < active.let_out and active.replies[active.settled] is not None:
                enter_ledger(active, active.settled)
                active.settled += 1
            else:
                break
        if active.let_out == len(active.wave):
            return
        if active.stopped_by in ENDING:
            if active.settled == active.let_out:
                self._end(slot, None, stopped_by=active.stopped_by)
        elif self._shared:
            self._held[slot] = None

    def _let_out(self, slot: int, active: Active) -> None:
        """Answer the next request from the trace, or with a cut-off past the token cap, or queue it for fresh work."""
        place = active.let_out
        request = active.wave[place] if active.limit is None else share_out(active, active.wave[place])
        active.let_out += 1
        if active.stopped_by and draws(request):
            # Past the token cap nothing more is drawn; the strategy sees cut-offs and chooses from what it has.
            reply: Reply | None = CUT
        else:
            if self._shared:
                self._shared.sent(draws(request))
            reply = recalled(active.recall, active.race, request) if active.recall else None
            if reply is not None and _caught(reply_problem, request, reply):
                reply = None  # a trace that was changed by hand: asked again
        if reply is None:
            since = self._clock() if self._clock else 0.0
            self._queues[ROLE_OF[type(request)]].append(Ticket(slot, place, request, since, active.race))
            return
        if self._shared and reply is not CUT:
            self._shared.replied(draws(request), reply.cost)
        active.replies[place] = reply
        active.missing -= 1

    def _wave_problem(self, active: Active, wave: Sequence[Request]) -> str | None:
        """What is wrong with a wave, or None. Remembers its keys."""
        if not isinstance(wave, (list, tuple, Sequence)) or not wave:
            return "the strategy yielded an empty wave or something that is no sequence of requests"
        if (problem := race_problem(wave)) is not None:
            return problem
        for request in wave:
            problem = request_problem(request, active.root, self._roles)
            if problem:
                return problem
            if type(request) is Score:
                continue
            path = request.key.path
            if path in active.keys:
                return f"the strategy asked for key {request.key} twice; every draw needs a key of its own"
            active.keys.add(path)
            active.begun += begins(request)
        if active.stopped_by is None and active.budget is not None and active.begun > active.budget:
            return f"the strategy asked for {active.begun} solutions, its budget is {active.budget}"
        return None

    def _end(
        self, slot: int, outcome: Outcome | None, error: Exception | None = None, stopped_by: str | None = None
    ) -> None:
        active = self._active.pop(slot)
        with contextlib.suppress(Exception):  # a search that will not close, or no generator at all
            active.search.close()
        for place in range(active.settled, len(active.replies)):
            if active.replies[place] is not None:
                enter_ledger(active, place)
        if type(active.wave) is Race and active.missing:
            for request, reply in zip(active.wave, active.replies, strict=True):
                if reply is not None:
                    keep_finished(active, request, reply)
        if self._shared:
            self._shared.ended(active.cost)
            for role, queue in self._queues.items() if active.missing else ():
                for ticket in queue:
                    if ticket.slot == slot:
                        self._shared.dropped(draws(ticket.request))
                self._queues[role] = deque(ticket for ticket in queue if ticket.slot != slot)
        if outcome is None:
            outcome = Outcome(*best_so_far(list(active.finished.values())))
        self._ended.append((slot, Ended(outcome, active.cost, error, stopped_by)))


def _answers(active: Active) -> list[Reply]:
    """What the search is sent for a wave that is answered whole."""
    replies = [reply for reply in active.replies if reply is not None]
    if type(active.wave) is not Race:
        return replies
    replies = after_race(active.wave, replies)
    for request, reply in zip(active.wave, replies, strict=True):
        keep_finished(active, request, reply)
    return replies


def _caught(check: Callable[..., str | None], *arguments: object) -> str | None:
    """What a check finds. Data so malformed that the check itself fails is a problem too."""
    try:
        return check(*arguments)
    except Exception as error:
        return f"malformed data, {type(error).__name__}: {error}"


def blame_strategy(error: Exception, question: Question) -> Exception:
    """What a strategy raised as a ``StrategyError`` that says for which question; the original is its cause."""
    if isinstance(error, StrategyError):
        return error
    blamed = StrategyError(f"the strategy raised {type(error).__name__}: {error} (question {question.label})")
    blamed.__cause__ = error
    return blamed
