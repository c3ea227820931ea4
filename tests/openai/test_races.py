"""Races over servers: a draw that has lost is closed, so that the server stops, and the result is what it would be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ttscale
from fake_openai import FakeServer, serving
from ttscale import Candidate, Completion, Key, Question, Sample
from ttscale.openai import OpenAIGenerator
from ttscale.openai.streams import Assembly
from ttscale.prompts.layouts import PromptFormat
from ttscale.strategies import FirstFinished

PLAIN = PromptFormat(chat=False, template="{question}\n<assistant>")
QUESTIONS = [f"Question {i}" for i in range(3)]
KINDS = [("vllm", True), ("llama.cpp", True), ("vllm", False), ("sglang", False), ("openai", False)]
ids = [f"{kind}-{'ids' if by_id else 'text'}" for kind, by_id in KINDS]


class WithoutRaces:
    """The same generator, which cannot stop anybody."""

    def __init__(self, generator: Any) -> None:
        self.name, self.sample = generator.name, generator.sample


def generator(server: FakeServer, **settings: Any) -> OpenAIGenerator:
    chat = {} if server.ids or server.kind != "openai" else {"api": "chat"}
    form = PromptFormat(system=None) if chat else PLAIN
    given = {"server": server.kind, "prompt": form, "delimiter": "\n", "max_new_tokens": None, **chat, **settings}
    return OpenAIGenerator("toy", server.url, **given)


def solved(role: Any, **options: Any) -> list[ttscale.Result]:
    return ttscale.solve_all(QUESTIONS, 8, generator=role, strategy=FirstFinished(2), progress=False, **options)


def every_third(seed: int) -> bool:
    return seed % 3 == 0


@pytest.mark.parametrize(("kind", "by_id"), KINDS, ids=ids)
def test_whoever_writes_without_end_is_closed_and_nothing_else_changes(kind: Any, by_id: bool) -> None:
    with serving(kind=kind, ids=by_id, endless=every_third) as server:
        stopped = solved(generator(server))
        assert all(body["stream"] for body in server.bodies)
        assert {body.get("n", 1) for body in server.bodies} == {1}
    with serving(kind=kind, ids=by_id, endless=every_third) as plain:
        wanted = solved(WithoutRaces(generator(plain)))
        seeds = [body["seed"] + i for body in plain.bodies for i in range(body.get("n", 1))]
        assert not any(body.get("stream") for body in plain.bodies)
    assert stopped == wanted
    assert any(map(every_third, seeds))
    for some in stopped:
        losers = [a.cost.sampled_tokens for _, a in some.trace.recorded if a.finish == "length"]  # type: ignore[union-attr]
        winners = [a.cost.sampled_tokens for _, a in some.trace.recorded if a.finish == "stop"]  # type: ignore[union-attr]
        # Each loser ran beyond the second winner, and what it had drawn by then is paid for.
        assert all(tokens > sorted(winners)[1] for tokens in losers)
        assert some.cost.sampled_tokens == sum(losers) + sum(winners)


def test_the_server_sees_the_socket_closed() -> None:
    with serving(kind="vllm", ids=True, endless=every_third) as server:
        solved(generator(server))
        endless = sum(every_third(body["seed"]) for body in server.bodies)
        server.quiet.wait(20)  # until every reply has ended
        assert server.closed >= endless


def test_who_is_first_does_not_depend_on_who_is_served_first() -> None:
    """One request at a time, or all at once."""
    for by_id in (True, False):
        with serving(kind="vllm", ids=by_id) as server:
            found = [
                solved(generator(server), seed=3),
                solved(OpenAIGenerator("toy", connection=_one_at_a_time(server), server="vllm", **_form()), seed=3),
                asyncio.run(
                    ttscale.asolve_all(
                        QUESTIONS, 8, generator=generator(server), strategy=FirstFinished(2), progress=False, seed=3
                    )
                ),
            ]
        assert found[0] == found[1] == found[2]


def _one_at_a_time(server: FakeServer) -> ttscale.openai.Connection:
    return ttscale.openai.Connection(server.url, concurrency=1)


def _form() -> Any:
    return {"prompt": PLAIN, "delimiter": "\n", "max_new_tokens": None}


@pytest.mark.parametrize(("kind", "by_id"), KINDS, ids=ids)
@pytest.mark.parametrize("logprobs", [False, True])
def test_a_stream_says_what_the_whole_reply_says(kind: Any, by_id: bool, logprobs: bool) -> None:
    class Nobody:
        """A race that nobody loses."""

        def lost(self, tokens: int) -> bool:
            return False

        def finished(self, reply: Completion) -> None: ...

    root = Candidate(Question("q1", "2 + 2"), Key((0, "q1")))
    requests = [Sample(root, root.key.child(i)) for i in range(6)]
    with serving(kind=kind, ids=by_id) as server:
        role = generator(server, logprobs=logprobs)
        whole = asyncio.run(role.sample(requests))
        streamed = asyncio.run(role.race(requests, Nobody()))
    assert [(r.steps, r.finish) for r in streamed] == [(r.steps, r.finish) for r in whole]
    records = [[[(s.logprob, s.drawn) for s in reply.steps] for reply in some] for some in (streamed, whole)]
    assert records[0] == records[1]
    assert [reply.cost.sampled_tokens for reply in streamed] == [reply.cost.sampled_tokens for reply in whole]


@pytest.mark.parametrize("fault", ["drop", "cut", "500", "error"])
def test_a_stream_that_breaks_off_is_asked_for_again(fault: str) -> None:
    with serving(kind="vllm", ids=True, fault=lambda n, body: fault if n < 3 else None) as server:
        connection = ttscale.openai.Connection(server.url, sleep=_at_once)
        broken = solved(OpenAIGenerator("toy", connection=connection, server="vllm", **_form()))
        assert server.faulty == 3
    with serving(kind="vllm", ids=True) as server:
        assert broken == solved(generator(server))


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


def test_the_word_who_speaks_is_no_token() -> None:
    """vLLM and OpenAI begin a stream with the role and an empty text; then come tokens, thought ones too."""
    so_far, begun = Assembly(), {"role": "assistant", "content": ""}
    counts = []
    for delta in (
        begun,
        {"role": "assistant"},
        {"reasoning_content": "Hm"},
        {"role": "assistant", "content": "Hello"},
        {},
    ):
        so_far.add({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        counts.append(so_far.tokens)
    assert counts == [0, 0, 1, 2, 2]
