"""``ttscale serve`` in front of real engines, asked by the programs that people use: openai, LiteLLM, curl.

``make engines`` runs this file in the environment of ``make integrations``, which has LiteLLM.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import ttscale
from engines.engines import KEY, NAME, Engine
from engines.roles import FORM, QUESTION, connection
from integrations.gateways import Running, gateway
from ttscale.integrations.gateway.settings import Caps, GatewaySettings, Upstream
from ttscale.openai import OpenAIGenerator

MODEL = f"{NAME}@majority_vote:4"
MESSAGES: Any = [{"role": "user", "content": QUESTION.prompt}]
MOST = 24
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two whole numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def served(server: Engine) -> Iterator[Running]:
    """A gateway that holds the engine's key and asks it one thing at a time, since llama.cpp repeats a seed only so."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KEY_OF_THE_ENGINE", KEY)
        upstream = Upstream(server.url, NAME, "KEY_OF_THE_ENGINE", concurrency=1)
        with gateway(GatewaySettings(upstream=upstream, caps=Caps(budget=8))) as running:
            yield running


@pytest.fixture(scope="module")
def own(server: Engine) -> ttscale.Result:
    """The library's own call."""
    role = OpenAIGenerator(
        NAME, connection=connection(server), prompt=FORM, max_new_tokens=MOST, delimiter=None, token_ids=False
    )
    return ttscale.solve(QUESTION, 4, generator=role, strategy="majority_vote", seed=3, progress=False)


def text_of(result: ttscale.Result) -> str:
    """What the gateway shows: the winner, or where nothing won the first."""
    return result.text if result.text or result.answer else result.candidates[0].text


def test_the_official_client_gets_what_the_library_gets_and_usage_is_the_servers(
    server: Engine, served: Running, own: ttscale.Result
) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none")
    before = server.counters()
    reply = client.chat.completions.create(model=MODEL, messages=MESSAGES, seed=3, max_tokens=MOST)
    after = server.counters()
    assert reply.choices[0].message.content == text_of(own)
    assert reply.usage.completion_tokens == own.cost.sampled_tokens
    drawn = "vllm:generation_tokens_total" if server.kind == "vllm" else "llamacpp:tokens_predicted_total"
    assert reply.usage.completion_tokens == after[drawn] - before[drawn]
    if server.kind == "vllm":  # llama.cpp counts the prompt tokens that were not in its cache
        read = "vllm:prompt_tokens_total"
        assert reply.usage.prompt_tokens == after[read] - before[read]


def test_the_official_client_in_an_event_loop(served: Running, own: ttscale.Result) -> None:
    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=served.url, api_key="none") as client:
            return await client.chat.completions.create(model=MODEL, messages=MESSAGES, seed=3, max_tokens=MOST)

    assert asyncio.run(ask()).choices[0].message.content == text_of(own)


def test_a_stream(served: Running, own: ttscale.Result) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none")
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            seed=3,
            max_tokens=MOST,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == text_of(own)
    assert chunks[-1].usage.completion_tokens == own.cost.sampled_tokens


def test_completions(served: Running) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none")
    reply = client.completions.create(model=MODEL, prompt="Two and two are", seed=3, max_tokens=8)
    assert reply.choices[0].text.strip()
    assert reply.choices[0].ttscale["budget"] == 4


def test_tool_calls_are_voted_on(server: Engine, served: Running) -> None:
    if server.kind == "llama.cpp":
        pytest.skip("SmolLM2's template knows no tools, and llama.cpp then writes text even where a call is required")
    client = openai.OpenAI(base_url=served.url, api_key="none")
    reply = client.chat.completions.create(
        model=f"{NAME}@3",
        messages=[{"role": "user", "content": "Add 2 and 3 with the tool."}],
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "add"}},
        seed=3,
        max_tokens=300,
    )
    (call,) = reply.choices[0].message.tool_calls
    assert call.function.name == "add"
    json.loads(call.function.arguments)  # what is in it is up to the model: vLLM does not hold it to the schema
    assert reply.choices[0].finish_reason == "tool_calls"


def test_a_step_search_goes_on_from_the_tokens_drawn_and_its_usage_is_the_servers(
    server: Engine, served: Running
) -> None:
    role = OpenAIGenerator(NAME, connection=connection(server), prompt=FORM, max_new_tokens=12)
    own = ttscale.solve(QUESTION, 2, generator=role, strategy="thinking_budget", seed=3, progress=False)
    client = openai.OpenAI(base_url=served.url, api_key="none")
    before = server.counters()
    reply = client.chat.completions.create(model=f"{NAME}@thinking_budget:2", messages=MESSAGES, seed=3, max_tokens=12)
    after = server.counters()
    drawn = "vllm:generation_tokens_total" if server.kind == "vllm" else "llamacpp:tokens_predicted_total"
    assert reply.choices[0].message.content == text_of(own)
    assert reply.usage.completion_tokens == after[drawn] - before[drawn] == own.cost.sampled_tokens
    assert reply.usage.prompt_tokens == own.cost.prompt_tokens + own.cost.cached_tokens


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_curl(served: Running, own: ttscale.Result) -> None:
    body = {"model": NAME, "messages": MESSAGES, "seed": 3, "max_tokens": MOST}
    command = ["curl", "-sS", f"{served.url}/chat/completions", "-H", "Content-Type: application/json"]
    command += ["-H", "X-TTScale-Budget: 4", "-H", "X-TTScale-Strategy: majority_vote", "-d", json.dumps(body)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == text_of(own)


@pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="LiteLLM is in the environment of integrations")
@pytest.mark.filterwarnings("ignore")
def test_litellm(served: Running, own: ttscale.Result) -> None:
    import litellm

    settings: Any = {"api_base": served.url, "api_key": "none", "seed": 3, "max_tokens": MOST}
    reply: Any = litellm.completion(f"openai/{MODEL}", MESSAGES, **settings)
    parts = litellm.completion(f"openai/{MODEL}", MESSAGES, stream=True, **settings)
    assert reply.choices[0].message.content == text_of(own)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == text_of(own)
