"""Streams: every question once, the same results as ``solve_all``, bounded work ahead of the consumer."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ttscale
from ttscale.api import outbox
from ttscale.engine.drive import WINDOW
from ttscale.testing import FakeGenerator, as_async


def reply(request: ttscale.Sample) -> str:
    return f"{request.key.seed % 7}\nAnswer: {request.key.seed % 3}"


def numbered(n: int) -> list[ttscale.Question]:
    return [ttscale.Question(str(i), f"What is {i}?") for i in range(n)]


@settings(max_examples=15, deadline=None)
@given(n=st.integers(0, 600), budget=st.integers(1, 3))
def test_a_stream_gives_what_solve_all_gives(n: int, budget: int) -> None:
    expected = ttscale.solve_all(numbered(n), budget, generator=FakeGenerator(reply), progress=False)
    pairs = list(ttscale.solve_stream(numbered(n), budget, generator=FakeGenerator(reply), progress=False))
    assert sorted((q.id for q, _ in pairs), key=int) == [str(i) for i in range(n)]
    assert {q.id: result for q, result in pairs} == {result.question.id: result for result in expected}


@pytest.mark.parametrize("asynchronous_roles", [False, True])
@pytest.mark.parametrize("asynchronous_questions", [False, True])
def test_every_mix_of_sync_and_async(asynchronous_roles: bool, asynchronous_questions: bool) -> None:
    async def drip() -> AsyncIterator[ttscale.Question]:
        for question in numbered(700):
            await asyncio.sleep(0)
            yield question

    generator = as_async(FakeGenerator(reply)) if asynchronous_roles else FakeGenerator(reply)

    async def collect() -> list[tuple[ttscale.Question, ttscale.Result]]:
        questions = drip() if asynchronous_questions else numbered(700)
        return [pair async for pair in ttscale.asolve_stream(questions, 2, generator=generator, progress=False)]

    expected = ttscale.solve_all(numbered(700), 2, generator=FakeGenerator(reply), progress=False)
    by_id = {result.question.id: result for result in expected}
    assert {question.id: result for question, result in asyncio.run(collect())} == by_id
    questions = drip() if asynchronous_questions else numbered(700)
    found = ttscale.solve_stream(questions, 2, generator=generator, progress=False)
    assert {question.id: result for question, result in found} == by_id


def test_the_consumer_holds_the_search_up_and_may_leave() -> None:
    asked = itertools.count()
    read = 0

    def endless() -> Iterator[ttscale.Question]:
        nonlocal read
        for i in asked:
            read = i + 1
            yield ttscale.Question(str(i), "Why?")

    stream = ttscale.solve_stream(endless(), 1, generator=FakeGenerator(reply), progress=False)
    taken = [next(stream) for _ in range(1000)]
    assert len({question.id for question, _ in taken}) == 1000
    assert read <= 1000 + 3 * WINDOW
    stream.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "ttscale-stream"]


@pytest.mark.parametrize("begun", [1, WINDOW])
def test_nothing_is_read_for_a_consumer_that_has_gone(begun: int) -> None:
    """Neither what it would miss in a queue, nor what keeps the search waiting."""
    read = list[int]()
    source = (read.append(int(question.id)) or question for question in numbered(WINDOW + 100))
    box, call = outbox.Outbox(), SimpleNamespace(in_progress=0, shares_limit=False)
    gate: Any = box.gated(source, call)  # type: ignore[arg-type]
    for _ in range(begun):
        assert next(gate) is not None
        call.in_progress += 1
    box.close()
    with pytest.raises(outbox.Closed):
        list(gate)
    assert read == list(range(begun))


def test_an_async_consumer_may_leave_too() -> None:
    async def some() -> int:
        questions = (ttscale.Question(str(i), "Why?") for i in itertools.count())
        stream = ttscale.asolve_stream(questions, 1, generator=as_async(FakeGenerator(reply)), progress=False)
        seen = 0
        async for _ in stream:
            seen += 1
            if seen == 500:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        return len(asyncio.all_tasks())

    assert asyncio.run(some()) == 1


def test_a_question_that_fails_costs_the_others_nothing() -> None:
    def sometimes(request: ttscale.Sample) -> str:
        if request.question.id == "3":
            raise RuntimeError("no")
        return "Answer: 1"

    found = dict(ttscale.solve_stream(numbered(6), 1, generator=FakeGenerator(sometimes), progress=False))
    errors = {question.id for question, result in found.items() if result.error is not None}
    assert errors == {"3"}


def test_what_is_wrong_with_the_input_is_raised_where_it_is_read() -> None:
    stream = ttscale.solve_stream(["a", 5], 1, generator=FakeGenerator("Answer: 1"), progress=False)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="question 1 must be a non-empty string"):
        list(stream)
    with pytest.raises(ttscale.BudgetError, match="budget must be"):
        ttscale.solve_stream(["a"], 0, generator=FakeGenerator("Answer: 1"))

    def broken() -> Iterator[str]:
        yield "a"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(ttscale.solve_stream(broken(), 1, generator=FakeGenerator("Answer: 1"), progress=False))


class OneByOne:
    """Draws one solution a call; says what it was asked."""

    max_batch = 1

    def __init__(self) -> None:
        self.asked: list[str] = []

    def sample(self, requests: Sequence[ttscale.Sample]) -> list[ttscale.Completion]:
        self.asked += [request.question.id for request in requests]
        time.sleep(0.002)
        return FakeGenerator(reply).sample(requests)


@pytest.mark.parametrize("number", [20, WINDOW + 100])
@pytest.mark.parametrize("asynchronous_questions", [False, True])
def test_the_search_stops_with_its_consumer(number: int, asynchronous_questions: bool) -> None:
    """However many questions are left to read: none, so that the search asks for no more, or more than there is room
    for.
    """

    async def drip() -> AsyncIterator[ttscale.Question]:
        for question in numbered(number):
            yield question

    generator = OneByOne()
    questions = drip() if asynchronous_questions else numbered(number)
    stream = ttscale.solve_stream(questions, 8, generator=generator, progress=False)
    next(stream)
    before = len(generator.asked)
    stream.close()  # type: ignore[attr-defined]
    assert len(generator.asked) <= before + 50  # of 8 for each question; some pass between the result and the closing


def test_calls_of_asynchronous_roles_are_cancelled_with_the_consumer() -> None:
    class Slow:
        async def sample(self, requests: Sequence[ttscale.Sample]) -> list[ttscale.Completion]:
            if requests[0].question.id != "0":
                await asyncio.sleep(600)
            return FakeGenerator(reply).sample(requests)

    stream = ttscale.solve_stream(numbered(5), 2, generator=Slow(), progress=False)
    assert next(stream)[0].id == "0"
    began = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("asynchronous", [False, True])
def test_ctrl_c_hands_out_what_has_ended_and_the_best_so_far(asynchronous: bool) -> None:
    """The user interrupts during the first solution of the eighth of nine questions."""
    drawn = 0

    def write(request: ttscale.Sample) -> str:
        nonlocal drawn
        drawn += 1
        if drawn == 15:
            time.sleep(0.3)  # the consumer waits by now
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]
            time.sleep(0.3)
        return "Answer: 1"

    generator: Any = FakeGenerator(write)
    generator.max_batch = 1
    role = as_async(generator) if asynchronous else generator
    found: dict[str, ttscale.Result] = {}

    def collect() -> None:
        for question, result in ttscale.solve_stream(numbered(9), 2, generator=role, progress=False):
            found[question.id] = result

    with pytest.raises(KeyboardInterrupt):
        collect()
    assert len(found) == 9
    if asynchronous:  # its calls overtake each other
        return
    assert drawn == 15
    stops = [(result.stopped_by, len(result.candidates)) for result in found.values()]
    assert stops == 7 * [(None, 2)] + [("interrupt", 1), ("interrupt", 0)]


@pytest.mark.parametrize("asynchronous", ["nothing", "questions", "all"])
def test_a_bad_question_lets_those_before_it_end(asynchronous: str) -> None:
    found: list[ttscale.Result] = []

    def broken() -> Iterator[str]:
        yield from ("a", "b")
        raise OSError("the disk is gone")

    async def drip() -> AsyncIterator[str]:
        for question in broken():
            yield question

    async def collect_async() -> None:
        async for _, result in ttscale.asolve_stream(broken(), 8, generator=OneByOne(), progress=False):
            found.append(result)

    def collect() -> None:
        if asynchronous == "all":
            asyncio.run(collect_async())
            return
        questions = drip() if asynchronous == "questions" else broken()
        for _, result in ttscale.solve_stream(questions, 8, generator=OneByOne(), progress=False):
            found.append(result)

    with pytest.raises(OSError, match="the disk is gone"):
        collect()
    assert [(result.stopped_by, len(result.candidates)) for result in found] == [(None, 8), (None, 8)]


def test_the_second_question_of_an_id_leaves_the_trace_of_the_first() -> None:
    pair = [ttscale.Question("q", "What is 1?"), ttscale.Question("q", "What is 2?")]
    found = [result for _, result in ttscale.solve_stream(pair, 4, generator=FakeGenerator(reply), progress=False)]
    refused, real = sorted(found, key=lambda result: len(result.candidates))
    assert "two questions in progress have the id 'q'" in str(refused.error)
    assert sum(event["event"] == "reply" for event in real.trace.events()) == 4
    assert sum(event["event"] == "reply" for event in refused.trace.events()) == 0


def test_a_refused_id_leaves_file_and_observer_the_first_question_alone(tmp_path: Any) -> None:
    pair = [ttscale.Question("q", "What is 1?"), ttscale.Question("q", "What is 2?")]
    path, seen = tmp_path / "trace.jsonl", list[Any]()
    options: Any = {"generator": FakeGenerator(reply), "progress": False, "resume": path, "observe": seen.append}
    found = [result for _, result in ttscale.solve_stream(pair, 4, **options)]
    refused, real = sorted(found, key=lambda result: len(result.candidates))
    tags = ["start", *["reply"] * 4, "end"]
    assert [event["event"] for event in seen] == tags
    assert [event["event"] for event in real.trace.events()] == tags
    assert [event["error"] for event in real.trace.events() if event["event"] == "end"] == [None]
    assert [event.get("prompt") for event in refused.trace.events()] == ["What is 2?", None]


class Clock:
    """Time that passes where a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_source_that_makes_one_wait_holds_no_answer_back(monkeypatch: pytest.MonkeyPatch, asynchronous: bool) -> None:
    """Each question takes 3 s to come and 1 s to be answered: it has its answer before the next one is read."""
    clock, log = Clock(), list[str]()
    monkeypatch.setattr(outbox, "monotonic", clock)

    def slow() -> Iterator[ttscale.Question]:
        for question in numbered(5):
            clock.now += 3
            log.append(f"read {question.id}")
            yield question

    def write(request: ttscale.Sample) -> str:
        clock.now += 1
        log.append(f"drawn {request.question.id}")
        return reply(request)

    role: Any = FakeGenerator(write)
    role = as_async(role) if asynchronous else role
    found = {q.id: r for q, r in ttscale.solve_stream(slow(), 1, generator=role, progress=False)}
    assert log == [f"{what} {i}" for i in range(5) for what in ("read", "drawn")]
    expected = ttscale.solve_all(numbered(5), 1, generator=FakeGenerator(reply), progress=False)
    assert found == {result.question.id: result for result in expected}


def test_a_slow_source_is_read_for_as_long_as_the_search_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call takes 5 s whatever its size, a read 0.5 s: after the first call ten are read for the next one."""
    clock, sizes = Clock(), list[int]()
    monkeypatch.setattr(outbox, "monotonic", clock)

    def slow() -> Iterator[ttscale.Question]:
        for question in numbered(60):
            clock.now += 0.5
            yield question

    class Batches:
        def sample(self, requests: Sequence[ttscale.Sample]) -> list[ttscale.Completion]:
            clock.now += 5
            sizes.append(len(requests))
            return FakeGenerator(reply).sample(requests)

    assert len(list(ttscale.solve_stream(slow(), 1, generator=Batches(), progress=False))) == 60
    assert sizes[0] == 1
    assert set(sizes[1:-1]) <= {10, 11}


def batches_before_each_read(monkeypatch: pytest.MonkeyPatch, seconds: float, limit: Any) -> list[int]:
    clock, generator, read = Clock(), FakeGenerator(reply), list[int]()
    monkeypatch.setattr(outbox, "monotonic", clock)

    def source() -> Iterator[ttscale.Question]:
        for question in numbered(50):
            clock.now += seconds
            read.append(len(generator.batches))
            yield question

    list(ttscale.solve_stream(source(), 2, generator=generator, progress=False, total_limit=limit))
    return read


def test_a_quick_source_is_read_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert batches_before_each_read(monkeypatch, 0.01, None) == [0] * 50


def test_a_total_limit_is_shared_out_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = ttscale.Limit(tokens=150)
    quick, slow = (batches_before_each_read(monkeypatch, seconds, limit) for seconds in (0.0, 3.0))
    assert quick == slow
