"""A trace file may come from anywhere: what is no event of ours is refused, what breaks the protocol is asked again."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ttscale
from ttscale import BestOfN, Completion, Sample, Score, Step, Verdict
from ttscale.core.trace import read_events
from ttscale.core.trace_schema import is_event

EVENTS: dict[str, dict[str, Any]] = {
    "run": {"event": "run", "schema": 1, "roles": {"generator": "g"}},
    "start": {"event": "start", "question": "q", "prompt": "p", "key": [0, "q"], "strategy": "s", "budget": 4},
    "sample": {
        "event": "reply",
        "question": "q",
        "op": "sample",
        "key": [0, "q", 1],
        "digest": "d",
        "prefix": [0, "q"],
        "max_steps": None,
        "temperature": None,
        "steps": [["a\n", [1, 2], -0.5, 1.0, None], ["b", []]],
        "finish": "stop",
        "cost": {"sampled_tokens": 2, "flops": 1e9},
    },
    "revise": {
        "event": "reply",
        "question": "q",
        "op": "revise",
        "key": [0, "q", 2],
        "digest": "d",
        "attempts": [[0, "q"]],
        "steps": [],
        "finish": "length",
        "cost": {},
    },
    "score": {
        "event": "reply",
        "question": "q",
        "op": "score",
        "key": [0, "q", 1],
        "digest": "d",
        "scores": [0.5, 1],
        "cost": {"verifier_tokens": 3},
    },
    "end": {
        "event": "end",
        "question": "q",
        "chosen": [0, "q", 1],
        "answer": "1",
        "score": 0.5,
        "strategy": "s",
        "stopped_by": None,
        "error": None,
    },
}
ODD = [None, True, 3, -1.5, "x", "", [], [1], [[]], {}, {"a": 1}, float("nan"), float("inf")]


@pytest.mark.parametrize("name", EVENTS)
def test_our_events_are_events(name: str) -> None:
    assert is_event(EVENTS[name])
    assert is_event({**EVENTS[name], "something_new": {"later": 1}})


@pytest.mark.parametrize("name", EVENTS)
def test_a_field_of_another_type_is_none(name: str) -> None:
    """Whatever stands in a field, reading it further does not fail, or the event is refused."""
    required = {"run": 1}.get(name, 4)
    refused = 0
    for field in EVENTS[name]:
        without = {key: value for key, value in EVENTS[name].items() if key != field}
        refused += not is_event(without)
        assert sum(not is_event({**EVENTS[name], field: odd}) for odd in ODD) > 0 or field in (
            "schema",
            "max_steps",
            "temperature",
        )
    assert refused >= required
    assert not any(is_event(odd) for odd in ODD)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("sample", "key", 5),
        ("sample", "key", [0, {"a": 1}]),
        ("sample", "op", ["sample"]),
        ("sample", "op", "draw"),
        ("sample", "finish", "done"),
        ("sample", "steps", [["a"]]),
        ("sample", "steps", [["a", [1.5]]]),
        ("sample", "cost", {"sampled_tokens": "2"}),
        ("sample", "cost", {"sampled_tokens": -2}),
        ("sample", "cost", {"joules": 2}),
        ("score", "scores", []),
        ("score", "scores", [1.5]),
        ("score", "scores", [float("nan")]),
        ("run", "roles", ["generator"]),
        ("end", "chosen", "1"),
    ],
)
def test_a_file_with_such_an_event_is_refused_by_its_line(name: str, field: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    lines = [EVENTS["run"], EVENTS["start"], {**EVENTS[name], field: value}]
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    with pytest.raises(ValueError, match="line 3: not a ttscale trace"):
        list(read_events(path))


class Toy:
    """One-step solutions; counts what it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        self.asked += len(requests)
        return [Completion((Step("Answer: 1"),), "stop")] * len(requests)

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        self.asked += len(requests)
        return [Verdict((0.5,))] * len(requests)


@pytest.mark.parametrize(("op", "field", "value"), [("score", "scores", [0.5, 0.5, 0.5]), ("sample", "finish", "open")])
def test_a_recorded_reply_that_breaks_the_protocol_is_asked_again(
    op: str, field: str, value: Any, tmp_path: Path
) -> None:
    path = tmp_path / "trace.jsonl"

    def solve() -> tuple[ttscale.Result, int]:
        toy = Toy()
        (result,) = ttscale.solve_all(
            ["q"], 2, generator=toy, verifier=toy, strategy=BestOfN(), resume=path, progress=False
        )
        return result, toy.asked

    first, _ = solve()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    changed = copy.deepcopy(events)
    for event in changed:
        if event.get("op") == op:
            event[field] = value
    path.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in changed))
    again, asked = solve()
    assert again == first
    assert asked == 2
