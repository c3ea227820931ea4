"""Pools of endpoints: the laws of the hashing, ejection and return by a clock of its own, and pools over stand-ins."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttscale
from fake_openai import FakeServer, serving
from ttscale.openai import Connection, OpenAIGenerator, OpenAIVerifier
from ttscale.openai.pool import BOUND, EJECT_AFTER, EJECTED, MOST_EJECTED, SLACK, EndpointPool, home_of
from ttscale.prompts.layouts import PromptFormat

PLAIN = PromptFormat(chat=False, template="{question}\n<assistant>")
HOMES = range(2000)
names = st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), min_size=2, max_size=9, unique=True)
weights = st.floats(0.1, 10)


@given(names, st.data())
def test_an_endpoint_that_leaves_moves_its_own_questions_and_no_others(all_: list[str], data: st.DataObject) -> None:
    given_ = [data.draw(weights) for _ in all_]
    gone = data.draw(st.integers(0, len(all_) - 1))
    whole = EndpointPool(all_, given_)
    rest = EndpointPool([n for n in all_ if n != all_[gone]], [w for i, w in enumerate(given_) if i != gone])
    left = [i for i in range(len(all_)) if i != gone]
    for home in range(200):
        where = whole.home(home)
        assert where == gone or left[rest.home(home)] == where
        assert [left[i] for i in rest.order(home, 0.0)] == [i for i in whole.order(home, 0.0) if i != gone]


@given(names, st.data())
def test_the_order_in_which_endpoints_are_listed_does_not_matter(all_: list[str], data: st.DataObject) -> None:
    other = data.draw(st.permutations(all_))
    one, two = EndpointPool(all_), EndpointPool(other)
    assert all(all_[one.home(home)] == other[two.home(home)] for home in range(100))


@given(names, st.data())
def test_more_weight_draws_questions_and_sends_none_away(all_: list[str], data: st.DataObject) -> None:
    given_ = [data.draw(weights) for _ in all_]
    heavier = data.draw(st.integers(0, len(all_) - 1))
    more = [w * (2 if i == heavier else 1) for i, w in enumerate(given_)]
    before, after = EndpointPool(all_, given_), EndpointPool(all_, more)
    for home in range(200):
        assert after.home(home) in (before.home(home), heavier)


@pytest.mark.parametrize("shares", [(1, 1, 1, 1), (1, 2, 3, 4), (0.5, 8, 0.5, 1)])
def test_each_endpoint_gets_its_share_of_the_questions(shares: tuple[float, ...]) -> None:
    """Each count is binomial; five standard deviations (no draw is random, so this holds for good)."""
    pool = EndpointPool(["a", "b", "c", "d"], shares)
    found = Counter(pool.home(home_of(f"question {i}")) for i in HOMES)
    for endpoint, weight in enumerate(shares):
        p = weight / sum(shares)
        assert abs(found[endpoint] - p * len(HOMES)) < 5 * math.sqrt(len(HOMES) * p * (1 - p))


def test_no_endpoint_is_loaded_much_beyond_its_share() -> None:
    pool = EndpointPool([f"http://h{i}" for i in range(4)])
    with ExitStack() as out:
        for _ in range(40):
            out.enter_context(pool.load(pool.order(7, 0.0)[0]))
        loads = sorted(one.load for one in pool._all)
    assert sum(loads) == 40
    assert loads[-1] <= SLACK + BOUND * 40 / 4
    assert pool.order(7, 0.0)[0] == pool.home(7)


def fail(pool: EndpointPool, endpoint: int, now: float) -> None:
    pool.end(endpoint, False, pool.begin(endpoint, now), now)


def test_failures_in_a_row_eject_and_one_request_at_a_time_tries_whether_it_is_back() -> None:
    pool = EndpointPool(["a", "b"])
    for _ in range(EJECT_AFTER - 1):
        fail(pool, 0, 0.0)
    assert pool.available(0, 0.0)
    pool.end(0, True, pool.begin(0, 0.0), 0.0)  # a success starts the count again
    for _ in range(EJECT_AFTER):
        assert pool.available(0, 1.0)
        fail(pool, 0, 1.0)
    homes = [home for home in range(50) if pool.home(home) == 0]
    assert all(pool.order(home, 1.0) == [1, 0] for home in homes)
    assert pool.health() == {"a": "ejected", "b": "healthy"}
    later = 1.0 + EJECTED
    assert pool.order(homes[0], later) == [0, 1]
    probe = pool.begin(0, later)
    assert probe
    assert pool.order(homes[0], later) == [1, 0]  # one request tries, the others do not
    assert not pool.begin(0, later)
    pool.end(0, False, probe, later)
    assert not pool.available(0, later + EJECTED)  # twice as long now
    assert pool.available(0, later + 2 * EJECTED)
    pool.end(0, True, pool.begin(0, later + 2 * EJECTED), later + 2 * EJECTED)
    assert pool.health() == {"a": "healthy", "b": "healthy"}
    assert pool.counts["ejections"] == 2
    assert pool.counts["returns"] == 1


def test_an_ejected_endpoint_is_never_out_for_longer_than_the_most() -> None:
    pool, now = EndpointPool(["a", "b"]), 0.0
    for _ in range(EJECT_AFTER):
        fail(pool, 0, now)
    for _ in range(40):
        now += MOST_EJECTED
        assert pool.available(0, now)
        fail(pool, 0, now)


def test_a_request_that_was_given_up_says_nothing_and_frees_the_probe() -> None:
    pool = EndpointPool(["a", "b"])
    for _ in range(EJECT_AFTER):
        fail(pool, 0, 0.0)
    pool.end(0, None, pool.begin(0, EJECTED), EJECTED)
    assert pool.available(0, EJECTED)
    assert pool.health()["a"] == "ejected"


@pytest.mark.parametrize("bad", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.inf], [1.0, True], [1.0, "2"]])
def test_weights_that_make_no_sense_are_refused(bad: list[Any]) -> None:
    with pytest.raises(ValueError, match="weights must be a positive number for each of 2 URLs"):
        OpenAIGenerator("toy", urls=["http://a/v1", "http://b/v1"], weights=bad)


def test_urls_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="named twice"):
        OpenAIGenerator("toy", urls=["http://a/v1", "http://a/v1"])
    with pytest.raises(ValueError, match="not both"):
        OpenAIGenerator("toy", "http://a/v1", urls=["http://b/v1"])
    with pytest.raises(ValueError, match="base_url, urls, weights and api_key belong to the Connection"):
        OpenAIGenerator("toy", weights=[1.0], connection=Connection("http://a/v1", api_key="k"))


# Over stand-in servers.


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def _no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


def generator(servers: Sequence[FakeServer], **settings: Any) -> OpenAIGenerator:
    few = {"concurrency": 4, **settings}  # the stand-ins take few connections at a time
    connection = Connection([s.url for s in servers], api_key="none", sleep=_no_sleep, **few)
    return OpenAIGenerator("toy", connection=connection, server="vllm", prompt=PLAIN, delimiter="\n", token_ids=False)


def questions(n: int) -> list[ttscale.Question]:
    return [ttscale.Question(f"q{i}", f"Question number {i}?") for i in range(n)]


def solved(servers: Sequence[FakeServer], n: int = 40, **settings: Any) -> list[ttscale.Result]:
    return ttscale.solve_all(questions(n), 3, generator=generator(servers, **settings), progress=False)


def test_a_pool_gives_the_results_of_one_server_and_each_question_stays_at_its_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ttscale.openai.pool.SLACK", 120)  # a server that answers slowly here is not full
    with ExitStack() as stack:
        one, *pool = [stack.enter_context(serving()) for _ in range(5)]
        expected = solved([one])
        assert solved(pool) == expected
        prompts = [{body["prompt"] for body in server.bodies} for server in pool]
        assert sum(map(len, prompts)) == len(set().union(*prompts)) == 40
        assert all(prompts)


def test_faults_and_a_dead_server_change_nothing_and_ask_with_the_same_seeds() -> None:
    with ExitStack() as stack:
        one, *pool = [stack.enter_context(serving()) for _ in range(4)]
        expected = solved([one])
        seeds = Counter((body["prompt"], body["seed"]) for body in one.bodies)
        dead = FakeServer().start()
        dead.stop()
        pool[0].fault = lambda n, body: ("drop", "500", "cut", None)[n % 4]
        assert solved([dead, *pool]) == expected
        asked = Counter((b["prompt"], b["seed"]) for server in pool for b in server.bodies)
        assert asked.keys() == seeds.keys()
        assert sum(asked.values()) - sum(seeds.values()) == pool[0].faulty


def test_a_server_that_died_is_ejected_and_comes_back_after_one_request_tried_it() -> None:
    clock = Clock()
    with serving() as steady, serving() as mortal:
        model = generator([steady, mortal], clock=clock, concurrency=1)
        pool, at = model.connection.pool, 1
        mine = [q for q in questions(60) if pool.home(home_of(q.prompt)) == at]

        def ask(some: Sequence[ttscale.Question]) -> int:
            before = len(mortal.requests)
            results = ttscale.solve_all(some, 1, generator=model, progress=False)
            assert all(result.error is None for result in results)
            return len(mortal.requests) - before

        assert ask(mine[:5]) == 5
        mortal.stop()
        ask(mine[5:12])
        assert model.connection.health[mortal.url] == "ejected"
        mortal.start()
        assert ask(mine[12:15]) == 0  # nobody has looked yet
        clock.now += EJECTED
        assert ask(mine[15:16]) == 1
        assert ask(mine[16:20]) == 4
        assert set(model.connection.health.values()) == {"healthy"}


def test_in_flight_requests_are_limited_at_each_endpoint() -> None:
    with serving(delay=0.01) as first, serving(delay=0.01) as second:
        solved([first, second], 30, concurrency=2)
    assert 0 < first.busiest <= 2
    assert 0 < second.busiest <= 2


def test_a_verifier_has_a_pool_of_its_own() -> None:
    def scores(path: str, body: Any) -> Any:
        return {"data": [{"probs": [0.75]}], "usage": {"prompt_tokens": 5}}

    with serving() as writer, serving(answer=scores) as one, serving(answer=scores) as two:
        verifier = OpenAIVerifier("orm", urls=[one.url, two.url], weights=[1, 3], layout="orm", api_key="none")
        results = ttscale.solve_all(
            questions(40), 2, generator=generator([writer]), verifier=verifier, strategy="best_of_n", progress=False
        )
    assert {result.score for result in results} == {0.75}
    assert 0 < len(one.requests) < len(two.requests)
    assert len(one.requests) + len(two.requests) == sum(
        sum(candidate.done for candidate in result.candidates) for result in results
    )


def test_a_price_makes_dollars_of_what_the_server_counted() -> None:
    with serving() as server:
        connection = Connection(server.url, api_key="none")
        price = ttscale.Price(1.0, 10.0, cached=0.1)
        model = OpenAIGenerator("toy", connection=connection, server="vllm", prompt=PLAIN, token_ids=False, price=price)
        (result,) = ttscale.solve_all(questions(1), 4, generator=model, progress=False)
    cost = result.cost
    assert cost.sampled_tokens > 0 < cost.cached_tokens
    expected = cost.prompt_tokens * 1.0 + cost.cached_tokens * 0.1 + cost.sampled_tokens * 10.0
    assert cost.dollars == pytest.approx(expected / 1e6)


@pytest.mark.parametrize("fault", ["401", "403", "404", "501"])
def test_a_server_that_lacks_what_the_other_has_costs_no_question_and_is_ejected(fault: str) -> None:
    """One replica has another model, or takes another key."""
    with serving(kind="sglang") as good, serving(kind="sglang", fault=lambda n, body: fault) as bad:
        pool = Connection([good.url, bad.url])
        role = OpenAIGenerator("toy", connection=pool, server="sglang", prompt=PLAIN)
        questions = [f"q{i}" for i in range(30)]
        results = ttscale.solve_all(questions, 1, generator=role, strategy="majority_vote", progress=False)
        assert [result.error for result in results] == [None] * 30
        assert len(good.requests) == 30
        assert pool.pool.counts["ejections"] >= 1
        assert pool.health[pool.endpoints[1]] == "ejected"


def test_what_every_server_of_a_pool_declines_is_an_error_at_once_and_ejects_none() -> None:
    with (
        serving(kind="sglang", fault=lambda n, body: "404") as one,
        serving(kind="sglang", fault=lambda n, body: "404") as two,
    ):
        pool = Connection([one.url, two.url])
        role = OpenAIGenerator("toy", connection=pool, server="sglang", prompt=PLAIN)
        with pytest.raises(ttscale.RoleError, match="status 404"):
            ttscale.solve("q", 1, generator=role, strategy="majority_vote")
        assert len(one.requests) == len(two.requests) == 1
        assert set(pool.health.values()) == {"healthy"}


def test_one_declines_while_the_other_is_in_trouble_and_is_waited_for() -> None:
    async def nap(seconds: float) -> None:
        await asyncio.sleep(0)

    with (
        serving(kind="sglang", fault=lambda n, body: "503" if n < 3 else None) as slow,
        serving(kind="sglang", fault=lambda n, body: "404") as bad,
    ):
        role = OpenAIGenerator(
            "toy", connection=Connection([slow.url, bad.url], sleep=nap), server="sglang", prompt=PLAIN
        )
        result = ttscale.solve("q", 1, generator=role, strategy="majority_vote")
        assert result.error is None
        assert (len(slow.requests), len(bad.requests)) == (4, 1)


def test_a_request_that_no_server_would_take_is_asked_once() -> None:
    with serving(kind="sglang", fault=lambda n, body: "400") as one, serving(kind="sglang") as two:
        pool = Connection([one.url, two.url])
        role = OpenAIGenerator("toy", connection=pool, server="sglang", prompt=PLAIN)
        results = ttscale.solve_all(
            [f"q{i}" for i in range(8)], 1, generator=role, strategy="majority_vote", progress=False
        )
        failed = [result for result in results if result.error is not None]
        assert len(failed) == len(one.requests) > 0
        assert len(two.requests) == 8 - len(failed)
