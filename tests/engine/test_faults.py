"""Roles that fail: the question at fault gets the error, the others get their results."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ttscale
from ttscale import BestOfN, Completion, Limit, MajorityVote, Question, Result, RoleError, Sample, Score, Verdict
from ttscale.engine import drive as _drive
from ttscale.testing import FakeGenerator, FakeVerifier, ToyLM, ToyVerifier, as_async, as_session, completion_of

QUESTIONS = [Question(f"q{i}", f"Question {i}?") for i in range(100)]
FINE = completion_of("Answer: 1")

Bad = Callable[[Sequence[Any]], Any]


def solved(**options: Any) -> list[Result]:
    return ttscale.solve_all(QUESTIONS, 3, progress=False, **options)


def fails_at(where: str, error: BaseException) -> Callable[[Any], Any]:
    def line(request: Any) -> Any:
        if request.question.id == where and request.key.path[-1] == 1:
            raise error
        return 0.5 if isinstance(request, Score) else FINE

    return line


def only_37_fails(results: list[Result], role: str, *words: str, place: str = "key") -> Exception:
    assert [r.question.id for r in results if r.error is None] == [q.id for q in QUESTIONS if q.id != "q37"]
    assert {r.answer for r in results if r.error is None} == {"1"}
    assert all(len(r.candidates) == 3 for r in results if r.error is None)
    error = results[37].error
    assert isinstance(error, RoleError)
    for word in (role, "'q37'", f"{place} 0/q37/", *words):
        assert word in str(error)
    return error


WAYS: dict[str, Callable[[Any], Any]] = {
    "batch": lambda role: role,
    "awaited": as_async,
    "session": as_session,
    "small session": lambda role: as_session(role, 1),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("error", [ValueError("broken pipe"), ConnectionResetError("hung up"), TimeoutError("late")])
def test_a_generator_that_raises_in_question_37_of_100_costs_the_others_nothing(way: Any, error: Exception) -> None:
    generator = way(FakeGenerator(fails_at("q37", error), name="mine"))
    found = only_37_fails(solved(generator=generator), "generator mine", type(error).__name__, str(error))
    assert found.__cause__ is error


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_verifier_that_raises_is_an_error_and_never_a_score(way: Any) -> None:
    verifier = way(FakeVerifier(fails_at("q37", ValueError("no"))))
    results = solved(generator=FakeGenerator("Answer: 1"), verifier=verifier, strategy=BestOfN())
    only_37_fails(results, "verifier")
    # What was drawn is still there, unscored, and the best of it is named.
    assert [c.answer for c in results[37].candidates] == ["1"] * 3
    assert 0.0 not in results[37].scores
    assert results[37].cost.generations == 3


def _short(replies: list[Any]) -> Any:
    return replies[:-1]


def _long(replies: list[Any]) -> Any:
    return [*replies, replies[-1]]


def _none(_: list[Any]) -> Any:
    return None


def _lazy(replies: list[Any]) -> Any:
    return iter(replies)


class Bends:
    """A generator that spoils the list of replies of any batch with question 37 in it."""

    def __init__(self, bend: Bad) -> None:
        self._bend = bend

    def sample(self, requests: Sequence[Sample]) -> Any:
        replies = [FINE] * len(requests)
        return self._bend(replies) if any(r.question.id == "q37" for r in requests) else replies


@pytest.mark.parametrize(
    ("bend", "words"), [(_short, "2 replies"), (_long, "4 replies"), (_none, "NoneType"), (_lazy, "")]
)
def test_a_wrong_number_of_replies_is_an_error_of_the_question_concerned(bend: Bad, words: str) -> None:
    for generator in (Bends(bend), as_async(Bends(bend))):
        only_37_fails(solved(generator=generator), "generator Bends", words, "for 3 requests")


@pytest.mark.parametrize("score", [float("nan"), 1.5, -0.1, float("inf")])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_score_that_is_no_probability_is_an_error_of_the_question_concerned(way: Any, score: float) -> None:
    verifier = way(FakeVerifier(lambda request: score if request.question.id == "q37" else 0.5))
    results = solved(generator=FakeGenerator("Answer: 1"), verifier=verifier, strategy=BestOfN())
    only_37_fails(results, "verifier", str(score), place="candidate")


def test_a_malformed_reply_is_an_error_of_the_question_concerned(tmp_path: Any) -> None:
    bad = Completion(("no step",), "stop")  # type: ignore[arg-type]
    for resume in (None, tmp_path / "trace.jsonl"):
        generator = FakeGenerator(lambda request: bad if request.question.id == "q37" else FINE)
        only_37_fails(solved(generator=generator, resume=resume), "generator", "str among its steps")


# Sessions.


class Session:
    """A session that answers one request a step, until it does what ``trick`` says."""

    def __init__(self, trick: str) -> None:
        self._trick = trick
        self._waiting: list[tuple[int, Any]] = []

    @property
    def active(self) -> bool:
        return bool(self._waiting)

    def admit(self, requests: Sequence[tuple[int, Any]]) -> None:
        if self._trick == "admit raises" and any(r.question.id == "q37" for _, r in requests):
            raise ValueError("oh")
        self._waiting += requests

    def step(self) -> list[tuple[int, Any]]:
        number, request = self._waiting.pop(0)
        if request.question.id != "q37":
            return [(number, FINE)]
        if self._trick == "raises":
            raise ValueError("oh")
        if self._trick == "forgets":
            return []
        if self._trick == "makes up a ticket":
            return [(number + 10_000, FINE)]
        if self._trick == "answers twice":
            return [(number, FINE), (number, FINE)]
        if self._trick == "answers with no pair":
            return [FINE]  # type: ignore[list-item]
        return [(number, ValueError("oh"))]


class HasSession:
    """Its batch method fails for question 37, as its sessions do in their own way."""

    name = "tricky"

    def __init__(self, trick: str) -> None:
        self._trick = trick

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        if any(r.question.id == "q37" for r in requests):
            raise ValueError("oh")
        return [FINE] * len(requests)

    def session(self) -> Session:
        return Session(self._trick)


TRICKS = (
    "raises",
    "admit raises",
    "forgets",
    "makes up a ticket",
    "answers twice",
    "answers with no pair",
    "returns an exception",
)


@pytest.mark.parametrize("trick", TRICKS)
def test_a_session_that_breaks_its_promise_costs_one_question_only(trick: str) -> None:
    only_37_fails(solved(generator=HasSession(trick)), "generator tricky")
    only_37_fails(
        asyncio.run(ttscale.asolve_all(QUESTIONS, 3, generator=HasSession(trick), progress=False)), "generator tricky"
    )


class NoSession(HasSession):
    """Cannot open a session a second time."""

    opened = 0

    def session(self) -> Session:
        self.opened += 1
        if self.opened > 1:
            raise OSError("device lost")
        return super().session()


def test_a_role_whose_session_cannot_be_opened_again_is_asked_in_batches() -> None:
    only_37_fails(solved(generator=NoSession("raises")), "generator tricky")


class LateVerifier:
    """Scores in a session; question 37's second request fails while its third is still being worked on."""

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [Verdict((0.5,))] * len(requests)

    def session(self) -> Any:
        return _Late()


class _Late:
    def __init__(self) -> None:
        self._waiting: list[tuple[int, Any]] = []

    @property
    def active(self) -> bool:
        return bool(self._waiting)

    def admit(self, requests: Sequence[tuple[int, Any]]) -> None:
        self._waiting += requests

    def step(self) -> list[tuple[int, Any]]:
        number, request = self._waiting.pop(0)
        if request.question.id == "q37" and request.key.path[-1] == 1:
            return [(number, ValueError("oh"))]
        return [(number, Verdict((0.5,)))]


def test_replies_that_come_after_their_question_has_failed_do_no_harm() -> None:
    results = solved(generator=FakeGenerator("Answer: 1"), verifier=LateVerifier(), strategy=BestOfN())
    only_37_fails(results, "verifier")


@pytest.mark.parametrize("way", [way for name, way in WAYS.items() if name != "awaited"])
@pytest.mark.parametrize("beside", [None, as_async(FakeVerifier(0.5))])
def test_a_synchronous_role_whose_own_loop_was_cancelled_costs_one_question(way: Any, beside: Any) -> None:
    """``CancelledError`` is no ``Exception``, and what a client that runs a loop of its own may raise when hung up."""
    generator = way(FakeGenerator(fails_at("q37", asyncio.CancelledError("hung up")), name="mine"))
    roles = {"generator": generator} | ({} if beside is None else {"verifier": beside, "strategy": BestOfN()})
    only_37_fails(solved(**roles), "generator mine", "CancelledError", "hung up")


# Awaited roles.


class Slow:
    """Awaits long for question 37, in the way of a server that hangs."""

    def __init__(self, how: str = "hangs") -> None:
        self._how = how

    async def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        if requests[0].question.id == "q37":
            if self._how == "cancels itself":
                raise asyncio.CancelledError("inner task cancelled")
            await asyncio.sleep(3600)
        for _ in range(5):
            await asyncio.sleep(0)
        return [FINE] * len(requests)


def test_a_session_that_cannot_be_opened_is_done_without() -> None:
    """As where memory runs out: once, or for good."""

    class Shy(FakeGenerator):
        opened = 0

        def session(self) -> Any:
            self.opened += 1
            raise MemoryError("out of memory")

    generator = Shy("Answer: 1")
    assert {result.answer for result in solved(generator=generator)} == {"1"}
    assert generator.opened == 1


def test_a_method_is_awaited_however_it_is_asynchronous_or_its_author_is_told() -> None:
    class Method:
        async def __call__(self, requests: Sequence[Sample]) -> list[Completion]:
            return [FINE] * len(requests)

    asynchronous = Method()
    assert {result.answer for result in solved(generator=SimpleNamespace(sample=asynchronous))} == {"1"}
    with pytest.raises(
        RoleError, match=r"sample\(\) returned a coroutine, though it is not an async def \(a decorator"
    ):
        ttscale.solve("q", generator=SimpleNamespace(sample=lambda requests: asynchronous(requests)))


def test_an_awaited_role_that_is_cancelled_inside_is_an_error_of_its_question() -> None:
    only_37_fails(solved(generator=Slow("cancels itself")), "generator Slow", "CancelledError")


def test_an_awaited_role_that_hangs_is_ended_by_the_limit_on_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    def observe(event: Any) -> None:
        if event["event"] == "end":
            ended.append(event["question"])

    # Time passes when the other 99 are done.
    monkeypatch.setattr(_drive, "time", SimpleNamespace(monotonic=lambda: 1000.0 if len(ended) >= 99 else 0.0))
    results = solved(generator=Slow(), limit=Limit(seconds=900), observe=observe)
    assert (sorted(ended), ended[-1]) == (sorted(q.id for q in QUESTIONS), "q37")
    assert [(r.question.id, r.stopped_by) for r in results if r.stopped_by] == [("q37", "seconds")]
    assert (results[37].answer, results[37].candidates, results[37].error) == (None, (), None)


def test_a_late_reply_to_an_awaited_question_that_has_failed_does_no_harm(tmp_path: Path) -> None:
    class Both:
        """Draws and judges in one wave, so that the verifier can fail while the generator is still at work."""

        def search(self, root: Any, budget: int) -> Any:
            begun = root.extend(root.key.child("begun"), completion_of("a\n", 1).steps, "open")
            yield [Sample(root, root.key.child(1)), Score(begun)]
            for i in range(2, 4):
                yield [Sample(root, root.key.child(i))]
            return ttscale.Outcome((begun,) * 3, (None,) * 3, None)

    class Generator:
        async def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            for _ in range(20):
                await asyncio.sleep(0)
            return [FINE] * len(requests)

    class Judge:
        async def score(self, requests: Sequence[Score]) -> list[Verdict]:
            if requests[0].question.id == "q37":
                raise ValueError("oh")
            return [Verdict((0.5,))] * len(requests)

    late = {"event": "reply", "question": "q37", "op": "sample"}
    for resume in (None, tmp_path / "trace.jsonl"):
        events: list[Any] = []
        results = solved(generator=Generator(), verifier=Judge(), strategy=Both(), observe=events.append, resume=resume)
        assert [r.question.id for r in results if r.error] == ["q37"]
        # In a file it is kept for the next run; a trace in memory ended with its question.
        assert sum(late.items() <= event.items() for event in events) == (resume is not None)


def test_solve_raises_what_solve_all_keeps() -> None:
    generator = FakeGenerator(fails_at("q37", ValueError("oh")))
    with pytest.raises(
        RoleError, match=r"the generator fake raised ValueError: oh \(question 'q37', key 0/q37/0 and 2"
    ):
        ttscale.solve(QUESTIONS[37], 3, generator=generator)
    with pytest.raises(RoleError, match="ValueError: oh"):
        asyncio.run(ttscale.asolve(QUESTIONS[37], 3, generator=as_async(generator)))


def test_the_error_that_solve_raises_has_what_was_found_before() -> None:
    with pytest.raises(RoleError, match="oh") as caught:
        ttscale.solve(
            QUESTIONS[37],
            8,
            generator=FakeGenerator(fails_at("q37", ValueError("oh"))),
            strategy=ttscale.strategies.AdaptiveConsistency(),
        )
    found = caught.value.result
    assert found is not None
    assert (found.answer, len(found.candidates), found.cost.generations) == ("1", 1, 1)


def test_a_strategy_that_fails_for_one_question_costs_the_others_nothing() -> None:
    class Picky:
        needs = frozenset({"generator"})

        def search(self, root: Any, budget: int) -> Any:
            if root.question.id == "q37":
                raise ZeroDivisionError("no such luck")
            return MajorityVote().search(root, budget)

    results = solved(generator=FakeGenerator("Answer: 1"), strategy=Picky())
    assert [r.question.id for r in results if r.error] == ["q37"]
    assert isinstance(results[37].error, ttscale.StrategyError)
    assert "ZeroDivisionError: no such luck (question 'q37')" in str(results[37].error)


def test_a_question_that_was_given_as_text_is_named_by_its_text_in_errors() -> None:
    """Its id is a hash, which nobody has seen before."""
    texts = ["What is 1 + 1?", "What is " + " + ".join(map(str, range(50))) + "?"]
    results = ttscale.solve_all(texts, 2, generator=FakeGenerator(ValueError("oh")), progress=False)
    for text, result in zip(texts, results, strict=True):
        assert f"question {result.question.id!r} ({text[:57]!r}"[:-1] in str(result.error)
        assert len(str(result.error)) < 200


def test_one_question_that_fails_in_a_beam_leaves_the_toy_world_as_it_was() -> None:
    class Breaks(ToyLM):
        def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
            if any(r.question.id == "q3" and len(r.prefix.steps) == 2 for r in requests):
                raise MemoryError("too many rows")
            return super().sample(requests)

    options: Any = {"verifier": ToyVerifier(), "strategy": "beam", "progress": False}
    fine = ttscale.solve_all(QUESTIONS[:6], 8, generator=ToyLM(), **options)
    broken = ttscale.solve_all(QUESTIONS[:6], 8, generator=Breaks(), **options)
    assert isinstance(broken[3].error, RoleError)
    assert [broken[i] for i in (0, 1, 2, 4, 5)] == [fine[i] for i in (0, 1, 2, 4, 5)]


def test_an_exception_in_the_place_of_a_reply_ends_its_question_and_nothing_is_asked_twice() -> None:
    asked: list[Any] = []

    class Fair:
        def sample(self, requests: Sequence[Sample]) -> list[Any]:
            asked.extend(request.key for request in requests)
            return [ValueError("no") if request.question.id == "q37" else FINE for request in requests]

    only_37_fails(solved(generator=Fair()), "generator Fair", "ValueError: no")
    assert len(asked) == len(set(asked)) == 300


@pytest.mark.parametrize("way", [lambda role: role, as_async], ids=["batch", "awaited verifier"])
def test_a_role_is_asked_for_as_many_as_it_takes_at_once_and_what_it_said_is_kept(way: Any, tmp_path: Path) -> None:
    sizes: list[int] = []

    class Small:
        max_batch = 7

        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            sizes.append(len(requests))
            if len(sizes) == 4:
                raise KeyboardInterrupt
            return [FINE] * len(requests)

    def run() -> list[Result]:
        judge = way(FakeVerifier(0.5))
        path = tmp_path / "run.jsonl"
        return ttscale.solve_all(QUESTIONS[:10], 3, generator=Small(), verifier=judge, resume=path, progress=False)

    assert "interrupt" in [result.stopped_by for result in run()]
    results = run()
    assert [result.answer for result in results] == ["1"] * 10
    assert max(sizes) == 7
    assert sum(sizes) == 30 + 7  # the call that was interrupted was asked again


def test_a_strategy_that_asks_for_more_than_its_budget_is_stopped_before_it_is_drawn() -> None:
    class Greedy:
        def search(self, root: Any, budget: int) -> Any:
            return (yield from MajorityVote().search(root, budget + (root.question.id == "q37")))

    drawn: list[Any] = []
    generator = FakeGenerator(lambda request: drawn.append(request.question.id) or FINE)
    results = solved(generator=generator, strategy=Greedy())
    assert [r.question.id for r in results if r.error] == ["q37"]
    assert "asked for 4 solutions, its budget is 3 (question 'q37')" in str(results[37].error)
    assert "q37" not in drawn


class Yields:
    """A strategy that draws one solution and returns what ``bend`` makes of it."""

    needs = frozenset({"generator"})

    def __init__(self, bend: Callable[[Any, Any], Any]) -> None:
        self._bend = bend

    def search(self, root: Any, budget: int) -> Any:
        return self._bend(root, root.key.child(0))


def _outcome(score: Any) -> Callable[[Any, Any], Any]:
    def search(root: Any, key: Any) -> Any:
        (reply,) = yield [Sample(root, key)]
        return ttscale.Outcome((root.extend(key, reply.steps, reply.finish),), (score,), 0)

    return search


def _asks(part: Any = 1, **settings: Any) -> Callable[[Any, Any], Any]:
    def search(root: Any, key: Any) -> Any:
        yield [Sample(root, key.child(part), **settings)]

    return search


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (_outcome(float("nan")), "score nan"),
        (_outcome(np.float32(0.5)), "score np.float32"),
        (_outcome("high"), "score 'high'"),
        (_asks(np.int64(3)), "text and Python integers"),
        (_asks(1.5), "text and Python integers"),
        (_asks(temperature=np.float32(0.5)), "temperature must be"),
    ],
)
def test_what_no_trace_can_hold_is_the_strategys_error(bend: Any, words: str, resumed: bool, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl" if resumed else None
    for _ in range(2):
        (result,) = ttscale.solve_all(
            ["a"], 4, generator=FakeGenerator("Answer: 1"), strategy=Yields(bend), resume=trace, progress=False
        )
        assert isinstance(result.error, ttscale.StrategyError)
        assert words in str(result.error)


@pytest.mark.parametrize(
    "step",
    [
        {"logprob": -math.inf},
        {"certainty": math.inf},
        {"logprob": True},
        {"drawn": True},
    ],
)
def test_what_the_engine_takes_a_resumed_run_reads(step: dict[str, Any], tmp_path: Path) -> None:
    said = Completion((ttscale.Step("Answer: 1", (), **step),), "stop", ttscale.Cost(sampled_tokens=True))
    kwargs: Any = {"strategy": "best_of_n", "resume": tmp_path / "run.jsonl", "progress": False}
    first = ttscale.solve_all(["a"], 3, generator=FakeGenerator(said), verifier=FakeVerifier(True), **kwargs)
    again = ttscale.solve_all(
        ["a"], 3, generator=FakeGenerator(KeyError()), verifier=FakeVerifier(KeyError()), **kwargs
    )
    assert first == again
    assert again[0].answer == "1"


def test_a_log_probability_that_is_no_number_is_refused_as_it_comes() -> None:
    said = Completion((ttscale.Step("Answer: 1", (), math.nan),), "stop")
    with pytest.raises(RoleError, match="logprob is nan"):
        ttscale.solve("a", 1, generator=FakeGenerator(said))


def test_an_id_that_is_no_text_is_refused_before_anything_is_spent() -> None:
    with pytest.raises(ValueError, match="id of question 1 must be a string; got 5"):
        ttscale.solve_all([Question("a", "x"), Question(5, "y")], generator=FakeGenerator("1"))  # type: ignore[arg-type]
