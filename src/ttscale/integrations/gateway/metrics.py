"""Counters of the gateway as Prometheus reads them. Other parts add their own text with ``sources``."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ttscale.core.cost import Cost
from ttscale.integrations.gateway.usage import Used

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper ends in seconds: from the gateway's own overhead to the longest search."""


class Histogram:
    """How many values there were up to each of ``tops``, and their sum."""

    def __init__(self, tops: Sequence[float]) -> None:
        self._tops = tops
        self._counts = [0] * (len(tops) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One more value."""
        self._sum += value
        self._counts[bisect_left(self._tops, value)] += 1

    def lines(self, name: str, what: str) -> list[str]:
        """It in Prometheus's text format."""
        found, below = head(name, "histogram", what), 0
        for top, count in zip((*map(str, self._tops), "+Inf"), self._counts, strict=True):
            below += count
            found.append(f'{name}_bucket{{le="{top}"}} {below}')
        return [*found, f"{name}_sum {self._sum:.6f}", f"{name}_count {below}"]


@dataclass(slots=True)
class Metrics:
    """What has happened since the start. All of it grows, but for the requests in progress."""

    inside: Callable[[], int] = lambda: 0
    sources: list[Callable[[], str]] = field(default_factory=list)
    """Whatever else should be read at /metrics: each returns lines in Prometheus's text format."""
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    tokens: Counter[tuple[str]] = field(default_factory=Counter)
    generations: int = 0
    verifier_calls: int = 0
    cancelled: int = 0
    seconds: Histogram = field(default_factory=lambda: Histogram(BUCKETS))

    def ended(self, path: str, status: int, seconds: float) -> None:
        """A request has been answered, well or badly; status 499 is a client that hung up."""
        self.requests[path, status] += 1
        self.cancelled += status == 499
        self.seconds.add(seconds)

    def spent(self, used: Used, cost: Cost) -> None:
        """What a search has used, also one that failed."""
        self.tokens["prompt",] += used.prompt
        self.tokens["completion",] += used.completion
        self.tokens["verifier",] += used.verifier_prompt + used.verifier_completion
        self.generations += cost.generations
        self.verifier_calls += cost.verifier_calls

    def text(self) -> str:
        """Everything in Prometheus's text format, version 0.0.4."""
        lines = counter("requests", "Requests answered, by path and status.", self.requests, "path", "status")
        lines += head("ttscale_requests_in_progress", "gauge", "Requests being answered now.")
        lines.append(f"ttscale_requests_in_progress {self.inside()}")
        lines += counter("tokens", "Tokens used by draws and verifier.", self.tokens, "kind")
        lines += counter("generations", "Solutions begun.", {(): self.generations})
        lines += counter("verifier_calls", "Candidates judged.", {(): self.verifier_calls})
        lines += counter("cancelled", "Requests whose client hung up.", {(): self.cancelled})
        lines += self.seconds.lines("ttscale_request_seconds", "Seconds from a request to the end of its reply.")
        return "\n".join(lines) + "\n" + "".join(source() for source in self.sources)


def head(name: str, kind: str, what: str) -> list[str]:
    """The two lines that say what a metric is."""
    return [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]


def counter(name: str, what: str, counts: Mapping[Any, object], *labels: str) -> list[str]:
    """A counter, and for each of its values what ``labels`` are."""
    name = f"ttscale_{name}_total"
    lines = head(name, "counter", what)
    for values, count in sorted(counts.items()):
        told = ",".join(f'{label}="{value}"' for label, value in zip(labels, values, strict=True))
        lines.append(f"{name}{{{told}}} {count}" if told else f"{name} {count}")
    return lines
