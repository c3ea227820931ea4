"""Runs that were killed: what the trace holds is not computed again, and the result is that of a run never killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ttscale
from ttscale.core.trace import address, read_events
from ttscale.engine.trace_file import TraceFile
from ttscale.testing import FakeGenerator, ToyWorld, as_async, as_session, toy_roles
from ttscale.verifiers import FunctionVerifier

QUESTIONS = ToyWorld.questions(3)
STRATEGIES = [
    ttscale.MajorityVote(),
    ttscale.BestOfN(),
    ttscale.WeightedBestOfN(),
    ttscale.Beam(),
    ttscale.DVTS(),
    ttscale.Lookahead(2),
    ttscale.SequentialRevision(),
    ttscale.ComputeOptimalScheduler(),
]
METHODS = {"generator": "sample", "verifier": "score", "reviser": "revise"}


def noting(roles: dict[Any, Any], asked: list[Any]) -> dict[Any, Any]:
    """The roles, which note everything they are asked."""

    def noted(method: Any) -> Any:
        def call(requests: Sequence[Any]) -> Any:
            asked.extend(requests)
            return method(requests)

        return call

    for role, obj in roles.items():
        setattr(obj, METHODS[role], noted(getattr(obj, METHODS[role])))
    return roles


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: type(strategy).__name__)
def test_a_run_resumed_from_any_line_asks_for_what_is_missing_and_for_nothing_else(
    strategy: Any, tmp_path: Path
) -> None:
    path = tmp_path / "trace.jsonl"
    options: Any = {"strategy": strategy, "progress": False}
    asked: list[Any] = []
    roles = noting(toy_roles(), asked)
    wanted = ttscale.solve_all(QUESTIONS, 6, **roles, **options, resume=path)
    lines = path.read_bytes().splitlines(keepends=True)
    everything = sorted(map(str, map(address, asked)))
    assert len(set(everything)) == len(everything)
    for kept in {0, 1, 2, 3, 5, *range(8, len(lines), 1 + len(lines) // 9), len(lines)}:
        path.write_bytes(b"".join(lines[:kept]))
        held = [
            str((e["op"], tuple(e["key"]), e["digest"])) for e in map(json.loads, lines[:kept]) if e["event"] == "reply"
        ]
        asked.clear()
        results = ttscale.solve_all(QUESTIONS, 6, **roles, **options, resume=path)
        assert [(r, r.cost) for r in results] == [(r, r.cost) for r in wanted]
        assert sorted(map(str, map(address, asked))) == sorted(set(everything) - set(held))


@pytest.mark.parametrize("strategy", [ttscale.Beam(), ttscale.BestOfN()], ids=["Beam", "BestOfN"])
@pytest.mark.parametrize("tokens", [60, 400])
def test_a_resumed_run_under_a_limit_ends_where_it_would_have(strategy: Any, tokens: int, tmp_path: Path) -> None:
    """Also from the trace of a run without a limit, which holds more than the limit would have paid for."""
    path = tmp_path / "trace.jsonl"
    roles: Any = toy_roles()
    limited: Any = {"strategy": strategy, "limit": ttscale.Limit(tokens=tokens), "progress": False}
    wanted = ttscale.solve_all(QUESTIONS, 6, **roles, **limited)
    ttscale.solve_all(QUESTIONS, 6, **roles, strategy=strategy, progress=False, resume=path)
    asked: list[Any] = []
    results = ttscale.solve_all(QUESTIONS, 6, **noting(roles, asked), **limited, resume=path)
    assert [(r, r.cost) for r in results] == [(r, r.cost) for r in wanted]
    assert asked == []


def test_a_trace_written_one_way_can_be_resumed_in_any_other(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    options: Any = {"strategy": ttscale.ComputeOptimalScheduler(), "progress": False, "resume": path}
    wanted = ttscale.solve_all(QUESTIONS, 6, **toy_roles(), **options)  # type: ignore[arg-type]
    lines = path.read_bytes().splitlines(keepends=True)
    for twin in (as_async, as_session):
        path.write_bytes(b"".join(lines[: len(lines) // 2]))
        roles: Any = {role: twin(obj) for role, obj in toy_roles().items()}
        assert ttscale.solve_all(QUESTIONS, 6, **roles, **options) == wanted
        assert ttscale.solve_all(QUESTIONS, 6, **toy_roles(), **options) == wanted  # type: ignore[arg-type]


KILLED = """
    import os, sys
    import ttscale
    from ttscale.testing import ToyWorld, toy_roles

    path, when, sent = sys.argv[1], sys.argv[2], int(sys.argv[3])
    roles = toy_roles()
    if when == "in a write":
        # The process dies with half of its tenth line on disk.
        write, written = os.write, 0

        def torn(file, data):
            global written
            written += 1
            if written == 10:
                write(file, data[: len(data) // 2])
                os.kill(os.getpid(), sent)
            return write(file, data)

        os.write = torn
    else:
        score, calls = roles["verifier"].score, 0

        def killed(requests):
            global calls
            calls += 1
            if calls == 3:
                os.kill(os.getpid(), sent)
            return score(requests)

        roles["verifier"].score = killed
    ttscale.solve_all(ToyWorld.questions(3), 6, **roles, strategy="beam", progress=False, resume=path)
    raise SystemExit("not killed")
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("when", ["in a call", "in a write"])
def test_kill_in_the_middle_loses_nothing_that_was_answered(when: str, sent: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(path), when, str(int(sent))], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (-sent, "")
    assert path.read_bytes().endswith(b"\n") == (when == "in a call")
    held = [e for e in read_events(path) if e["event"] == "reply"]
    assert len(held) >= 5
    asked: list[Any] = []
    options: Any = {"strategy": "beam", "progress": False}
    results = ttscale.solve_all(QUESTIONS, 6, **noting(toy_roles(), asked), **options, resume=path)
    wanted = ttscale.solve_all(QUESTIONS, 6, **toy_roles(), **options)  # type: ignore[arg-type]
    assert [(r, r.cost) for r in results] == [(r, r.cost) for r in wanted]
    fresh = {address(request) for request in asked}
    assert asked
    assert fresh.isdisjoint((e["op"], tuple(e["key"]), e["digest"]) for e in held)
    # A third run has nothing left to ask.
    asked.clear()
    assert ttscale.solve_all(QUESTIONS, 6, **noting(toy_roles(), asked), **options, resume=path) == wanted
    assert asked == []


def test_a_second_process_on_one_trace_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    script = (
        "import sys, ttscale; from ttscale.testing import ToyLM; "
        "ttscale.solve_all(['?'], 1, generator=ToyLM(), resume=sys.argv[1])"
    )
    with TraceFile(path, {}):
        before = path.read_bytes()
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            f"RuntimeError: another process is writing to {path}; wait for it, or give each run a file of its own"
        )
        assert path.read_bytes() == before
    # The lock goes with the process.
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_leaves_what_is_done_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    asked: list[Any] = []
    roles: Any = noting(toy_roles(), asked)
    score = roles["verifier"].score

    def interrupted(requests: Sequence[Any]) -> Any:
        if len(asked) > 60:
            os.kill(os.getpid(), signal.SIGINT)
        return score(requests)

    roles["verifier"].score = interrupted
    options: Any = {"strategy": "beam", "progress": False}
    results = ttscale.solve_all(QUESTIONS, 8, **roles, **options, resume=path)
    assert {r.stopped_by for r in results} == {"interrupt"}
    roles["verifier"].score = score
    held = {str((e["op"], tuple(e["key"]), e["digest"])) for e in read_events(path) if e["event"] == "reply"}
    asked.clear()
    wanted = ttscale.solve_all(QUESTIONS, 8, **toy_roles(), **options)  # type: ignore[arg-type]
    assert ttscale.solve_all(QUESTIONS, 8, **roles, **options, resume=path) == wanted
    assert asked
    assert held.isdisjoint(str(address(request)) for request in asked)


def test_scores_of_one_answer_rule_are_not_recalled_for_another(tmp_path: Path) -> None:
    """A verifier may read the answer that a solution states; draws know of no rule and are recalled."""
    judge = FunctionVerifier(lambda candidate: 1.0 if candidate.answer == "B" else 0.1)
    asked: list[Any] = []

    def says(request: ttscale.Sample) -> str:
        asked.append(request)
        return "Answer: B. Paris"

    path = tmp_path / "trace.jsonl"
    found = [
        ttscale.solve_all(
            ["Which?"], 1, generator=FakeGenerator(says), verifier=judge, answers=rule, resume=path, progress=False
        )[0]
        for rule in ("text", "choice", "text")
    ]
    assert [(result.answer, result.score) for result in found] == [("B. Paris", 0.1), ("B", 1.0), ("B. Paris", 0.1)]
    assert len(asked) == 1
