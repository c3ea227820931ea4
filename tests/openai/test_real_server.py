"""The same backend against a real server: ``transformers serve`` with the bundled generator, started here on loopback.

Larger runs (2,000 samples, 100 questions, a restart) are in ``benchmarks/real_server.py`` with their stored results.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import ttscale
from fake_openai import serving
from ttscale import Beam, Candidate, Key, MajorityVote, Question, Result, Sample, Score, Verdict, reference
from ttscale.core.errors import RoleError
from ttscale.hf import HFGenerator
from ttscale.openai import Connection, OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat

pytestmark = pytest.mark.filterwarnings("ignore:step search over a server")

MODEL = str(reference.path("generator"))
PLAIN = PromptFormat(chat=False, template="{question}\n")
CHAT = PromptFormat(system=None)
QUESTIONS = ["Compute (17 + 5) * 3 - 48", "Compute 7 * 6", "Compute 8 + 5 - 4", "Compute 9 * 3 - 2 * 4"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running ``transformers serve``, in fp32 on the CPU."""
    home = tmp_path_factory.mktemp("hub")
    (home / "hub").mkdir()  # without it /v1/models answers 500
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", MODEL, *options],
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, "transformers serve ended by itself"
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def generator(url: str, prompt: PromptFormat = PLAIN, **settings: Any) -> OpenAIGenerator:
    # One request at a time: this server reproduces a seed only then.
    connection = Connection(url, concurrency=1)
    settings = {"server": "transformers", "delimiter": "\n", "max_new_tokens": 256, **settings}
    return OpenAIGenerator(MODEL, connection=connection, prompt=prompt, **settings)


def root(prompt: str) -> Candidate:
    question = Question.of(prompt)
    return Candidate(question, Key((0, question.id)))


def ask(role: OpenAIGenerator, *requests: Sample) -> list[Any]:
    return asyncio.run(role.sample(requests))


@pytest.mark.parametrize("prompt", [PLAIN, CHAT])
def test_greedy_text_ending_and_counts_equal_the_local_backend(server: str, prompt: PromptFormat) -> None:
    requests = [Sample(root(q), root(q).key.child(0), temperature=0.0) for q in QUESTIONS]
    local = HFGenerator(MODEL).sample(requests)
    remote = ask(generator(server, prompt), *requests)
    assert [[s.text for s in c.steps] for c in remote] == [[s.text for s in c.steps] for c in local]
    assert [c.finish for c in remote] == [c.finish for c in local] == ["stop"] * len(QUESTIONS)
    assert [c.cost.sampled_tokens for c in remote] == [c.cost.sampled_tokens for c in local]
    assert [c.cost.prompt_tokens for c in remote] == [c.cost.prompt_tokens + c.cost.cached_tokens for c in local]


def test_greedy_steps_one_by_one_equal_the_whole(server: str) -> None:
    """The stop string is part of this server's text, and its end of a step is no end of the solution."""
    role = generator(server, temperature=0.0)
    candidate = root(QUESTIONS[0])
    (whole,) = ask(role, Sample(candidate, Key((1,))))
    while candidate.finish == "open":
        key = candidate.key.child(0)
        (completion,) = ask(role, Sample(candidate, key, 1))
        candidate = candidate.extend(key, completion.steps, completion.finish)
    assert candidate.steps == whole.steps
    assert candidate.finish == "stop"


def test_a_limit_cuts_off(server: str) -> None:
    (completion,) = ask(generator(server, max_new_tokens=3), Sample(root(QUESTIONS[0]), Key((1,))))
    assert (completion.finish, completion.cost.sampled_tokens) == ("length", 3)


def test_seeds_reproduce_draws(server: str) -> None:
    hard = root("Compute (58 - 19) * 2 - 4 * (33 - 26) + 17 - 8")
    requests = [Sample(hard, Key((i,))) for i in range(8)]
    first, again = (ask(generator(server), *requests) for _ in range(2))
    assert first == again
    assert len({completion.steps for completion in first}) > 1


def test_a_partial_chat_is_an_error_here(server: str) -> None:
    with pytest.raises(RoleError, match="cannot continue a partial assistant message"):
        ask(generator(server, CHAT), Sample(root(QUESTIONS[0]), Key((1,)), 1))
    # Were it sent all the same, the server would refuse it, and say so.
    prefix = root(QUESTIONS[0]).extend(Key((1,)), [ttscale.Step("22 * 3 - 48\n")], "open")
    with pytest.raises(RoleError, match=r"status 422: .*continue_final_message"):
        ask(generator(server, CHAT, server="vllm"), Sample(prefix, Key((2,)), 1))


def test_a_model_that_is_not_there_is_an_error(server: str) -> None:
    role = OpenAIGenerator("no/such-model", server, server="transformers", prompt=PLAIN)
    with pytest.raises(RoleError, match=r"status 400: .*pinned"):
        ask(role, Sample(root(QUESTIONS[0]), Key((1,))))


def test_a_majority_vote_over_the_server_answers(server: str) -> None:
    result = ttscale.solve(QUESTIONS[0], budget=5, generator=generator(server, CHAT), strategy=MajorityVote())
    assert result.error is None
    assert result.answer in {candidate.answer for candidate in result.candidates if candidate.done}
    assert result.cost.generations == 5


@dataclass
class Shortest:
    """A verifier that likes short solutions: something to search by."""

    def score(self, requests: list[Score]) -> list[Verdict]:
        return [Verdict(tuple(1 / (1 + len(step.text)) for step in request.candidate.steps)) for request in requests]


@pytest.mark.parametrize("strategy", [Beam(width=2), MajorityVote()])
def test_a_search_through_faults_equals_one_without(server: str, strategy: ttscale.Strategy) -> None:
    """Every fault at the proxy hits the first try of every fourth request, in turn."""

    def forward(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            server.removesuffix("/v1") + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def solve(url: str) -> list[Result]:
        async def nap(seconds: float) -> None:
            await asyncio.sleep(0)

        role = generator(url)
        role.connection = Connection(url, concurrency=1, timeout=300, sleep=nap)
        return ttscale.solve_all(
            QUESTIONS[:3], budget=4, generator=role, verifier=Shortest(), strategy=strategy, progress=False
        )

    faults = ("drop", "429", "500", "truncated", "none", "two", "cut", "html", "503")
    plan = {4 * i: fault for i, fault in enumerate(faults * 9)}
    with serving(answer=forward, fault=lambda n, body: plan.get(n)) as proxy:
        faulty = solve(proxy.url)
    clean = solve(server)
    assert proxy.faulty >= 3
    assert faulty == clean
    assert [result.error for result in faulty] == [None] * 3


def test_the_server_says_what_it_is_on_the_wire(server: str) -> None:
    """What docs/bring-your-model.md says of transformers serve, seen: a stop string is in the text, n is ignored."""
    body = {"model": MODEL, "prompt": f"{QUESTIONS[0]}\n", "stop": ["\n"], "n": 3, "max_tokens": 64, "seed": 1}
    request = urllib.request.Request(
        server + "/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        choices = json.load(reply)["choices"]
    assert len(choices) == 1
    assert choices[0]["text"].endswith("\n")
    assert "stop_reason" not in choices[0]
    with pytest.raises(urllib.error.HTTPError, match="422"):
        urllib.request.urlopen(
            urllib.request.Request(
                server + "/completions",
                json.dumps({**body, "min_p": 0.1}).encode(),
                {"Content-Type": "application/json"},
            ),
            timeout=60,
        )
