"""Searches as OpenTelemetry metrics and spans (extra ``otel``). Off, and free, until ``instrument`` is called.

    with ttscale.integrations.otel.instrument():   # the global providers, or your own
        ttscale.solve_all(...)

Names follow OpenTelemetry's rules: dots, units apart. Must not know how a search runs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from ttscale.core.cost import Cost
from ttscale.core.idioms import Closing, needed
from ttscale.core.requests import Reply
from ttscale.core.types import Question
from ttscale.core.version import __version__
from ttscale.core.watch import WATCHES, Watch


def instrument(meter_provider: Any = None, tracer_provider: Any = None) -> Instrumentation:
    """Count and trace every search of this process until the returned object is closed, or its ``with`` block ends.

    Providers are OpenTelemetry's; None takes the global ones. Raises ``ImportError`` where its API is missing.
    """
    with needed("instrument() needs OpenTelemetry: pip install 'ttscale[otel]'"):
        from opentelemetry import metrics, trace
    meter = metrics.get_meter("ttscale", __version__, meter_provider)
    return Instrumentation(meter, trace.get_tracer("ttscale", __version__, tracer_provider))


class Instrumentation(Closing, Watch):
    """What ``instrument`` returns."""

    def __init__(self, meter: Any, tracer: Any) -> None:
        self._tracer = tracer
        self._spans: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._questions = meter.create_counter("ttscale.questions", "{question}", "Searches ended, by outcome")
        self._requests = meter.create_counter("ttscale.requests", "{request}", "Requests to roles, by outcome")
        self._tokens = meter.create_counter("ttscale.tokens", "{token}", "Tokens, by role and kind")
        self._cost = meter.create_counter("ttscale.cost", "USD", "Money by the prices of roles")
        self._flops = meter.create_counter("ttscale.flops", "{operation}", "Floating-point operations")
        self._hits = meter.create_counter("ttscale.cache.hits", "{request}", "Requests answered from a trace")
        self._retries = meter.create_counter("ttscale.retries", "{attempt}", "Attempts at servers that failed")
        self._waits = meter.create_histogram("ttscale.request.wait", "s", "Time in the queue of a role")
        self._slots = meter.create_histogram("ttscale.endpoint.wait", "s", "Time until a server had a place")
        self._batches = meter.create_histogram("ttscale.batch.size", "{request}", "Requests of one batch")
        self._work = meter.create_histogram("ttscale.batch.duration", "s", "Time that a role took over a batch")
        WATCHES.append(self)

    def close(self) -> None:
        """Count no more; spans of searches in progress end."""
        if self in WATCHES:
            WATCHES.remove(self)
        with self._lock:
            spans, self._spans = self._spans, {}
        for span in spans.values():
            span.end()

    def began(self, question: Question, strategy: str, budget: int) -> None:
        attributes = {"ttscale.question.id": question.id, "ttscale.strategy": strategy, "ttscale.budget": budget}
        span = self._tracer.start_span("ttscale.solve", attributes=attributes)
        with self._lock:
            self._spans[question.id] = span

    def ended(self, question: Question, cost: Cost, stopped_by: str | None, error: Exception | None) -> None:
        outcome = "error" if error is not None else "stopped" if stopped_by else "ok"
        self._questions.add(1, {"outcome": outcome})
        with self._lock:
            span = self._spans.pop(question.id, None)
        if span is None:
            return
        span.set_attributes({f"ttscale.cost.{name}": value for name, value in cost.to_dict().items() if value})
        if stopped_by:
            span.set_attribute("ttscale.stopped_by", stopped_by)
        if error is not None:
            from opentelemetry.trace import Status, StatusCode

            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end()

    def asked(
        self, role: str, name: str, waits: Sequence[float], replies: Sequence[Reply | Exception], seconds: float
    ) -> None:
        who = {"role": role, "model": name}
        if replies:
            self._batches.record(len(replies), who)
        self._work.record(seconds, who)
        for wait in waits:
            self._waits.record(wait, who)
        cost = sum((reply.cost for reply in replies if not isinstance(reply, Exception)), Cost())
        failed = sum(isinstance(reply, Exception) for reply in replies)
        for outcome, count in (("ok", len(replies) - failed), ("error", failed)):
            if count:
                self._requests.add(count, {**who, "outcome": outcome})
        for kind in ("sampled", "prompt", "cached", "verifier"):
            if amount := getattr(cost, f"{kind}_tokens"):
                self._tokens.add(amount, {**who, "kind": kind})
        if cost.dollars:
            self._cost.add(cost.dollars, who)
        if cost.flops:
            self._flops.add(cost.flops, who)

    def recalled(self, role: str) -> None:
        self._hits.add(1, {"role": role})

    def queued(self, endpoint: str, seconds: float) -> None:
        self._slots.record(seconds, {"endpoint": endpoint})

    def retried(self, endpoint: str, why: str) -> None:
        self._retries.add(1, {"endpoint": endpoint})
