"""What happened, one event per line of JSON: a trace is a cache and a checkpoint.

Events have a tag (``event``) and files a schema version. Replaying the replies of a killed run brings every search back
to where it was without a fresh model call. This file knows requests, replies and JSON; it never runs anything.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from ttscale.answers import MATHEMATICS, name_of_rule
from ttscale.core.chat import Chat, identity_of
from ttscale.core.cost import Cost
from ttscale.core.requests import Compare, Completion, Preference, Reply, Request, Revise, Sample, Verdict
from ttscale.core.trace_schema import is_event
from ttscale.core.types import Candidate, Key, Question, Step

SCHEMA = 1

Event = Mapping[str, Any]
Address = tuple[str, tuple[str | int, ...], str]


@dataclass(frozen=True, slots=True)
class Trace:
    """The events of one question, in memory or in a file."""

    question: Question
    start: Event = field(default_factory=dict, repr=False)
    recorded: tuple[tuple[Request, Reply], ...] = field(default=(), repr=False)
    end: Event = field(default_factory=dict, repr=False)
    path: Path | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows: how often each role was asked. ``ttscale.viz`` shows the search itself."""
        asked = Counter(event["op"] for event in self.events() if event["event"] == "reply")
        rows = "".join(f"<tr><td>{operation}</td><td>{count}</td></tr>" for operation, count in asked.items())
        head = "<tr><th>request</th><th>replies</th></tr>"
        return f"<p><b>{escape(str(self.question.prompt))}</b></p><table>{head}{rows}</table>"

    def events(self) -> Iterator[Event]:
        """Every event as plain JSON data: one "start", the replies in the order they came, one "end"."""
        if self.path is not None:
            yield from (event for event in read_events(self.path) if event.get("question") == self.question.id)
            return
        yield self.start
        for request, reply in self.recorded:
            yield reply_event(request, reply)
        yield self.end

    def save(self, path: str | Path) -> None:
        """Write the events as JSON lines; the file can be passed as ``resume=``."""
        lines = [{"event": "run", "schema": SCHEMA, "roles": {}}, *self.events()]
        Path(path).write_text("".join(dump(line) for line in lines), encoding="utf-8")


def dump(event: Event) -> str:
    """One line of a trace file."""
    return json.dumps(event, separators=(",", ":")) + "\n"


def start_event(question: Question, key: Key, strategy: str, budget: int) -> Event:
    messages = {"messages": question.prompt.messages} if isinstance(question.prompt, Chat) else {}
    return {
        "event": "start",
        "question": question.id,
        "prompt": question.prompt,
        **messages,
        "key": key.path,
        "strategy": strategy,
        "budget": budget,
    } | ({} if question.answers == MATHEMATICS else {"answers": name_of_rule(question.answers)})


def end_event(
    question: Question,
    winner: Candidate | None,
    score: float | None,
    strategy: str,
    stopped_by: str | None,
    error: Exception | None,
) -> Event:
    return {
        "event": "end",
        "question": question.id,
        "chosen": winner.key.path if winner else None,
        "answer": winner.answer if winner else None,
        "score": score,
        "strategy": strategy,
        "stopped_by": stopped_by,
        "error": f"{type(error).__name__}: {error}" if error else None,
    }


def reply_event(request: Request, reply: Reply) -> Event:
    """A request with its reply. Prefixes and attempts are named by key; their steps are in earlier events."""
    event: dict[str, Any] = {
        "event": "reply",
        "question": request.question.id,
        "op": type(request).__name__.lower(),
        "key": request.key.path,
        "digest": digest(request),
    }
    if isinstance(request, Sample):
        event |= {"prefix": request.prefix.key.path, "max_steps": request.max_steps, "temperature": request.temperature}
        event |= {"window": request.window, "stop_below": request.stop_below} if request.window else {}
    elif isinstance(request, Revise):
        event["attempts"] = [attempt.key.path for attempt in request.attempts]
    elif isinstance(request, Compare):
        event["candidates"] = [candidate.key.path for candidate in request.candidates]
    if isinstance(request, Sample | Revise) and request.max_tokens is not None:
        event["max_tokens"] = request.max_tokens
    if isinstance(reply, Completion):
        event["steps"] = [
            [s.text, s.tokens, s.logprob, s.certainty, s.drawn, *([] if s.tail is None else [s.tail, s.lowest])]
            for s in reply.steps
        ]
        event["finish"] = reply.finish
    elif isinstance(reply, Verdict):
        event["scores"] = reply.step_scores
        if reply.unscored is not None:
            event["unscored"] = reply.unscored
    else:
        event["weights"] = reply.weights
    event["cost"] = {name: value for name, value in reply.cost.to_dict().items() if value}
    return event


def read_reply(event: Event) -> Reply:
    """The reply that a "reply" event holds."""
    cost = Cost(**event["cost"])
    if event["op"] == "score":
        return Verdict(tuple(event["scores"]), cost, event.get("unscored"))
    if event["op"] == "compare":
        return Preference(tuple(event["weights"]), cost)
    steps = tuple(Step(text, tuple(tokens), *records) for text, tokens, *records in event["steps"])
    return Completion(steps, event["finish"], cost)


def digest(request: Request) -> str:
    """A hash of all that the reply may depend on; with the key it finds a request again in a trace."""
    if isinstance(request, Sample):
        content: Any = [_content(request.prefix), request.max_steps, request.temperature]
        content += [request.window, request.stop_below] if request.window else []
    elif isinstance(request, Revise):
        content = [_content(attempt) for attempt in request.attempts]
    elif isinstance(request, Compare):
        content = [_content(candidate) for candidate in request.candidates]
    else:
        content = _content(request.candidate)
    if isinstance(request, Sample | Revise) and request.max_tokens is not None:
        content = [*content, "at most", request.max_tokens]
    if isinstance(request, Sample | Revise) and request.race is not None:
        content = [*content, "lost", request.race]
    if not isinstance(request, Sample) and request.question.answers != MATHEMATICS:  # a draw knows of no rule
        content = [content, "answers", name_of_rule(request.question.answers)]
    text = json.dumps([identity_of(request.question.prompt), content], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _content(candidate: Candidate) -> list[Any]:
    steps = [[step.text, step.tokens] for step in candidate.steps]
    return [steps, candidate.finish, [_content(attempt) for attempt in candidate.attempts]]


def address(request: Request) -> Address:
    """Where a request is found in a trace: what was asked, at which key, with which content."""
    return type(request).__name__.lower(), request.key.path, digest(request)


def event_address(event: Event) -> Address:
    """The ``address`` of the request in a "reply" event."""
    return event["op"], tuple(event["key"]), event["digest"]


def read_events(path: str | Path) -> Iterator[Event]:
    """The events of a trace file; a torn last line (a killed run) is left out.

    Raises ``ValueError`` naming the line where the file is not a trace that this version can read.
    """
    with open(path, "rb") as file:
        yield from (event for event, _, _ in parse_lines(file, str(path)))


def parse_lines(lines: Iterable[bytes], name: str) -> Iterator[tuple[Event, int, int]]:
    """Events with the offset and length of their line, up to a torn last one."""
    offset = 0
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n") and _torn(line, number):
            return
        try:
            event = json.loads(line)
            known = line.endswith(b"\n") and is_event(event)
        except (ValueError, RecursionError):
            known = False
        if not known:
            raise ValueError(f"{name}, line {number}: not a ttscale trace; repair or remove the file")
        if event["event"] == "run" and event.get("schema") != SCHEMA:
            raise ValueError(
                f"{name}, line {number}: trace schema {event.get('schema')!r}; this version of ttscale reads "
                f"{SCHEMA}: record it anew"
            )
        yield event, offset, len(line)
        offset += len(line)


def _torn(line: bytes, number: int) -> bool:
    """Whether a last line without its newline is the beginning of one of ours, and not somebody else's file."""
    begin = b'{"event":"run","schema":' if number == 1 else b'{"event":"'
    return line.startswith(begin) or begin.startswith(line)
