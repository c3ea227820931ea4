"""The drivers: who is asked when, how many questions at once, event loops, threads, workers, Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import ttscale
from ttscale import BestOfN, Candidate, Completion, Cost, Key, MajorityVote, Question, Revise, Sample, Score, Verdict
from ttscale.engine.ask_roles import by_question
from ttscale.engine.core import Ended, Ticket
from ttscale.engine.drive import WINDOW, Job, arun, run
from ttscale.engine.gc_tuning import BETWEEN, fewer_passes
from ttscale.testing import (
    FakeGenerator,
    FakeVerifier,
    ToyLM,
    ToyReviser,
    ToyVerifier,
    ToyWorld,
    as_async,
    as_session,
    completion_of,
    toy_roles,
)

FINE = completion_of("Answer: 1")
QUESTIONS = ToyWorld.questions(20)


def solved(questions: Any = QUESTIONS, budget: int = 4, **options: Any) -> list[ttscale.Result]:
    return ttscale.solve_all(questions, budget, progress=False, **options)


# Batches.


def test_a_batch_holds_the_waves_of_all_questions() -> None:
    generator, verifier = FakeGenerator("Answer: 1"), FakeVerifier(0.5)
    solved(generator=generator, verifier=verifier, strategy=BestOfN())
    assert (generator.batches, verifier.batches) == ([80], [80])


def test_an_awaited_role_gets_one_question_at_a_time_and_many_at_once() -> None:
    class Meets:
        """Answers nobody until all 20 questions have arrived."""

        sizes: list[int] = []  # noqa: RUF012
        arrived: asyncio.Event | None = None

        async def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            assert len({request.question for request in requests}) == 1
            self.arrived = self.arrived or asyncio.Event()
            self.sizes.append(len(requests))
            if len(self.sizes) == 20:
                self.arrived.set()
            await self.arrived.wait()
            return [FINE] * len(requests)

    generator = Meets()
    solved(generator=generator, strategy=MajorityVote())
    assert generator.sizes == [4] * 20


def test_a_question_does_not_wait_for_another_in_a_session() -> None:
    """Question 0 has one long draw; all others are finished, verifier and all, before it is."""

    class Session:
        def __init__(self) -> None:
            self.rows: dict[int, list[Any]] = {}

        @property
        def active(self) -> bool:
            return bool(self.rows)

        def admit(self, requests: Sequence[tuple[int, Any]]) -> None:
            self.rows |= {
                number: [200 if request.key.path[1:] == ("toy-0", 0) else 1, request] for number, request in requests
            }

        def step(self) -> list[tuple[int, Any]]:
            for row in self.rows.values():
                row[0] -= 1
            done = [number for number, (left, _) in self.rows.items() if left == 0]
            return [(number, completion_of("1. right 0\n", self.rows.pop(number)[1].max_steps)) for number in done]

    class Generator(FakeGenerator):
        def session(self) -> Session:
            return Session()

    order: list[str] = []
    roles: dict[str, Any] = {"generator": Generator("unused"), "verifier": ToyVerifier(), "strategy": "beam"}
    solved(**roles, observe=lambda event: order.append(event["question"]) if event["event"] == "end" else None)
    assert (sorted(order), order[-1]) == (sorted(q.id for q in QUESTIONS), "toy-0")


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
@pytest.mark.parametrize("which", [("generator",), ("verifier",), ("generator", "verifier")])
def test_sessions_of_any_size_give_what_batches_give(rows: int, which: tuple[str, ...]) -> None:
    few = QUESTIONS[:6]
    roles: dict[Any, Any] = {role: obj for role, obj in toy_roles().items() if role != "reviser"}
    wanted = solved(few, 8, **roles, strategy="beam")
    for role in which:
        roles[role] = as_session(roles[role], rows)
    assert solved(few, 8, **roles, strategy="beam") == wanted
    assert asyncio.run(ttscale.asolve_all(few, 8, **roles, strategy="beam", progress=False)) == wanted


# The window.


@pytest.mark.parametrize("awaited", [False, True])
def test_at_most_256_questions_are_in_progress(awaited: bool) -> None:
    begun: set[int] = set()
    ended: set[int] = set()
    most = 0

    def jobs() -> Iterator[Job]:
        nonlocal most
        for i in range(1000):
            begun.add(i)
            most = max(most, len(begun) - len(ended))
            root = Candidate(Question(str(i), "?"), Key((0, str(i))))
            yield Job(root, MajorityVote().search(root, 1))

    generator = FakeGenerator("Answer: 1")
    roles = {"generator": as_async(generator) if awaited else generator}
    run(jobs(), roles, lambda index, _: ended.add(index))  # type: ignore[arg-type]
    assert len(ended) == 1000
    # The next is begun as soon as one has ended.
    assert (most, max(generator.batches)) == (WINDOW, 1 if awaited else WINDOW)


def test_questions_are_begun_as_others_end_and_not_in_blocks() -> None:
    begun: list[int] = []

    def jobs() -> Iterator[Job]:
        for i in range(6):
            begun.append(i)
            root = Candidate(Question(str(i), "?"), Key((0, str(i))))
            yield Job(root, MajorityVote().search(root, 1))

    class Holds:
        """Never answers question 0 while there is another: with a window of 2 the others pass it by."""

        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            raise AssertionError("asked in a batch")

        def session(self) -> Any:
            return _Holds()

    class _Holds:
        def __init__(self) -> None:
            self.rows: dict[int, Any] = {}

        @property
        def active(self) -> bool:
            return bool(self.rows)

        def admit(self, requests: Sequence[tuple[int, Any]]) -> None:
            self.rows |= dict(requests)

        def step(self) -> list[tuple[int, Any]]:
            number = max(self.rows)
            del self.rows[number]
            return [(number, FINE)]

    ended: list[int] = []
    run(jobs(), {"generator": Holds()}, lambda index, _: ended.append(index), window=2)
    assert (begun, ended) == ([0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0])


# Event loops.


def test_solve_works_inside_a_running_event_loop() -> None:
    roles = toy_roles()
    wanted = solved(**roles, strategy="beam")  # type: ignore[arg-type]

    async def notebook() -> list[ttscale.Result]:
        awaited = {role: as_async(obj) for role, obj in roles.items()}
        assert solved(**roles, strategy="beam") == wanted  # type: ignore[arg-type]
        return solved(**awaited, strategy="beam")

    assert asyncio.run(notebook()) == wanted


def test_errors_come_out_of_the_loop_in_its_own_thread() -> None:
    def observe(event: Any) -> None:
        raise LookupError("mine")

    async def notebook() -> None:
        ttscale.solve("?", 1, generator=as_async(FakeGenerator("Answer: 1")), observe=observe)

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(notebook())


def test_any_mix_of_awaited_and_other_roles() -> None:
    roles = toy_roles()
    strategy, few = ttscale.ComputeOptimalScheduler(), QUESTIONS[:5]
    wanted = solved(few, **roles, strategy=strategy)  # type: ignore[arg-type]
    twins: list[Callable[[Any], Any]] = [lambda role: role, as_async, as_session]
    for a in twins:
        for b in twins:
            for c in twins:
                mixed = {
                    "generator": a(roles["generator"]),
                    "verifier": b(roles["verifier"]),
                    "reviser": c(roles["reviser"]),
                }
                assert solved(few, **mixed, strategy=strategy) == wanted


def test_two_runs_at_once_on_the_same_roles_do_not_disturb_each_other() -> None:
    roles = toy_roles()
    wanted = [solved(**roles, strategy="beam", seed=seed) for seed in (0, 1)]  # type: ignore[arg-type]

    async def both() -> list[Any]:
        awaited = {role: as_async(obj) for role, obj in roles.items()}
        runs = [
            ttscale.asolve_all(QUESTIONS, 4, **awaited, strategy="beam", seed=seed, progress=False) for seed in (0, 1)
        ]
        return list(await asyncio.gather(*runs))

    assert asyncio.run(both()) == wanted
    got: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda s=seed: got.update({s: solved(**roles, strategy="beam", seed=s)}))  # type: ignore[misc]
        for seed in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[0], got[1]] == wanted


def test_the_event_loop_is_free_while_a_synchronous_role_works() -> None:
    """A role that waits for the loop would wait for ever if the loop waited for the role."""
    served = threading.Event()

    class Blocks(ToyLM):
        def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
            assert served.wait(timeout=60)
            return super().sample(requests)

    async def main() -> ttscale.Result:
        solving = asyncio.ensure_future(ttscale.asolve("?", 2, generator=Blocks()))
        await asyncio.sleep(0)
        served.set()
        return await solving

    assert asyncio.run(main()) == ttscale.solve("?", 2, generator=ToyLM())


# Workers.


class Shift:
    """Notices when two of its roles work at the same time."""

    def __init__(self) -> None:
        self.at_work: set[str] = set()
        self.met: list[set[str]] = []
        self.most = 0
        self.calls = 0

    def enter(self, role: str) -> None:
        self.at_work.add(role)
        self.calls += 1
        if len(self.at_work) > 1:
            self.met.append(set(self.at_work))

    def leave(self, role: str) -> None:
        self.at_work.discard(role)


def on_shift(shift: Shift, role: str, obj: Any, worker: Any, awaited: bool) -> Any:
    """The role with a note of when it works, on a worker."""
    method = {"generator": "sample", "verifier": "score", "reviser": "revise"}[role]
    inner, out = getattr(obj, method), 0

    def plain(requests: Any) -> Any:
        shift.enter(role)
        try:
            # Lets the other threads have a try.
            threading.Event().wait(0.0005)
            return inner(requests)
        finally:
            shift.leave(role)

    async def coroutine(requests: Any) -> Any:
        nonlocal out
        shift.enter(role)
        out += 1
        shift.most = max(shift.most, out)
        for _ in range(3):
            await asyncio.sleep(0.0002)
        out -= 1
        if not out:
            shift.leave(role)
        return inner(requests)

    class OnShift:
        name = role

    setattr(OnShift, method, staticmethod(coroutine if awaited else plain))
    if worker is not None:
        OnShift.worker = worker  # type: ignore[attr-defined]
    return OnShift()


class AllThree:
    """Asks for every role in every order."""

    def search(self, root: Any, budget: int) -> Any:
        drawn: list[Any] = []
        for i in range(budget):
            sample, revise = Sample(root, root.key.child("s", i)), Revise((root,), root.key.child("r", i))
            replies = yield [sample, revise, *[Score(candidate) for candidate in drawn[-1:]]]
            drawn += [
                root.extend(request.key, reply.steps, reply.finish)
                for request, reply in zip((sample, revise), replies, strict=False)
            ]
            yield [Score(candidate) for candidate in drawn[-2:] if candidate.steps]
        return ttscale.Outcome(tuple(drawn), (None,) * len(drawn), None)


MIXES = [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]


@pytest.mark.parametrize("awaited", MIXES)
def test_roles_that_share_a_worker_never_work_at_the_same_time(awaited: tuple[bool, bool, bool]) -> None:
    roles: Any = toy_roles()
    wanted = solved(**roles, strategy=AllThree())
    shift = Shift()
    shared: Any = {
        role: on_shift(shift, role, obj, "cuda:0", asynchronous)
        for (role, obj), asynchronous in zip(roles.items(), awaited, strict=True)
    }
    assert asyncio.run(ttscale.asolve_all(QUESTIONS, 4, **shared, strategy=AllThree(), progress=False)) == wanted
    assert (shift.met, shift.calls > 5) == ([], True)
    if any(awaited):
        assert shift.most > 1  # calls of one role do overlap


def test_roles_on_workers_of_their_own_do_work_at_the_same_time() -> None:
    """Two roles that only answer when both are being asked."""
    both = threading.Barrier(2, timeout=60)

    class Generator:
        worker = 1

        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            both.wait()
            return [FINE] * len(requests)

    class Reviser:
        worker = 2

        def revise(self, requests: Sequence[Revise]) -> list[Completion]:
            both.wait()
            return [FINE] * len(requests)

    class Both:
        def search(self, root: Any, budget: int) -> Any:
            yield [Sample(root, root.key.child(0)), Revise((root,), root.key.child(1))]
            return ttscale.Outcome((), (), None)

    result = asyncio.run(ttscale.asolve("?", 2, generator=Generator(), reviser=Reviser(), strategy=Both()))
    assert result.error is None


# Ctrl-C.


def interrupting(after: int, how: Callable[[], None]) -> Callable[[Sample], Any]:
    """A generator's function that interrupts at its ``after``-th draw."""
    drawn = 0

    def reply(request: Sample) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn == after:
            how()
        return FINE

    return reply


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class OneByOne:
    """Draws its solutions one after the other."""

    needs = frozenset({"generator"})

    def search(self, root: Any, budget: int) -> Any:
        drawn = []
        for i in range(budget if root.question.id != "toy-0" else 1):
            (reply,) = yield [Sample(root, root.key.child(i))]
            drawn.append(root.extend(root.key.child(i), reply.steps, reply.finish))
        return ttscale.Outcome(tuple(drawn), (None,) * len(drawn), 0)


def check_interrupted(results: list[ttscale.Result]) -> None:
    assert [r.question for r in results] == QUESTIONS
    assert (results[0].stopped_by, results[0].answer) == (None, "1")
    assert [r.stopped_by for r in results[1:]] == ["interrupt"] * 19
    # Those that were begun hold what they had.
    assert [r.answer for r in results[1:3]] == ["1", "1"]
    assert all(r.error is None for r in results)


def test_ctrl_c_returns_what_is_done() -> None:
    results = solved(generator=FakeGenerator(interrupting(50, ctrl_c)), strategy=OneByOne(), budget=1000)
    check_interrupted(results)


@pytest.mark.parametrize("resumed", [False, True])
def test_ctrl_c_before_some_were_begun_returns_those_empty(resumed: bool, tmp_path: Path) -> None:
    """More questions than are in progress at once: nobody is left out of the list, or out of a resumed run."""
    questions = [Question(f"toy-{i}", f"Toy question {i}?") for i in range(WINDOW + 20)]
    options: Any = {"strategy": OneByOne(), "progress": False, "resume": tmp_path / "trace.jsonl" if resumed else None}
    generator = FakeGenerator(interrupting(WINDOW + 5, ctrl_c))
    results = ttscale.solve_all(questions, 3, generator=generator, **options)
    assert [r.question for r in results] == questions
    assert {r.stopped_by for r in results[1:]} == {"interrupt"}
    assert all(r.error is None for r in results)
    begun = [r.question.id for r in results if r.candidates]
    assert begun == [question.id for question in questions[:WINDOW]]
    assert {(r.answer, r.text, r.score, r.cost) for r in results[WINDOW + 1 :]} == {(None, "", None, Cost())}
    again = FakeGenerator(FINE)
    whole = ttscale.solve_all(questions, 3, generator=again, **options)
    assert all((r.stopped_by, r.answer) == (None, "1") for r in whole)
    assert len(again.requests) == 1 + 3 * (len(questions) - 1) - (WINDOW if resumed else 0)


def test_ctrl_c_while_awaited_roles_work_returns_what_is_done() -> None:
    # The signal reaches the event loop between two of its turns.
    generator = as_async(FakeGenerator(interrupting(50, ctrl_c)))
    check_interrupted(solved(generator=generator, strategy=OneByOne(), budget=1000))


def test_ctrl_c_in_a_notebook_returns_what_is_done_and_leaves_nothing_running() -> None:
    generator = FakeGenerator(interrupting(50, ctrl_c))
    found: list[ttscale.Result] = []

    async def cell() -> None:
        found.extend(solved(generator=as_async(generator), strategy=OneByOne(), budget=100_000 // 2))

    # Not asyncio.run, which would take the signal for itself, as a notebook's loop does not.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(cell())
    finally:
        loop.close()
    check_interrupted(found)
    drawn = len(generator.requests)
    assert drawn < 10_000
    for thread in threading.enumerate():
        if thread.name.startswith("ttscale"):
            thread.join()
    assert len(generator.requests) == drawn


def test_solve_raises_on_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt):
        ttscale.solve("?", 10, generator=FakeGenerator(interrupting(3, ctrl_c)), strategy=OneByOne())


def test_a_cancelled_run_lets_go_of_its_tasks_and_threads(tmp_path: Any) -> None:
    class Waits:
        begun = cancelled = 0

        async def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            self.begun += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return []

    generator = Waits()
    events: list[Any] = []

    async def main() -> None:
        work = ttscale.asolve_all(QUESTIONS[:3], 1, generator=generator, observe=events.append, progress=False)
        task = asyncio.ensure_future(work)
        while generator.begun < 3:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert generator.cancelled == 3
    assert [event["stopped_by"] for event in events if event["event"] == "end"] == ["interrupt"] * 3


def test_run_reports_every_job_once() -> None:
    ended: list[tuple[int, Ended]] = []

    def jobs() -> Iterator[Job]:
        for i in range(5):
            root = Candidate(Question(str(i), "?"), Key((0, str(i))))
            error = ValueError("no") if i == 3 else None
            yield Job(root, None if error else MajorityVote().search(root, 1), None, error)

    for roles in ({"generator": FakeGenerator("Answer: 1")}, {"generator": as_async(FakeGenerator("Answer: 1"))}):
        ended.clear()
        run(jobs(), roles, lambda *what: ended.append(what))  # type: ignore[arg-type]
        assert sorted(index for index, _ in ended) == [0, 1, 2, 3, 4]
        assert [index for index, end in ended if end.error] == [3]
        ended.clear()
        asyncio.run(arun(jobs(), roles, lambda *what: ended.append(what)))  # type: ignore[arg-type]
        assert sorted(index for index, _ in ended) == [0, 1, 2, 3, 4]


def test_one_object_may_be_all_three_roles() -> None:
    class All:
        def __init__(self) -> None:
            world = ToyWorld()
            self._parts = ToyLM(world), ToyVerifier(world), ToyReviser(world)

        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            return self._parts[0].sample(requests)

        def score(self, requests: Sequence[Score]) -> list[Verdict]:
            return self._parts[1].score(requests)

        def revise(self, requests: Sequence[Revise]) -> list[Completion]:
            return self._parts[2].revise(requests)

    world, every = ToyWorld(), All()
    strategy = ttscale.ComputeOptimalScheduler()
    one = solved(generator=every, verifier=every, reviser=every, strategy=strategy)
    assert one == solved(
        generator=ToyLM(world), verifier=ToyVerifier(world), reviser=ToyReviser(world), strategy=strategy
    )
    awaited = as_async(every)
    assert solved(generator=awaited, verifier=awaited, reviser=awaited, strategy=strategy) == one


def test_an_awaited_role_gets_a_questions_requests_together_whatever_order_they_wait_in() -> None:
    """A limit lets requests out bit by bit, so those of other questions may stand between them."""
    requests = [Sample(Candidate(QUESTIONS[i % 2], Key((0, i % 2))), Key((0, i % 2, i))) for i in range(5)]
    tickets = [Ticket(i % 2, i // 2, request) for i, request in enumerate(requests)]
    assert list(by_question(tickets)) == [[tickets[0], tickets[2], tickets[4]], [tickets[1], tickets[3]]]


def test_a_strategy_without_words_of_its_own_is_called_by_its_class() -> None:
    """Python's own repr holds an address, and no two results would be equal."""
    first, second = (solved(generator=FakeGenerator("Answer: 1"), strategy=OneByOne(), budget=2) for _ in range(2))
    assert first == second
    assert {result.strategy for result in first} == {"OneByOne()"}


def test_the_collector_is_left_as_it_was_found() -> None:
    before = gc.get_threshold()
    inside: list[int] = []

    def line(_: Sample) -> str:
        inside.append(gc.get_threshold()[0])
        return "Answer: 1"

    with fewer_passes():  # another run, which ends later
        solved(generator=FakeGenerator(line), strategy="majority_vote")
        assert set(inside) == {BETWEEN}
    assert gc.get_threshold() == before
    gc.set_threshold(0, *before[1:])
    try:
        with fewer_passes():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
