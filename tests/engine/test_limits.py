"""Limits on tokens, FLOPs and seconds: the best so far comes back, at most one completion overshoots, no luck in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttscale
from ttscale import (
    Beam,
    BestOfN,
    Completion,
    Cost,
    Limit,
    MajorityVote,
    Sample,
    SequentialRevision,
    Verdict,
    WeightedBestOfN,
)
from ttscale.engine import drive as _drive
from ttscale.testing import FakeGenerator, FakeVerifier, ToyLM, ToyWorld, as_async, check_laws, steps_of

STRATEGIES = [
    MajorityVote(),
    BestOfN(),
    WeightedBestOfN("min"),
    Beam(),
    ttscale.DVTS(),
    ttscale.Lookahead(2),
    SequentialRevision(),
    ttscale.ComputeOptimalScheduler(),
]
STOP = Completion(steps_of("Answer: 1"), "stop", Cost(sampled_tokens=10, flops=100.0))


def names(strategy: Any) -> str:
    return type(strategy).__name__


def test_without_a_limit_nothing_is_stopped() -> None:
    assert ttscale.solve("?", 8, generator=FakeGenerator(STOP), limit=Limit()).stopped_by is None


@pytest.mark.parametrize(
    ("cap", "drawn"), [(1, 0), (9, 0), (10, 1), (11, 1), (39, 3), (40, 4), (79, 7), (80, 8), (81, 8)]
)
def test_draws_of_known_size_never_pass_the_token_cap(cap: int, drawn: int) -> None:
    """The first is let out on trust, since nobody knows yet what one costs."""
    generator = FakeGenerator(STOP)
    result = ttscale.solve("?", 8, generator=generator, limit=Limit(tokens=cap))
    assert result.cost == Cost(
        generations=max(1, drawn), steps=max(1, drawn), sampled_tokens=10 * max(1, drawn), flops=100.0 * max(1, drawn)
    )
    assert len(generator.requests) == max(1, drawn)
    assert result.stopped_by == (None if drawn == 8 else "tokens")
    # The strategy sees the others as cut off, and they do not vote.
    assert [c.finish for c in result.candidates] == ["stop"] * max(1, drawn) + ["length"] * (8 - max(1, drawn))
    assert result.answer == "1"


@pytest.mark.parametrize(("cap", "drawn"), [(1.0, 1), (399.0, 3), (400.0, 4), (799.0, 7), (800.0, 8)])
def test_draws_of_known_size_never_pass_the_flops_cap(cap: float, drawn: int) -> None:
    result = ttscale.solve("?", 8, generator=FakeGenerator(STOP), limit=Limit(flops=cap))
    assert (result.cost.flops, result.stopped_by) == (100.0 * drawn, None if drawn == 8 else "flops")
    assert (len(result.candidates), result.answer) == (drawn, "1")


@given(
    sizes=st.lists(st.integers(1, 50), min_size=8, max_size=8),
    cap=st.integers(1, 300),
    strategy=st.sampled_from([MajorityVote(), BestOfN()]),
)
def test_only_what_nobody_could_foresee_goes_beyond_the_cap(sizes: list[int], cap: int, strategy: Any) -> None:
    replies = [Completion(steps_of("Answer: 1"), "stop", Cost(sampled_tokens=size)) for size in sizes]
    generator = FakeGenerator(lambda request: replies[request.key.path[-1]])  # type: ignore[index]
    result = ttscale.solve(
        "?", 8, generator=generator, verifier=FakeVerifier(0.5), strategy=strategy, limit=Limit(tokens=cap)
    )
    made = sizes[: len(generator.requests)]
    assert result.cost.sampled_tokens == sum(made)
    # What goes beyond the cap is the first draw, and what others have more than any before them.
    surprises = sum(max(0, size - made[0]) for size in made)
    assert sum(made) <= max(cap, made[0]) + surprises
    # Nothing is held back that could be paid for.
    if len(made) < 8:
        assert result.stopped_by == "tokens"
        assert sum(made) + max(made) > cap


def test_at_the_token_cap_what_is_finished_is_judged_all_at_once() -> None:
    verifier = FakeVerifier([0.1, 0.9, 0.3])
    generator = FakeGenerator([Completion(steps_of(f"Answer: {i}"), "stop", Cost(sampled_tokens=10)) for i in range(3)])
    result = ttscale.solve("?", 8, generator=generator, verifier=verifier, strategy=BestOfN(), limit=Limit(tokens=30))
    assert (result.answer, result.score, result.stopped_by) == ("1", 0.9, "tokens")
    assert verifier.batches == [3]


def test_the_flops_cap_holds_for_the_verifier_too_also_past_the_token_cap() -> None:
    generator = FakeGenerator(STOP)
    verifier = FakeVerifier(ttscale.Verdict((0.5,), Cost(flops=1000.0)))
    limit = Limit(tokens=30, flops=2400.0)
    result = ttscale.solve("?", 8, generator=generator, verifier=verifier, strategy=BestOfN(), limit=limit)
    assert (result.stopped_by, result.cost.flops, result.answer) == ("flops", 2300.0, "1")


def test_a_beam_at_its_cap_returns_the_best_it_has_finished() -> None:
    """Every third first step ends at once; the others go on for ever."""

    def reply(request: Sample) -> Completion:
        if not request.prefix.steps and request.key.path[-1] in (0, 3, 6):
            return Completion(steps_of(f"Answer: {request.key.path[-1]}"), "stop", Cost(sampled_tokens=10))
        return Completion(steps_of(f"{request.key.path[-1]}\n"), "open", Cost(sampled_tokens=10))

    def judge(request: Any) -> float:
        return 0.9 if request.candidate.answer == "3" else 0.5

    roles: Any = {"generator": FakeGenerator(reply), "verifier": FakeVerifier(judge), "strategy": Beam()}
    result = ttscale.solve("?", 8, **roles, limit=Limit(tokens=200))
    assert (result.answer, result.score, result.stopped_by) == ("3", 0.9, "tokens")
    assert result.cost.sampled_tokens <= 200
    assert len(result.candidates) == 8


def test_a_long_chain_is_cut_short_and_its_best_comes_back() -> None:
    """2,000 revisions one after the other, more than the waves that a strategy may go on for after its cap."""
    result = ttscale.solve(
        "?",
        2000,
        reviser=ttscale.testing.FakeReviser(STOP),
        strategy=SequentialRevision(ratio=math.inf, select="majority"),
        limit=Limit(tokens=50),
    )
    assert (result.answer, result.stopped_by, result.error) == ("1", "tokens", None)
    assert result.cost.sampled_tokens == 50


class Endless:
    """Never ends by itself."""

    def search(self, root: Any, budget: int) -> Any:
        number = 0
        while True:
            number += 1
            yield [Sample(root, root.key.child(number))]


@pytest.mark.parametrize("limit", [Limit(tokens=35), Limit(flops=350.0)])
def test_a_search_that_never_ends_is_ended_by_a_limit(limit: Limit) -> None:
    result = ttscale.solve("?", 64, generator=FakeGenerator(STOP), strategy=Endless(), limit=limit)
    assert (result.answer, result.cost.generations, result.error) == ("1", 3, None)
    assert result.stopped_by == ("tokens" if limit.tokens else "flops")


@pytest.mark.parametrize("awaited", [False, True])
def test_seconds_count_from_a_question_s_own_start(awaited: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    class Takes(FakeGenerator):
        """Each call takes a second."""

        def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
            nonlocal clock
            clock += 1
            return super().sample(requests)

    monkeypatch.setattr(_drive, "time", SimpleNamespace(monotonic=lambda: clock))
    generator: Any = Takes("Answer: 1")
    result = ttscale.solve(
        "?", 64, generator=as_async(generator) if awaited else generator, strategy=Endless(), limit=Limit(seconds=5)
    )
    assert (result.stopped_by, result.cost.generations, result.answer) == ("seconds", 5, "1")
    # The next question has five seconds of its own.
    results = [
        ttscale.solve(str(i), 64, generator=generator, strategy=Endless(), limit=Limit(seconds=5)) for i in range(3)
    ]
    assert [r.cost.generations for r in results] == [5, 5, 5]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=names)
@pytest.mark.parametrize("tokens", [1, 60, 300, 1000])
def test_with_a_token_limit_the_laws_hold_and_the_best_so_far_comes_back(strategy: Any, tokens: int) -> None:
    results = check_laws(strategy, 9, questions=ToyWorld.questions(2), limit=Limit(tokens=tokens))
    for result in results:
        assert result.error is None
        assert len(result.candidates) <= 9
        finished = [c for c in result.candidates if c.done and c.answer is not None]
        assert (result.answer is not None) == bool(finished)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=names)
@pytest.mark.parametrize("flops", [1.0, 1000.0, 5000.0])
def test_with_a_flops_limit_the_laws_hold(strategy: Any, flops: float) -> None:
    check_laws(strategy, 9, questions=ToyWorld.questions(2), limit=Limit(flops=flops))


STEP_SCORES = [(0.1, 0.95), (0.8, 0.8), (0.2, 0.2)]
"""Of the solutions that answer 1, 2 and 3; the best by its last score is 1, by its lowest, product or mean 2."""


@pytest.mark.parametrize(
    ("how", "scores", "answer"),
    [
        ("last", (0.95, 0.8), "1"),
        ("min", (0.1, 0.8), "2"),
        ("prod", (0.1 * 0.95, 0.8 * 0.8), "2"),
        ("mean", ((0.1 + 0.95) / 2, 0.8), "2"),
    ],
)
@pytest.mark.parametrize("end", ["flops", "dollars", "error"])
def test_a_search_that_is_cut_short_scores_by_its_strategy_s_own_aggregate(
    how: Any, scores: tuple[float, ...], answer: str, end: str
) -> None:
    def judge(request: Any) -> Any:
        place = request.candidate.key.path[-1]
        third = end == "error" and place == 2
        return ValueError("no") if third else Verdict(STEP_SCORES[place], Cost(flops=10.0, dollars=10.0))

    (result,) = ttscale.solve_all(
        ["?"],
        3,
        generator=FakeGenerator(lambda request: f"w\nAnswer: {1 + request.key.path[-1]}"),
        verifier=FakeVerifier(judge),
        strategy=BestOfN(how),
        limit=None if end == "error" else Limit(**{end: 25.0}),
        progress=False,
    )
    assert (result.answer, result.scores) == (answer, pytest.approx((*scores, None)))
    assert (result.stopped_by, result.error is None) == ((None, False) if end == "error" else (end, True))


def test_limits_hold_for_each_question() -> None:
    results = ttscale.solve_all(ToyWorld.questions(5), 8, generator=ToyLM(), limit=Limit(tokens=100), progress=False)
    for result in results:
        alone = ttscale.solve(result.question, 8, generator=ToyLM(), limit=Limit(tokens=100))
        assert (alone, alone.cost) == (result, result.cost)
        assert result.stopped_by == "tokens"


@pytest.mark.parametrize("name", ["tokens", "flops", "seconds"])
@pytest.mark.parametrize("value", [0, -1, math.nan, "5", True, [1]])
def test_a_limit_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"Limit\({name}=\.\.\.\) must be positive and finite, or None for no cap; got"
    ):
        Limit(**{name: value})
