"""The gateway through the official client and plain HTTP, before the stand-in server whose right replies are known."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

import ttscale
from fake_openai import FakeServer, serving, toy_line
from integrations.gateways import Running, before, gateway
from ttscale.integrations.gateway.errors import ApiError
from ttscale.integrations.gateway.request import split_model
from ttscale.integrations.gateway.settings import Defaults, VerifierSettings
from ttscale.openai import OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat
from ttscale.verifiers import FunctionVerifier, JudgeVerifier

AS_IT_IS = PromptFormat(system=None)
QUESTION = "What is the digit?"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeServer]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def served(upstream: FakeServer) -> Iterator[Running]:
    with gateway(before(upstream.url)) as running:
        yield running


def library(url: str, question: str, budget: int, **more: Any) -> ttscale.Result:
    """The library's own call: the question as the only message, nothing around it."""
    generator = OpenAIGenerator("toy", url, prompt=AS_IT_IS, max_new_tokens=None)
    return ttscale.solve(question, budget, generator=generator, **more)


def usage_of(upstream: FakeServer, bodies: list[dict[str, Any]]) -> tuple[int, int]:
    """Prompt and completion tokens that the upstream says these requests used, asked of it once more."""
    replies = [upstream.reply("/v1/chat/completions", body)["usage"] for body in bodies]
    return sum(one["prompt_tokens"] for one in replies), sum(one["completion_tokens"] for one in replies)


def test_one_question_is_answered_as_the_library_answers_it(upstream: FakeServer, served: Running) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none")
    for budget in (1, 5, 16):
        reply = client.chat.completions.create(
            model="toy", messages=[{"role": "user", "content": QUESTION}], seed=3, extra_body={"budget": budget}
        )
        own = library(upstream.url, QUESTION, budget, seed=3)
        assert reply.choices[0].message.content == own.text
        about = reply.choices[0].ttscale  # type: ignore[attr-defined]
        assert (about["answer"], about["score"], about["strategy"]) == (own.answer, own.score, own.strategy)
        assert about["cost"]["generations"] == budget
        assert len(reply.choices) == 1


def test_usage_is_what_the_upstream_counted(upstream: FakeServer, served: Running) -> None:
    before_ = len(upstream.requests)
    _, reply = served.chat(QUESTION, budget=7)
    bodies = upstream.bodies[before_:]
    assert len(bodies) == 7
    prompt, completion = usage_of(upstream, bodies)
    usage = reply["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (prompt, completion)
    assert usage["total_tokens"] == prompt + completion
    text = reply["choices"][0]["message"]["content"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == completion - (len(text.split()) + 1)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 2 * 7


@pytest.mark.parametrize("fault", ["two", "none", "drop", "429", "500", "truncated"])
def test_usage_counts_replies_that_had_to_be_asked_for_again(fault: str) -> None:
    with serving(fault=lambda n, body: fault if n == 1 else None) as upstream, gateway(before(upstream.url)) as served:
        status, reply = served.chat(QUESTION, budget=4)
        # What was said in a reply that could be read was used, though the reply was broken.
        read = [b for i, b in enumerate(upstream.bodies) if i != 1 or fault in ("two", "none")]
        assert (status, len(upstream.bodies)) == (200, 5)
        assert (reply["usage"]["prompt_tokens"], reply["usage"]["completion_tokens"]) == usage_of(upstream, read)


def test_budget_header_over_body_over_suffix_over_effort_over_default() -> None:
    with serving() as upstream:
        settings = before(upstream.url, defaults=Defaults(budget=2))
        with gateway(settings) as served:

            def spent(headers: dict[str, str] | None = None, **more: Any) -> tuple[int, int]:
                _, reply = served.chat(QUESTION, headers, **more)
                about = reply["choices"][0]["ttscale"]
                return about["cost"]["generations"], about["budget_asked"]

            assert spent() == (2, 2)
            assert spent(reasoning_effort="low") == (4, 4)
            assert spent(model="toy@3", reasoning_effort="low") == (3, 3)
            assert spent(model="toy@majority_vote:3") == (3, 3)
            assert spent(budget=5, model="toy@majority_vote:3", reasoning_effort="high") == (5, 5)
            assert spent({"X-ITS-Budget": "6"}, budget=5, model="toy@3") == (6, 6)
            assert spent({"X-ITS-Budget": "6", "X-TTScale-Budget": "7"}, budget=5) == (7, 7)
            assert spent({"X-TTScale-Budget": "1000"}) == (32, 1000)
            assert spent(budget=1000) == (32, 1000)
            assert spent(reasoning_effort="xhigh") == (32, 256)


def test_strategy_by_header_body_and_suffix(served: Running) -> None:
    def strategy(headers: dict[str, str] | None = None, **more: Any) -> str:
        return str(served.chat(QUESTION, headers, budget=4, **more)[1]["choices"][0]["ttscale"]["strategy"])

    assert strategy().startswith("MajorityVote")
    assert strategy(strategy="sequential_revision").startswith("SequentialRevision")
    assert strategy(model="toy@adaptive-consistency").startswith("AdaptiveConsistency")
    assert strategy(strategy="majority_vote", model="toy@adaptive_consistency").startswith("MajorityVote")
    header = {"X-TTScale-Strategy": "adaptive_consistency"}
    assert strategy(header, strategy="majority_vote").startswith("AdaptiveConsistency")


def test_n_is_the_number_of_different_answers_and_never_the_budget(upstream: FakeServer, served: Running) -> None:
    before_ = len(upstream.requests)
    _, reply = served.chat(QUESTION, n=3, budget=12)
    assert len(upstream.requests) - before_ == 12
    own = library(upstream.url, QUESTION, 12)
    votes = Counter(candidate.answer for candidate in own.candidates if candidate.answer is not None)
    answers = [choice["ttscale"]["answer"] for choice in reply["choices"]]
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    assert len(set(answers)) == 3
    assert [votes[answer] for answer in answers] == sorted(votes.values(), reverse=True)[:3]
    assert answers[0] == own.answer
    shares = {vote["answer"]: (vote["count"], vote["share"]) for vote in reply["choices"][0]["ttscale"]["votes"]}
    assert shares == {answer: (n, n / votes.total()) for answer, n in votes.items()}
    # The toy has three answers: no more can differ, and none is given twice.
    _, reply = served.chat(QUESTION, n=8, budget=32)
    assert len(reply["choices"]) == 3
    status, reply = served.chat(QUESTION, n=3, budget=2)
    assert (status, reply["error"]["param"]) == (400, "n")


def test_a_conversation_goes_to_the_upstream_as_it_came(upstream: FakeServer, served: Running) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": [{"type": "text", "text": "Three"}], "name": "me"},
    ]
    before_ = len(upstream.requests)
    status, _ = served.post("/chat/completions", {"model": "toy", "messages": messages, "budget": 3, "top_k": 5})
    assert status == 200
    for body in upstream.bodies[before_:]:
        assert body["messages"] == messages
        assert (body["top_k"], body["temperature"]) == (5, 1.0)
    assert len({body["seed"] for body in upstream.bodies[before_:]}) == 3


def test_a_conversation_draws_what_the_library_draws_with_the_same_prompt(
    upstream: FakeServer, served: Running
) -> None:
    form = PromptFormat(system="S", examples=(("q1", "a1"), ("q2", "a2")))
    generator = OpenAIGenerator("toy", upstream.url, prompt=form, max_new_tokens=None)
    own = ttscale.solve(QUESTION, 6, generator=generator, seed=9)
    messages = [{"role": "system", "content": "S"}]
    for question, solution in form.examples:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": solution}]
    messages.append({"role": "user", "content": QUESTION})
    _, reply = served.post("/chat/completions", {"model": "toy", "messages": messages, "budget": 6, "seed": 9})
    assert reply["choices"][0]["message"]["content"] == own.text


def test_an_upstream_that_gives_one_text_is_looked_into_once_not_for_every_request() -> None:
    """A unanimous vote makes the generator ask once more, hotter; its warning is the operator's."""
    with serving(write=lambda text, seed: None if text else "The answer is Answer: 1\n") as upstream:
        with gateway(before(upstream.url)) as served, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert [served.chat(QUESTION, budget=3)[0] for _ in range(4)] == [200] * 4
        assert len(upstream.requests) == 4 * 3 + 1


def test_completions_continue_a_text(upstream: FakeServer, served: Running) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none")
    reply = client.completions.create(model="toy@majority_vote:5", prompt="Go:\n", max_tokens=64)
    form = PromptFormat(chat=False, template="{question}")
    generator = OpenAIGenerator("toy", upstream.url, prompt=form, max_new_tokens=64)
    own = ttscale.solve("Go:\n", 5, generator=generator)
    assert reply.choices[0].text == own.text
    assert reply.object == "text_completion"
    assert reply.model == "toy@majority_vote:5"


def test_a_reply_that_was_cut_off_is_given_back_as_such(served: Running) -> None:
    _, reply = served.chat(QUESTION, max_tokens=2)
    (choice,) = reply["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == toy_line("", _seed(QUESTION))


def _seed(question: str) -> int:
    asked = ttscale.Question.of(question)
    return ttscale.Key((0, asked.id)).seed >> 1  # the first child's, where seeds are counted up from the parent's


def test_the_async_client(upstream: FakeServer, served: Running) -> None:
    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=served.url, api_key="none") as client:
            replies = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="toy@4", messages=[{"role": "user", "content": f"{QUESTION} {i}"}]
                    )
                    for i in range(20)
                )
            )
        return [reply.choices[0].message.content for reply in replies]

    assert asyncio.run(ask()) == [library(upstream.url, f"{QUESTION} {i}", 4).text for i in range(20)]


def test_a_judge_is_counted_and_chooses(upstream: FakeServer) -> None:
    """The judge of this test says Yes to whatever ends in "Answer: 2"."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        asked = body["messages"][-1]["content"]
        if "Is the solution correct" not in asked:
            return upstream.reply(path, body)
        said = "Yes" if "Answer: 2" in asked else "No"
        first = [{"token": said, "logprob": 0.0, "top_logprobs": [{"token": said, "logprob": 0.0}]}]
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "length"}
        return {
            "choices": [{"index": 0, **choice, "logprobs": {"content": first}}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 1},
        }

    with serving(answer=answer) as judged:
        settings = before(judged.url, verifier=VerifierSettings(id="judge"))
        with gateway(settings) as served:
            status, reply = served.chat(QUESTION, budget=8, strategy="best_of_n")
        asked = [body for body in judged.bodies if "Is the solution" in body["messages"][-1]["content"]]
        draws = [body for body in judged.bodies if body not in asked]
    assert (status, len(draws)) == (200, 8)
    prompt, completion = usage_of(upstream, draws)
    assert reply["choices"][0]["ttscale"]["answer"] == "2"
    assert reply["choices"][0]["ttscale"]["score"] == 1.0
    assert reply["usage"]["prompt_tokens"] == prompt + 11 * len(asked)
    assert reply["usage"]["completion_tokens"] == completion + len(asked)
    assert reply["usage"]["prompt_tokens_details"]["verifier_tokens"] == 11 * len(asked)
    assert reply["usage"]["completion_tokens_details"]["verifier_tokens"] == len(asked)


def test_what_compares_is_the_upstreams_model_and_counted(upstream: FakeServer) -> None:
    """It names the first solution shown, in either order, so that all meetings are drawn: points are halves."""

    def answer(path: str, body: dict[str, Any]) -> Any:
        if "Which solution is the best" not in body["messages"][-1]["content"]:
            return upstream.reply(path, body)
        first = [{"token": "A", "logprob": 0.0, "top_logprobs": [{"token": "A", "logprob": 0.0}]}]
        choice = {"message": {"role": "assistant", "content": "A"}, "finish_reason": "length"}
        return {
            "choices": [{"index": 0, **choice, "logprobs": {"content": first}}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 1},
        }

    with serving(answer=answer) as compared, gateway(before(compared.url, comparator="judge")) as served:
        status, reply = served.chat(QUESTION, budget=4, strategy="tournament")
        asked = [body for body in compared.bodies if "Which solution" in body["messages"][-1]["content"]]
        draws = [body for body in compared.bodies if body not in asked]
    assert (status, len(draws), len(asked)) == (200, 4, 8)  # two rounds of two meetings, each in both orders
    prompt, completion = usage_of(upstream, draws)
    assert reply["choices"][0]["ttscale"]["score"] == 0.5
    assert reply["usage"]["prompt_tokens"] == prompt + 7 * len(asked)
    assert reply["usage"]["completion_tokens"] == completion + len(asked)


def test_without_what_compares_a_tournament_is_refused(served: Running) -> None:
    status, reply = served.chat(QUESTION, budget=4, strategy="tournament")
    assert status == 400
    assert "comparator" in reply["error"]["message"]


@pytest.mark.parametrize("by_default", [False, True])
def test_a_step_search_goes_on_as_the_librarys(by_default: bool) -> None:
    """In token ids, as the library's own call: the stand-in is of vLLM's kind. Its judge likes odd digits."""
    with serving() as inner:

        def answer(path: str, body: dict[str, Any]) -> Any:
            asked = str(body.get("messages", [{"content": ""}])[-1]["content"])
            if "Is the solution correct" not in asked:
                return inner.reply(path, body)
            odd = sum(letter in "13579" for letter in asked) / 10
            first = [{"token": word, "logprob": math.log(p)} for word, p in (("Yes", odd + 0.01), ("No", 1.0))]
            choice = {"message": {"role": "assistant", "content": "Yes"}, "finish_reason": "length"}
            logprobs = {"content": [{"token": "Yes", "logprob": 0.0, "top_logprobs": first}]}
            usage = {"prompt_tokens": 1, "completion_tokens": 1}
            return {"choices": [{"index": 0, **choice, "logprobs": logprobs}], "usage": usage}

        with serving(answer=answer) as upstream:
            settings = before(upstream.url, verifier=VerifierSettings(id="judge"))
            if by_default:
                settings = replace(settings, defaults=Defaults(strategy="beam"))
            with gateway(settings) as served:
                more = {} if by_default else {"strategy": "beam"}
                status, reply = served.chat(QUESTION, budget=4, **more)
                bodies = len(upstream.bodies)
                generator = OpenAIGenerator("toy", upstream.url, prompt=AS_IT_IS, max_new_tokens=None)
                judge = JudgeVerifier(OpenAIGenerator("toy", upstream.url, prompt=AS_IT_IS))
                own = ttscale.solve(QUESTION, 4, generator=generator, verifier=judge, strategy="beam")
    assert status == 200
    assert reply["choices"][0]["message"]["content"] == own.text
    assert reply["choices"][0]["ttscale"]["score"] == own.score
    assert reply["choices"][0]["ttscale"]["cost"]["steps"] == own.cost.steps
    assert bodies == len(upstream.bodies) - bodies


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])
def test_the_tokens_of_a_step_search_are_counted_wherever_the_upstream_says_them(kind: Any) -> None:
    """llama.cpp's own endpoint, which takes token ids, has no "usage"."""
    with serving(kind=kind, ids=True) as upstream, gateway(before(upstream.url)) as served:
        status, reply = served.chat(QUESTION, budget=2, strategy="thinking_budget", seed=3)
        own = library(upstream.url, QUESTION, 2, strategy="thinking_budget", seed=3)
        paths = {path for path, _, _ in upstream.requests}
    assert (status, reply["choices"][0]["message"]["content"]) == (200, own.text)
    assert paths == {"/completion" if kind == "llama.cpp" else "/v1/completions"}
    assert reply["usage"]["completion_tokens"] == own.cost.sampled_tokens > 0
    assert reply["usage"]["prompt_tokens"] == own.cost.prompt_tokens + own.cost.cached_tokens > 0
    assert reply["usage"]["prompt_tokens_details"]["cached_tokens"] == own.cost.cached_tokens


def test_a_trace_on_request(served: Running) -> None:
    _, reply = served.chat(QUESTION, budget=3)
    assert "ttscale_trace" not in reply
    _, reply = served.chat(QUESTION, budget=3, ttscale_trace=True)
    kinds = [event["event"] for event in reply["ttscale_trace"]]
    assert kinds == ["start", "reply", "reply", "reply", "end"]


def test_models(upstream: FakeServer, served: Running) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none")
    assert [model.id for model in client.models.list()] == ["toy"]
    assert client.models.retrieve("toy").owned_by == "ttscale"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")
    settings = before(upstream.url)
    assert settings.upstream is not None
    with gateway(replace(settings, upstream=replace(settings.upstream, model=None))) as open_:
        status, listed = open_.get("/models")
        assert (status, [one["id"] for one in listed["data"]]) == (200, ["toy"])
        status, reply = open_.chat(QUESTION, model="some/model@majority_vote:2")
        assert (status, reply["model"]) == (200, "some/model@majority_vote:2")
        assert upstream.bodies[-1]["model"] == "some/model"


@pytest.mark.parametrize(("status", "expected"), [("401", 401), ("403", 403), ("500", 502), ("404", 200)])
def test_a_list_of_models_that_the_upstream_does_not_give(status: str, expected: int) -> None:
    """Neither an empty list, nor for ever: a key may be let in later. An upstream without a list has an empty one."""
    with serving(listing=lambda n: status if n < 1 or status == "404" else None) as upstream:
        settings = before(upstream.url)
        assert settings.upstream is not None
        url = replace(settings.upstream, model=None, retries=0)
        with gateway(replace(settings, upstream=url)) as served:
            got, reply = served.get("/models", {"Authorization": "Bearer sk-very-secret"})
            assert got == expected
            assert "sk-very-secret" not in json.dumps(reply)
            again, listed = served.get("/models", {"Authorization": "Bearer sk-very-secret"})
    assert (again, [one["id"] for one in listed["data"]]) == (200, [] if status == "404" else ["toy"])


def test_health_and_metrics(served: Running) -> None:
    root = replace(served, url=served.url.removesuffix("/v1"))
    status, health = root.get("/health")
    assert (status, health["status"], health["in_progress"]) == (200, "ok", 0)
    before_ = _metric(root.get("/metrics")[1], "ttscale_generations_total")
    served.chat(QUESTION, budget=5)
    status, text = root.get("/metrics")
    assert _metric(text, "ttscale_generations_total") - before_ == 5
    assert 'ttscale_requests_total{path="/v1/chat/completions",status="200"}' in text
    count = _metric(text, "ttscale_request_seconds_count")
    assert _metric(text, 'ttscale_request_seconds_bucket{le="+Inf"}') == count > 0
    assert _metric(text, 'ttscale_engine_requests_total{role="generator",outcome="ok"}') >= 5


def _metric(text: str, name: str) -> float:
    (line,) = [line for line in text.splitlines() if line.startswith(name + " ")]
    return float(line.rpartition(" ")[2])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"logprobs": True}, "logprobs"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"audio": {}}, "audio"),
    ({"no_such_thing": 1}, "no_such_thing"),
    ({"prompt": "x"}, "prompt"),
    ({"n": 0}, "n"),
    ({"n": True}, "n"),
    ({"budget": 0}, "budget"),
    ({"budget": "3"}, "budget"),
    ({"budget": 1.5}, "budget"),
    ({"strategy": "beem"}, "strategy"),
    ({"strategy": 3}, "strategy"),
    ({"model": "toy@beem:3"}, "model"),
    ({"model": "toy@beam:x"}, "model"),
    ({"model": "toy@majority_vote:0"}, "model"),
    ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": 0, "budget": 4}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"top_p": 0}, "top_p"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}, "tools": []}, "tool_choice"),
    ({"chat_template_kwargs": "thinking"}, "chat_template_kwargs"),
    ({"response_format": {"type": "json_object"}, "strategy": "beam"}, "response_format"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"stop": [""]}, "stop"),
    ({"stop": 7}, "stop"),
    ({"seed": 1.5}, "seed"),
    ({"seed": 2**63}, "seed"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"tools": {"type": "function"}}, "tools"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages"),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages"),
    ({"messages": [{"role": "king", "content": "a"}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content"),
]


@pytest.mark.parametrize(("change", "param"), REFUSED, ids=[json.dumps(change)[:40] for change, _ in REFUSED])
def test_what_is_not_supported_is_refused_by_name(
    upstream: FakeServer, served: Running, change: dict[str, Any], param: str
) -> None:
    before_ = len(upstream.requests)
    status, reply = served.chat(QUESTION, **change)
    error = reply["error"]
    assert (status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert len(error["message"]) > 10
    assert len(upstream.requests) == before_, "nothing was asked of the upstream"


def test_what_asks_for_nothing_is_no_reason_to_refuse(served: Running) -> None:
    status, _ = served.chat(QUESTION, logprobs=False, store=False, tools=None, stop=None, user="me", n=None)
    assert status == 200


@pytest.mark.parametrize(
    ("name", "served", "expected"),
    [
        ("claude-3-opus@20240620", None, ("claude-3-opus@20240620", None, None)),
        ("claude-3-opus@20240620@8", None, ("claude-3-opus@20240620", None, 8)),
        ("org/m@v1", None, ("org/m@v1", None, None)),
        ("org/m@v1@beam:4", None, ("org/m@v1", "beam", 4)),
        ("m@latest@1", None, ("m@latest", None, 1)),
        ("m@7", None, ("m", None, 7)),
        ("m@65536", None, ("m", None, 65536)),
        ("m@beam", None, ("m", "beam", None)),
        ("m@2024@beam:4", "m@2024", ("m@2024", "beam", 4)),
    ],
)
def test_a_version_is_part_of_a_models_name(name: str, served: str | None, expected: tuple[Any, ...]) -> None:
    assert split_model(name, served) == expected


def test_a_suffix_that_is_no_strategy_is_refused_with_the_way_out() -> None:
    with pytest.raises(ApiError, match=r"unknown strategy 'latest'.*ask for m@latest@1"):
        split_model("m@latest", None)


def test_the_template_gets_its_arguments_in_a_step_search() -> None:
    """In token ids the prompt is laid out by a request of its own, which is the one that they belong to."""
    kwargs = {"enable_thinking": False}
    with (
        serving(ids=True) as upstream,
        gateway(before(upstream.url, verifier=VerifierSettings(url=upstream.url, model="prm"))) as served,
    ):
        served.chat(QUESTION, budget=2, strategy="beam", chat_template_kwargs=kwargs)
        laid_out = [body for body in upstream.helped if "messages" in body]
        assert laid_out
        assert all(body["chat_template_kwargs"] == kwargs for body in laid_out)
        status, _ = served.chat(QUESTION, budget=2, strategy="majority_vote", chat_template_kwargs=kwargs)
        assert status == 200
        assert upstream.bodies[-1]["chat_template_kwargs"] == kwargs


@pytest.mark.filterwarnings("ignore:step search over a server")
@pytest.mark.parametrize(("ids", "most"), [(True, 5), (True, 12), (True, 1000), (False, 8), (False, 1000)])
def test_a_limit_holds_for_the_whole_reply_of_a_step_search(ids: bool, most: int) -> None:
    """A token of the stand-in is a character in ids; in text it counts four for a line of three words."""
    with serving(ids=ids) as upstream:
        settings = before(upstream.url)
        assert settings.upstream is not None
        with gateway(replace(settings, upstream=replace(settings.upstream, model="toy-base"))) as served:
            served.gateway.roles._verifier = FunctionVerifier(lambda candidate: 0.5)
            status, reply = served.chat(QUESTION, model="toy-base", budget=4, strategy="beam", max_tokens=most)
    assert status == 200
    choice = reply["choices"][0]
    text = choice["message"]["content"]
    assert (len(text) if ids else text.count("\n") * 4) <= most
    assert choice["finish_reason"] == ("stop" if most == 1000 else "length")
    assert ("Answer" in text) == (most == 1000)


def test_a_form_of_the_reply_is_drawn_whole(upstream: FakeServer) -> None:
    """Each step alone would be held to it. The library's own choice with a verifier would be a step search."""
    form = {"type": "json_object"}
    with gateway(before(upstream.url)) as served:
        served.gateway.roles._verifier = FunctionVerifier(lambda candidate: 0.5)
        before_ = len(upstream.requests)
        status, _ = served.chat(QUESTION, budget=4, response_format=form)
    assert status == 200
    assert [path for path, *_ in upstream.requests[before_:]] == ["/v1/chat/completions"] * 4
    assert all(body["response_format"] == form and body["stop"] is None for body in map(_filled, upstream.bodies[-4:]))


def _filled(body: dict[str, Any]) -> dict[str, Any]:
    return {"stop": None, **body}


def said(*messages: dict[str, Any], finish: str = "stop") -> Any:
    """An upstream that gives these messages in turn."""
    turn = itertools.count()

    def answer(path: str, body: dict[str, Any]) -> Any:
        message = {"role": "assistant", **messages[next(turn) % len(messages)]}
        usage = {"prompt_tokens": 10, "completion_tokens": 7}
        return {"choices": [{"index": 0, "finish_reason": finish, "message": message}], "usage": usage}

    return answer


REFUSAL = {"content": None, "refusal": "I will not do sums.\n\nNor products."}


def test_one_draw_that_refuses_does_not_end_the_others() -> None:
    with serving(kind="openai", answer=said({"content": "Answer: 1"}, REFUSAL)) as upstream:
        with gateway(before(upstream.url)) as served:
            status, reply = served.chat(QUESTION, budget=6)
        assert len(upstream.requests) == 6
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "Answer: 1")
    assert reply["choices"][0]["ttscale"]["votes"] == [{"answer": "1", "count": 3, "share": 1.0}]


@pytest.mark.parametrize("budget", [1, 3])
def test_a_refusal_comes_back_as_openai_writes_it(budget: int) -> None:
    with serving(kind="openai", answer=said(REFUSAL)) as upstream, gateway(before(upstream.url)) as served:
        client = openai.OpenAI(base_url=served.url, api_key="none")
        asked: Any = {"model": f"toy@{budget}", "messages": [{"role": "user", "content": QUESTION}]}
        choice = client.chat.completions.create(**asked).choices[0]
        deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
    assert (choice.message.refusal, choice.message.content) == (REFUSAL["refusal"], None)
    assert choice.finish_reason == "stop"
    assert "".join(delta.refusal or "" for delta in deltas) == REFUSAL["refusal"]


def test_thinking_that_came_beside_the_text_goes_back_beside_it() -> None:
    """Else what was to be JSON would begin with a thought."""
    apart = {"content": '{"a": 1}', "reasoning_content": "Hm.\n\nOne."}
    inside = {"content": "<think>Hm.</think>Answer: 1"}
    with serving(answer=said(apart)) as upstream, gateway(before(upstream.url)) as served:
        _, reply = served.chat(QUESTION, response_format={"type": "json_object"})
        message = reply["choices"][0]["message"]
        assert json.loads(message["content"]) == {"a": 1}
        assert message["reasoning_content"] == "Hm.\n\nOne."
    with serving(answer=said({**apart, "content": None}, finish="length")) as upstream:
        with gateway(before(upstream.url)) as served:
            _, reply = served.chat(QUESTION)
        assert reply["choices"][0]["message"]["content"] == ""
        assert reply["choices"][0]["finish_reason"] == "length"
    with serving(answer=said(inside)) as upstream, gateway(before(upstream.url)) as served:
        _, reply = served.chat(QUESTION)
        assert reply["choices"][0]["message"]["content"] == inside["content"], "as the upstream wrote it"


def test_a_role_that_is_missing_is_said(served: Running) -> None:
    status, reply = served.chat(QUESTION, budget=4, strategy="best_of_n")
    assert status == 400
    assert "needs a verifier" in reply["error"]["message"]


def test_a_model_that_is_not_served(served: Running) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none", max_retries=0)
    with pytest.raises(openai.NotFoundError, match="not served"):
        client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])


BROKEN = [
    *(b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b'{"temperature": 1e999}', b"[" * 100_000),
    b'{"model":"toy","messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"seed": ' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("body", BROKEN)
def test_bodies_that_are_no_requests(served: Running, body: bytes) -> None:
    status, reply = served.post("/chat/completions", body)
    assert (status, reply["error"]["type"]) == (400, "invalid_request_error")


def test_other_paths_and_methods(served: Running) -> None:
    assert served.get("/chat/completions")[0] == 405
    status, reply = served.post("/embeddings", {})
    assert (status, reply["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("400", 400, "invalid_request_error"),
        ("401", 401, "authentication_error"),
        ("404", 404, "not_found_error"),
        ("500", 502, "server_error"),
        ("html", 502, "server_error"),
        ("429", 429, "rate_limit_error"),
        ("302", 502, "server_error"),
    ],
)
def test_what_the_upstream_says(fault: str, status: int, kind: str) -> None:
    with serving(fault=lambda n, body: fault) as broken:
        settings = before(broken.url)
        assert settings.upstream is not None
        with gateway(replace(settings, upstream=replace(settings.upstream, retries=0))) as served:
            got, reply = served.chat(QUESTION, {"Authorization": "Bearer sk-very-secret"}, budget=2)
    assert (got, reply["error"]["type"]) == (status, kind)
    assert "sk-very-secret" not in json.dumps(reply)


def test_an_upstream_that_is_not_there() -> None:
    with serving() as upstream:
        url = upstream.url
    settings = before(url)
    assert settings.upstream is not None
    with gateway(replace(settings, upstream=replace(settings.upstream, retries=0))) as served:
        status, reply = served.chat(QUESTION)
    assert (status, reply["error"]["code"]) == (502, "upstream_error")
