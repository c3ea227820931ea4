"""Getting one reply out of servers that fail: concurrency limit, timeouts, retries with backoff, failover, secrets.

It knows HTTP through the official client, and how long to wait; it does not know prompts or what a reply means (the
caller's ``read`` decides whether it is whole). Keys live here and nowhere else: never in a repr, an error or a trace.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, TypeVar
from urllib.parse import urlsplit

import openai

from ttscale.core.errors import RoleError
from ttscale.openai.secrets import Secrets, shown

T = TypeVar("T")

log = logging.getLogger("ttscale.openai")

BACKOFF = 0.5
"""Seconds before the first retry; doubled each time. The official client starts there too."""
MAX_BACKOFF = 30.0
"""Longest wait that is our own idea. A server that restarts with a large model needs about a minute."""
CONNECT_TIMEOUT = 5.0
"""Seconds to open a connection, so that a dead endpoint is left quickly for the next."""
RESTING = 20
"""Requests that pass by an endpoint after it failed, before it is tried first again."""
STATUS_ROUNDS = 2
"""Retries of a mere look (``models``) that the server answers with an error."""
SAID = 500
"""Characters of a server's own words that go into an error."""
HOPELESS_STATUS = frozenset({501, 505})
TRANSIENT_STATUS = frozenset({408, 409, 425, 429})


class Malformed(Exception):
    """A reply that arrived and is not what was asked for: cut short, wrong number of choices. Worth another try."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """One failed attempt that may be repeated: did a reply arrive, and how many seconds did it ask to wait?"""

    what: str
    answered: bool = False
    wait: float | None = None
    status: int | None = None


@dataclass(slots=True)
class _LoopState:
    """What belongs to one event loop: connection pools and locks are bound to it."""

    clients: list[openai.AsyncOpenAI]
    slots: asyncio.Semaphore
    looking: asyncio.Lock
    keeper: AsyncGenerator[None, None]


_KEEPERS: dict[asyncio.AbstractEventLoop, list[AsyncGenerator[None, None]]] = {}
"""What closes the clients of each loop. Kept here because a ``Connection`` may be gone before its loop ends."""


class Connection:
    """One or more servers that serve the same model, and how patiently to ask them.

    ``base_url``: one URL or several (requests go to the least busy; on failure to the next). None is the official
    client's default (``OPENAI_BASE_URL`` or api.openai.com). ``api_key``: None reads ``OPENAI_API_KEY``.
    ``concurrency`` requests at most are under way, those that wait for a retry included, so that a server that
    answers 429 sees less traffic, not more. ``timeout`` is for a whole reply, in seconds, however slowly it drips.
    ``retries`` more rounds over all endpoints follow a failure (429, 408, 5xx, lost connection, timeout, broken
    reply), with exponential backoff, jitter and the server's Retry-After; one above ``max_wait`` seconds counts as a
    refusal. ``sleep`` is for tests.
    """

    def __init__(
        self,
        base_url: str | Sequence[str] | None = None,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        concurrency: int = 32,
        timeout: float = 600.0,
        retries: int = 8,
        max_wait: float = 120.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        for name, value, least in (("concurrency", concurrency, 1), ("retries", retries, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}; got {value!r}")
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
        self._key = key or "none"
        self._headers = dict(headers or {})
        self._concurrency, self._timeout, self._retries, self._max_wait = concurrency, timeout, retries, max_wait
        self._sleep = sleep
        self._looked = False
        self._models: Any = None
        self._busy = [0] * len(urls)
        self._resting = [0] * len(urls)
        self._states: dict[asyncio.AbstractEventLoop, _LoopState] = {}
        self._secrets = Secrets(key, self._headers)

    def __repr__(self) -> str:
        return f"Connection({', '.join(self.endpoints)})"

    def __getstate__(self) -> object:
        raise TypeError(
            "a Connection holds a key and open sockets and cannot be pickled or copied; make one in each process"
        )

    async def post(
        self, path: str, body: Mapping[str, object], read: Callable[[Any], T], *, where: str, seed: int = 0
    ) -> T:
        """Send ``body`` until ``read`` accepts the reply. ``path`` is relative to the base URL.

        A path that begins with "/.." is relative to the server's root (vLLM serves /pooling there). ``where`` says in
        errors what was asked for; ``seed`` spreads the jitter. Raises ``RoleError`` when there is no hope left.
        """
        return await self._ask("POST", path, body, read, where, seed, self._retries)

    async def models(self) -> Any:
        """What the server lists under /models, fetched once; None when it answers with an error instead."""
        state = await self._state()
        async with state.looking:
            if not self._looked:
                try:
                    self._models = await self._ask("GET", "/models", None, lambda x: x, "/models", 0, STATUS_ROUNDS)
                except Refused:
                    self._models = None
                self._looked = True
        return self._models

    async def aclose(self) -> None:
        """Close the sockets of the running loop, which its end does too. A later request opens new ones."""
        loop = asyncio.get_running_loop()
        state = self._states.pop(loop, None)
        if state is not None:
            _KEEPERS[loop].remove(state.keeper)
            await state.keeper.aclose()

    def scrub(self, text: str, most: int = 2000) -> str:
        """``text`` without the key and the header values of this connection, and not longer than a screenful."""
        return self._secrets.scrub(text, most)

    # Inside.

    async def _ask(
        self, method: str, path: str, body: object, read: Callable[[Any], T], where: str, seed: int, answered: int
    ) -> T:
        """Rounds over the endpoints until one gives a reply; at most ``answered`` retries of what did get an answer."""
        state = await self._state()
        self._resting = [max(0, left - 1) for left in self._resting]
        async with state.slots:
            owed = dict.fromkeys(range(len(self._urls)), 0.0)  # endpoint -> seconds it still asked us to stay away
            attempts, last = 0, _Failure("nothing was tried")
            for round_ in range(self._retries + 1):
                asked = [endpoint for endpoint in self._order() if endpoint in owed and owed[endpoint] <= 0]
                for endpoint in asked:
                    attempts += 1
                    got = await self._attempt(state, endpoint, method, path, body, read, where)
                    if not isinstance(got, _Failure):
                        return got
                    last = got
                    if got.wait is not None and got.wait > self._max_wait:
                        del owed[endpoint]
                    else:
                        owed[endpoint] = got.wait or 0.0
                if round_ == self._retries or not owed or (last.answered and round_ >= answered):
                    break
                wait = max(_backoff(round_, seed), min(owed.values()) + 0.1 * _backoff(round_, seed))
                await self._sleep(wait)
                owed = {endpoint: seconds - wait for endpoint, seconds in owed.items()}
        tried = f"{attempts} attempt{'s' * (attempts != 1)} at {', '.join(self.endpoints)}"
        advice = (
            f"it asks to wait longer than max_wait={self._max_wait:g} s"
            if not owed
            else "is the server up? raise retries or timeout, lower concurrency, or add another base_url"
        )
        what = self.scrub(f"no usable reply for {where} after {tried}; last: {last.what}; {advice}")
        raise Refused(what, last.status) if last.answered else RoleError(what)

    async def _attempt(
        self,
        state: _LoopState,
        endpoint: int,
        method: str,
        path: str,
        body: object,
        read: Callable[[Any], T],
        where: str,
    ) -> T | _Failure:
        """One request to one endpoint. Raises ``RoleError`` where no retry can help."""
        self._busy[endpoint] += 1
        try:
            async with asyncio.timeout(self._timeout):
                text = await self._send(state.clients[endpoint], method, self._urls[endpoint], path, body)
            reply = _read(text, read)
            self._resting[endpoint] = 0
            return reply
        except openai.APIStatusError as error:
            failure = _judge_status(error)
        except (TimeoutError, openai.APITimeoutError):
            failure = _Failure(f"timeout after {self._timeout:g} s")
        except openai.APIConnectionError as error:
            failure = _Failure(f"connection failed ({error.__cause__ or error})")
        except (TypeError, ValueError) as error:
            failure = _Hopeless(f"the request cannot be written as JSON ({error})")
        except Malformed as error:
            failure = _Failure(str(error), answered=True)
        except RoleError as error:
            failure = _Hopeless(str(error), answered=True)
        except openai.OpenAIError as error:
            failure = _Hopeless(f"{type(error).__name__}: {error}")
        finally:
            self._busy[endpoint] -= 1
        # Raised here and not above: the client's own exception holds the request, and with it the key.
        what = self.scrub(failure.what, SAID)
        log.info("no reply for %s from %s: %s", where, self.endpoints[endpoint], what)
        if isinstance(failure, _Hopeless):
            raise Rejected(f"no reply for {where}: {what} (at {self.endpoints[endpoint]})", failure.status)
        self._resting[endpoint] = RESTING
        return replace(failure, what=what)

    @staticmethod
    async def _send(client: openai.AsyncOpenAI, method: str, base: str, path: str, body: object) -> str:
        if path.startswith("/.."):
            path = base.removesuffix("/v1") + path[3:]
        return await (client.get(path, cast_to=str) if method == "GET" else client.post(path, cast_to=str, body=body))

    def _order(self) -> list[int]:
        """The endpoints, best first: those that have not just failed, the least busy, the first given."""
        return sorted(range(len(self._urls)), key=lambda i: (self._resting[i] > 0, self._busy[i], i))

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
                    timeout=openai.Timeout(self._timeout, connect=min(CONNECT_TIMEOUT, self._timeout)),
                    default_headers=self._headers,
                    # A redirect would take our headers, and a gateway's key among them, to whatever host it names.
                    http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
                )
                for url in self._urls
            ]
            keeper = _close_with_loop(clients)
            state = _LoopState(clients, asyncio.Semaphore(self._concurrency), asyncio.Lock(), keeper)
            for table in (self._states, _KEEPERS):
                for old in [other for other in table if other.is_closed()]:
                    del table[old]
            self._states[loop] = state
            _KEEPERS.setdefault(loop, []).append(keeper)
            await anext(keeper)
        return state


class _Hopeless(_Failure):
    """One that would be the same the next time."""


class Refused(RoleError):
    """The server answered, and the answer was an error."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """Its HTTP status, where it had one."""


class Rejected(Refused):
    """And it would be the same the next time."""


async def _close_with_loop(clients: Sequence[openai.AsyncOpenAI]) -> AsyncGenerator[None, None]:
    """Close ``clients`` when their loop ends: ``asyncio.run`` closes the asynchronous generators it has seen."""
    try:
        yield
    finally:
        for client in clients:
            await client.close()


def _read(text: str, read: Callable[[Any], T]) -> T:
    """What ``read`` makes of the JSON in a reply."""
    try:
        return read(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the reply is not whole JSON ({error})") from None


def _judge_status(error: openai.APIStatusError) -> _Failure:
    """What to make of an HTTP error."""
    status, what = error.status_code, f"status {error.status_code}: {_said(error)}"
    if 300 <= status < 400:
        where = error.response.headers.get("location", "somewhere else")
        what = f"status {status}: the server redirects to {where}; give the URL that serves the model as base_url"
    hopeless = status not in TRANSIENT_STATUS and (status < 500 or status in HOPELESS_STATUS)
    if hopeless or (status == 429 and error.code in ("insufficient_quota", "billing_hard_limit_reached")):
        return _Hopeless(what, answered=True, status=status)
    return _Failure(what, True, _retry_after(error.response.headers), status)


def _backoff(round_: int, seed: int) -> float:
    """Seconds to wait after round ``round_``: exponential, times a factor in [0.5, 1) that differs from key to key.

    The factor is a hash, not a random number: nothing here touches global random state.
    """
    spread = hashlib.blake2b(f"{seed}/{round_}".encode(), digest_size=4).digest()
    return float(min(MAX_BACKOFF, BACKOFF * 2.0**round_) * (0.5 + int.from_bytes(spread, "big") / 2**33))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers ask to wait; None where they do not say, or say nonsense."""
    try:
        if headers.get("retry-after-ms"):
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            value = headers.get("retry-after", "")
            seconds = float(value) if not value[:1].isalpha() else parsedate_to_datetime(value).timestamp() - time()
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if seconds == seconds else None


def _said(error: openai.APIStatusError) -> str:
    """The server's own words, one line."""
    try:
        text = error.response.text
    except Exception:  # a body that cannot be decoded; the status says enough
        text = ""
    return " ".join(text.split()) or "(no body)"
