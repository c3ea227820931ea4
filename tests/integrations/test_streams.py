"""Streams: comments while the search goes on, then the chosen text in OpenAI's chunks."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from fake_openai import FakeServer, serving
from integrations.gateways import Running, before, gateway, lines_logged
from ttscale.integrations.gateway.settings import Upstream

QUESTION = "What is the digit?"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeServer]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def served(upstream: FakeServer) -> Iterator[Running]:
    with gateway(before(upstream.url)) as running:
        yield running


def raw(served: Running, **more: Any) -> list[str]:
    """The events of a stream as they stand, comments among them."""
    body = {"model": "toy", "messages": [{"role": "user", "content": QUESTION}], "stream": True, **more}
    request = urllib.request.Request(
        served.url + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        text: str = reply.read().decode()
    assert text.endswith("\n\n")
    return text.removesuffix("\n\n").split("\n\n")


@pytest.mark.parametrize("n", [1, 2])
def test_the_stream_says_what_the_whole_reply_says(served: Running, n: int) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none")
    messages: Any = [{"role": "user", "content": QUESTION}]
    whole = client.chat.completions.create(model="toy@9", messages=messages, n=n)
    texts, reasons, usage = ["", ""], ["", ""], None
    options: Any = {"include_usage": True}
    for chunk in client.chat.completions.create(
        model="toy@9", messages=messages, n=n, stream=True, stream_options=options
    ):
        assert chunk.object == "chat.completion.chunk"
        assert (chunk.usage is None) == bool(chunk.choices)
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason or ""
    assert texts[:n] == [choice.message.content for choice in whole.choices]
    assert reasons[:n] == ["stop"] * n
    assert usage == whole.usage


def test_no_usage_unless_it_is_asked_for(served: Running) -> None:
    events = [json.loads(event[6:]) for event in raw(served) if event.startswith("data: {")]
    assert all("usage" not in event for event in events)


def test_progress_comes_as_comments_and_the_end_last(served: Running) -> None:
    events = raw(served, budget=6)
    comments = [event for event in events if event.startswith(":")]
    assert comments[0] == ": 0 of 6 solutions"
    assert all(event.startswith("data: ") for event in events if event not in comments)
    assert events.index(comments[-1]) < events.index(next(event for event in events if event.startswith("data:")))
    assert events[-1] == "data: [DONE]"


def test_the_last_chunk_tells_of_the_search_and_the_trace(served: Running) -> None:
    events = [json.loads(e[6:]) for e in raw(served, budget=3, ttscale_trace=True) if e.startswith("data: {")]
    (last,) = [event for event in events if event["choices"][0]["finish_reason"]]
    assert last["choices"][0]["ttscale"]["cost"]["generations"] == 3
    assert [event["event"] for event in last["ttscale_trace"]] == ["start", *["reply"] * 3, "end"]


def test_a_stream_of_a_completion(served: Running) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none")
    whole = client.completions.create(model="toy@5", prompt="Go:\n")
    parts = list(client.completions.create(model="toy@5", prompt="Go:\n", stream=True))
    assert "".join(part.choices[0].text for part in parts) == whole.choices[0].text
    assert parts[-1].choices[0].finish_reason == "stop"


def test_the_async_client_streams(served: Running) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=served.url, api_key="none") as client:
            stream = await client.chat.completions.create(
                model="toy@3", messages=[{"role": "user", "content": QUESTION}], stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    _, whole = served.chat(QUESTION, budget=3)
    assert asyncio.run(ask()) == whole["choices"][0]["message"]["content"]


def test_what_is_wrong_with_the_request_is_no_stream(served: Running) -> None:
    client = openai.OpenAI(base_url=served.url, api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": QUESTION}]
    for more in ({"budget": 0}, {"strategy": "best_of_n", "budget": 2}):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="toy", messages=messages, stream=True, extra_body=more)


def test_an_error_in_the_middle_is_an_event() -> None:
    with serving(fault=lambda n, body: "400" if n == 3 else None) as upstream, gateway(before(upstream.url)) as served:
        client = openai.OpenAI(base_url=served.url, api_key="none", max_retries=0)
        messages: Any = [{"role": "user", "content": QUESTION}]
        with pytest.raises(openai.APIError, match="status 400"):
            list(client.chat.completions.create(model="toy@8", messages=messages, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_ends_its_search(stream: bool) -> None:
    """The upstream holds its replies back until the client has gone; then nothing more is asked of it."""
    with serving() as upstream, lines_logged() as logged:
        held = upstream.hold()
        settings = before(upstream.url, upstream=Upstream(url=upstream.url, model="toy", concurrency=2))
        with gateway(settings) as served:
            body = json.dumps(
                {"model": "toy@16", "messages": [{"role": "user", "content": QUESTION}], "stream": stream}
            ).encode()
            host, port = served.url.removeprefix("http://").removesuffix("/v1").split(":")
            client = socket.create_connection((host, int(port)))
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            assert held.arrived.wait(30)
            client.close()
            line = logged.get(timeout=30)
            held.release()
            assert (line["status"], line["budget"]) == (499, 16)
            assert served.gateway.doors.inside == 0
            assert served.gateway.metrics.cancelled == 1
            assert served.chat(QUESTION)[0] == 200
        # Two were out, and one was asked for afterwards; of sixteen.
        assert len(upstream.requests) <= 3


def test_stopping_the_gateway_ends_what_is_in_progress() -> None:
    """The gateway of a test stops at the end of its block, and waits for what it has taken in."""
    with serving() as upstream, lines_logged() as logged:
        held = upstream.hold()
        with gateway(before(upstream.url)) as served:
            host, port = served.url.removeprefix("http://").removesuffix("/v1").split(":")
            body = json.dumps({"model": "toy", "messages": [{"role": "user", "content": QUESTION}]}).encode()
            client = socket.create_connection((host, int(port)))
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            assert held.arrived.wait(30)
            served.stop()
            held.release()
        assert logged.get(timeout=30)["status"] == 200
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        client.close()
