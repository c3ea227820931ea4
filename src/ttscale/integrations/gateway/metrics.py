"""Counters of the gateway as Prometheus reads them. Other parts add their own text with ``sources``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ttscale.core.cost import Cost
from ttscale.integrations.gateway.usage import Used

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper ends in seconds: from the gateway's own overhead to the longest search."""


@dataclass(slots=True)
class Metrics:
    """What has happened since the start. All of it grows, but for the requests in progress."""

    inside: Callable[[], int] = lambda: 0
    sources: list[Callable[[], str]] = field(default_factory=list)
    """Whatever else should be read at /metrics: each returns lines in Prometheus's text format."""
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    generations: int = 0
    verifier_calls: int = 0
    cancelled: int = 0
    seconds: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds_sum: float = 0.0

    def ended(self, path: str, status: int, seconds: float) -> None:
        """A request has been answered, well or badly; status 499 is a client that hung up."""
        self.requests[path, status] += 1
        self.cancelled += status == 499
        self.seconds_sum += seconds
        self.seconds[next((i for i, top in enumerate(BUCKETS) if seconds <= top), len(BUCKETS))] += 1

    def spent(self, used: Used, cost: Cost) -> None:
        """What a search has used, also one that failed."""
        self.tokens["prompt"] += used.prompt
        self.tokens["completion"] += used.completion
        self.tokens["verifier"] += used.verifier_prompt + used.verifier_completion
        self.generations += cost.generations
        self.verifier_calls += cost.verifier_calls

    def text(self) -> str:
        """Everything in Prometheus's text format, version 0.0.4."""
        lines = head("ttscale_requests_total", "counter", "Requests answered, by path and status.")
        lines += [
            f'ttscale_requests_total{{path="{path}",status="{status}"}} {count}'
            for (path, status), count in sorted(self.requests.items())
        ]
        lines += head("ttscale_requests_in_progress", "gauge", "Requests being answered now.")
        lines.append(f"ttscale_requests_in_progress {self.inside()}")
        lines += head("ttscale_tokens_total", "counter", "Tokens used by draws and verifier.")
        lines += [f'ttscale_tokens_total{{kind="{kind}"}} {count}' for kind, count in sorted(self.tokens.items())]
        for name, count, what in (
            ("generations", self.generations, "Solutions begun."),
            ("verifier_calls", self.verifier_calls, "Candidates judged."),
            ("cancelled", self.cancelled, "Requests whose client hung up."),
        ):
            lines += [*head(f"ttscale_{name}_total", "counter", what), f"ttscale_{name}_total {count}"]
        lines += head("ttscale_request_seconds", "histogram", "Seconds from a request to the end of its reply.")
        below = 0
        for top, count in zip((*map(str, BUCKETS), "+Inf"), self.seconds, strict=True):
            below += count
            lines.append(f'ttscale_request_seconds_bucket{{le="{top}"}} {below}')
        lines += [f"ttscale_request_seconds_sum {self.seconds_sum:.6f}", f"ttscale_request_seconds_count {below}"]
        return "\n".join(lines) + "\n" + "".join(source() for source in self.sources)


def head(name: str, kind: str, what: str) -> list[str]:
    """The two lines that say what a metric is."""
    return [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
