"""A gateway that runs its own model: the bundled ones, shared by all requests."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator

import openai
import pytest

import ttscale
from integrations.gateways import Running, gateway
from ttscale import reference
from ttscale.integrations.gateway.settings import Caps, GatewaySettings

QUESTIONS = ["Compute (17 + 5) * 3 - 48", "Compute 7 * 6 - 5 * (2 + 3)", "Compute 8 + 5 - 4", "Compute 9 * 3 - 2 * 4"]


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with gateway(GatewaySettings(caps=Caps(budget=32))) as running:
        yield running


def ask(served: Running, question: str, **more: object) -> tuple[int, dict]:  # type: ignore[type-arg]
    body = {"model": "ttscale-reference", "messages": [{"role": "user", "content": question}], **more}
    return served.post("/chat/completions", body)


@pytest.mark.parametrize("strategy", [None, "beam", "best_of_n", "majority_vote", "sequential_revision"])
def test_the_answer_is_that_of_solve(served: Running, strategy: str | None) -> None:
    own = ttscale.solve(QUESTIONS[1], 8, strategy=strategy, seed=5)
    status, reply = ask(served, QUESTIONS[1], budget=8, seed=5, **({"strategy": strategy} if strategy else {}))
    assert status == 200
    (choice,) = reply["choices"]
    about = choice["ttscale"]
    assert (choice["message"]["content"], about["answer"], about["score"]) == (own.text, own.answer, own.score)
    assert about["strategy"] == own.strategy
    # What was found in a cache depends on what was asked before; what was drawn does not.
    usage, cost = reply["usage"], about["cost"]
    assert usage["completion_tokens"] == cost["sampled_tokens"] == own.cost.sampled_tokens
    assert usage["prompt_tokens_details"]["verifier_tokens"] == cost["verifier_tokens"]
    assert usage["prompt_tokens"] == cost["prompt_tokens"] + cost["cached_tokens"] + cost["verifier_tokens"]


def test_requests_at_once_get_what_they_get_alone(served: Running) -> None:
    async def together() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=served.url, api_key="none", timeout=120) as client:
            replies = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="ttscale-reference@majority_vote:4", messages=[{"role": "user", "content": question}]
                    )
                    for question in QUESTIONS * 3
                )
            )
        return [reply.choices[0].message.content for reply in replies]

    alone = [ttscale.solve(question, 4, strategy="majority_vote").text for question in QUESTIONS]
    assert asyncio.run(together()) == alone * 3


def test_a_temperature_of_the_request(served: Running) -> None:
    greedy = ttscale.solve(
        QUESTIONS[0], 1, generator=ttscale.hf.HFGenerator(reference.path("generator"), temperature=0.0)
    )
    _, reply = ask(served, QUESTIONS[0], budget=1, temperature=0, strategy="majority_vote")
    assert reply["choices"][0]["message"]["content"] == greedy.text


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_tokens": 5}, "max_tokens"),
        ({"stop": ["x"]}, "stop"),
        ({"top_k": 3}, "top_k"),
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": QUESTIONS[0]}]}, "messages"),
        ({"messages": [{"role": "user", "content": "Why is the sky blue?"}]}, "messages"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ],
)
def test_what_this_model_cannot_do_is_refused_by_name(served: Running, more: dict[str, object], param: str) -> None:
    status, reply = ask(served, QUESTIONS[0], **more)
    assert (status, reply["error"]["param"]) == (400, param)
    assert param != "max_tokens" or "(--max-new-tokens)" in reply["error"]["message"]


def test_the_operator_limits_a_draw_of_a_model_of_his_own() -> None:
    folder = str(reference.path("generator"))
    limited = ttscale.hf.HFGenerator(folder, max_new_tokens=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = ttscale.solve(QUESTIONS[0], 2, generator=limited, strategy="majority_vote")
    with gateway(GatewaySettings(generator=folder, max_new_tokens=3)) as running:
        body = {"model": folder, "messages": [{"role": "user", "content": QUESTIONS[0]}], "budget": 2}
        status, reply = running.post("/chat/completions", {**body, "strategy": "majority_vote"})
    assert (status, reply["usage"]["completion_tokens"]) == (200, own.cost.sampled_tokens)
    assert own.cost.sampled_tokens <= 6
    with pytest.raises(ValueError, match="give a generator too"):
        GatewaySettings(max_new_tokens=3)


def test_completions(served: Running) -> None:
    own = ttscale.solve(QUESTIONS[2], 4)
    status, reply = served.post("/completions", {"model": "ttscale-reference", "prompt": QUESTIONS[2], "budget": 4})
    assert (status, reply["choices"][0]["text"]) == (200, own.text)
