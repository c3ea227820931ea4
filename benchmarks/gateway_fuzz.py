"""Feeds mutated bodies and headers to the gateway's ASGI application, in process.

    python benchmarks/gateway_fuzz.py [--requests 100000] [--seed 0] [--out benchmarks/results/gateway.json]

Starts from valid requests of both endpoints and breaks them: JSON values swapped, removed, doubled or moved, bytes
changed or cut, headers made odd. The upstream is a stand-in in the process that answers at once. Each reply must be
200, or an error of OpenAI's form with a status below 500; a 500 would be a bug, and must leave a traceback in the log.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import logging
import random
from collections import Counter
from pathlib import Path
from typing import Any

from _stored import RESULTS, keep
from fuzz_inputs import broken_json

from ttscale.integrations.gateway.app import create_app
from ttscale.integrations.gateway.settings import Caps, GatewaySettings, Upstream
from ttscale.openai.connection import Connection

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CHAT: dict[str, Any] = {
    "model": "toy@majority_vote:3",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "r", "tool_call_id": "1"},
        {"role": "user", "content": "What is 1 + 2?"},
    ],
    "budget": 3,
    "strategy": "majority_vote",
    "n": 1,
    "stream": False,
    "temperature": 0.7,
    "top_p": 0.9,
    "max_tokens": 100,
    "stop": ["x"],
    "seed": 1,
    "tools": [TOOL],
    "tool_choice": "auto",
    "ttscale_trace": True,
    "logprobs": False,
}
TEXT = {
    "model": "toy@2",
    "prompt": "a",
    "stream": True,
    "stream_options": {"include_usage": True},
    "reasoning_effort": "low",
}
HEADERS = {
    "authorization": "Bearer key",
    "x-ttscale-budget": "2",
    "x-its-budget": "3",
    "x-ttscale-strategy": "majority_vote",
    "x-its-api-key": "k",
    "content-length": "10",
    "content-type": "application/json",
}
ODD = [
    "",
    " ",
    "0",
    "-1",
    "1e9",
    "9" * 400,
    "\xe9",
    "\x00",
    "beam",
    "Bearer",
    "Bearer \xff",
    "None",
    "²",
    "१",
    "x" * 5000,
]


class Quick:
    """Stands in for every connection: answers at once, now with a call, now with a text."""

    count = 0

    async def post(self: Any, path: str, body: Any, read: Any, *, where: str, seed: int = 0, home: Any = None) -> Any:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()  # as the client would
        Quick.count += 1
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        if "chat" not in path:
            return read({"choices": [{"text": f"Answer: {seed % 3}", "finish_reason": "stop"}], "usage": usage})
        message: dict[str, Any] = {"content": f"Answer: {seed % 3}"}
        if "tools" in body and seed % 2:
            message["tool_calls"] = [{"id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}}]
        return read({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    async def models(self: Any) -> Any:
        return {"data": [{"owned_by": "vllm"}]}


def broken(rng: random.Random) -> tuple[str, bytes, list[tuple[bytes, bytes]]]:
    """A path, a body and headers."""
    chat = rng.random() < 0.7
    body = copy.deepcopy(CHAT if chat else TEXT)
    for name in rng.sample(sorted(body), rng.randint(0, len(body) - 2)):
        if name not in ("messages", "prompt") or rng.random() < 0.1:
            del body[name]
    if rng.random() < 0.8:
        body = broken_json(body, rng)
    content = json.dumps(body).encode()
    if rng.random() < 0.15:
        raw = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        content = bytes(raw[: rng.randint(0, len(raw))] if rng.random() < 0.3 else raw)
    headers = []
    for name, value in HEADERS.items():
        if rng.random() < 0.15:
            value = rng.choice(ODD) if rng.random() < 0.6 else value
            headers.append((name.encode(), value.encode("utf-8" if rng.random() < 0.2 else "latin-1", "replace")))
    return f"/v1/{'chat/' if chat else ''}completions", content, headers


async def ask(app: Any, path: str, content: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """One request, as a server would bring it."""
    sent: list[dict[str, Any]] = []
    pieces = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if pieces:
            return pieces.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path}
    scope |= {"raw_path": path.encode(), "query_string": b"", "headers": headers, "root_path": "", "scheme": "http"}
    await app({**scope, "server": ("x", 80), "client": ("y", 1)}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def problem(status: int, content: bytes) -> str | None:
    """What is wrong with a reply."""
    if status >= 500:
        return f"status {status}"
    if content.startswith((b": ", b"data: ")):
        return None if content.endswith(b"data: [DONE]\n\n") else "a stream without an end"
    reply = json.loads(content)
    if status == 200:
        return None if reply["choices"] and reply["usage"]["total_tokens"] > 0 else "an empty reply"
    error = reply["error"]
    return (
        None if error["message"] and error["type"] and set(error) == {"message", "type", "param", "code"} else "error"
    )


async def fuzz(requests: int, seed: int) -> dict[str, Any]:
    logged: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("ttscale.serve").addHandler(handler)
    Connection.post = Quick.post  # type: ignore[method-assign, assignment]
    Connection.models = Quick.models  # type: ignore[method-assign]
    settings = GatewaySettings(upstream=Upstream(url="http://127.0.0.1:1/v1", model="toy"), caps=Caps(budget=4))
    app = create_app(settings)
    rng, statuses, found = random.Random(seed), Counter[str](), list[Any]()
    for _ in range(requests):
        path, content, headers = broken(rng)
        status, reply = await ask(app, path, content, headers)
        statuses[str(status)] += 1
        if what := problem(status, reply):
            found.append((what, path, content[:2000], headers, reply[:500]))
    for one in found[:5]:
        print(*one, sep="\n  ")
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return {
        "requests": requests,
        "statuses": dict(sorted(statuses.items())),
        "asked of the upstream": Quick.count,
        "wrong replies": len(found),
        "tracebacks logged": len(logged),
        "tasks left": len(tasks),
        "in progress at the end": app.state.gateway.doors.inside,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "gateway.json")
    options = parser.parse_args()
    rows = asyncio.run(fuzz(options.requests, options.seed))
    keep(options.out, "fuzz", "Mutated bodies and headers", {"measured": rows}, options.requests < 100_000)
    print(json.dumps(rows, indent=1))
    raise SystemExit(1 if rows["wrong replies"] else 0)


if __name__ == "__main__":
    main()
