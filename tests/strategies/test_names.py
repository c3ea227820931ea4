"""The table of strategies: every name, strategies as text and as JSON data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ttscale import DVTS, Beam, ComputeOptimalScheduler, Policy, SequentialRevision, Strategy
from ttscale.strategies import adaptive, names
from ttscale.strategies.names import IN_POLICY, STRATEGIES, from_spec, strategy_from_text, strategy_named, to_spec


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_name_makes_a_strategy(name: str) -> None:
    strategy = strategy_named(name)
    assert isinstance(strategy, Strategy)
    assert strategy == strategy_from_text(name) == strategy_named(f" {name.upper().replace('_', '-')} ")


@pytest.mark.parametrize("name", IN_POLICY)
def test_a_strategy_is_the_same_after_a_trip_through_json_data(name: str) -> None:
    strategy = strategy_named(name)
    assert from_spec(to_spec(strategy)) == strategy


def test_settings_as_text(tmp_path: Path) -> None:
    assert strategy_from_text("beam:width=sqrt,max_rounds=9,merge=true") == Beam("sqrt", 9, merge=True)
    assert strategy_from_text("DVTS:merge=False,width=2") == DVTS(2)
    assert strategy_from_text("sequential-revision:ratio=0.25,select=majority") == SequentialRevision(
        0.25, select="majority"
    )
    policy = Policy((), (1,), ((Beam(),),), probe=3)
    policy.save(tmp_path / "policy.json")
    made = strategy_from_text(f"compute_optimal:policy={tmp_path / 'policy.json'},probe=2")
    assert made == ComputeOptimalScheduler(policy, 2)
    assert strategy_from_text(f"adaptive_scheduler:policy={tmp_path / 'policy.json'}").policy == policy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("beem", r"unknown strategy 'beem'; did you mean beam\? Known: ab_mcts, adaptive"),
        (
            "beam:breadth=4",
            "'breadth=4' is no setting of beam; write name:key=value,key=value with aggregate",
        ),
        ("beam:width", "'width' is no setting of beam"),
        ("beam:", "'' is no setting of beam"),
        ("majority_vote:wave=1", "with no settings"),
        ("beam:merge=yes", "merge must be True or False; got 'yes'"),
        ("beam:width=true", "width must be a positive integer"),
        ("beam:width=0", "width must be a positive integer"),
    ],
)
def test_text_that_describes_no_strategy_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        strategy_from_text(text)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"name": "compute_optimal"}, 'an object with a "name", one of majority_vote'),
        ({"name": "beam", "breadth": 1}, "beam has no setting breadth"),
        ({"name": "lookahead", "k": True}, "settings of lookahead do not fit: k must be a number or a name; got True"),
        ({"name": "beam", "merge": "yes"}, "settings of beam do not fit: merge must be True or False"),
        ([], 'an object with a "name"'),
    ],
)
def test_data_that_describes_no_strategy_is_refused(spec: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_spec(spec)


def test_what_holds_a_policy_is_not_saved_in_one() -> None:
    with pytest.raises(ValueError, match="cannot be saved in a policy; those that can: majority_vote"):
        to_spec(ComputeOptimalScheduler())


def test_a_policy_written_before_a_setting_existed_is_read_with_its_default() -> None:
    assert from_spec({"name": "beam", "width": 4, "max_rounds": 40, "aggregate": "last"}) == Beam()


def test_a_new_strategy_is_one_line_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is then known to ``solve``, sweeps and policies alike."""
    monkeypatch.setitem(STRATEGIES, "mine", "adaptive.AdaptiveConsistency")
    assert names.strategy_named("mine") == adaptive.AdaptiveConsistency()
