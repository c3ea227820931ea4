"""Traces: what an event holds, that it can be read back, and which files are refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttscale
from ttscale import Beam, BestOfN, Candidate, Completion, Cost, Key, Question, Revise, Sample, Score, Step, Verdict
from ttscale.core.trace import address, digest, dump, event_address, read_events, read_reply, reply_event
from ttscale.engine.trace_file import TraceFile
from ttscale.testing import FakeGenerator, FakeReviser, FakeVerifier, completion_of, steps_of, toy_roles

QUESTION = Question("q", "Why?")
ROOT = Candidate(QUESTION, Key((7, "q")))
PREFIX = ROOT.extend(ROOT.key.child(0), steps_of("a\n"), "open")
DONE = ROOT.extend(ROOT.key.child(1), steps_of("Answer: 1"), "stop")
REVISED = replace(DONE, attempts=(PREFIX,))

REQUESTS = [
    Sample(ROOT, ROOT.key.child(0)),
    Sample(PREFIX, ROOT.key.child(0, "é"), 1, 0.5),
    Revise((PREFIX, DONE), ROOT.key.child("chain", 2)),
    Score(REVISED),
]
REPLIES = [
    Completion((), "length"),
    Completion(
        (Step("b\n", (1, 2), -0.5, 0.25), Step("ß", (), None, None, 3)), "stop", Cost(sampled_tokens=3, seconds=0.1)
    ),
    completion_of("Answer: 2"),
    Verdict((0.25, 1.0), Cost(verifier_tokens=5, flops=1e15)),
]


def test_what_a_run_writes(tmp_path: Path) -> None:
    """Every line of a small run, whole."""
    path = tmp_path / "trace.jsonl"
    generator = FakeGenerator([completion_of("x\nAnswer: 1"), completion_of("Answer: 2")], name="gen")
    verifier = FakeVerifier([Verdict((0.25, 0.5), Cost(verifier_tokens=4, flops=8.0)), 0.75], name="ver")
    options: Any = {"generator": generator, "verifier": verifier, "strategy": BestOfN(), "seed": 7}
    (result,) = ttscale.solve_all([QUESTION], 2, **options, progress=False, resume=path)
    lines = path.read_text(encoding="ascii").splitlines()
    events = [json.loads(line) for line in lines]
    tokens = [list(b"x\n"), list(b"Answer: 1"), list(b"Answer: 2")]
    for event in events:
        event.pop("digest", None)
    assert events == [
        {"event": "run", "schema": 1, "roles": {"generator": "gen", "verifier": "ver"}},
        {
            "event": "start",
            "question": "q",
            "prompt": "Why?",
            "key": [7, "q"],
            "strategy": "BestOfN(aggregate='last')",
            "budget": 2,
        },
        {
            "event": "reply",
            "question": "q",
            "op": "sample",
            "key": [7, "q", 0],
            "prefix": [7, "q"],
            "max_steps": None,
            "temperature": None,
            "steps": [["x\n", tokens[0], None, None, None], ["Answer: 1", tokens[1], None, None, None]],
            "finish": "stop",
            "cost": {"sampled_tokens": 12},
        },
        {
            "event": "reply",
            "question": "q",
            "op": "sample",
            "key": [7, "q", 1],
            "prefix": [7, "q"],
            "max_steps": None,
            "temperature": None,
            "steps": [["Answer: 2", tokens[2], None, None, None]],
            "finish": "stop",
            "cost": {"sampled_tokens": 10},
        },
        {
            "event": "reply",
            "question": "q",
            "op": "score",
            "key": [7, "q", 0],
            "scores": [0.25, 0.5],
            "cost": {"verifier_tokens": 4, "flops": 8.0},
        },
        {"event": "reply", "question": "q", "op": "score", "key": [7, "q", 1], "scores": [0.75], "cost": {}},
        {
            "event": "end",
            "question": "q",
            "chosen": [7, "q", 1],
            "answer": "2",
            "score": 0.75,
            "strategy": "BestOfN(aggregate='last')",
            "stopped_by": None,
            "error": None,
        },
    ]
    # The trace of the result reads the same, without the line about the run.
    assert [json.loads(dump(event)) for event in result.trace.events()] == [json.loads(line) for line in lines[1:]]


def test_a_revision_names_its_attempts_and_a_failure_its_error() -> None:
    reviser = FakeReviser(["Answer: 1", "Answer: 2", ValueError("oh")])
    strategy = ttscale.SequentialRevision(ratio=math.inf, select="majority")
    (result,) = ttscale.solve_all([QUESTION], 3, reviser=reviser, strategy=strategy, progress=False)
    _, first, second, end = result.trace.events()
    assert [(event["op"], event["attempts"]) for event in (first, second)] == [
        ("revise", [(0, "q")]),
        ("revise", [(0, "q", "chain", 0, 0)]),
    ]
    assert end["error"] == ("RoleError: the reviser fake raised ValueError: oh (question 'q', key 0/q/chain/0/2)")
    # The best so far is named all the same.
    assert (end["chosen"], end["answer"], end["score"]) == ((0, "q", "chain", 0, 0), "1", None)


@pytest.mark.parametrize(("request_", "reply"), list(zip(REQUESTS, REPLIES, strict=True)))
def test_a_reply_and_its_address_can_be_read_back_from_an_event(request_: Any, reply: Any) -> None:
    event = json.loads(dump(reply_event(request_, reply)))
    found = read_reply(event)
    assert (found, event_address(event)) == (reply, address(request_))
    if isinstance(reply, Completion):
        # Records of a draw take no part in ==.
        assert [(s.logprob, s.certainty, s.drawn) for s in found.steps] == [  # type: ignore[union-attr]
            (s.logprob, s.certainty, s.drawn) for s in reply.steps
        ]
    assert found.cost.seconds == reply.cost.seconds


@given(
    text=st.text(st.characters(), max_size=30),
    tokens=st.lists(st.integers(0, 2**40), max_size=5),
    score=st.floats(0, 1),
    flops=st.floats(0, 1e30),
)
def test_any_text_and_number_can_be_read_back(text: str, tokens: list[int], score: float, flops: float) -> None:
    completion = Completion((Step(text, tuple(tokens), -flops),), "stop", Cost(flops=flops))
    question = Question.of(text or "?")
    request = Sample(Candidate(question, Key((0, text))), Key((0, text, 1)))
    line = dump(reply_event(request, completion))
    assert (line.isascii(), line.count("\n")) == (True, 1)
    assert read_reply(json.loads(line)) == completion
    verdict = Verdict((score,), Cost(flops=flops))
    assert read_reply(json.loads(dump(reply_event(Score(DONE), verdict)))) == verdict


def variants() -> dict[str, Any]:
    """Requests that differ in one thing each that a reply may depend on."""
    key = ROOT.key.child(0)
    other = replace(ROOT, question=Question("q", "Why not?"))
    retokenised = ROOT.extend(PREFIX.key, [Step("a\n", (1,))], "open")
    return {
        "root": Sample(ROOT, key),
        "prompt": Sample(other, key),
        "max_steps": Sample(ROOT, key, 1),
        "temperature": Sample(ROOT, key, None, 0.0),
        "prefix": Sample(PREFIX, key),
        "tokens": Sample(retokenised, key),
        "attempts of the prefix": Sample(replace(PREFIX, attempts=(DONE,)), key),
        "revise": Revise((ROOT,), key),
        "attempt": Revise((DONE,), key),
        "attempts": Revise((PREFIX, DONE), key),
        "order of attempts": Revise((DONE, PREFIX), key),
        "score": Score(DONE),
        "finish": Score(replace(DONE, finish="length")),
        "attempts of the candidate": Score(REVISED),
    }


def test_requests_that_may_have_other_replies_have_other_digests() -> None:
    digests = {name: (type(request), digest(request)) for name, request in variants().items()}
    assert len(set(digests.values())) == len(digests)
    assert len({address(request) for request in variants().values()}) == len(digests)


def test_a_saved_trace_can_be_resumed_from(tmp_path: Path) -> None:
    roles: Any = toy_roles()
    result = ttscale.solve("?", 8, **roles, strategy=Beam())
    result.trace.save(tmp_path / "saved.jsonl")
    again: Any = {
        "generator": FakeGenerator([], name="toy"),
        "verifier": FakeVerifier([], name="toy-verifier(0.5)"),
        "strategy": Beam(),
    }
    assert ttscale.solve_all(["?"], 8, **again, progress=False, resume=tmp_path / "saved.jsonl") == [result]


# Files.


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def opened(path: Path) -> None:
    with TraceFile(path, {}):
        pass


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"hello\n", "line 1: not a ttscale trace"),
        (b"[1]\n", "line 1: not a ttscale trace"),
        (b'{"event":"other"}\n', "line 1: not a ttscale trace"),
        (b'{"event":"run","schema":1,"roles":{}}\n\n', "line 2: not a ttscale trace"),
        (b'{"event":"run","schema":1,"roles":{}}\n{"event":"reply"}\n', "line 2: not a ttscale trace"),
        (b'{"event":"run","schema":2,"roles":{}}\n', "line 1: trace schema 2; this version of ttscale reads 1"),
        (b'{"event":"run"}\n', "line 1: trace schema None"),
        (b"\x00\xff\n", "line 1: not a ttscale trace"),
        (b"[" * 100_000 + b"\n", "line 1: not a ttscale trace"),
        # No newline at the end: not a torn line of ours, and not ours to cut off.
        (b"my notes", "line 1: not a ttscale trace"),
        (b'{"answers": [1, 2, 3]}', "line 1: not a ttscale trace"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}", "line 1: not a ttscale trace"),
        (b'{"event":"run","schema":1,"roles":{}}\nand then', "line 2: not a ttscale trace"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_and_left_as_it_is(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_bytes(content)
    for use in (lambda: list(read_events(path)), lambda: opened(path)):
        with pytest.raises(ValueError, match=problem) as caught:
            use()
        assert str(path) in str(caught.value)
    with pytest.raises(ValueError, match=problem):
        ttscale.solve_all(["?"], 1, generator=FakeGenerator([]), progress=False, resume=path)
    assert path.read_bytes() == content


def test_an_empty_file_is_a_trace_in_which_nothing_has_happened(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert list(read_events(path)) == []
    opened(path)
    assert [event["event"] for event in read_events(path)] == ["run"]


def test_a_line_torn_at_any_byte_is_cut_off_and_what_was_in_it_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    question = Question("q", "Wörüm?")

    def solve(generator: FakeGenerator) -> ttscale.Result:
        return ttscale.solve_all([question], 2, generator=generator, progress=False, resume=path)[0]

    wanted = solve(FakeGenerator(lambda request: f"é\nAnswer: {request.key.path[-1]}"))
    whole = lines_of(path)
    assert [json.loads(line)["event"] for line in whole] == ["run", "start", "reply", "reply", "end"]
    for cut in range(1, len(whole[3])):
        path.write_bytes(b"".join(whole[:3]) + whole[3][:cut])
        generator = FakeGenerator(lambda request: f"é\nAnswer: {request.key.path[-1]}")
        assert solve(generator) == wanted
        assert [request.key.path[-1] for request in generator.requests] == [1]
        assert [json.loads(line)["event"] for line in lines_of(path)] == [
            "run",
            "start",
            "reply",
            "run",
            "start",
            "reply",
            "end",
        ]
    # A whole line without its newline is torn as well.
    path.write_bytes(b"".join(whole)[:-1])
    assert [event["event"] for event in read_events(path)] == ["run", "start", "reply", "reply"]


def test_a_trace_of_other_models_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    ttscale.solve_all(["?"], 1, generator=FakeGenerator("Answer: 1", name="a"), progress=False, resume=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"recorded with the generator 'a', this run has 'b'; resume with the same"):
        ttscale.solve_all(["?"], 1, generator=FakeGenerator("Answer: 1", name="b"), progress=False, resume=path)
    assert path.read_bytes() == before
    # A role that it knows nothing of may be new.
    roles: Any = {"generator": FakeGenerator([], name="a"), "verifier": FakeVerifier(0.5, name="c")}
    (result,) = ttscale.solve_all(["?"], 1, **roles, strategy=BestOfN(), progress=False, resume=path)
    assert (result.answer, result.score) == ("1", 0.5)


def test_a_trace_that_is_being_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    with TraceFile(path, {}):
        before = path.read_bytes()
        with pytest.raises(RuntimeError, match=r"another process is writing to .*trace\.jsonl; wait for it, or give"):
            ttscale.solve_all(["?"], 1, generator=FakeGenerator("Answer: 1"), progress=False, resume=path)
        assert path.read_bytes() == before
    ttscale.solve_all(["?"], 1, generator=FakeGenerator("Answer: 1"), progress=False, resume=path)


def test_a_trace_in_a_folder_that_is_not_there_is_an_error_before_anything_is_drawn(tmp_path: Path) -> None:
    generator = FakeGenerator("Answer: 1")
    with pytest.raises(FileNotFoundError):
        ttscale.solve_all(["?"], 1, generator=generator, progress=False, resume=tmp_path / "no" / "trace.jsonl")
    assert generator.requests == []


def test_a_larger_budget_or_another_strategy_reuses_what_it_shares(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    roles: Any = {role: obj for role, obj in toy_roles().items() if role != "reviser"}

    def fresh(budget: int, strategy: Any, seed: int = 0) -> list[str]:
        events: list[Any] = []
        options: Any = {"strategy": strategy, "seed": seed, "progress": False, "observe": events.append}
        (kept,) = ttscale.solve_all(["?"], budget, **roles, **options, resume=path)
        (alone,) = ttscale.solve_all(["?"], budget, **roles, **options)
        assert (kept, kept.cost) == (alone, alone.cost)
        half = events[: next(i for i, event in enumerate(events) if event["event"] == "end")]
        return [event["op"] for event in half if event["event"] == "reply"]

    assert fresh(4, BestOfN()).count("sample") == 4
    assert fresh(4, BestOfN()) == []
    assert fresh(4, ttscale.WeightedBestOfN("min")) == []
    assert fresh(6, BestOfN()).count("sample") == 2
    assert fresh(6, ttscale.MajorityVote()) == []
    assert fresh(4, BestOfN(), seed=1).count("sample") == 4
    assert fresh(4, Beam()).count("sample") > 0
