"""One limit over a batch: never over by more than a request for each worker, nothing stuck, the rest left for later.

What was spent is counted by the models themselves, not read from the ledger.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ttscale
from ttscale import Completion, Cost, Limit, Sample, Score, Step, Verdict
from ttscale.core.cost import Price
from ttscale.testing import FakeGenerator

MOST = 20


def tokens_of(request: Sample) -> int:
    """From 1 to ``MOST``, by the request's key."""
    return 1 + hashlib.blake2b(str(request.key).encode(), digest_size=2).digest()[0] % MOST


class Writer:
    """Draws solutions of different lengths and counts what it drew."""

    def __init__(self, flat: int | None = None) -> None:
        self.drawn = self.calls = 0
        self._flat = flat

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        replies = []
        for request in requests:
            count = self._flat or tokens_of(request)
            self.drawn += count
            self.calls += 1
            cost = Cost(sampled_tokens=count, flops=1e6 * count, dollars=count / 100)
            replies.append(Completion((Step(f"Answer: {request.key.seed % 3}"),), "stop", cost))
        return replies


class Awaited(Writer):
    """The same, awaited by at most ``workers`` at a time."""

    def __init__(self, workers: int, flat: int | None = None) -> None:
        super().__init__(flat)
        self._slots = asyncio.Semaphore(workers)

    async def sample(self, requests: Sequence[Sample]) -> list[Completion]:  # type: ignore[override]
        async with self._slots:
            await asyncio.sleep(0)
            return super().sample(requests)


class Judge:
    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [Verdict((0.5,), Cost(verifier_tokens=1, flops=1e5)) for _ in requests]


def questions(n: int) -> list[ttscale.Question]:
    return [ttscale.Question(f"q{i}", "Why?") for i in range(n)]


def solved(generator: Any, cap: Limit, n: int = 60, **more: Any) -> list[ttscale.Result]:
    return ttscale.solve_all(questions(n), 4, generator=generator, total_limit=cap, progress=False, **more)


@given(st.integers(1, 800), st.integers(0, 3), st.sampled_from(["majority_vote", "best_of_n", "beam"]))
@settings(deadline=None, max_examples=40)
def test_tokens_stop_in_time_and_every_question_has_a_result(cap: int, seed: int, strategy: str) -> None:
    writer, judge = Writer(), None if strategy == "majority_vote" else Judge()
    results = solved(writer, Limit(tokens=cap), verifier=judge, strategy=strategy, seed=seed)
    whole = Writer()
    free = ttscale.solve_all(
        questions(60), 4, generator=whole, verifier=judge, strategy=strategy, seed=seed, progress=False
    )
    assert [result.question.id for result in results] == [f"q{i}" for i in range(60)]
    assert sum(result.cost.sampled_tokens for result in results) == writer.drawn
    assert writer.drawn <= cap + MOST
    if whole.drawn + MOST * 4 <= cap:
        assert results == free
    for result, expected in zip(results, free, strict=True):
        assert result.stopped_by in (None, "total_tokens")
        assert result.stopped_by or result == expected
    if any(result.stopped_by for result in results):
        assert writer.drawn > cap - 2 * MOST  # and what there is is used


@pytest.mark.parametrize("unit", ["tokens", "flops", "dollars"])
@pytest.mark.parametrize("workers", [1, 7])
@pytest.mark.parametrize("cap", [3, 100, 333, 100_000])
def test_every_unit_and_awaited_roles(unit: str, workers: int, cap: int) -> None:
    scale = {"tokens": 1, "flops": 1e6, "dollars": 0.01}[unit]
    writer = Awaited(workers)
    results = solved(writer, Limit(**{unit: cap * scale}))  # type: ignore[arg-type]
    assert writer.drawn <= cap + workers * MOST
    assert len(results) == 60
    stopped = Counter(result.stopped_by for result in results)
    assert stopped.keys() <= {None, f"total_{unit}"}
    assert (stopped[None] == 60) == (cap == 100_000)


@pytest.mark.parametrize("cap", [1, 10, 99, 100, 1000])
def test_requests_that_all_cost_the_same_never_pass_the_cap(cap: int) -> None:
    writer = Writer(flat=10)
    solved(writer, Limit(tokens=cap))
    assert writer.drawn == max(10, 10 * (cap // 10))  # the first goes out before anybody knows what it costs


def test_questions_end_whole_rather_than_all_of_them_halfway() -> None:
    """60 questions of 40 tokens each, and room for ten: nine or ten are answered whole."""
    results = solved(Writer(flat=10), Limit(tokens=400))
    whole = [result for result in results if result.stopped_by is None]
    assert len(whole) >= 9
    assert sum(len(result.candidates) > 0 for result in results) <= 11


def test_a_stream_reads_no_further_and_a_second_run_can_go_on() -> None:
    read = 0

    def counted() -> Any:
        nonlocal read
        for question in questions(10_000):
            read += 1
            yield question

    pairs = list(
        ttscale.solve_stream(counted(), 2, generator=Writer(flat=5), total_limit=Limit(tokens=500), progress=False)
    )
    assert sum(result.cost.sampled_tokens for _, result in pairs) == 500
    assert read <= 52

    async def collect() -> list[Any]:
        stream = ttscale.asolve_stream(
            questions(10_000), 2, generator=Awaited(3, flat=5), total_limit=Limit(tokens=500), progress=False
        )
        return [pair async for pair in stream]

    assert sum(result.cost.sampled_tokens for _, result in asyncio.run(collect())) == 500


def test_a_role_that_reports_no_cost_is_not_held_up() -> None:
    silent = FakeGenerator("Answer: 1")
    results = solved(silent, Limit(dollars=1.0))
    assert all(result.stopped_by is None for result in results)


def test_questions_that_fail_leave_the_others_their_share() -> None:
    class Broken(Writer):
        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            if any(request.question.id in ("q0", "q7") for request in requests):
                raise RuntimeError("no")
            return super().sample(requests)

    results = solved(Broken(flat=10), Limit(tokens=10_000))
    assert [result.question.id for result in results if result.error] == ["q0", "q7"]
    assert all(result.stopped_by is None for result in results)


def test_wrong_limits_are_refused() -> None:
    for wrong, says in [
        (Limit(seconds=3), "tokens, flops or dollars"),
        (Limit(), "tokens, flops or dollars"),
        (100, "must be a ttscale.Limit"),
    ]:
        with pytest.raises(ValueError, match=says):
            solved(Writer(), wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="total_budget, in solutions, or total_limit"):
        solved(Writer(), Limit(tokens=5), total_budget=100)


def test_a_question_of_its_own_can_be_capped_in_dollars() -> None:
    result = ttscale.solve("Why?", 50, generator=Writer(flat=10), limit=Limit(dollars=1.0), progress=False)
    assert result.stopped_by == "dollars"
    assert result.cost.dollars == pytest.approx(1.0)


def test_prices_are_per_million_tokens_and_by_kind() -> None:
    cost = Cost(sampled_tokens=1000, prompt_tokens=2000, cached_tokens=4000, verifier_tokens=500)
    assert Price(1.0, 10.0).charge(cost).dollars == pytest.approx((2000 + 4000 + 500) / 1e6 + 1000 * 10 / 1e6)
    assert Price(1.0, 10.0, cached=0.5).charge(cost).dollars == pytest.approx((2500 + 2000 + 10_000) / 1e6)
    for wrong in (-1, float("nan"), float("inf"), "3", True, None):
        with pytest.raises(ValueError, match="dollars per million tokens"):
            Price(wrong, 1.0)  # type: ignore[arg-type]
