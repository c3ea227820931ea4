"""``Limit(tokens=)`` reaches into a draw: its share is in the request, never in the batch, and never beyond the cap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttscale
from ttscale import Completion, Cost, Limit, Sample
from ttscale.revisers import PromptedReviser
from ttscale.strategies import ABMCTS, ConfidenceVote, FirstFinished, ParticleFilter, RecursiveAggregation, Tournament
from ttscale.testing import FakeGenerator, ToyLM, ToyWorld, as_async, as_session, check_laws, steps_of, toy_roles

STRATEGIES: list[Any] = [
    ttscale.MajorityVote(),
    ttscale.BestOfN(),
    ttscale.Beam(),
    ttscale.SequentialRevision(),
    ttscale.ComputeOptimalScheduler(),
    FirstFinished(2),
    ParticleFilter(),
    ABMCTS(),
    RecursiveAggregation(),
    Tournament(),
    ConfidenceVote(0.5, 8, warmup=3),
]


def names(strategy: Any) -> str:
    return type(strategy).__name__


@given(cap=st.integers(1, 1500), n=st.integers(1, 40), strategy=st.sampled_from(STRATEGIES))
def test_never_a_token_beyond_the_cap_and_the_same_in_every_batch(cap: int, n: int, strategy: Any) -> None:
    roles: Any = toy_roles(comparator=True)
    options: Any = {"strategy": strategy, "limit": Limit(tokens=cap), "progress": False}
    questions = ToyWorld.questions(2)
    results = ttscale.solve_all(questions, n, **roles, **options)
    assert all(result.cost.sampled_tokens <= cap for result in results)
    for twin in (as_async, lambda role: as_session(role, 2)):
        again = ttscale.solve_all(questions[::-1], n, **{role: twin(one) for role, one in roles.items()}, **options)
        assert [(r, r.cost) for r in again[::-1]] == [(r, r.cost) for r in results]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=names)
@pytest.mark.parametrize("tokens", [30, 200])
def test_the_laws_hold_where_draws_are_cut_off_in_the_middle(strategy: Any, tokens: int) -> None:
    check_laws(strategy, 9, questions=ToyWorld.questions(2), limit=Limit(tokens=tokens))


def drawn(request: Any, tokens: int) -> Completion:
    """A draw that would take so many tokens and is held to its share."""
    if request.max_tokens is not None and request.max_tokens < tokens:
        return Completion(steps_of("Answ"), "length", Cost(sampled_tokens=request.max_tokens))
    return Completion(steps_of("Answer: 1"), "stop", Cost(sampled_tokens=tokens))


def test_a_single_long_draw_is_cut_off_at_the_cap() -> None:
    generator = FakeGenerator(lambda request: drawn(request, 10_000))
    result = ttscale.solve("?", 8, generator=generator, limit=Limit(tokens=300))
    assert (result.cost.sampled_tokens, result.cost.generations, result.stopped_by) == (300, 1, "tokens")
    assert (result.answer, [request.max_tokens for request in generator.requests]) == (None, [300])


def test_shares_by_hand() -> None:
    """The first is alone; after it 270 are left for seven, which could take 20 each side by side."""
    sizes = [30, 10, 60, 10, 10, 10, 10, 10]
    generator = FakeGenerator(lambda request: drawn(request, sizes[request.key.path[-1]]))  # type: ignore[index]
    result = ttscale.solve("?", 8, generator=generator, limit=Limit(tokens=300))
    shares = [request.max_tokens for request in generator.requests]
    # 270 // (2 * 30) = 4 side by side, a quarter of the rest for each. Then one at a time.
    assert shares[:5] == [300, 67, 67, 67, 67]
    assert generator.batches[:2] == [1, 4]
    assert result.cost.sampled_tokens == sum(sizes)
    assert result.stopped_by is None
    assert all(share is not None and share >= 60 for share in shares)


def test_without_a_limit_on_tokens_nobody_is_given_a_share() -> None:
    for limit in (None, Limit(flops=1e9), Limit(seconds=100)):
        generator = FakeGenerator("Answer: 1")
        ttscale.solve("?", 4, generator=generator, limit=limit)
        assert {request.max_tokens for request in generator.requests} == {None}


def test_a_strategy_cannot_set_it() -> None:
    class Greedy:
        def search(self, root: Any, budget: int) -> Any:
            yield [Sample(root, root.key.child(0), max_tokens=7)]

    with pytest.raises(ttscale.StrategyError, match="max_tokens is for the engine to set"):
        ttscale.solve("?", 4, generator=FakeGenerator("Answer: 1"), strategy=Greedy())


class Counting(ToyLM):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(ToyWorld(p=0.6, depth=4, hasty=0.3))
        self.asked: list[Any] = []

    def sample(self, requests: Any, /) -> Any:
        self.asked += requests
        return super().sample(requests)


@pytest.mark.parametrize("strategy", [ttscale.MajorityVote(), FirstFinished(2)], ids=names)
def test_a_trace_serves_other_limits_as_far_as_they_draw_the_same(tmp_path: Path, strategy: Any) -> None:
    """Whatever limit a file was written under, a run gives what it gives without the file."""
    for first in (None, 60, 200):
        for second in (None, 40, 60, 120, 200, 100_000):
            path = tmp_path / f"{first}-{second}.jsonl"
            options: Any = {"strategy": strategy, "progress": False}
            for cap in (first, second):
                limit = None if cap is None else Limit(tokens=cap)
                generator = Counting()
                (kept,) = ttscale.solve_all(["?"], 6, generator=generator, limit=limit, resume=path, **options)
                (fresh,) = ttscale.solve_all(["?"], 6, generator=Counting(), limit=limit, **options)
                assert kept == fresh
                assert kept.cost == fresh.cost or strategy != ttscale.MajorityVote()
            if first is None or first == second:
                whole = [request for request in generator.asked if request.max_tokens is None]
                assert not whole  # all that a share does not cut is in the file
                assert len(generator.asked) <= (0 if first == second else 2)


def test_a_reviser_made_of_a_generator_passes_the_share_on() -> None:
    generator = FakeGenerator("Answer: 1")
    reviser = PromptedReviser(generator)
    ttscale.solve("?", 3, generator=generator, reviser=reviser, strategy="sequential_revision", limit=Limit(tokens=90))
    assert all(isinstance(request.max_tokens, int) for request in generator.requests)
