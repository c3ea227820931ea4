"""What the engine does behind the gateway, as Prometheus reads it: requests to roles, tokens, waiting, retries.

Knows ``core/watch.py`` and the text format. Must not know the gateway's own requests (``metrics.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from threading import Lock

from ttscale.core.requests import Reply
from ttscale.core.watch import Watch
from ttscale.integrations.gateway.metrics import Histogram, counter

WAITS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper ends: of seconds in a queue, and of the requests of one batch."""


class EngineMetrics(Watch):
    """Counts while it watches (``core.watch.watching``)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._retries: Counter[tuple[str]] = Counter()
        self._dollars = 0.0
        self._waits, self._sizes = Histogram(WAITS), Histogram(SIZES)

    def asked(
        self, role: str, name: str, waits: Sequence[float], replies: Sequence[Reply | Exception], seconds: float
    ) -> None:
        with self._lock:
            for wait in waits:
                self._waits.add(wait)
            if replies:
                self._sizes.add(len(replies))
            for reply in replies:
                failed = isinstance(reply, Exception)
                self._requests[role, "error" if failed else "ok"] += 1
                if not isinstance(reply, Exception):
                    self._dollars += reply.cost.dollars
                    for kind in ("sampled", "prompt", "cached", "verifier"):
                        self._tokens[role, kind] += getattr(reply.cost, f"{kind}_tokens")

    def retried(self, endpoint: str, why: str) -> None:
        with self._lock:
            self._retries[endpoint,] += 1

    def text(self) -> str:
        """Everything in Prometheus's text format."""
        with self._lock:
            lines = counter("engine_requests", "Requests to roles, by outcome.", self._requests, "role", "outcome")
            what = "Tokens of roles, by kind; cached ones are hits."
            lines += counter("engine_tokens", what, +self._tokens, "role", "kind")  # without those that are 0
            lines += counter("engine_retries", "Attempts at servers that failed.", self._retries, "endpoint")
            lines += counter("engine_dollars", "Money by the prices of roles.", {(): f"{self._dollars:.6f}"})
            lines += self._waits.lines("ttscale_engine_wait_seconds", "Seconds in the queue of a role.")
            lines += self._sizes.lines("ttscale_engine_batch_size", "Requests of one batch.")
        return "\n".join(lines) + "\n"
