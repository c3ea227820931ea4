"""A gateway for tests: the real server in a thread of its own, on a free port of loopback."""

from __future__ import annotations

import json
import logging
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import uvicorn

from ttscale.integrations.gateway.app import Gateway, create_app
from ttscale.integrations.gateway.settings import Caps, GatewaySettings, Upstream


@dataclass(frozen=True)
class Running:
    """A gateway that listens."""

    url: str
    """Ends in /v1."""
    gateway: Gateway
    server: uvicorn.Server

    def stop(self) -> None:
        """Ask it to stop, as a signal does."""
        self.server.should_exit = True

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of the reply, as curl would see them."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **(headers or {})})
        return _read(request)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        return _read(urllib.request.Request(self.url + path, headers=dict(headers or {})))

    def chat(self, text: str, headers: Mapping[str, str] | None = None, **more: Any) -> tuple[int, Any]:
        """The reply to a chat of one message."""
        body = {"model": "toy", "messages": [{"role": "user", "content": text}], **more}
        return self.post("/chat/completions", body, headers)


def _read(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            text, status = reply.read(), reply.status
    except urllib.error.HTTPError as error:
        with error:
            text, status = error.read(), error.code
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()


@contextmanager
def gateway(settings: GatewaySettings) -> Iterator[Running]:
    """The gateway, until the block ends; then its tasks must have ended too."""
    app = create_app(settings)
    config = uvicorn.Config(app, "127.0.0.1", 0, log_config=None, access_log=False, ws="none", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the gateway did not start"
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Running(f"http://127.0.0.1:{port}/v1", app.state.gateway, server)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the gateway did not end"


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: queue.Queue[Any] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.lines.put(json.loads(text) if text.startswith("{") else text)


@contextmanager
def lines_logged() -> Iterator[queue.Queue[Any]]:
    """What the gateway logs, line by line as it comes."""
    handler, log = _Lines(), logging.getLogger("ttscale.serve")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def before(url: str, **more: Any) -> GatewaySettings:
    """Settings of a gateway in front of ``url``, which gives up early; ``more`` replaces settings."""
    upstream = Upstream(url=url, model="toy", retries=2)
    return replace(GatewaySettings(upstream=upstream, caps=Caps(budget=32)), **more)
