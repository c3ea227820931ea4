"""``check_laws``: runs a strategy in every way the engine can run it and insists on one and the same result.

Knows the engine and the entry points, as the other modules of ``ttscale.testing`` do not. Needs no pytest.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ttscale.api.result import Result
from ttscale.api.solve import asolve, asolve_all, solve, solve_all
from ttscale.core.cost import Cost
from ttscale.core.limit import Limit
from ttscale.core.protocols import METHOD_OF, Role, Strategy, aggregate_of, fitted_to, role_of
from ttscale.core.requests import Race, Reply, Request, Revise, Sample
from ttscale.core.types import Candidate, Key, Outcome, Question
from ttscale.engine.core import Ended, Engine, Ticket
from ttscale.engine.races import after_race
from ttscale.testing.async_and_session import as_async, as_session
from ttscale.testing.toys import ToyComparator, ToyLM, ToyReviser, ToyVerifier, ToyWorld

BATCHES = (1, 7, 1000)


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a result must not depend on how it was run: everything but the clock."""

    candidates: tuple[Candidate, ...]
    scores: tuple[float | None, ...]
    chosen: str | None
    cost: Cost
    stopped_by: str | None
    error: str | None


def toy_roles(comparator: bool = False) -> dict[Role, Any]:
    """A toy world with all difficulties: unequal lengths, cut-offs, equal steps, a verifier that is often wrong.

    ``comparator``: one that is right at 0.8 as well.
    """
    world = ToyWorld(p=0.6, depth=4, hasty=0.3, cut=0.03)
    roles: dict[Role, Any] = {
        "generator": ToyLM(world),
        "verifier": ToyVerifier(world, noise=0.5),
        "reviser": ToyReviser(world),
    }
    return roles | {"comparator": ToyComparator(world)} if comparator else roles


def check_laws(
    strategy: Strategy,
    budget: int = 16,
    *,
    questions: Sequence[str | Question] | None = None,
    roles: Mapping[Role, Any] | None = None,
    seed: int = 0,
    limit: Limit | None = None,
) -> list[Result]:
    """Hold a strategy to laws 1, 2, 4 and 6; ``AssertionError`` says which run gave another result and for what.

    The strategy runs over all ``questions`` at once, over each alone, and over all in another order. It runs in batches
    of 1, 7 and 1000 delivered in shuffled order, awaited, with sessions, and with replies from a trace, where no role
    may be asked at all. ``roles`` are synchronous and reply to a request always the same; by default the toy world's,
    and three of its questions. ``limit`` holds for each question. Returns the results.
    """
    asked = [Question.of(q) if isinstance(q, str) else q for q in questions or ToyWorld.questions(3)]
    given: dict[Any, Any] = dict(roles or toy_roles(comparator=True))
    options: dict[str, Any] = {"strategy": strategy, "seed": seed, "limit": limit}
    quiet = {**options, "progress": False}

    before = random.getstate()
    results = solve_all(asked, budget, **given, **quiet)
    assert random.getstate() == before, f"law 1: {strategy!r} used the global random state of the random module"
    wanted = [_seen(result) for result in results]

    def same(how: str, got: Iterable[Seen]) -> None:
        for question, first, other in zip(asked, wanted, got, strict=True):
            assert other == first, f"{how}: {strategy!r} gave another result for {question.label}\n{other}\n{first}"

    def alone(question: Question, **changed: Any) -> Seen:
        # solve would raise the error of a question that fails.
        return _seen(solve_all([question], budget, **{**given, **quiet, **changed})[0])

    same("law 1, the same call again", map(_seen, solve_all(asked, budget, **given, **quiet)))
    same("law 2, alone", map(alone, asked))
    same("law 2, in another order", map(_seen, solve_all(asked[::-1], budget, **given, **quiet)[::-1]))
    for batch in BATCHES:
        for shuffle in (1, 2):
            ended = deliver(strategy, asked, budget, given, batch=batch, shuffle=shuffle, seed=seed, limit=limit)
            same(f"law 2, batches of {batch}, shuffle {shuffle}", map(_ended, ended))
    awaited = {role: as_async(obj) for role, obj in given.items()}
    same("law 2, awaited", map(_seen, asyncio.run(asolve_all(asked, budget, **awaited, **quiet))))
    for role, obj in given.items():
        mixed = {**given, role: as_async(obj)}
        same(f"law 2, only the {role} awaited", map(_seen, solve_all(asked, budget, **mixed, **quiet)))
    for rows in (1, 5):
        sessions = {role: as_session(obj, rows) for role, obj in given.items()}
        same(f"law 6, sessions of {rows} rows", map(_seen, solve_all(asked, budget, **sessions, **quiet)))
    same("law 2, sessions in a thread", map(_seen, asyncio.run(asolve_all(asked, budget, **sessions, **quiet))))
    for question, first in zip(asked, wanted, strict=True):
        if first.error is None:
            assert _seen(solve(question, budget, **given, **options)) == first
            assert _seen(asyncio.run(asolve(question, budget, **awaited, **options))) == first
    same("replayed from its trace", (replay(strategy, result, budget, seed, limit) for result in results))
    return results


def waves(
    strategy: Strategy, budget: int, *, roles: Mapping[Role, Any] | None = None, question: Question | None = None
) -> tuple[list[list[tuple[Request, Reply]]], Outcome]:
    """Everything a search asks for, wave by wave with the replies, and what it returns. No engine is in between."""
    given = roles or toy_roles(comparator=True)
    asked = question or ToyWorld.questions(1)[0]
    search = fitted_to(strategy, given).search(Candidate(asked, Key((0, asked.id))), budget)
    seen: list[list[tuple[Request, Reply]]] = []
    replies: list[Reply] | None = None
    while True:
        try:
            wave = next(search) if replies is None else search.send(replies)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return seen, outcome
        # One by one: a reply depends on its request, never on its neighbours.
        replies = [getattr(given[role_of(r)], METHOD_OF[role_of(r)])([r])[0] for r in wave]
        if isinstance(wave, Race):
            replies = after_race(wave, replies)
        seen.append(list(zip(wave, replies, strict=True)))


def deliver(
    strategy: Strategy,
    questions: Sequence[Question],
    budget: int,
    roles: Mapping[Role, Any],
    *,
    batch: int,
    shuffle: int,
    seed: int = 0,
    limit: Limit | None = None,
) -> list[Ended]:
    """Run searches by hand: waiting requests of all questions are shuffled and answered ``batch`` at a time."""
    order = random.Random(shuffle)
    engine = Engine(roles)
    slots = []
    for question in questions:
        root = Candidate(question, Key((seed, question.id)))
        search = fitted_to(strategy, roles).search(root, budget)
        slots.append(engine.start(root, search, limit, aggregate=aggregate_of(strategy) or "last"))
    waiting: list[Ticket] = []
    while engine.active:
        waiting += [ticket for role in roles for ticket in engine.take(role)]
        order.shuffle(waiting)
        now, waiting = waiting[:batch], waiting[batch:]
        for ticket, reply in _answer(now, roles):
            if isinstance(reply, Exception):
                engine.fail(ticket, reply)
            else:
                engine.give(ticket, reply)
    ended = dict(engine.ended())
    return [ended[slot] for slot in slots]


def replay(strategy: Strategy, result: Result, budget: int, seed: int, limit: Limit | None = None) -> Seen:
    """The result of a search that gets its replies from the trace of ``result``; no role is there to be asked."""
    recorded = dict(result.trace.recorded)

    def recall(request: Request) -> Reply | None:
        whole = replace(request, race=None) if isinstance(request, Sample | Revise) else request
        return recorded.get(request) or recorded.get(whole)

    root = Candidate(result.question, Key((seed, result.question.id)))
    engine = Engine(METHOD_OF)
    search = fitted_to(strategy, METHOD_OF).search(root, budget)
    engine.start(root, search, limit, recall, aggregate=aggregate_of(strategy) or "last")
    fresh = [ticket for role in METHOD_OF for ticket in engine.take(role)]
    if result.error is not None:
        return _seen(result)
    assert not fresh, f"{strategy!r} asked for what its trace does not hold: {fresh[0].request}"
    ((_, ended),) = engine.ended()
    return _ended(ended)


def _answer(tickets: Sequence[Ticket], roles: Mapping[Role, Any]) -> list[tuple[Ticket, Reply | Exception]]:
    """One call per role for the tickets of all questions; question by question where a call fails."""
    answers: list[tuple[Ticket, Reply | Exception]] = []
    for role, method in METHOD_OF.items():
        mine = [ticket for ticket in tickets if role_of(ticket.request) == role]
        if mine:
            replies = getattr(roles[role], method)([ticket.request for ticket in mine])
            answers += zip(mine, replies, strict=True)
    return answers


def _seen(result: Result) -> Seen:
    chosen = result.text if result.text else None
    error = type(result.error).__name__ if result.error else None
    return Seen(result.candidates, result.scores, chosen, result.cost, result.stopped_by, error)


def _ended(ended: Ended) -> Seen:
    outcome = ended.outcome
    chosen = None if outcome.chosen is None else outcome.candidates[outcome.chosen].text
    error = type(ended.error).__name__ if ended.error else None
    return Seen(outcome.candidates, outcome.scores, chosen, ended.cost, ended.stopped_by, error)
