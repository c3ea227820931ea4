"""The policy as data: what its text tells apart."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ttscale.strategies import Beam, BestOfN, ComputeOptimalScheduler, MajorityVote, Policy, WeightedBestOfN
from ttscale.strategies.policy import default_policy

POLICY = Policy((0.5,), (1, 4), ((MajorityVote(), Beam(2)), (MajorityVote(), Beam(4))), probe=2)


def test_its_text_tells_policies_apart_by_what_they_do() -> None:
    assert re.fullmatch(
        r"Policy\(thresholds=\(0\.5,\), budgets=\(1, 4\), strategies=[0-9a-f]{8}, probe=2\)", repr(POLICY)
    )
    others = [
        replace(POLICY, strategies=((MajorityVote(), Beam(4)), (MajorityVote(), Beam(2)))),
        replace(POLICY, strategies=((BestOfN(), Beam(2)), (MajorityVote(), Beam(4)))),
        replace(POLICY, strategies=((MajorityVote(), Beam(2)), (MajorityVote(), Beam(4, aggregate="min")))),
        replace(POLICY, probe=None),
        replace(POLICY, thresholds=(0.4,)),
        replace(POLICY, budgets=(1, 8)),
    ]
    assert len({repr(one) for one in [POLICY, *others]}) == 7
    assert repr(replace(POLICY, provenance={"data": "mine"})) == repr(POLICY)
    assert repr(Policy.from_json(POLICY.to_json())) == repr(POLICY)
    assert repr(Policy.from_json(default_policy(frozenset()).to_json())) == repr(default_policy(frozenset()))


def test_the_text_of_a_policy_with_strategies_of_ones_own() -> None:
    class Mine(WeightedBestOfN):
        pass

    one, other = (replace(POLICY, strategies=((mine, Beam(2)),) * 2) for mine in (Mine(), Mine("min")))
    assert repr(one) != repr(other)


def test_strategies_without_a_policy_print_as_ever() -> None:
    assert repr(ComputeOptimalScheduler()) == "ComputeOptimalScheduler(policy=None, probe=None, aggregate='last')"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("probe", 2.5, "the policy's probe must be a positive integer, or null; got 2.5"),
        ("probe", "4", "the policy's probe must be"),
        ("probe", True, "the policy's probe must be"),
        ("probe", 0, "the policy's probe must be"),
        ("budgets", [1.9, 4], r"the policy's budgets must be a list of ascending positive integers, such as .*; got"),
        ("budgets", ["1", "4"], "the policy's budgets must be"),
        ("budgets", [True, 4], "the policy's budgets must be"),
        ("budgets", "14", "the policy's budgets must be"),
        ("budgets", [4, 1], "budgets must be ascending"),
        ("thresholds", "0.5", "the policy's thresholds must be a list of ascending numbers between 0 and 1"),
        ("thresholds", [float("nan")], "the policy's thresholds must be"),
        ("thresholds", [10**400], "the policy's thresholds must be"),
        ("thresholds", None, "the policy's thresholds must be"),
        ("strategies", "ab", "the policy's strategies must be a list of one list of strategies"),
        ("strategies", [None, None], "the policy's strategies must be"),
        ("strategies", [[{"name": ["x"]}] * 2] * 2, 'an object with a "name"'),
        ("strategies", [[{"name": "beam", "width": True}] * 2] * 2, "settings of beam do not fit: width must be"),
        ("strategies", [[{"name": "sequential_revision", "ratio": "1"}] * 2] * 2, "settings of sequential_revision do"),
        ("provenance", [1], "the policy's provenance must be an object, or null"),
        ("provenance", {"models": ["a"]}, r"the policy's provenance\.models must be an object"),
    ],
)
def test_fields_of_the_wrong_kind_are_named(tmp_path: Path, field: str, value: object, said: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({**POLICY.to_json(), field: value}))
    with pytest.raises(ValueError, match=said) as raised:
        Policy.load(path)
    assert str(raised.value).startswith(f"{path}: ")


@pytest.mark.parametrize("field", ["thresholds", "budgets", "strategies"])
def test_a_field_that_is_missing_is_named(field: str) -> None:
    with pytest.raises(ValueError, match=f"the policy lacks the field '{field}'; write a list"):
        Policy.from_json({name: value for name, value in POLICY.to_json().items() if name != field})


def test_probe_and_provenance_may_be_missing() -> None:
    data = {name: value for name, value in POLICY.to_json().items() if name not in ("probe", "provenance")}
    assert Policy.from_json(data) == replace(POLICY, probe=None)
