"""Tool calls: a vote on names, then on arguments; through the official client, whole and as a stream."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_openai import serving
from integrations.gateways import before, gateway
from ttscale import Candidate, Key, Question, Step
from ttscale.integrations.gateway.settings import VerifierSettings
from ttscale.integrations.gateway.tools import as_text, read_call, tool_vote
from ttscale.openai.failures import MalformedReply

TOOLS: Any = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
MESSAGES: Any = [{"role": "user", "content": "What is 1 + 2?"}]


def call(name: str, arguments: Any, id_: str = "x") -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": text}}


def candidates(*texts: str | None) -> list[Candidate]:
    """Finished ones with these texts; None for one that was cut off."""
    question = Question.of("q")
    return [
        Candidate(question, Key((i,)), (Step(text or "cut"),), "stop" if text is not None else "length")
        for i, text in enumerate(texts)
    ]


def votes(*replies: str | Sequence[tuple[str, Any]]) -> int | None:
    texts = [r if isinstance(r, str) else as_text([call(name, arguments) for name, arguments in r]) for r in replies]
    return tool_vote(candidates(*texts))


def test_names_come_before_arguments() -> None:
    # "get" is called three times with arguments that differ, "put" twice with the same.
    assert votes([("put", {"x": 1})], [("put", {"x": 1})], *[[("get", {"x": i})] for i in range(3)]) == 2
    assert votes([("get", {"x": 0})], [("get", {"x": 1})], [("get", {"x": 1})], [("put", {})], [("put", {})]) == 1


def test_arguments_are_compared_by_value_and_calls_in_any_order() -> None:
    one, other = ("a", {"x": 1, "y": [True, None]}), ("b", {"x": 2})
    assert as_text([call(*one), call(*other)]) == as_text([call(*other), call(*one)])
    assert as_text([call("a", '{"x": 1, "y": 2}')]) == as_text([call("a", ' {"y":2.0,"x":1}')])
    assert as_text([call("a", {"x": 1})]) != as_text([call("a", {"x": True})])
    assert as_text([call("a", {"x": "1"})]) != as_text([call("a", {"x": 1})])
    assert as_text([call("a", "no json")]) != as_text([call("a", "no  json")])
    assert as_text([call("a", "")]) == as_text([call("a", {})])
    # Ids do not count: a server makes up a new one for every call.
    assert as_text([call("a", {}, "1")]) == as_text([call("a", {}, "2")])


def test_texts_vote_by_their_answer_against_calls() -> None:
    assert votes("Answer: 3", [("add", {})], "so it is\nAnswer: 3.0", "Answer: 4") == 0
    assert votes("Answer: 3", [("add", {})], [("add", {})]) == 1
    assert votes('{"tool_calls": nonsense', "Answer: 1", "Answer: 1") == 1
    assert votes() is None
    assert tool_vote(candidates(None, None)) is None
    assert tool_vote(candidates(None, "Answer: 1")) == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=9))
def test_the_vote_by_brute_force(drawn: list[tuple[str, int]]) -> None:
    won = votes(*[[(name, {"x": x})] for name, x in drawn])
    assert won is not None
    names = Counter(name for name, _ in drawn)
    assert names[drawn[won][0]] == max(names.values())
    same = Counter(one for one in drawn if one[0] == drawn[won][0])
    assert same[drawn[won]] == max(same.values())
    # Of what is equally frequent, the first that was drawn.
    first_name = next(name for name, _ in drawn if names[name] == max(names.values()))
    assert won == next(i for i, one in enumerate(drawn) if one[0] == first_name and same[one] == max(same.values()))


@pytest.mark.parametrize(
    "calls", [[{}], [{"function": {"name": "a"}}], [{"function": {"name": 1, "arguments": "{}"}}], ["a"], "calls"]
)
def test_calls_that_are_none_are_asked_for_again(calls: Any) -> None:
    message = {"content": None, "tool_calls": calls}
    with pytest.raises(MalformedReply):
        read_call({"choices": [{"message": message, "finish_reason": "tool_calls"}]})


def reply_with(path: str, body: dict[str, Any]) -> Any:
    """Four of five draws call "add", with arguments by seed; the others say something."""
    kind = body["seed"] % 5
    message: dict[str, Any] = {"role": "assistant", "content": "Answer: 3"}
    if kind < 4:
        message = {"role": "assistant", "content": "thinking", "tool_calls": [call("add", {"a": kind % 2, "b": 2})]}
    reason = "tool_calls" if kind < 4 else "stop"
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage}


@pytest.mark.parametrize("stream", [False, True])
def test_through_the_official_client(stream: bool) -> None:
    with serving(answer=reply_with) as upstream, gateway(before(upstream.url)) as served:
        client = openai.OpenAI(base_url=served.url, api_key="none")
        if stream:
            calls = {}
            for chunk in client.chat.completions.create(model="toy@9", messages=MESSAGES, tools=TOOLS, stream=True):
                reason = chunk.choices[0].finish_reason
                for delta in chunk.choices[0].delta.tool_calls or []:
                    assert delta.function is not None
                    calls[delta.index] = (delta.function.name, delta.function.arguments)
            (got,) = calls.values()
        else:
            reply = client.chat.completions.create(model="toy@9", messages=MESSAGES, tools=TOOLS)
            (tool_call,) = reply.choices[0].message.tool_calls or []
            assert tool_call.type == "function"
            assert reply.choices[0].message.content == "thinking"
            told = reply.choices[0].ttscale["votes"]  # type: ignore[attr-defined]
            assert sum(vote["count"] for vote in told) == 9
            assert told[0]["share"] == told[0]["count"] / 9
            got, reason = (tool_call.function.name, tool_call.function.arguments), reply.choices[0].finish_reason
            assert reply.usage is not None
            assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (45, 18)
    assert len(upstream.requests) == 9
    assert all(body["tools"] == TOOLS for body in upstream.bodies)
    drawn = [body["seed"] % 5 for body in upstream.bodies]
    assert sum(kind < 4 for kind in drawn) >= 5
    counts = Counter(kind % 2 for kind in drawn if kind < 4)
    name, arguments = got
    assert (name, reason) == ("add", "tool_calls")
    assert counts[json.loads(arguments)["a"]] == max(counts.values())


def test_a_result_of_a_tool_goes_back_to_the_model() -> None:
    messages = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call("add", {"a": 1, "b": 2})]},
        {"role": "tool", "tool_call_id": "x", "content": "3"},
    ]
    body = {"model": "toy", "messages": messages, "tools": TOOLS, "tool_choice": "auto"}
    with (
        serving(answer=lambda path, body: reply_with(path, {"seed": 4})) as upstream,
        gateway(before(upstream.url, verifier=VerifierSettings(id="judge"))) as served,
    ):
        status, reply = served.post("/chat/completions", body)
    assert (status, reply["choices"][0]["message"]["content"]) == (200, "Answer: 3")
    assert upstream.bodies[0]["messages"] == messages
    assert upstream.bodies[0]["tool_choice"] == "auto"


def test_no_tools_are_no_tools() -> None:
    with serving() as upstream, gateway(before(upstream.url)) as served:
        for more in ({"tools": []}, {"tools": TOOLS, "tool_choice": "none"}):
            status, reply = served.chat("x", budget=2, **more)
            assert status == 200
            assert reply["choices"][0]["ttscale"]["strategy"].startswith("MajorityVote")
        status, reply = served.chat("x", budget=2, tools=TOOLS, strategy="beam")
        assert (status, reply["error"]["param"]) == (400, "strategy")


def answering(messages: list[dict[str, Any]], reason: str) -> Any:
    """An upstream that gives these messages in turn."""
    turn = itertools.count()

    def answer(path: str, body: dict[str, Any]) -> Any:
        message = messages[next(turn) % len(messages)]
        usage = {"prompt_tokens": 5, "completion_tokens": 2}
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
        return {"choices": [choice], "usage": usage}

    return answer


def test_a_call_that_was_cut_off_is_no_call_to_make() -> None:
    cut = {
        "content": None,
        "tool_calls": [{"id": "x", "type": "function", "function": {"name": "add", "arguments": '{"a"'}}],
    }
    with serving(answer=answering([cut], "length")) as upstream, gateway(before(upstream.url)) as served:
        _, reply = served.chat("x", tools=TOOLS)
    (choice,) = reply["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"] == cut["tool_calls"]


def test_different_calls_are_different_answers_whatever_their_arguments_say() -> None:
    """From each of these arguments the answer 4 could be read."""
    said = [{"content": None, "tool_calls": [call("note", {"text": f"{word}. Answer: 4"})]} for word in ("One", "Two")]
    with serving(answer=answering(said, "tool_calls")) as upstream, gateway(before(upstream.url)) as served:
        _, reply = served.chat("x", tools=TOOLS, budget=4, n=3)
    calls = [choice["message"]["tool_calls"][0]["function"]["arguments"] for choice in reply["choices"]]
    assert sorted(json.loads(arguments)["text"] for arguments in calls) == ["One. Answer: 4", "Two. Answer: 4"]
