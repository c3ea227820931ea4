"""Which of several endpoints a request goes to: prefix affinity, loads, ejection and return.

Knows weights, loads, failures, and the time as it is told. Must not know HTTP, keys or bodies; nothing here waits.

A question belongs to one endpoint by weighted rendezvous hashing (Thaler and Ravishankar 1998; weights as in
Schindelhauer and Schomaker 2005). So its requests find each other's prefixes in that server's cache, and an endpoint
that leaves moves its own questions only. None is loaded much beyond its share (consistent hashing with bounded loads,
arXiv 1608.01350). One that keeps failing is ejected, and returns once a request that tries it has succeeded (a circuit
breaker).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from zlib import crc32

BOUND = 1.5
"""Times its share of all requests under way that an endpoint is loaded at most (HAProxy suggests 1.25 to 2)."""
SLACK = 16
"""Requests that it may have beyond that: a server that batches has room for them, and a few questions stay together."""
EJECT_AFTER = 5
"""Failures in a row after which an endpoint is ejected (Envoy's consecutive_5xx)."""
EJECTED, MOST_EJECTED = 2.0, 60.0
"""Seconds before an ejected endpoint is tried again, doubled each time up to the most. A try costs one retry."""


def home_of(question: str) -> int:
    """The number by which a question's requests find their endpoint."""
    return crc32(question.encode("utf-8", "surrogatepass"))


@dataclass(slots=True)
class _Endpoint:
    name: str
    weight: float
    load: int = 0
    """Requests that wait for it or are under way."""
    failures: int = 0
    """In a row."""
    ejections: int = 0
    """In a row."""
    until: float | None = None
    """When it may be tried again; None while it is in."""
    probing: bool = False
    """Whether a request tries it just now."""

    def distance(self, home: int) -> float:
        """The question is at home where this is lowest: an exponential variable with the weight as its rate."""
        number = int.from_bytes(hashlib.blake2b(f"{home}/{self.name}".encode(), digest_size=8).digest(), "big")
        return -math.log(((number >> 12) + 0.5) / 2**52) / self.weight


class EndpointPool:
    """Endpoints by their index. ``weights``: how much of the work each should get, relative to the others.

    ``counts`` has what happened: requests that went "home" or "away" first, "failures", "ejections", "returns".
    """

    def __init__(self, names: Sequence[str], weights: Sequence[float] | None = None) -> None:
        if len(set(names)) < len(names):
            raise ValueError(f"an endpoint is named twice among {', '.join(names)}; give it a weight instead")
        given = [1.0] * len(names) if weights is None else list(weights)
        bad = [w for w in given if isinstance(w, bool) or not isinstance(w, int | float) or not 0 < w < math.inf]
        if len(given) != len(names) or bad:
            raise ValueError(f"weights must be a positive number for each of {len(names)} URLs; got {weights!r}")
        self._all = [_Endpoint(name, weight) for name, weight in zip(names, given, strict=True)]
        self.counts: Counter[str] = Counter()

    def order(self, home: int | None, now: float) -> list[int]:
        """All endpoints, the best first: those that are in, then those with room, then by distance from ``home``.

        Without a home the least loaded is the best.
        """
        fits = [i for i in range(len(self._all)) if self.available(i, now)]
        if home is None:
            loads = [one.load / one.weight for one in self._all]
            return sorted(range(len(self._all)), key=lambda i: (i not in fits, loads[i], i))
        share = (1 + sum(self._all[i].load for i in fits)) / (sum(self._all[i].weight for i in fits) or 1.0)
        full = [one.load + 1 > SLACK + BOUND * share * one.weight for one in self._all]
        distances = [one.distance(home) for one in self._all]
        return sorted(range(len(self._all)), key=lambda i: (i not in fits, full[i], distances[i]))

    def home(self, home: int) -> int:
        """Where a question belongs while all is well."""
        return min(range(len(self._all)), key=lambda i: self._all[i].distance(home))

    def available(self, endpoint: int, now: float) -> bool:
        """Whether it is in, or has been out for long enough that one request may try it."""
        one = self._all[endpoint]
        return one.until is None or (now >= one.until and not one.probing)

    @contextmanager
    def load(self, endpoint: int) -> Iterator[None]:
        """Meanwhile the endpoint has one request more."""
        self._all[endpoint].load += 1
        try:
            yield
        finally:
            self._all[endpoint].load -= 1

    def begin(self, endpoint: int, now: float) -> bool:
        """A request goes out; returns whether it is the one that tries an ejected endpoint."""
        one = self._all[endpoint]
        probe = one.until is not None and now >= one.until and not one.probing
        one.probing |= probe
        return probe

    def end(self, endpoint: int, ok: bool | None, probe: bool, now: float) -> None:
        """A request has come back, well or badly; None says nothing about the endpoint."""
        one = self._all[endpoint]
        if probe:
            one.probing = False
        if ok is None:
            return
        if ok:
            self.counts["returns"] += one.until is not None
            one.failures, one.ejections, one.until = 0, 0, None
            return
        one.failures += 1
        self.counts["failures"] += 1
        back = one.until is None or now >= one.until
        if probe or (back and one.failures >= EJECT_AFTER):
            one.until = now + min(MOST_EJECTED, EJECTED * 2.0**one.ejections)
            one.ejections = min(one.ejections + 1, 16)
            self.counts["ejections"] += 1

    def health(self) -> dict[str, str]:
        """By name: "healthy", "ejected", or "probing" while a request tries it."""
        return {
            one.name: "healthy" if one.until is None else "probing" if one.probing else "ejected" for one in self._all
        }
