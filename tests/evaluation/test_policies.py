"""Cross-validation as in the paper: its bookkeeping, and that nothing is chosen by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pytest

from ttscale.core.cost import Cost
from ttscale.evaluation import Bins, Record, Records, absolute_bins, cross_validate
from ttscale.evaluation.analyse.policies import choose, two_folds


def made(right: Mapping[str, Mapping[str, Sequence[int]]], budgets: Sequence[int] = (4,), tokens: int = 10) -> Records:
    """Records from right[arm][question] = one 0 or 1 per seed; the first arm samples fewest tokens."""
    return Records(
        Record(arm, arm, n, seed, question, "d", "m", "1", 0.5, bool(one), Cost(sampled_tokens=tokens + place))
        for place, (arm, own) in enumerate(right.items())
        for n in budgets
        for question, seeds in own.items()
        for seed, one in enumerate(seeds)
    )


def one_bin(records: Records) -> Bins:
    return Bins(dict.fromkeys(records.questions, 0), 1, ())


def test_halves_split_every_bin_and_do_not_depend_on_order() -> None:
    bins = {f"q{i}": i % 3 for i in range(32)}
    folds = two_folds(bins, seed=0)
    for bin_ in range(3):
        sizes = [sum(folds[q] == fold and bins[q] == bin_ for q in bins) for fold in (0, 1)]
        assert abs(sizes[0] - sizes[1]) <= 1
    assert two_folds(dict(reversed(bins.items())), seed=0) == folds
    assert two_folds(bins, seed=1) != folds


def test_the_best_of_one_half_is_scored_on_the_other_by_hand() -> None:
    """Arm a is right on one half only, b on the other only: each half chooses what the other half shows to be wrong."""
    questions = [f"q{i}" for i in range(8)]
    folds = two_folds(dict.fromkeys(questions, 0))
    records = made(
        {"a": {q: [int(folds[q] == 0)] for q in questions}, "b": {q: [int(folds[q] == 1)] for q in questions}}
    )
    found = cross_validate(records, one_bin(records), ["a", "b"])
    assert found.folds == folds
    assert [(c.fold, c.arm, c.accuracy) for c in found.choices] == [(0, "a", 1.0), (1, "b", 1.0)]
    assert found.outcomes.accuracy(4).value == 0.0  # in sample it would be 1.0


def brute_force(records: Records, bins: Bins, arms: Sequence[str], budget: int) -> float:
    """The paper's procedure spelled out: per bin, best on one fold, report on the other, swap, average."""
    per_bin = []
    folds = two_folds({q: bins.of[q] for q in records.questions})
    for bin_ in range(bins.count):
        reported = []
        for fit, test in ((0, 1), (1, 0)):
            on = [q for q in records.questions if bins.of[q] == bin_ and folds[q] == fit]
            off = [q for q in records.questions if bins.of[q] == bin_ and folds[q] == test]
            best = max(arms, key=lambda arm: (records.correct(arm, budget, on).mean(), -arms.index(arm)))
            reported.append(records.correct(best, budget, off).mean())
        per_bin.append(np.mean(reported))
    return float(np.mean(per_bin))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_papers_procedure(seed: int) -> None:
    rng = np.random.default_rng(seed)
    questions = [f"q{i}" for i in range(24)]
    arms = ["a", "b", "c"]
    right = {arm: {q: rng.integers(0, 2, 2).tolist() for q in questions} for arm in arms}
    records = made(right, budgets=(1, 4))
    bins = Bins({q: i % 3 for i, q in enumerate(questions)}, 3, None)
    found = cross_validate(records, bins, arms)
    for budget in (1, 4):
        assert found.outcomes.accuracy(budget).value == pytest.approx(brute_force(records, bins, arms, budget))


def test_no_question_takes_part_in_choosing_its_own_strategy() -> None:
    """Whatever is done to one question's records, its own outcome is what its other half chose before."""
    rng = np.random.default_rng(3)
    questions = [f"q{i}" for i in range(12)]
    arms = ["a", "b", "c"]
    right = {arm: {q: [int(rng.random() < 0.5)] for q in questions} for arm in arms}
    bins = Bins(dict.fromkeys(questions, 0), 1, ())
    before = {c.fold: c.arm for c in cross_validate(made(right), bins, arms).choices}
    for question, flips in product(questions[:4], product([0, 1], repeat=3)):
        changed = {arm: right[arm] | {question: [flip]} for arm, flip in zip(arms, flips, strict=True)}
        found = cross_validate(made(changed), bins, arms)
        chosen = before[1 - found.folds[question]]
        row = list(found.outcomes.questions).index(question)
        assert found.outcomes.correct[4][row, 0] == flips[arms.index(chosen)]


def test_ties_go_to_the_cheaper_arm_then_to_the_first() -> None:
    questions = [f"q{i}" for i in range(4)]
    same = {q: [1] for q in questions}
    records = made({"cheap": same, "dear": same})
    assert choose(records, questions, lambda *_: 0, ["dear", "cheap"])[0, 4].arm == "cheap"
    level = Records(
        Record(arm, arm, 4, 0, q, "d", "m", "1", 0.5, True, Cost(sampled_tokens=5)) for arm in "ab" for q in questions
    )
    assert choose(level, questions, lambda *_: 0, ["b", "a"])[0, 4].arm == "b"


def test_an_arm_without_a_budget_is_not_chosen_there() -> None:
    questions = [f"q{i}" for i in range(4)]
    small = made({"a": {q: [0] for q in questions}}, budgets=(2, 4))
    records = small.joined(made({"b": {q: [1] for q in questions}}, budgets=(4,)))
    found = choose(records, questions, lambda *_: 0, ["a", "b"])
    assert (found[0, 2].arm, found[0, 4].arm) == ("a", "b")


def test_what_cannot_be_chosen_from_is_refused() -> None:
    questions = [f"q{i}" for i in range(8)]
    records = made({"weighted": {q: [1] for q in questions}})
    with pytest.raises(ValueError, match="no records of 'dvts'"):
        cross_validate(records, one_bin(records), ["dvts"])
    with pytest.raises(ValueError, match="no arms"):
        cross_validate(records, one_bin(records), [])
    lonely = Bins({q: int(i == 0) for i, q in enumerate(records.questions)}, 2, None)
    with pytest.raises(ValueError, match=r"bin 2 of 2 has 1 question\(s\) with records; two-fold"):
        cross_validate(records, lonely, ["weighted"])
    empty = absolute_bins(dict.fromkeys(records.questions, 0.5), (0.2,))
    with pytest.raises(ValueError, match=r"bin 1 of 2 has 0 question\(s\)"):
        cross_validate(records, empty, ["weighted"])
    fewer = Bins(dict.fromkeys(questions[:6], 0), 1, ())
    with pytest.raises(ValueError, match="'q6' has records but no difficulty bin"):
        cross_validate(records, fewer, ["weighted"])
