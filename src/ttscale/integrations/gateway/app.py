"""The walk of a request: in through the doors, read, searched, answered; and what happens when something goes wrong.

It knows HTTP and when to stop waiting; not what a request means, nor who draws.
Over 300 lines because the whole walk of a request is read in one file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ttscale.api.result import Result
from ttscale.api.solve import asolve
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError, TtscaleError
from ttscale.core.limit import Limit
from ttscale.core.trace import Event
from ttscale.core.version import __version__
from ttscale.core.watch import watching
from ttscale.integrations.gateway.doors import Doors
from ttscale.integrations.gateway.engine_metrics import EngineMetrics
from ttscale.integrations.gateway.errors import ApiError, api_error, of_role
from ttscale.integrations.gateway.local import LocalRoles
from ttscale.integrations.gateway.metrics import Metrics
from ttscale.integrations.gateway.reply import chunks, event, reply
from ttscale.integrations.gateway.request import Asked, read_request, served_model
from ttscale.integrations.gateway.settings import GatewaySettings
from ttscale.integrations.gateway.tools import ToolVote
from ttscale.integrations.gateway.upstream import UpstreamRoles
from ttscale.integrations.gateway.usage import USED, Used
from ttscale.integrations.gateway.wire import begin_stream, end_stream, hang_up, read_body, send_text

log = logging.getLogger("ttscale.serve")

HUNG_UP = 499
"""The status in logs and metrics of a request whose client has gone (nginx's number; nothing is sent)."""
STILL_THERE = 10.0
"""Seconds between two comments of a stream in which nothing happens: proxies close what is silent for a minute."""


@dataclass(slots=True)
class Gateway:
    """What all requests share."""

    settings: GatewaySettings
    roles: UpstreamRoles | LocalRoles
    doors: Doors
    metrics: Metrics
    begun: int = field(default_factory=lambda: int(time.time()))


@dataclass(slots=True)
class Visit:
    """One request on its way, and what is logged of it at its end."""

    path: str
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    begun: float = field(default_factory=time.perf_counter)
    status: int = HUNG_UP
    client: str | None = None
    asked: Asked | None = None
    used: Used = field(default_factory=Used)
    cost: Cost = Cost()
    error: ApiError | None = None
    streaming: bool = False
    """Whether the head of the reply has gone out: an error then comes as an event."""


def create_app(settings: GatewaySettings) -> Starlette:
    """The ASGI application. Models of this process are loaded here."""
    doors = Doors(settings)
    roles = LocalRoles(settings) if settings.upstream is None else UpstreamRoles(settings)
    engine = EngineMetrics()
    gateway = Gateway(settings, roles, doors, Metrics(inside=lambda: doors.inside, sources=[engine.text]))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with watching(engine):
            yield
        await roles.close()

    async def models(request: Request) -> Response:
        doors.check(request.headers)
        return JSONResponse(await _models(gateway, doors.key_for_upstream(request.headers)))

    async def model(request: Request) -> Response:
        doors.check(request.headers)
        name = request.path_params["name"]
        listed = await _models(gateway, doors.key_for_upstream(request.headers))
        found = [one for one in listed["data"] if one.get("id") == name]
        if not found:
            raise ApiError(404, f"there is no model {name!r:.200} here", param="model", code="model_not_found")
        return JSONResponse(found[0])

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__, "in_progress": doors.inside})

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(gateway.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", Completions(gateway, chat=True), methods=["POST"]),
            Route("/v1/completions", Completions(gateway, chat=False), methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", model),
            Route("/health", health),
            Route("/metrics", metrics),
        ],
        exception_handlers={ApiError: _on_api_error, HTTPException: _on_http_error, Exception: _on_bug},
        lifespan=lifespan,
    )
    app.state.gateway = gateway
    return app


class Completions:
    """POST /v1/chat/completions and /v1/completions: one coroutine a request, to its reply's last byte."""

    def __init__(self, gateway: Gateway, chat: bool) -> None:
        self._gateway, self._chat = gateway, chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        request, visit = Request(scope, receive), Visit(scope["path"])
        try:
            with self._gateway.doors.enter(request.headers) as visitor:
                visit.client = visitor.name if visitor else None
                body = await read_body(request, self._gateway.settings.caps)
                cap = visitor.client.budget if visitor else None
                asked = read_request(body, request.headers, self._chat, self._gateway.settings, cap)
                visit.asked = asked
                key = self._gateway.doors.key_for_upstream(request.headers)
                await self._answer(visit, asked, key, scope, receive, send)
        except ClientDisconnect:
            visit.status = HUNG_UP
        except asyncio.CancelledError:
            with suppress(Exception):
                ending = ApiError(503, "the gateway is shutting down", code="shutting_down")
                await _send_error(ending, visit, scope, receive, send)
            raise
        except ApiError as error:
            log.debug("request %s: %s", visit.id, error.message)
            await _send_error(error, visit, scope, receive, send)
        except Exception:
            log.exception("request %s failed by a bug in ttscale", visit.id)
            bug = ApiError(500, f"internal error; the gateway's log tells more under {visit.id}", code="internal")
            await _send_error(bug, visit, scope, receive, send)
        finally:
            self._end(visit)

    async def _answer(
        self, visit: Visit, asked: Asked, key: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Search, while watching whether the client is still there; then reply, whole or as a stream."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        search = asyncio.create_task(self._search(visit, asked, key, events.put_nowait))
        search.add_done_callback(lambda _: events.put_nowait(None))
        gone = asyncio.create_task(hang_up(receive))
        try:
            if asked.stream:
                await self._stream(visit, asked, search, gone, events, send)
                return
            await asyncio.wait({search, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not search.done():
                return  # with the status of a client that hung up
            result, calls = search.result()
            body = reply(asked, result, visit.used, calls, _name(visit, asked), int(time.time()))
            visit.status = 200
            await JSONResponse(body, headers={"x-request-id": visit.id})(scope, receive, send)
        finally:
            for task in (search, gone):
                task.cancel()
            await asyncio.gather(search, gone, return_exceptions=True)

    async def _stream(
        self,
        visit: Visit,
        asked: Asked,
        search: asyncio.Task[Any],
        gone: asyncio.Task[None],
        events: asyncio.Queue[Event | None],
        send: Send,
    ) -> None:
        """Comments while the search goes on, then the chosen text. What fails before the first comment is no stream."""
        begun = 0
        while True:
            waiting = asyncio.ensure_future(events.get())
            await asyncio.wait({waiting, gone}, timeout=STILL_THERE, return_when=asyncio.FIRST_COMPLETED)
            happened = waiting.result() if waiting.done() else None
            waiting.cancel()
            if gone.done():
                return
            if search.done():
                break
            if not visit.streaming:
                await begin_stream(send, visit.id)
                visit.streaming = True
            begun += happened is not None and happened["event"] == "reply" and happened.get("finish", "open") != "open"
            await send_text(send, f": {begun} of {asked.budget} solutions\n\n")
        result, calls = search.result()
        parts = list(chunks(asked, result, visit.used, calls, _name(visit, asked), int(time.time())))
        if not visit.streaming:
            await begin_stream(send, visit.id)
            visit.streaming = True
        visit.status = 200
        for part in parts:
            await send_text(send, part)
        await end_stream(send)

    async def _search(
        self, visit: Visit, asked: Asked, key: str | None, observe: Callable[[Event], object]
    ) -> tuple[Result, Any]:
        """The result, and the tool calls that its texts stand for."""
        USED.set(visit.used)
        roles, caps = self._gateway.roles, self._gateway.settings.caps
        async with roles.roles(asked, key) as made:
            try:
                strategy = ToolVote() if asked.tools else roles.strategy(asked)
                result = await asolve(
                    roles.question(asked),
                    asked.budget,
                    generator=made.generator,
                    verifier=None if asked.tools else made.verifier,
                    reviser=made.reviser,
                    comparator=None if asked.tools else made.comparator,
                    strategy=strategy,
                    seed=asked.seed,
                    limit=Limit(tokens=caps.tokens, seconds=caps.seconds),
                    observe=observe,
                )
                self._spent(visit, result)
                return result, getattr(made.generator, "calls", {})
            except Exception as error:
                found = getattr(error, "result", None) if isinstance(error, TtscaleError) else None
                if found is not None:
                    self._spent(visit, found)
                known = api_error(error, made.own_key)
                if known is None:
                    raise
                raise known from error

    def _spent(self, visit: Visit, result: Result) -> None:
        visit.cost = result.cost
        visit.used.add_run_here(result, self._gateway.roles.run_here)

    def _end(self, visit: Visit) -> None:
        """Count the request, and log it: one line, never a key nor a word of what was asked, which errors repeat."""
        seconds = time.perf_counter() - visit.begun
        self._gateway.metrics.ended(visit.path, visit.status, seconds)
        self._gateway.metrics.spent(visit.used, visit.cost)
        asked = visit.asked
        line = {
            "event": "request",
            "id": visit.id,
            "path": visit.path,
            "status": visit.status,
            "seconds": round(seconds, 4),
            "client": visit.client,
            "model": asked.name if asked else None,
            "strategy": asked.strategy if asked else None,
            "budget": asked.budget if asked else None,
            "prompt_tokens": visit.used.prompt + visit.used.verifier_prompt,
            "completion_tokens": visit.used.completion + visit.used.verifier_completion,
            "code": visit.error.code if visit.error else None,
            "param": visit.error.param if visit.error else None,
            "cause": type(visit.error.__cause__).__name__ if visit.error and visit.error.__cause__ else None,
        }
        log.info(json.dumps({name: value for name, value in line.items() if value is not None}))


async def _send_error(error: ApiError, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
    """An error as a reply, or as the last event of a stream that has begun."""
    visit.status, visit.error = error.status, error
    if visit.streaming:
        with suppress(ClientDisconnect):
            await send_text(send, event(error.body))
            await end_stream(send)
        return
    headers = {**error.headers, "x-request-id": visit.id}
    await JSONResponse(error.body, error.status, headers)(scope, receive, send)


def _name(visit: Visit, asked: Asked) -> str:
    return f"{'chatcmpl' if asked.chat else 'cmpl'}-{visit.id}"


async def _models(gateway: Gateway, key: str | None) -> dict[str, Any]:
    """What OpenAI's clients list: the one model that is served, or those of the upstream."""
    served = served_model(gateway.settings)
    if served is None and isinstance(gateway.roles, UpstreamRoles):
        try:
            listed = await gateway.roles.models(key)
        except RoleError as error:
            raise of_role(error, gateway.roles.own_key) from error
        data = listed.get("data") if isinstance(listed, dict) else None
        return {"object": "list", "data": [one for one in data or [] if isinstance(one, dict)]}
    model = {"id": served, "object": "model", "created": gateway.begun, "owned_by": "ttscale"}
    return {"object": "list", "data": [model]}


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, error.status, error.headers)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}"[:500])
    return JSONResponse(said.body, error.status_code, error.headers)


async def _on_bug(request: Request, error: Exception) -> Response:
    return JSONResponse(ApiError(500, "internal error; the gateway's log tells more").body, 500)
