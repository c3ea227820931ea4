"""Reading replies: tables of what servers send, and any JSON at all."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.openai.failures import MalformedReply
from ttscale.openai.reply import (
    Written,
    read_choices,
    read_first_token,
    read_owner,
    read_rows,
    read_written,
)
from ttscale.openai.step_records import step_logprobs

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}
COST = Cost(sampled_tokens=4, prompt_tokens=6, cached_tokens=3, requests=1)


def chat(content: Any, finish: Any = "stop", usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    return {"choices": [{"message": message, "finish_reason": finish, **more}], "usage": usage}


def text(content: Any, finish: Any = "stop", usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    return {"choices": [{"text": content, "finish_reason": finish, **more}], "usage": usage}


@pytest.mark.parametrize(
    ("data", "is_chat", "expected"),
    [
        (chat("a"), True, Written("a", "stop", False, None, (), COST, True)),
        (text("a", "length"), False, Written("a", "length", False, None, (), COST, True)),
        (text("a", stop_reason=None), False, Written("a", "stop", True, None, (), COST, True)),
        (text("a", stop_reason="\n"), False, Written("a", "stop", True, "\n", (), COST, True)),
        (text("a", stop_reason=128009), False, Written("a", "stop", True, None, (), COST, True)),
        (chat("a", matched_stop="\n"), True, Written("a", "stop", True, "\n", (), COST, True)),
        (chat("a", "content_filter"), True, Written("a", "length", False, None, (), COST, True)),
        (
            chat("b", message={"reasoning_content": "a"}),
            True,
            Written("<think>a</think>b", "stop", False, None, (), COST, True),
        ),
        (
            chat(None, message={"reasoning": "a"}),
            True,
            Written("<think>a</think>", "stop", False, None, (), COST, True),
        ),
        (text("a", usage=None), False, Written("a", "stop", False, None, (), Cost(requests=1), False)),
        (text("a", usage={"prompt_tokens": -1}), False, Written("a", "stop", False, None, (), Cost(requests=1), False)),
        (
            text("a", usage={"prompt_tokens": 5, "completion_tokens": 2}),
            False,
            Written("a", "stop", False, None, (), Cost(sampled_tokens=2, prompt_tokens=5, requests=1), True),
        ),
        (
            text("ab", logprobs={"tokens": ["a", "b"], "token_logprobs": [-1, -0.5]}),
            False,
            Written("ab", "stop", False, None, (("a", -1.0), ("b", -0.5)), COST, True),
        ),
        (
            chat("ab", logprobs={"content": [{"token": "ab", "logprob": -2.0}]}),
            True,
            Written("ab", "stop", False, None, (("ab", -2.0),), COST, True),
        ),
        (
            text("ab", logprobs={"tokens": ["a", "b"], "token_logprobs": [None, -0.5]}),
            False,
            Written("ab", "stop", False, None, (), COST, True),
        ),
        # The provider took the text away, or all of it was thinking that is not shown: cut off, not broken.
        (chat(None, "content_filter"), True, Written("", "length", False, None, (), COST, True)),
        (chat(None, "length"), True, Written("", "length", False, None, (), COST, True)),
        (chat(None), True, Written("", "stop", False, None, (), COST, True)),
        # Content as a list of parts (Mistral, gateways), thoughts among them or beside them.
        (
            chat(
                [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "Answer: "},
                    {"type": "text", "text": "5"},
                ]
            ),
            True,
            Written("<think>hm</think>Answer: 5", "stop", False, None, (), COST, True),
        ),
        (chat(["a", {"type": "output_text", "text": "b"}]), True, Written("ab", "stop", False, None, (), COST, True)),
        (
            chat([{"type": "reasoning", "text": "r"}], message={"reasoning": "other"}),
            True,
            Written("<think>r</think>", "stop", False, None, (), COST, True),
        ),
        (chat([]), True, Written("", "stop", False, None, (), COST, True)),
        # LiteLLM moves vLLM's field, in both places it has.
        (
            text("a", provider_specific_fields={"stop_reason": "\n"}),
            False,
            Written("a", "stop", True, "\n", (), COST, True),
        ),
        (
            chat("a", message={"provider_specific_fields": {"stop_reason": None}}),
            True,
            Written("a", "stop", True, None, (), COST, True),
        ),
        # llama.cpp answers plain completions with a chat's log-probabilities.
        (
            text("ab", logprobs={"content": [{"token": "ab", "logprob": -2.0}]}),
            False,
            Written("ab", "stop", False, None, (("ab", -2.0),), COST, True),
        ),
        (text("a", token_ids=[7, 2]), False, Written("a", "stop", False, None, (), COST, True, (7, 2))),
        (text("a", token_ids=["7"]), False, Written("a", "stop", False, None, (), COST, True, None)),
        (text("\ud800x"), False, Written("\ufffdx", "stop", False, None, (), COST, True)),
    ],
)
def test_what_a_reply_says(data: Any, is_chat: bool, expected: Written) -> None:
    assert read_written(data, is_chat) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a JSON list, not an object"),
        ("text", "a JSON str, not an object"),
        ({}, "NoneType in 'choices'"),
        ({"choices": []}, "0 entries in 'choices' where one was asked for"),
        ({"choices": [{}, {}]}, "2 entries in 'choices'"),
        ({"choices": [], "error": "overloaded"}, "it says: overloaded"),
        (text(None), "no text but NoneType"),
        (text("a", None), r"did not finish \(finish_reason=None\)"),
        (text("a", "abort"), "did not finish"),
    ],
)
def test_a_broken_reply_is_worth_another_try(data: Any, message: str) -> None:
    with pytest.raises(MalformedReply, match=message):
        read_written(data, False)


def test_several_choices_come_in_the_order_of_their_indices_and_share_the_usage_by_what_each_drew() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}
    choices = [
        {"index": i, "text": t, "finish_reason": "stop", "token_ids": ids}
        for i, t, ids in ((2, "c", [1]), (0, "a", [1, 2, 3]), (1, "b", [4]))
    ]
    found = read_choices({"choices": choices, "usage": usage}, False, 3)
    assert [one.text for one in found] == ["a", "b", "c"]
    assert [one.cost for one in found] == [
        Cost(sampled_tokens=3, prompt_tokens=6, cached_tokens=3, requests=1),
        Cost(sampled_tokens=1),
        Cost(sampled_tokens=1),
    ]
    unknown = [{**one, "token_ids": None} for one in choices]
    told = read_choices({"choices": unknown, "usage": usage}, False, 3)
    assert [one.cost.sampled_tokens for one in told] == [2, 2, 1]
    assert sum((one.cost for one in told), Cost()) == sum((one.cost for one in found), Cost())


@pytest.mark.parametrize("places", [(0, 0), (1, 2), (None, 0)])
def test_choices_without_places_of_their_own_are_worth_another_try(places: Any) -> None:
    choices = [{"index": i, "text": "a", "finish_reason": "stop"} for i in places]
    with pytest.raises(MalformedReply, match="have the indices"):
        read_choices({"choices": choices, "usage": USAGE}, False, 2)


def test_a_part_that_is_no_text_is_worth_another_try() -> None:
    with pytest.raises(MalformedReply, match="a part of type 'image_url'"):
        read_written(chat([{"type": "image_url", "image_url": "x"}]), True)


@pytest.mark.parametrize("finish", [[], {}, None, 3])
def test_a_chat_without_text_and_without_an_ending_is_worth_another_try(finish: Any) -> None:
    with pytest.raises(MalformedReply, match="no text but NoneType"):
        read_written({"choices": [{"message": {"content": None}, "finish_reason": finish}]}, True)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 0}, True),
        ({"prompt_tokens": 7}, False),
        ({"prompt_tokens": 7, "completion_tokens": None}, False),
        ({"prompt_tokens": 7, "completion_tokens": -1}, False),
        (None, False),
    ],
)
def test_usage_that_leaves_out_what_was_drawn_counts_as_none(usage: Any, counted: bool) -> None:
    """A limit on tokens would never be reached, and nobody warned."""
    data = {"choices": [{"text": "a", "finish_reason": "stop"}], "usage": usage}
    assert read_written(data, False).counted is counted


def test_a_refusal_is_unfinished_and_in_the_models_words() -> None:
    message = {"content": None, "refusal": "I will not do sums."}
    written = read_written(chat(None, message=message), True)
    assert (written.text, written.finish) == ("I will not do sums.", "length")
    assert written.cost.sampled_tokens > 0
    assert read_written(chat(None, message={"content": "4", "refusal": None}), True).finish == "stop"


def test_what_makes_no_sense_is_an_error() -> None:
    with pytest.raises(RoleError, match="finish_reason='tool_calls'"):
        read_written(chat("a", "tool_calls"), True)
    with pytest.raises(RoleError, match="answered with a tool call"):
        read_written(chat(None, message={"tool_calls": [{"id": "1"}]}), True)


def test_first_tokens() -> None:
    listed = [{"token": "Yes", "logprob": math.log(0.5)}, {"token": " Yes", "logprob": math.log(0.25)}]
    data = chat("Yes", logprobs={"content": [{"token": "Yes", "logprob": -0.7, "top_logprobs": listed}]})
    table, cost = read_first_token(data)
    assert table == pytest.approx({"Yes": 0.5, " Yes": 0.25})
    assert cost == COST
    data = text("Yes", logprobs={"top_logprobs": [{"Yes": math.log(0.5), "No": math.log(0.125)}]})
    assert read_first_token(data)[0] == pytest.approx({"Yes": 0.5, "No": 0.125})
    assert read_first_token(chat("Yes")) == ({}, COST)
    assert read_first_token(text("Yes", logprobs={"top_logprobs": []})) == ({}, COST)


def test_pooled_rows() -> None:
    usage = {"prompt_tokens": 7}
    assert read_rows({"data": [{"data": [[0.1, 0.9]]}], "usage": usage}) == (
        [[0.1, 0.9]],
        Cost(verifier_tokens=7, requests=1),
    )
    assert read_rows({"data": [{"probs": [0.3]}], "usage": usage}) == ([0.3], Cost(verifier_tokens=7, requests=1))
    for data in ({"data": []}, {"data": [{"data": []}]}, {"data": [{"data": "base64"}]}, {}):
        with pytest.raises(MalformedReply):
            read_rows(data)


def test_the_owner_of_the_first_model() -> None:
    assert read_owner({"data": [{"id": "m", "owned_by": "vllm"}]}) == "vllm"
    assert [read_owner(data) for data in (None, {}, {"data": []}, {"data": [3]}, {"data": [{}]}, "x")] == [""] * 6


@pytest.mark.parametrize(
    ("steps", "tokens", "expected"),
    [
        (["ab\n", "c"], ["a", "b\n", "c"], [(-3.0, 2), (-3.0, 1)]),
        (["ab\n", "c"], ["ab\nc", "<end>"], [(-1.0, 1), (-2.0, 1)]),
        (["ab\n", "c"], ["ab\n", "c", "<end>"], [(-1.0, 1), (-2.0, 1)]),
        (["ab\n", "c"], ["ab\n", "c", ""], [(-1.0, 1), (-2.0, 1)]),
        (["ab\n"], ["ab"], [(-1.0, 1)]),
        (["ab", "cd"], ["abcd"], [(-1.0, 1), (None, None)]),
        (["ab"], ["a", "\ufffd"], [(None, None)]),
        (["ab"], [], [(None, None)]),
        # A character that is split over tokens shows as so many replacements, or with what stood before it.
        (["a≤b\n", "\U0001f600c"], ["a", "\ufffd", "\ufffd", "b\n", "\ufffd", "\ufffd", "c"], [(-10.0, 4), (-18.0, 3)]),
        (["a ≤\n", "b"], ["a", " \ufffd", "\ufffd", "\n", "b", "<end>"], [(-10.0, 4), (-5.0, 1)]),
        (["是。\n", "否"], ["是", "\ufffd", "\ufffd", "\n", "\ufffd", "\ufffd"], [(-10.0, 4), (-11.0, 2)]),
        (["ab\n", "c"], ["\ufffd", "x\n", "c"], [(None, None)] * 2),
        ([], ["a"], []),
    ],
)
def test_log_probabilities_are_shared_out_over_the_steps(
    steps: list[str], tokens: list[str], expected: list[tuple[float | None, int | None]]
) -> None:
    assert step_logprobs(steps, [(token, -1.0 - i) for i, token in enumerate(tokens)]) == expected


@given(st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=5), st.data())
def test_no_token_is_lost_or_counted_twice(steps: list[str], data: st.DataObject) -> None:
    whole = "".join(steps)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(whole) - 1)), max_size=8)))
    bounds = [0, *[cut for cut in cuts if cut < len(whole)], len(whole)]
    tokens = [(whole[a:b], -float(i + 1)) for i, (a, b) in enumerate(pairwise(bounds)) if a < b]
    shared = step_logprobs(steps, tokens)
    assert len(shared) == len(steps)
    assert sum(count or 0 for _, count in shared) == len(tokens)
    assert math.fsum(total or 0.0 for total, _ in shared) == math.fsum(logprob for _, logprob in tokens)


NAMES = [
    *("choices", "data", "text", "message", "content", "finish_reason", "usage", "prompt_tokens", "completion_tokens"),
    *("logprobs", "tokens", "token_logprobs", "top_logprobs", "token", "logprob", "probs", "stop_reason", "error"),
    *("prompt_tokens_details", "cached_tokens", "reasoning_content", "owned_by", "tool_calls"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)


@given(JSON, JSON, st.booleans())
def test_no_reply_whatsoever_raises_anything_else(data: Any, inner: Any, is_chat: bool) -> None:
    """Untrusted servers: a reply is read, is malformed, or is an error of the role; nothing else escapes."""
    shells = [data, {"choices": [inner], "usage": data}, {"choices": [{"text": "a", "finish_reason": "stop"}]}]
    if isinstance(inner, dict):
        whole = {"text": "a", "message": {"content": "a"}, "finish_reason": "stop"}
        shells += [{"choices": [{**whole, **inner}], "usage": inner}, {"data": [inner], "usage": inner}]
    for shell in shells:
        read_owner(shell)
        for read in (read_rows, lambda d: read_written(d, is_chat), read_first_token):
            try:
                read(shell)
            except (MalformedReply, RoleError):
                continue
