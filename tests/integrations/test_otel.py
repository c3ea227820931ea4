"""What is told of searches at work: to OpenTelemetry's in-memory exporters, to any watcher, and to Prometheus."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ttscale
from fake_openai import serving
from ttscale import Completion, Cost, Sample, Score, Step, Verdict
from ttscale.core.requests import Reply
from ttscale.core.types import Question
from ttscale.core.watch import WATCHES, Watch, watching
from ttscale.integrations.gateway.engine_metrics import EngineMetrics
from ttscale.openai import Connection, OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat

PLAIN = PromptFormat(chat=False, template="{question}\n<assistant>")


class Priced:
    name = "priced"

    def sample(self, requests: Sequence[Sample]) -> list[Completion | Exception]:
        cost = Cost(sampled_tokens=5, prompt_tokens=7, cached_tokens=2, flops=100.0, dollars=0.25)
        return [
            ValueError("no") if request.question.id == "q1" else Completion((Step("Answer: 1"),), "stop", cost)
            for request in requests
        ]


class Judge:
    name = "judge"

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [Verdict((0.5,), Cost(verifier_tokens=3)) for _ in requests]


class Recorder(Watch):
    """Keeps all it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def began(self, question: Question, strategy: str, budget: int) -> None:
        self.events.append(("began", question.id, budget))

    def ended(self, question: Question, cost: Cost, stopped_by: str | None, error: Exception | None) -> None:
        self.events.append(("ended", question.id, stopped_by, error is not None))

    def asked(
        self, role: str, name: str, waits: Sequence[float], replies: Sequence[Reply | Exception], seconds: float
    ) -> None:
        assert seconds >= 0
        assert all(wait >= 0 for wait in waits)
        self.events.append(("asked", role, name, len(waits), len(replies)))

    def recalled(self, role: str) -> None:
        self.events.append(("recalled", role))

    def queued(self, endpoint: str, seconds: float) -> None:
        self.events.append(("queued", endpoint))

    def retried(self, endpoint: str, why: str) -> None:
        self.events.append(("retried", endpoint))

    def total(self, kind: str, place: int, role: str) -> int:
        return sum(event[place] for event in self.events if event[:2] == (kind, role))


def questions(n: int) -> list[ttscale.Question]:
    return [ttscale.Question(f"q{i}", "Why?") for i in range(n)]


def solved(n: int = 3, **more: Any) -> list[ttscale.Result]:
    given = {"generator": Priced(), "verifier": Judge(), "strategy": "best_of_n", "progress": False, **more}
    return ttscale.solve_all(questions(n), 4, **given)


def test_nobody_is_told_unless_asked_and_results_do_not_change() -> None:
    before = solved()
    recorder = Recorder()
    with watching(recorder):
        assert solved() == before
    told = len(recorder.events)
    assert told > 0
    assert WATCHES == []
    solved()
    assert len(recorder.events) == told


def test_a_question_that_never_began_does_not_end() -> None:
    """It has the id of another in progress, which would be taken for ended."""
    recorder, pair = Recorder(), [ttscale.Question("q", "one"), ttscale.Question("q", "two")]
    with watching(recorder):
        for _ in ttscale.solve_stream(pair, 4, generator=Priced(), strategy="majority_vote", progress=False):
            pass
    assert [event[0] for event in recorder.events if event[0] in ("began", "ended")] == ["began", "ended"]
    assert ("ended", "q", None, False) in recorder.events


def test_every_request_is_told_once_with_its_wait() -> None:
    recorder = Recorder()
    with watching(recorder):
        solved()
    assert [event for event in recorder.events if event[0] == "began"] == [("began", f"q{i}", 4) for i in range(3)]
    assert {event for event in recorder.events if event[0] == "ended"} == {
        ("ended", "q0", None, False),
        ("ended", "q1", None, True),
        ("ended", "q2", None, False),
    }
    assert recorder.total("asked", 4, "generator") == recorder.total("asked", 3, "generator") == 12
    assert recorder.total("asked", 4, "verifier") == recorder.total("asked", 3, "verifier") == 8


def test_bundled_models_with_their_sessions_and_awaited_roles_are_told_too() -> None:
    recorder = Recorder()
    with watching(recorder):
        ttscale.solve("Compute 1 + 2 * 3", 4, strategy="best_of_n", progress=False)

    class Awaited(Priced):
        async def sample(self, requests: Sequence[Sample]) -> list[Completion | Exception]:  # type: ignore[override]
            await asyncio.sleep(0)
            return super().sample(requests)

    assert recorder.total("asked", 4, "generator") == recorder.total("asked", 3, "generator") == 4
    awaited = Recorder()
    with watching(awaited):
        solved(generator=Awaited())
    assert awaited.total("asked", 4, "generator") == awaited.total("asked", 3, "generator") == 12


def test_what_a_trace_answers_is_a_hit(tmp_path: Path) -> None:
    solved(resume=tmp_path / "trace.jsonl")
    recorder = Recorder()
    with watching(recorder):
        solved(resume=tmp_path / "trace.jsonl")
    assert Counter(event[1] for event in recorder.events if event[0] == "recalled") == {"generator": 8, "verifier": 8}


def test_servers_tell_of_places_and_retries() -> None:
    recorder = Recorder()
    with serving(fault=lambda n, body: "500" if n < 2 else None) as server, watching(recorder):

        async def no_sleep(seconds: float) -> None:
            await asyncio.sleep(0)

        connection = Connection(server.url, api_key="none", concurrency=2, sleep=no_sleep)
        model = OpenAIGenerator("toy", connection=connection, server="vllm", prompt=PLAIN, token_ids=False)
        ttscale.solve_all(questions(2), 3, generator=model, progress=False)
    counts = Counter(event[0] for event in recorder.events)
    assert counts["retried"] == 2
    assert counts["queued"] >= 6


def test_prometheus_counts_the_same() -> None:
    engine = EngineMetrics()
    with watching(engine):
        solved()
    lines = dict(line.rsplit(" ", 1) for line in engine.text().splitlines() if not line.startswith("#"))
    assert lines['ttscale_engine_requests_total{role="generator",outcome="ok"}'] == "8"
    assert lines['ttscale_engine_requests_total{role="generator",outcome="error"}'] == "4"
    assert lines['ttscale_engine_tokens_total{role="generator",kind="sampled"}'] == "40"
    assert lines['ttscale_engine_tokens_total{role="generator",kind="cached"}'] == "16"
    assert lines['ttscale_engine_tokens_total{role="verifier",kind="verifier"}'] == "24"
    assert float(lines["ttscale_engine_dollars_total"]) == 2.0
    assert lines["ttscale_engine_wait_seconds_count"] == lines['ttscale_engine_wait_seconds_bucket{le="+Inf"}'] == "20"
    assert float(lines["ttscale_engine_batch_size_sum"]) == 20


def test_opentelemetry_gets_metrics_and_a_span_for_each_question(tmp_path: Path) -> None:
    reason = "opentelemetry-sdk is not installed: pip install 'ttscale[otel]'"
    metrics = pytest.importorskip("opentelemetry.sdk.metrics", reason=reason)
    trace = pytest.importorskip("opentelemetry.sdk.trace", reason=reason)
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from ttscale.integrations.otel import instrument

    reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
    meters, tracers = metrics.MeterProvider([reader]), trace.TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    with instrument(meters, tracers):
        solved(resume=tmp_path / "trace.jsonl")
        solved(resume=tmp_path / "trace.jsonl")
    solved()  # after the end nothing is counted
    found: dict[str, Any] = {}
    data = reader.get_metrics_data()
    assert data is not None
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points = {tuple(sorted((p.attributes or {}).items())): p for p in metric.data.data_points}
                found[metric.name] = {who: getattr(p, "value", getattr(p, "sum", None)) for who, p in points.items()}
    generator = (("model", "priced"), ("role", "generator"))
    assert found["ttscale.requests"][(("model", "priced"), ("outcome", "ok"), ("role", "generator"))] == 8
    assert found["ttscale.requests"][(("model", "priced"), ("outcome", "error"), ("role", "generator"))] == 8
    assert found["ttscale.tokens"][(("kind", "sampled"), *generator)] == 40
    assert found["ttscale.cost"][generator] == 2.0
    assert found["ttscale.flops"][generator] == 800.0
    assert found["ttscale.cache.hits"] == {(("role", "generator"),): 8, (("role", "verifier"),): 8}
    assert found["ttscale.questions"] == {(("outcome", "ok"),): 4, (("outcome", "error"),): 2}
    assert found["ttscale.batch.size"][generator] == 16
    assert "ttscale.request.wait" in found
    ended = spans.get_finished_spans()
    assert Counter(span.attributes["ttscale.question.id"] for span in ended) == {"q0": 2, "q1": 2, "q2": 2}
    assert {span.name for span in ended} == {"ttscale.solve"}
    bad = [span for span in ended if not span.status.is_ok and span.status.description]
    assert {span.attributes["ttscale.question.id"] for span in bad} == {"q1"}
    good = next(span for span in ended if span.attributes["ttscale.question.id"] == "q0")
    assert good.attributes["ttscale.cost.sampled_tokens"] == 20
    assert good.end_time >= good.start_time
