"""One call: its constructor checks and loads nothing; entering it loads, once."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ttscale
from ttscale.api import call as call_module
from ttscale.api.call import Call
from ttscale.api.settings import CallSettings
from ttscale.testing import FakeGenerator, FakeReviser, FakeVerifier


class Prefers(FakeVerifier):
    """A verifier that says how its step scores should be aggregated."""

    aggregate = "min"


ROLES: Any = {"generator": FakeGenerator("a\nAnswer: 1"), "verifier": Prefers(0.5), "reviser": FakeReviser("Answer: 1")}


def test_the_constructor_loads_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the bundled models nor ids nor the trace file; entering does."""
    loaded: list[Any] = []

    def load(roles: Any, wanted: Any) -> Any:
        loaded.append((set(roles), set(wanted)))
        return {role: ROLES[role] for role in roles if role in wanted}

    monkeypatch.setattr(call_module, "load_roles", load)
    trace = tmp_path / "trace.jsonl"
    bundled = Call(CallSettings(4, resume=trace))
    named = Call(CallSettings(4, "no/such-generator", "no/such-verifier", strategy="beam"))
    assert loaded == []
    assert not trace.exists()
    with bundled, named:
        assert trace.exists()
    assert loaded[1] == ({"generator", "verifier"}, {"generator", "verifier"})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"budget": 0}, "budget must be an integer from 1"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"limit": 5}, "limit must be a ttscale.Limit"),
        ({"generator": 5}, "generator must be an object with a method sample"),
        ({"verifier": print}, "verifier must be an object with a method score"),
        ({"reviser": " "}, "reviser must be an object with a method revise"),
    ],
)
def test_settings_are_checked_when_they_are_made(changes: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CallSettings(**changes)


def test_the_strategy_is_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[Any] = []
    choose = call_module.choose_strategy
    monkeypatch.setattr(call_module, "choose_strategy", lambda *given: chosen.append(given) or choose(*given))
    assert ttscale.solve("q", 4, **ROLES).answer == "1"
    assert len(chosen) == 1


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        ("best_of_n", "BestOfN(aggregate='min')"),
        ("beam:width=2", "Beam(width=2, max_rounds=40, aggregate='min', merge=False)"),
        ("beam:width=2,aggregate=prod", "Beam(width=2, max_rounds=40, aggregate='prod', merge=False)"),
        (ttscale.BestOfN(), "BestOfN(aggregate='last')"),
    ],
)
def test_a_strategy_that_is_named_takes_the_verifiers_aggregation_unless_it_sets_one(strategy: Any, text: str) -> None:
    roles = {role: ROLES[role] for role in ("generator", "verifier")}
    assert ttscale.solve("q", 4, **roles, strategy=strategy).strategy == text


def test_the_entry_points_show_their_defaults() -> None:
    """The same six times, those of the settings, but for the bar.

    Trace files, limits over a batch and Ray are for calls with many questions, Ray where no event loop runs.
    """
    of_settings = {name: one.default for name, one in inspect.signature(CallSettings).parameters.items()}
    many = of_settings | {"progress": True}
    ray = {"executor", "workers", "ray_options"}
    awaited = {name: value for name, value in many.items() if name not in ray}
    single = {name: value for name, value in awaited.items() if name not in ("resume", "total_limit")}
    entry_points: Any = {
        ttscale.solve: single,
        ttscale.asolve: single,
        ttscale.solve_all: many | {"total_budget": None},
        ttscale.asolve_all: awaited,
        ttscale.solve_stream: many,
        ttscale.asolve_stream: awaited,
    }
    for function, expected in entry_points.items():
        _, *own = inspect.signature(function).parameters.values()
        assert {one.name: one.default for one in own} == expected


def test_python_m_ttscale_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "ttscale", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"ttscale {ttscale.__version__}\n"
    wrong = subprocess.run([sys.executable, "-m", "ttscale", "solve"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "ttscale solve" in wrong.stderr
