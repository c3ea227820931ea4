"""Getting one reply out of servers that fail: concurrency limit, timeouts, retries with backoff, failover, secrets.

It knows HTTP through the official client, and how long to wait; it does not know prompts or what a reply means (the
caller's ``read`` decides whether it is whole). Keys live here and nowhere else: never in a repr, an error or a trace.
Over 300 lines because retries, failover and secrets meet at every call.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import openai

from ttscale.core.checks import check_count
from ttscale.core.errors import RoleError
from ttscale.core.watch import WATCHES
from ttscale.openai.failures import Failure, Hopeless, MalformedReply, Refused, Rejected, backoff, judge_status, why
from ttscale.openai.pool import EndpointPool
from ttscale.openai.reply import model_names
from ttscale.openai.secrets import Secrets, shown
from ttscale.openai.streams import StopListening, listen

T = TypeVar("T")

log = logging.getLogger("ttscale.openai")

CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection, so that a dead endpoint is left quickly for the next."""
FIRST_CONNECT = 1.5
"""The same for the first attempt of a request, so that a person hears within two seconds that nobody answers."""
STATUS_ROUNDS = 2
"""Retries of a mere look (``look``) that the server answers with an error, or any path that shows no JSON."""
NO_LIST = (404, 405, 501)
"""Statuses of /models that say that there is no such list, now and later."""
ENDPOINTS = ("/chat/completions", "/completions", "/models")
"""What some give at the end of a base URL, where it does not belong."""
OF_ONE_SERVER = (401, 403, 404, 501)
"""Statuses of which another server of a pool may think otherwise: a wrong key, a model or endpoint that it lacks."""
NO_KEY = "none"
"""What the official client is given where there is no key."""
SAID = 500
"""Characters of a server's own words that go into an error."""


@dataclass(slots=True)
class _LoopState:
    """What belongs to one event loop: connection pools and locks are bound to it."""

    clients: list[openai.AsyncOpenAI]
    slots: list[asyncio.Semaphore]
    keeper: AsyncGenerator[None, None]
    looking: asyncio.Task[None] | None = None
    """The last look at /models, which all who ask meanwhile wait for."""


@dataclass(frozen=True, slots=True)
class _Request(Generic[T]):
    """One request, until it has its reply; see ``Connection.post``."""

    path: str
    body: object
    """None for a mere look, which is a GET."""
    read: Callable[[Any], T]
    where: str
    seed: int = 0
    home: int | None = None
    watch: StopListening | None = None


_KEEPERS: dict[asyncio.AbstractEventLoop, list[AsyncGenerator[None, None]]] = {}
"""What closes the clients of each loop. Kept here because a ``Connection`` may be gone before its loop ends."""


class Connection:
    """One or more servers that serve the same model, and how patiently to ask them.

    ``base_url``: one URL or several (a question's requests go to one of them, on failure to the next; see
    ``pool.py``), ``weights`` how much of the work each of them gets. None is the official client's default
    (``OPENAI_BASE_URL`` or api.openai.com). ``api_key``: None reads ``OPENAI_API_KEY``. ``concurrency`` requests at
    most are under way at each endpoint beside looks at what it serves, those that wait for a retry included, so that a
    server that answers 429 sees less traffic, not more. ``timeout`` is for a whole reply, in seconds, however slowly it
    drips. ``retries`` more rounds over all endpoints follow a failure (429, 408, 5xx, lost connection, timeout, broken
    reply), with exponential backoff, jitter and the server's Retry-After; one above ``max_wait`` seconds counts as a
    refusal. ``sleep`` and ``clock`` are for tests.
    """

    def __init__(
        self,
        base_url: str | Sequence[str] | None = None,
        *,
        weights: Sequence[float] | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        concurrency: int = 32,
        timeout: float = 600.0,
        retries: int = 8,
        max_wait: float = 120.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_count("concurrency", concurrency)
        check_count("retries", retries, 0)
        for name, number in (("timeout", timeout), ("max_wait", max_wait)):
            if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
                raise ValueError(f"{name} must be a positive number of seconds; got {number!r}")
        default = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        urls = [default] if base_url is None else [base_url] if isinstance(base_url, str) else list(base_url)
        if not urls:
            raise ValueError("base_url is an empty list; give at least one URL")
        for url in urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"base_url must look like http://host:port/v1; got {shown(url)!r}")
            if urlsplit(url).username is not None or urlsplit(url).query:
                raise ValueError(  # HTTP libraries log URLs
                    f"base_url {shown(url)!r} carries a password or a query; pass api_key=... or headers=... instead"
                )
        key = (api_key if api_key is not None else os.environ.get("OPENAI_API_KEY", "")).strip()
        if not key and base_url is None and "api.openai.com" in urls[0]:
            raise ValueError("no API key: set OPENAI_API_KEY, or pass api_key=..., or base_url=... for your own server")
        self.endpoints = tuple(shown(url) for url in urls)
        self._urls = tuple(url.rstrip("/") for url in urls)
        self._key = key or NO_KEY
        self._headers = dict(headers or {})
        self._concurrency, self._timeout, self._retries, self._max_wait = concurrency, timeout, retries, max_wait
        self._sleep, self._clock = sleep, clock
        self._looked = False
        self._models: Any = None
        self.pool = EndpointPool(self.endpoints, weights)
        self._said = [0] * len(urls)
        self._states: dict[asyncio.AbstractEventLoop, _LoopState] = {}
        self._secrets = Secrets(key, self._headers)

    def __repr__(self) -> str:
        return f"Connection({', '.join(self.endpoints)})"

    @property
    def health(self) -> dict[str, str]:
        """Each endpoint as "healthy", "ejected" or "probing"."""
        return self.pool.health()

    def __getstate__(self) -> object:
        raise TypeError(
            "a Connection holds a key and open sockets and cannot be pickled or copied; make one in each process"
        )

    async def post(
        self,
        path: str,
        body: Mapping[str, object],
        read: Callable[[Any], T],
        *,
        where: str,
        seed: int = 0,
        home: int | None = None,
        watch: StopListening | None = None,
    ) -> T:
        """Send ``body`` until ``read`` accepts the reply. ``path`` is relative to the base URL.

        A path that begins with "/.." is relative to the server's root (vLLM serves /pooling there). ``where`` says in
        errors what was asked for; ``seed`` spreads the jitter. With ``watch`` the reply is streamed, and the connection
        closed once it says so. Requests with one ``home`` (any number) go to one of
        several endpoints as long as it is healthy and not much busier, so that they find each other's prefixes there.
        Raises ``RoleError`` when there is no hope left.
        """
        return await self._ask(_Request(path, body, read, where, seed, home, watch), self._retries)

    async def models(self) -> Any:
        """What the server lists under /models; None where it lists nothing that can be read.

        Raises ``Refused`` where it is in trouble: what is taken for its kind would then hold for good.
        """
        try:
            return await self.listing()
        except Rejected:
            return None

    async def listing(self) -> Any:
        """The same; None where the server has no such list, or a page that is none, which is remembered too. Any other
        error is raised."""
        state = await self._state()
        if not self._looked:
            if state.looking is None or state.looking.done():
                state.looking = asyncio.create_task(self._list())
            await asyncio.shield(state.looking)  # whoever asked first may be given up meanwhile
        return self._models

    async def aclose(self) -> None:
        """Close the sockets of the running loop, which its end does too. A later request opens new ones."""
        loop = asyncio.get_running_loop()
        state = self._states.pop(loop, None)
        if state is not None:
            _KEEPERS[loop].remove(state.keeper)
            await state.keeper.aclose()

    async def look(self, path: str) -> Any:
        """What the server shows at ``path`` (see ``post``); None when it answers with an error instead."""
        try:
            return await self._ask(_Request(path, None, _same, path.removeprefix("/..")), STATUS_ROUNDS)
        except Refused:
            return None

    def scrub(self, text: str, most: int = 2000) -> str:
        """``text`` without the key and the header values of this connection, and not longer than a screenful."""
        return self._secrets.scrub(text, most)

    # Inside.

    def _read_reply(self, data: Any, read: Callable[[Any], T]) -> T:
        """What ``read`` makes of the JSON in a reply."""
        return read(data)

    async def _list(self) -> None:
        try:
            self._models = await self._ask(_Request("/models", None, _same, "/models"), self._retries)
        except Refused as error:
            if error.status is not None and error.status not in NO_LIST:
                raise
        self._looked = True

    async def _ask(self, request: _Request[T], answered: int) -> T:
        """Rounds over the endpoints until one gives a reply; at most ``answered`` retries of what did get an answer."""
        state = await self._state()
        owed = dict.fromkeys(range(len(self._urls)), 0.0)  # endpoint -> seconds it still asked us to stay away
        attempts, last = 0, Failure("nothing was tried")
        declined: list[int] = []
        for round_ in range(self._retries + 1):
            asked = [i for i in self.pool.order(request.home, self._clock()) if i in owed and owed[i] <= 0]
            if request.home is not None and not round_:
                self.pool.counts["home" if asked[0] == self.pool.home(request.home) else "away"] += 1
            for endpoint in asked:
                began = self._clock()
                with self.pool.load(endpoint):
                    # A look waits for no slot: requests that are told 404 look at /models and hold theirs.
                    slot: Any = nullcontext() if request.body is None else state.slots[endpoint]
                    async with slot:
                        for told in WATCHES:
                            told.queued(self.endpoints[endpoint], self._clock() - began)
                        if endpoint != asked[-1] and not self.pool.available(endpoint, self._clock()):
                            continue  # it was ejected while this request waited
                        attempts += 1
                        connect = min(CONNECT_TIMEOUT if round_ else FIRST_CONNECT, self._timeout)
                        try:
                            got = await self._attempt(state, endpoint, request, connect)
                        except Rejected as error:
                            if error.status not in OF_ONE_SERVER or len(owed) == 1:
                                raise
                            got = Failure(str(error), True, math.inf, error.status)
                            declined.append(endpoint)
                        if not isinstance(got, Failure):
                            for other in declined:  # what this server can do is no fault of the request
                                self.pool.end(other, False, False, self._clock())
                            return got
                        last = got
                        if got.wait is not None and got.wait > self._max_wait:
                            del owed[endpoint]
                        else:
                            owed[endpoint] = got.wait or 0.0
                        # What is shown at a path and is no JSON, such as a web page, will be none later.
                        most = STATUS_ROUNDS if request.body is None and not last.status else answered
                        over = round_ == self._retries or not owed or (last.answered and round_ >= most)
                        if endpoint == asked[-1] and not over:  # it waits in its place
                            wait = backoff(round_, request.seed)
                            wait = max(wait, min(owed.values()) + 0.1 * wait)
                            self._say(last, endpoint, round_ + 1, wait)
                            await self._sleep(wait)
                            owed = {i: seconds - wait for i, seconds in owed.items()}
            if over:
                break
        tried = f"{attempts} attempt{'s' * (attempts != 1)} at {', '.join(self.endpoints)}"
        advice = (
            f"it asks to wait longer than max_wait={self._max_wait:g} s"
            if not owed
            else "is the server up? raise retries or timeout, lower concurrency, or add another base_url"
        )
        said = self.scrub(f"no usable reply for {request.where} after {tried}; last: {last.what}; {advice}")
        raise Refused(said, last.status) if last.answered else RoleError(said)

    async def _attempt(self, state: _LoopState, endpoint: int, request: _Request[T], connect: float) -> T | Failure:
        """One request to one endpoint. Raises ``RoleError`` where no retry can help."""
        probe, well = self.pool.begin(endpoint, self._clock()), False
        failure: Failure = Hopeless("it was given up")
        try:
            async with asyncio.timeout(self._timeout):
                text = await self._send(state.clients[endpoint], self._urls[endpoint], request, connect)
            try:
                reply = self._read_reply(json.loads(text), request.read)
            except (ValueError, RecursionError) as error:
                raise MalformedReply(f"the reply is not whole JSON ({error})") from None
            self._said[endpoint], well = 0, True
            return reply
        except openai.APIStatusError as error:
            failure = judge_status(error, self._key != NO_KEY)
        except (TimeoutError, openai.APITimeoutError) as error:
            slow = type(error.__cause__).__name__ == "ConnectTimeout"  # of whichever HTTP library the client uses
            failure = Failure(f"no connection within {connect:g} s" if slow else f"timeout after {self._timeout:g} s")
        except openai.APIConnectionError as error:
            failure = Failure(why(error))
        except (TypeError, ValueError) as error:
            failure = Hopeless(f"the request cannot be written as JSON ({error})")
        except MalformedReply as error:
            failure = Failure(str(error), answered=True)
        except RoleError as error:
            failure = Hopeless(str(error), answered=True)
        except openai.OpenAIError as error:
            failure = Hopeless(f"{type(error).__name__}: {error}")
        finally:
            ok = True if well else None if isinstance(failure, Hopeless) else False
            self.pool.end(endpoint, ok, probe, self._clock())
        # Raised here and not above: the client's own exception holds the request, and with it the key.
        what = said = self.scrub(failure.what, SAID)
        log.info("no reply for %s from %s: %s", request.where, self.endpoints[endpoint], what)
        for told in WATCHES:
            told.retried(self.endpoints[endpoint], what)
        if isinstance(failure, Hopeless):
            status = failure.status
            what += failure.advice + await self._advice(endpoint, request.path, status)
            raise Rejected(f"no reply for {request.where}: {what} (at {self.endpoints[endpoint]})", status, said)
        return replace(failure, what=what)

    def _say(self, last: Failure, endpoint: int, retry: int, wait: float) -> None:
        """Tell whoever waits that nobody answers: once per retry, however many requests meet the same."""
        if retry > self._said[endpoint]:
            self._said[endpoint] = retry
            where = self.endpoints[endpoint]
            log.warning("%s at %s, retry %d of %d in %.1f s", last.what, where, retry, self._retries, wait)

    async def _advice(self, endpoint: int, path: str, status: int | None) -> str:
        """What to do about "not found": name the model as the server does, or give the URL its last part."""
        if status != 404 or path.startswith(("/models", "/..")):
            return ""
        try:
            served = model_names(await self.models())
        except RoleError:
            served = []
        if served:
            return f"; the server lists the models {', '.join(map(repr, served))}"
        base = self.endpoints[endpoint].rstrip("/")
        for known in ENDPOINTS:
            base = base.removesuffix(known)
        if not urlsplit(base).path.endswith("/v1"):
            base += "/v1"
        given = self.endpoints[endpoint].rstrip("/")
        return f"; a base_url ends in /v1 as a rule: try {base}" if base != given else ""

    async def _send(self, client: openai.AsyncOpenAI, base: str, request: _Request[T], connect: float) -> str:
        path = request.path if not request.path.startswith("/..") else base.removesuffix("/v1") + request.path[3:]
        limits: Any = {"timeout": openai.Timeout(self._timeout, connect=connect)}
        if request.body is None:
            return await client.get(path, cast_to=str, options=limits)
        if request.watch is not None:
            return await listen(client, path, request.body, limits, request.watch)
        return await client.post(path, cast_to=str, body=request.body, options=limits)

    async def _state(self) -> _LoopState:
        """The clients of the running loop; ``solve`` called twice runs two loops, and sockets cannot move over."""
        loop = asyncio.get_running_loop()
        state = self._states.get(loop)
        if state is None:
            clients = [
                openai.AsyncOpenAI(
                    api_key=self._key,
                    base_url=url,
                    max_retries=0,
                    timeout=self._timeout,
                    default_headers=self._headers,
                    # A redirect would take our headers, and a gateway's key among them, to whatever host it names.
                    http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
                )
                for url in self._urls
            ]
            keeper = _close_with_loop(clients)
            slots = [asyncio.Semaphore(self._concurrency) for _ in self._urls]
            state = _LoopState(clients, slots, keeper)
            for table in (self._states, _KEEPERS):
                for old in [other for other in table if other.is_closed()]:
                    del table[old]
            self._states[loop] = state
            _KEEPERS.setdefault(loop, []).append(keeper)
            await anext(keeper)
        return state


def one_connection(
    connection: Connection | None,
    base_url: str | Sequence[str] | None,
    api_key: str | None,
    urls: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
) -> Connection:
    """The connection that a role was given, or a new one for its addresses."""
    if urls is not None and (base_url is not None or isinstance(urls, str)):
        raise ValueError(f"give base_url or a list of urls, not both; got {base_url!r} and {urls!r}")
    where = base_url if urls is None else urls
    if connection is None:
        return Connection(where, weights=weights, api_key=api_key)
    if where is not None or api_key is not None or weights is not None:
        raise ValueError("base_url, urls, weights and api_key belong to the Connection when one is given")
    return connection


async def _close_with_loop(clients: Sequence[openai.AsyncOpenAI]) -> AsyncGenerator[None, None]:
    """Close ``clients`` when their loop ends: ``asyncio.run`` closes the asynchronous generators it has seen."""
    try:
        yield
    finally:
        for client in clients:
            await client.close()


def _same(data: Any) -> Any:
    return data
