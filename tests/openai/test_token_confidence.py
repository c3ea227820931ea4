"""Votes by confidence over servers: windows are those of the likeliest tokens that the server names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ttscale
from fake_openai import FakeServer, likeliest, serving
from ttscale import Candidate, Key, Question, Sample
from ttscale.openai import OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat
from ttscale.strategies import ConfidenceVote

ROOT = Candidate(Question("q1", "2 + 2"), Key((0, "q1")))
KINDS = [("vllm", True), ("llama.cpp", True), ("vllm", False), ("sglang", False), ("openai", False)]
ids = [f"{kind}-{'ids' if by_id else 'text'}" for kind, by_id in KINDS]
WINDOW = 5


def generator(server: FakeServer, **settings: Any) -> OpenAIGenerator:
    chat: dict[str, Any] = {"api": "chat"} if server.kind == "openai" else {}
    form = PromptFormat(system=None) if chat else PromptFormat(chat=False, template="{question}\n<assistant>")
    return OpenAIGenerator("toy", server.url, server=server.kind, prompt=form, delimiter="\n", **chat, **settings)


def words_of(server: FakeServer, reply: Any) -> list[str]:
    """The tokens of a reply, cut as the server cuts them."""
    text = "".join(step.text for step in reply.steps)
    if server.ids:
        return list(text)
    lines = text.splitlines(keepends=True)
    return [word for line in lines for word in [*[w + " " for w in line.split(" ")[:-1]], line.split(" ")[-1]] if word]


@pytest.mark.parametrize(("kind", "by_id"), KINDS, ids=ids)
def test_windows_are_those_of_the_likeliest_tokens(kind: Any, by_id: bool) -> None:
    requests = [Sample(ROOT, ROOT.key.child(i), window=WINDOW) for i in range(6)]
    with serving(kind=kind, ids=by_id) as server:
        replies = asyncio.run(generator(server).sample(requests))
        plain = asyncio.run(generator(server).sample([Sample(ROOT, request.key) for request in requests]))
        assert [[s.text for s in r.steps] for r in replies] == [[s.text for s in r.steps] for r in plain]
        every = []
        for reply in replies:
            sure = [-sum(likeliest(word)) / 20 for word in words_of(server, reply)]
            every.append(sure)
            means = [sum(sure[i - WINDOW : i]) / WINDOW for i in range(WINDOW, len(sure) + 1)]
            assert reply.steps[-1].tail == pytest.approx(sum(sure[-WINDOW:]) / min(WINDOW, len(sure)))
            lowest = [step.lowest for step in reply.steps if step.lowest is not None]
            assert min(lowest) == pytest.approx(min(means), rel=1e-6, abs=1e-9)
        # A threshold stops a draw at its first window below, and the others not at all.
        bar = sorted(min(sum(v[i - WINDOW : i]) / WINDOW for i in range(WINDOW, len(v) + 1)) for v in every)[2] + 1e-9
        cut = asyncio.run(generator(server).sample([Sample(ROOT, r.key, None, None, WINDOW, bar) for r in requests]))
        for reply, whole, sure in zip(cut, replies, every, strict=True):
            below = [n for n in range(WINDOW, len(sure) + 1) if sum(sure[n - WINDOW : n]) / WINDOW < bar]
            if below:
                assert reply.finish == "length"
                assert len(words_of(server, reply)) == below[0]
            else:
                assert (reply.steps, reply.finish) == (whole.steps, whole.finish)
        assert {reply.finish for reply in cut} == {"stop", "length"}
        assert sum(r.cost.sampled_tokens for r in cut) <= sum(r.cost.sampled_tokens for r in replies)


@pytest.mark.parametrize("strategy", [ConfidenceVote(0.5, WINDOW), ConfidenceVote(0.9, WINDOW, warmup=3)], ids=repr)
def test_the_vote_runs_on_servers(strategy: Any) -> None:
    with serving(kind="vllm", ids=True) as server:
        options: Any = {"strategy": strategy, "generator": generator(server), "progress": False}
        together = ttscale.solve_all(["a", "b"], 8, **options)
        assert [result.error for result in together] == [None, None]
        assert all(result.score is not None for result in together)
        assert [ttscale.solve_all([q], 8, **options)[0] for q in ("a", "b")] == together


def test_a_server_without_log_probabilities_is_told_so() -> None:
    with serving(kind="transformers") as server:
        (result,) = ttscale.solve_all(["a"], 4, generator=generator(server), strategy=ConfidenceVote(), progress=False)
        assert "returns no log-probabilities, which a vote by confidence needs" in str(result.error)
    said = {"choices": [{"text": "a", "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    with serving(kind="sglang", answer=lambda path, body: said) as server:
        (result,) = ttscale.solve_all(["a"], 4, generator=generator(server), strategy=ConfidenceVote(), progress=False)
        assert "no log-probabilities of the 20 likeliest tokens" in str(result.error)
