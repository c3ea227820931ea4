"""Bytes in and out: a body read within its limits, the client watched, a stream written. It knows ASGI and JSON."""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Send

from ttscale.integrations.gateway.errors import ApiError
from ttscale.integrations.gateway.settings import Caps

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


async def read_body(request: Request, caps: Caps) -> Any:
    """The parsed body; ``ApiError`` where it is too long, too slow or no JSON."""
    most = caps.body_bytes
    said = request.headers.get("content-length", "0")
    if said.isdecimal() and int(said[:20]) > most:
        raise ApiError(413, f"the body is longer than {most} bytes", code="body_too_long")
    content = bytearray()
    try:
        async with asyncio.timeout(caps.body_seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > most:
                    raise ApiError(413, f"the body is longer than {most} bytes", code="body_too_long")
    except TimeoutError:
        raise ApiError(408, f"the body did not arrive in {caps.body_seconds:g} s", code="timeout") from None
    try:
        body = json.loads(bytes(content), parse_constant=_no_number, parse_float=_finite)
        if _SURROGATE.search(content):
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is no JSON that can be read: {str(error)[:200]}") from None
    return body


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


async def hang_up(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def begin_stream(send: Send, id_: str) -> None:
    """Send the head of a stream of events."""
    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-request-id": id_}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})


async def send_text(send: Send, text: str) -> None:
    """Send a piece of a stream; ``ClientDisconnect`` where nobody takes it."""
    try:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
    except OSError:
        raise ClientDisconnect from None


async def end_stream(send: Send) -> None:
    """Send the end of a stream."""
    await send({"type": "http.response.body", "body": b"", "more_body": False})
