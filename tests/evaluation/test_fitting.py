"""The scheduler's policy: what is fitted, that the scheduler does what was measured, and when it does not probe."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import ttscale
from evaluation.worlds import Examiner, Pupil, Student, problems
from ttscale.core.cost import Cost
from ttscale.evaluation import Record, Records, cross_validate_scheduler, fit_policy, probed, scheduled, sweep
from ttscale.evaluation.analyse.certainty import described, probability_best
from ttscale.evaluation.analyse.fitting import PROBED
from ttscale.evaluation.analyse.policies import two_folds
from ttscale.strategies import Beam, BestOfN, ComputeOptimalScheduler, MajorityVote, SequentialRevision, WeightedBestOfN

MENU = {"weighted": WeightedBestOfN(), "beam": Beam(2), "revise": SequentialRevision(1.0)}


def measured(count: int = 24, cut: float = 0.05) -> Records:
    return sweep(
        probed(MENU, 3),
        [2, 4, 9],
        problems(count),
        generator=Student(cut),
        verifier=Examiner(),
        reviser=Pupil(),
        seeds=(0, 1),
        progress=False,
    )


def test_the_records_of_the_menu_are_those_of_the_scheduler() -> None:
    """What is read off the arms is what the scheduler with the fitted policy does, question by question, probe paid."""
    records = measured()
    found = cross_validate_scheduler(records, MENU, thresholds=3, probe=3)
    for half in (0, 1):
        own = [problem for problem in problems(24) if found.folds[problem.id] == half]
        real = sweep(
            {"scheduler": ComputeOptimalScheduler(found.policies[1 - half])},
            [2, 4, 9],
            own,
            generator=Student(0.05),
            verifier=Examiner(),
            reviser=Pupil(),
            seeds=(0, 1),
            progress=False,
        )
        for budget, seed, problem in product([2, 4, 9], (0, 1), own):
            read = scheduled(records, found.policies[1 - half], MENU, budget, seed, problem.id)
            ran = real.get("scheduler", budget, seed, problem.id)
            assert (read.answer, read.score, read.cost, read.difficulty) == (
                ran.answer,
                ran.score,
                ran.cost,
                ran.difficulty,
            )
            row, column = list(found.outcomes.questions).index(problem.id), (0, 1).index(seed)
            assert found.outcomes.correct[budget][row, column] == ran.correct


def test_the_scheduler_is_fitted_on_the_other_half_alone() -> None:
    records = measured()
    found = cross_validate_scheduler(records, MENU, thresholds=3, probe=3)
    for half in (0, 1):
        own = [question for question in records.questions if found.folds[question] == half]
        assert found.policies[half] == fit_policy(records, MENU, thresholds=3, probe=3, questions=own)
    assert found.final == fit_policy(records, MENU, thresholds=3, probe=3)
    assert found.final.probe == 3
    assert found.final.budgets == (2, 4, 9)


def test_a_policy_goes_to_disk_with_its_provenance_and_is_loaded_by_the_scheduler(tmp_path: Path) -> None:
    provenance = {"models": {"generator": "student"}, "data": "toy"}
    policy = fit_policy(measured(), MENU, thresholds=3, probe=3, provenance=provenance)
    policy.save(tmp_path / "policy.json")
    loaded = ComputeOptimalScheduler.load(tmp_path / "policy.json").policy
    assert loaded == policy
    assert loaded is not None
    assert dict(loaded.provenance) == {
        "source": "ttscale.evaluation.fit_policy",
        "questions": 24,
        "seeds": [0, 1],
        "menu": {name: repr(strategy) for name, strategy in MENU.items()},
        "certainty": dict(loaded.provenance)["certainty"],
        "versions": dict(loaded.provenance)["versions"],
        "models": {"generator": "student"},
        "data": "toy",
    }
    assert set(dict(loaded.provenance)["versions"]) >= {"python", "ttscale", "numpy"}
    result = ttscale.solve(
        "0.5 of 3",
        6,
        strategy=ComputeOptimalScheduler(loaded),
        generator=Student(),
        reviser=Pupil(),
        verifier=type("Student's", (Examiner,), {})(),
    )
    assert result.cost.generations == 6


CLEAR = {"a": MajorityVote(), "b": BestOfN()}


def clear_case(plain: dict[str, float], count: int = 12) -> Records:
    """Easy questions (difficulty below 1/2): arm a is right; hard ones: arm b. Without a probe an arm is right on the
    first questions, as many as ``plain`` says."""
    return Records(
        Record(
            first + arm,
            repr(probed(CLEAR, 4)[first + arm]),
            4,
            0,
            f"q{i}",
            "d",
            "m",
            "1",
            0.5,
            (arm == "a") == (i < count / 2) if first else i < plain[arm] * count,
            Cost(),
            difficulty=(0.2 if i < count / 2 else 0.7) + 0.005 * i if first else None,
        )
        for first in ("", PROBED)
        for arm in ("a", "b")
        for i in range(count)
    )


def test_a_scheduler_fitted_to_a_clear_case_chooses_what_pays() -> None:
    records = clear_case({"a": 0.5, "b": 0.5})
    policy = fit_policy(records, CLEAR, thresholds=2, probe=4)
    assert policy.thresholds == pytest.approx((0.4775,))
    assert policy.strategies == ((MajorityVote(),), (BestOfN(),))
    assert fit_policy(records, CLEAR, thresholds=(0.4,), probe=4).strategies == policy.strategies
    records = clear_case({"a": 0.5, "b": 0.5}, 60)
    assert cross_validate_scheduler(records, CLEAR, thresholds=(0.6,), probe=4).outcomes.accuracy(4).value == 1.0


def test_where_a_look_does_not_pay_nobody_looks() -> None:
    """With a probe everything is right, but without one too: so arm b without a probe, which is as good for less."""
    records = clear_case({"a": 0.5, "b": 1.0})
    policy = fit_policy(records, CLEAR, thresholds=2, probe=4)
    assert policy.strategies == ((BestOfN(),), (BestOfN(),))
    assert policy.fixed_strategy(4) == policy.constant == BestOfN()
    assert described(policy) == "constant: BestOfN(aggregate='last') at every N and every difficulty; nothing is probed"
    # On the easy half both arms are always right: nothing says that b is better there.
    easy, hard = policy.provenance["certainty"]
    assert (easy["probability"], easy["lead"]["value"]) == (0.5, 0.0)
    assert (hard["probability"], hard["lead"]["value"], hard["lead"]["low"]) == (1.0, 1.0, 1.0)
    assert scheduled(records, policy, CLEAR, 4, 0, "q3") == records.get("b", 4, 0, "q3")


def one_for_all(accuracy: dict[str, float], count: int = 40) -> tuple[dict[str, ttscale.Strategy], Records]:
    """A menu, and records of a question's ``count``-th part right, the same part of the easy ones and the hard ones."""
    menu: dict[str, ttscale.Strategy] = {"best": BestOfN(), "beam": Beam(4)}
    arms = probed(menu, 4)
    hard = [i % 2 for i in range(count)]
    records = Records(
        Record(
            arm,
            repr(arms[arm]),
            16,
            0,
            f"q{i}",
            "d",
            "m",
            "1",
            0.5,
            i // 2 < accuracy[arm] * count / 2,
            Cost(),
            difficulty=0.2 + 0.5 * hard[i] + 0.001 * i if arm.startswith(PROBED) else None,
        )
        for arm in arms
        for i in range(count)
    )
    return menu, records


def test_one_strategy_that_is_the_best_after_a_probe_in_every_bin_is_not_run_without_it() -> None:
    """The policy of one strategy never probes, so what counts is how strategies do alone: .3 and .6."""
    menu, records = one_for_all({"best": 0.6, "beam": 0.3, PROBED + "best": 0.5, PROBED + "beam": 0.8})
    policy = fit_policy(records, menu, thresholds=2, probe=4)
    assert policy.fixed_strategy(16) == BestOfN()
    ran = [scheduled(records, policy, menu, 16, 0, question).correct for question in records.questions]
    assert np.mean(ran) == 0.6
    found = cross_validate_scheduler(records, menu, thresholds=2, probe=4)
    assert found.outcomes.accuracy(16).value == pytest.approx(0.6)
    assert {row["choice"] for row in policy.provenance["certainty"]} == {"best"}


def test_a_half_that_would_not_probe_does_not_speak_for_the_probe() -> None:
    """One half of the questions chooses beam for both bins after a probe, and so would not probe. With the probe that
    choice is right on .9 of the other half, which chooses by bin and is right on .7 of the first. Best-of-N alone is
    right on .75 of both, so the look does not pay, though (.9 + .7) / 2 is more."""
    menu, records = one_for_all(dict.fromkeys(("best", "beam", PROBED + "best", PROBED + "beam"), 0.0))
    shares = {  # by arm and half: of the easy questions, of the hard ones
        ("best", 0): (0.8, 0.7),
        ("best", 1): (0.8, 0.7),
        ("beam", 0): (0.0, 0.0),
        ("beam", 1): (0.0, 0.0),
        (PROBED + "beam", 0): (0.5, 1.0),
        (PROBED + "best", 0): (0.4, 0.0),
        (PROBED + "beam", 1): (0.8, 1.0),
        (PROBED + "best", 1): (1.0, 0.0),
    }
    folds = two_folds(dict.fromkeys(records.questions, 0))
    halves = [[question for question in records.questions if folds[question] == half] for half in (0, 1)]

    def changed(record: Record) -> Record:
        half = folds[record.question]
        place = halves[half].index(record.question)
        right = place // 2 < 10 * shares[record.arm, half][place % 2]
        difficulty = None if record.difficulty is None else 0.2 + 0.5 * (place % 2)
        return replace(record, correct=right, difficulty=difficulty)

    policy = fit_policy(Records(map(changed, records)), menu, thresholds=(0.5,), probe=4)
    assert policy.fixed_strategy(16) == BestOfN()


def test_a_fit_says_how_sure_its_choices_are() -> None:
    policy = fit_policy(clear_case({"a": 0.5, "b": 0.5}), CLEAR, thresholds=2, probe=4)
    assert policy.constant is None
    assert described(policy) == "by difficulty at N = 4"
    assert [(row["bin"], row["budget"], row["choice"], row["runner_up"]) for row in policy.provenance["certainty"]] == [
        (0, 4, "a", "b"),
        (1, 4, "b", "a"),
    ]
    assert [(row["probability"], row["questions"]) for row in policy.provenance["certainty"]] == [(1.0, 6), (1.0, 6)]


def test_the_probability_of_being_best_against_every_resample() -> None:
    """All 4^4 ways to draw four questions again; 10,000 random ones have a standard error of at most .005."""
    correct = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [1.0, 0.0, 0.0], [0.5, 0.5, 1.0]])
    shares = np.zeros(3)
    for rows in product(range(4), repeat=4):
        means = correct[list(rows)].mean(axis=0)
        best = means == means.max()
        shares += best / best.sum() / 4**4
    for place in range(3):
        assert probability_best(correct, place) == pytest.approx(shares[place], abs=0.02)


def test_a_menu_of_one_is_sure_and_has_no_runner_up() -> None:
    kwargs = {"generator": Student(), "verifier": Examiner(), "progress": False}
    records = sweep(probed({"weighted": WeightedBestOfN()}, 2), [4], problems(6), **kwargs)  # type: ignore[arg-type]
    (row,) = fit_policy(records, {"weighted": WeightedBestOfN()}, thresholds=1, probe=2).provenance["certainty"]
    assert (row["choice"], row["probability"], row["runner_up"], row["lead"]) == ("weighted", 1.0, None, None)


def test_one_strategy_for_all_is_searched_with_all_of_the_budget() -> None:
    policy = ttscale.strategies.Policy((0.5,), (1, 4), ((Beam(2), MajorityVote()), (Beam(2), BestOfN())), probe=2)
    roles = {"generator": Student(), "verifier": Examiner()}
    alone = ttscale.solve("0.5 of 3", 3, strategy=Beam(2), **roles)
    found = ttscale.solve("0.5 of 3", 3, strategy=ComputeOptimalScheduler(policy), **roles)
    assert (found.candidates, found.scores, found.cost) == (alone.candidates, alone.scores, alone.cost)
    assert "any difficulty -> Beam" in found.strategy
    looked = ttscale.solve("0.5 of 3", 4, strategy=ComputeOptimalScheduler(policy), **roles)
    assert sum(candidate.key.path[2] == "probe" for candidate in looked.candidates) == 2
    asked_to = ttscale.solve("0.5 of 3", 3, strategy=ComputeOptimalScheduler(policy, probe=1), **roles)
    assert sum(candidate.key.path[2] == "probe" for candidate in asked_to.candidates) == 1


def test_an_arm_may_lack_budgets_that_it_is_not_to_be_chosen_for() -> None:
    """At N = 16 only one arm was run, without a probe: it is what the policy names there."""
    kwargs = {"generator": Student(), "verifier": Examiner(), "progress": False}
    menu = {"weighted": WeightedBestOfN(), "beam": Beam(2)}
    small = sweep(probed(menu, 2), [4], problems(12), **kwargs)  # type: ignore[arg-type]
    records = small.joined(sweep({"weighted": WeightedBestOfN()}, [16], problems(12), **kwargs))  # type: ignore[arg-type]
    policy = fit_policy(records, menu, thresholds=2, probe=2)
    assert policy.budgets == (4, 16)
    assert policy.fixed_strategy(16) == WeightedBestOfN()
    first = {PROBED + "beam": probed(menu, 2)[PROBED + "beam"]}
    both = records.joined(sweep(first, [8], problems(12), **kwargs))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no arm without a probe has records at N = 8; sweep all of probed"):
        fit_policy(both, menu, thresholds=2, probe=2)


def test_records_of_another_menu_or_probe_are_refused() -> None:
    records = measured(8)
    own = {"thresholds": 1, "probe": 3}
    with pytest.raises(ValueError, match=r"records of 'beam' are those of Beam\(width=2.* make it Beam\(width=4"):
        fit_policy(records, {**MENU, "beam": Beam(4)}, **own)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"records of 'probe, then revise' are those of .*; fit on a sweep of probed"):
        fit_policy(records, {**MENU, "revise": SequentialRevision(2.0)}, **own)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"records of 'probe, then weighted' are those of .*probe=3.*and probe = 2"):
        cross_validate_scheduler(records, MENU, thresholds=1, probe=2)
    blind = Records(replace(record, difficulty=None) for record in clear_case({"a": 0.5, "b": 0.5}))
    with pytest.raises(ValueError, match="hold no probe"):
        fit_policy(blind, CLEAR, thresholds=1, probe=4)
    for probe in (0, True, 1.5):
        with pytest.raises(ValueError, match="probe must be a positive integer"):
            fit_policy(records, MENU, thresholds=1, probe=probe)  # type: ignore[arg-type]


def test_what_cannot_be_fitted_is_refused() -> None:
    records = measured(8)
    with pytest.raises(ValueError, match="difficulty bin 3 of 3 is empty"):
        fit_policy(records, MENU, thresholds=(0.5, 0.9999), probe=3)
    with pytest.raises(ValueError, match="no questions to fit"):
        fit_policy(records, MENU, thresholds=2, probe=3, questions=[])
    with pytest.raises(ValueError, match="no records of 'probe, then weighted'"):
        fit_policy(records.only(list(MENU)), MENU, thresholds=2, probe=3)
    menu = {"majority": MajorityVote()}
    named = {"majority": MajorityVote(), PROBED + "majority": MajorityVote()}
    unprobed = sweep(named, [2], problems(4), generator=Student(), progress=False)
    with pytest.raises(ValueError, match=r"records of 'probe, then majority' are those of MajorityVote\(\)"):
        fit_policy(unprobed, menu, thresholds=1, probe=3)
