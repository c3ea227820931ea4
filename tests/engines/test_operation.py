"""Real engines under way: many questions at once, a search that is given up, a server that dies and comes back."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import ttscale
from engines.engines import NAME, Engine
from engines.roles import FORM, QUESTION, connection, generator
from ttscale import MajorityVote, Result
from ttscale.openai import OpenAIGenerator
from ttscale.verifiers import FunctionVerifier

QUESTIONS = [f"Tom has {n} apples and buys 4 more. How many has he? Explain." for n in range(2, 8)]
RULES = FunctionVerifier(lambda candidate: 0.5 + len(candidate.text) % 9 / 20, name="rules")
LOOKS = 20_000
"""Most looks at a server's counters until it has let go of its work."""


def texts(result: Result) -> list[str]:
    return [candidate.text for candidate in result.candidates]


def test_many_questions_at_once_are_answered_as_alone(server: Engine) -> None:
    role = generator(server, 8, max_new_tokens=16)
    together = ttscale.solve_all(QUESTIONS, 2, generator=role, strategy=MajorityVote(), progress=False)
    assert [result.error for result in together] == [None] * len(QUESTIONS)
    if server.kind == "vllm":  # llama.cpp's sums depend on the batch
        alone = ttscale.solve(QUESTIONS[3], 2, generator=role, strategy=MajorityVote(), progress=False)
        assert texts(together[3]) == texts(alone)


def test_a_search_that_is_given_up_leaves_the_server_idle(server: Engine) -> None:
    if server.kind == "llama.cpp":
        pytest.skip("it stops streams whose client has gone, and writes any other reply to its end")
    running = "vllm:num_requests_running"

    async def give_up() -> None:
        role = generator(server, 4, max_new_tokens=1500)
        search = asyncio.create_task(ttscale.asolve(QUESTION, 4, generator=role, strategy=MajorityVote()))
        await until(lambda: server.counters()[running] > 0, search)
        search.cancel()
        await asyncio.gather(search, return_exceptions=True)
        await until(lambda: server.counters()[running] == 0)

    async def until(true: Callable[[], bool], task: asyncio.Task[Any] | None = None) -> None:
        for _ in range(LOOKS):
            assert task is None or not task.done(), "the search ended before it was given up"
            if await asyncio.to_thread(true):
                return
        raise AssertionError("the server still works on what was given up")

    asyncio.run(give_up())


def test_a_server_killed_in_the_middle_and_started_again(server: Engine) -> None:
    """The search waits for it, and its result is that of an undisturbed one where a seed says it all."""

    def search(observe: Any = None) -> Result:
        # A connection of its own: it has to look for the server anew, as a search that is just beginning.
        role = OpenAIGenerator(
            NAME,
            connection=connection(server, retries=30),
            prompt=FORM,
            delimiter="\n",
            temperature=0.8,
            max_new_tokens=16,
        )
        return ttscale.solve(
            QUESTION, 4, generator=role, verifier=RULES, strategy="beam", observe=observe, progress=False
        )

    undisturbed = search()
    restart: list[threading.Thread] = []

    def disturb(event: Any) -> None:
        if event["event"] == "reply" and not restart:
            server.stop(signal.SIGKILL)
            restart.append(threading.Thread(target=server.start))
            restart[0].start()

    disturbed = search(disturb)
    restart[0].join()
    assert disturbed.error is None
    if server.kind == "vllm":
        assert texts(disturbed) == texts(undisturbed)
    assert len(disturbed.candidates) == len(undisturbed.candidates)
