"""Who may come in, and how many at once: keys, requests in progress, requests a minute. Keys are kept as hashes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ttscale.integrations.gateway.errors import ApiError
from ttscale.integrations.gateway.settings import Client, GatewaySettings, key_from


@dataclass(slots=True)
class Visitor:
    """A client and what it does now."""

    name: str
    client: Client
    inside: int = 0
    tokens: float = 0.0
    """Requests it may still make before it has to wait (a token bucket that holds a minute's worth)."""
    seen: float = 0.0


class Doors:
    """Lets requests in. ``clock`` is for tests."""

    def __init__(self, settings: GatewaySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = settings.caps.requests, clock
        self.inside = 0
        """Requests in progress."""
        self._visitors: dict[str, Visitor] = {}
        for name, client in settings.clients.items():
            key = key_from(client.key_env or None)
            if key is None:
                raise ValueError(f"clients.{name} needs key_env, the variable that holds its key")
            if _digest(key) in self._visitors:
                raise ValueError(f"clients.{name} has the key of another client; give each its own key_env")
            bucket = float(client.requests_per_minute or 0)
            self._visitors[_digest(key)] = Visitor(name, client, tokens=bucket, seen=clock())

    @contextmanager
    def enter(self, headers: Mapping[str, str]) -> Iterator[Visitor | None]:
        """Count a request in, and out at its end. None is the client of a gateway that asks for no keys.

        Raises ``ApiError``: 401 without a known key, 429 beyond the client's share, 503 where the gateway is full.
        """
        visitor = self._known(headers) if self._visitors else None
        if self.inside >= self._most:
            raise ApiError(503, "the gateway is at its limit of requests in progress", code="overloaded", wait=1)
        if visitor is not None:
            self._charge(visitor)
            visitor.inside += 1
        self.inside += 1
        try:
            yield visitor
        finally:
            self.inside -= 1
            if visitor is not None:
                visitor.inside -= 1

    def key_for_upstream(self, headers: Mapping[str, str]) -> str | None:
        """The key to pass through: the client's own, unless that opens this door; then what ``X-ITS-API-Key`` holds."""
        return _plain(headers.get("x-its-api-key", "")) if self._visitors else client_key(headers)

    def check(self, headers: Mapping[str, str]) -> None:
        """``ApiError`` unless the key is known, where keys are asked for."""
        if self._visitors:
            self._known(headers)

    def _known(self, headers: Mapping[str, str]) -> Visitor:
        key = client_key(headers)
        visitor = self._visitors.get(_digest(key)) if key else None
        if visitor is None:
            said = "an API key is needed: Authorization: Bearer ..." if not key else "this API key is not known here"
            raise ApiError(401, said, code="invalid_api_key")
        return visitor

    def _charge(self, visitor: Visitor) -> None:
        if visitor.inside >= visitor.client.requests:
            raise ApiError(429, f"at most {visitor.client.requests} requests at once", code="too_many_at_once", wait=1)
        rate = visitor.client.requests_per_minute
        if rate is None:
            return
        now = self._clock()
        visitor.tokens = min(float(rate), visitor.tokens + (now - visitor.seen) * rate / 60)
        visitor.seen = now
        if visitor.tokens < 1:
            wait = int((1 - visitor.tokens) * 60 / rate) + 1
            raise ApiError(429, f"at most {rate} requests a minute", code="rate_limit_exceeded", wait=wait)
        visitor.tokens -= 1


def client_key(headers: Mapping[str, str]) -> str | None:
    """The key that a client sends; its_hub's header for the upstream's key counts too."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return _plain(key if scheme.lower() == "bearer" else headers.get("x-its-api-key", ""))


def _plain(key: str) -> str | None:
    if not key.isascii() or not key.strip().isprintable():
        raise ApiError(401, "an API key is one line of plain ASCII text", code="invalid_api_key")
    return key.strip() or None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
