"""The whole study on a toy world: it goes on after a kill, and its report holds what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.killing import killed
from evaluation.worlds import Examiner, Pupil, Student, problems
from ttscale.core.requests import Sample
from ttscale.evaluation import of_arm, ratio_grid, revision_arms, search_arms, sweep
from ttscale.evaluation.analyse.fitting import PROBED
from ttscale.evaluation.analyse.flops import read_ladder
from ttscale.evaluation.report.contents import study_report
from ttscale.evaluation.report.figure_data import Figure
from ttscale.evaluation.report.page import Table
from ttscale.evaluation.report.settings import StudySettings, reduced
from ttscale.evaluation.report.study import Study, run_study
from ttscale.evaluation.report.tables import Findings, headline_table
from ttscale.strategies import ComputeOptimalScheduler, MajorityVote, SequentialRevision

SETTINGS = replace(reduced(), budgets=(1, 4), samples=8, chain_length=4, bins=2, probe=2)
LADDER = {
    "small": {"name": "S", "parameters": 1e6, "pretraining": 1e12, "finetuning": 1e11, "inference": 1e7},
    "large": {"name": "L", "parameters": 14e6, "pretraining": 1e13, "inference": 1e8},
}


class Giant(Student):
    """A larger model that decodes greedily: always its best."""

    name = "giant"


def study(folder: Path, settings: StudySettings = SETTINGS, count: int = 16, reviser: bool = True) -> Study:
    ladder = folder.parent / "ladder.json"
    ladder.parent.mkdir(parents=True, exist_ok=True)
    ladder.write_text(json.dumps(LADDER))
    return run_study(
        problems(count),
        folder,
        settings,
        generator=Student(0.05),
        verifier=Examiner(),
        reviser=Pupil() if reviser else None,
        large=Giant(),
        ladder=ladder,
        data="toy",
        progress=False,
    )


def test_a_killed_study_goes_on_and_reports_the_same(tmp_path: Path) -> None:
    for moment in (1, 2, 3):
        killed(study, tmp_path / "a", moment=moment)
    one, other = study(tmp_path / "a"), study(tmp_path / "b")
    assert one.records == other.records
    assert one.fitted.final == other.fitted.final
    assert one.headline == other.headline
    assert study_report(Findings(one)) == study_report(Findings(other))


def test_the_whole_reduced_study_of_fifty_questions(tmp_path: Path) -> None:
    made = study(tmp_path / "s", reduced(), 50)
    assert made.fitted.outcomes.correct[16].shape == (50, 1)
    assert made.pool.size == 16
    assert study_report(Findings(made)).parts


def test_arms_for_figures_only_may_have_fewer_seeds(tmp_path: Path) -> None:
    made = study(tmp_path / "s", replace(SETTINGS, seeds=(0, 1), figure_seeds=(0,)))
    assert (made.headline.seeds, made.records.seeds) == ((0, 1), (0,))
    assert "lookahead k = 1, M = sqrt(N)" not in made.headline.arms
    assert {"weighted best-of-N", "revisions all parallel", f"{PROBED}beam, M = 4"} <= set(made.headline.arms)
    assert made.fitted.outcomes.correct[4].shape == (16, 2)
    found = Findings(made)
    assert found.arms["weighted best-of-N"].correct[4].shape == (16, 2)
    assert found.shown["weighted best-of-N"].correct[4].shape == (16, 1)
    assert study_report(found).parts


def test_a_study_is_extended_to_more_questions_and_seeds(tmp_path: Path) -> None:
    """The policies of the halves may change with them, and the adaptive scheduler's records do then."""
    more = replace(SETTINGS, seeds=(0, 1))

    def one(folder: Path, settings: StudySettings, count: int) -> Study:
        some = problems(24)[:count]
        return run_study(some, folder, settings, generator=Student(0.05), verifier=Examiner(), progress=False)

    one(tmp_path / "s", SETTINGS, 16)
    one(tmp_path / "s", SETTINGS, 24)
    extended, fresh = one(tmp_path / "s", more, 24), one(tmp_path / "f", more, 24)
    assert extended.fitted.final == fresh.fitted.final
    assert study_report(Findings(extended)) == study_report(Findings(fresh))
    assert len(list((tmp_path / "s").glob("adaptive-0-*.jsonl"))) > 1


def test_parts_may_have_fewer_questions_and_some_more_samples(tmp_path: Path) -> None:
    settings = replace(SETTINGS, figure_questions=10, deep_questions=6, deep_samples=16)
    told: list[tuple[str, int, int]] = []
    made = run_study(
        problems(16),
        tmp_path,
        settings,
        generator=Student(0.05),
        verifier=Examiner(),
        second=Examiner(0.5),
        progress=lambda *news: told.append(news),
    )
    assert [len(records.questions) for records in (made.headline, made.records)] == [16, 10]
    assert (made.pool.size, len(made.pool.questions)) == (8, 16)
    assert made.deep is not None
    assert made.deep_records is not None
    assert (made.deep.size, made.deep.questions) == (16, tuple(f"q{i}" for i in range(6)))
    assert made.deep_records.cells == tuple(("beam, M = 4", n) for n in (1, 4, 16))
    report = study_report(Findings(made))
    assert dict(report.about)["data"] == (
        "given problems, 16 questions, 10 of them for what only figures show, 6 with 16 samples each"
    )
    table = next(part for part in report.parts if part.title == "Over-optimisation and what reduces it")
    assert isinstance(table, Table)
    assert table.header == ("way to choose", "N = 1", "N = 4", "N = 16")
    assert "weighted, mean of two verifiers" in [row[0] for row in table.rows]
    assert list(dict.fromkeys(stage for stage, done, total in told if done == total)) == [
        "headline",
        "pool",
        "figures",
        "deep pool",
        "deep searches",
        "second verifier",
        "adaptive",
    ]


def test_a_policy_fitted_elsewhere_is_scored_too(tmp_path: Path) -> None:
    policy = study(tmp_path / "s").fitted.final
    given = {"generator": Student(0.05), "verifier": Examiner(), "reviser": Pupil(), "progress": False}
    made = run_study(problems(16), tmp_path / "s", SETTINGS, policy=policy, **given)  # type: ignore[arg-type]
    real = sweep({"s": ComputeOptimalScheduler(policy)}, [1, 4], problems(16), **given)  # type: ignore[arg-type]
    assert made.given is not None
    assert [made.given.accuracy(n) for n in (1, 4)] == [real.accuracy("s", n) for n in (1, 4)]
    assert made.given.name in [row[0].rpartition(",")[0] for row in headline_table(Findings(made)).rows]
    foreign = replace(policy, strategies=((MajorityVote(),) * 2,) * len(policy.strategies))
    with pytest.raises(ValueError, match=r"the policy names MajorityVote\(\), which the study does not run"):
        run_study(problems(16), tmp_path / "s", SETTINGS, policy=foreign, **given)  # type: ignore[arg-type]


def test_the_report_has_every_part(tmp_path: Path) -> None:
    report = study_report(Findings(study(tmp_path / "s")), "ttscale report")
    titles = [part.name if isinstance(part, Figure) else part.title for part in report.parts]
    assert titles == [
        "pareto",
        "Four times less compute",
        "compute_optimal_search",
        "accuracy_against_budget",
        "bars_by_bin",
        "pool_curves",
        "aggregation",
        "Deciding while spending",
        "difficulty",
        "What predicting difficulty costs",
        "Predicted difficulty bins, n = 2",
        "along_the_chain",
        "ratio_curves",
        "compute_optimal_revisions",
        "FLOPs-matched budgets for a model 14.0 times as large",
        "flops_matched_paper_c1",
        "flops_matched_paper_c2",
        "flops_matched_measured",
        "What the two models cost, in FLOPs",
        "Cost per question",
        "The fitted policy",
        "How sure the policy is",
    ]
    about = dict(report.about)
    assert about["data"] == "toy, 16 questions"
    assert (about["generator"], about["verifier"], about["reviser"]) == ("student", "examiner", "pupil")
    assert about["made by"] == "ttscale report"


def test_without_reviser_and_larger_model_their_parts_are_left_out(tmp_path: Path) -> None:
    made = run_study(problems(16), tmp_path, SETTINGS, generator=Student(), verifier=Examiner(), progress=False)
    report = study_report(Findings(made))
    titles = [part.name if isinstance(part, Figure) else part.title for part in report.parts]
    assert not {"along_the_chain", "ratio_curves", "compute_optimal_revisions"} & set(titles)
    flops = [title for title in titles if "flops" in title.lower()]
    assert flops == ["FLOPs-matched budgets for a model 14.0 times as large"]
    assert set(made.arms.menu) == {"weighted best-of-N", "beam, M = 4"}


def test_numbers_in_the_report_are_those_of_the_records(tmp_path: Path) -> None:
    made = study(tmp_path / "s")
    found = Findings(made)
    report = study_report(found)
    figures = {part.name: part for part in report.parts if isinstance(part, Figure)}
    tables = {part.title: part for part in report.parts if isinstance(part, Table)}
    for line in figures["accuracy_against_budget"].panels[0].series:
        for budget, value in zip(line.x, line.y, strict=True):
            assert value == pytest.approx(np.mean(made.records.correct(line.name, int(budget))))
    headline = tables["Four times less compute"].rows[0]
    ours, theirs = made.fitted.outcomes, of_arm(made.records, "weighted best-of-N")
    assert headline[0] == "compute-optimal, probe paid, N = 1"
    assert headline[4] == str(ours.gain(1, theirs, 4))
    spent = {(row[0], row[1]): float(row[2]) for row in tables["Deciding while spending"].rows}
    assert spent["batch allocation", "4"] == 4
    assert spent["adaptive consistency", "4"] <= 4
    assert spent["weighted best-of-N", "4"] == 4
    assert spent["compute-optimal, probe paid", "4"] == 4


def test_the_pool_is_not_the_samples_that_are_scored() -> None:
    with pytest.raises(ValueError, match="pool_seed = 0 must not be one of the seeds"):
        StudySettings(pool_seed=0)


def test_the_policy_it_fits_is_a_schedulers(tmp_path: Path) -> None:
    made = study(tmp_path / "s")
    made.fitted.final.save(tmp_path / "policy.json")
    policy = ComputeOptimalScheduler.load(tmp_path / "policy.json").policy
    assert policy == made.fitted.final
    provenance = dict(made.fitted.final.provenance)
    assert provenance["models"] == {"generator": "student", "verifier": "examiner", "reviser": "pupil"}
    assert (provenance["data"], provenance["questions"], provenance["seeds"]) == ("toy", 16, [0])
    assert len(provenance["problems"]) == 12
    assert list(provenance["menu"]) == ["weighted best-of-N", "beam, M = 4", "revisions 1:1"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"budgets": (3, 4)}, "powers of 2"),
        ({"budgets": (4,)}, "at least two ascending"),
        ({"budgets": (4, 1)}, "at least two ascending"),
        ({"seeds": ()}, "must not be one of the seeds"),
        ({"samples": 0}, "samples must be"),
        ({"probe": 1.5}, "probe must be"),
        ({"probe": 64}, "leaves nothing to spend"),
    ],
)
def test_bad_settings(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StudySettings(**settings)  # type: ignore[arg-type]


def test_a_study_needs_a_verifier(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pass verifier="):
        run_study(problems(4), tmp_path, SETTINGS, generator=Student(), progress=False)


@pytest.mark.parametrize("content", ["{}", "nonsense", '{"small": {"name": "S"}, "large": {}}'])
def test_a_ladder_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "ladder.json").write_text(content)
    with pytest.raises(ValueError, match="is no ladder: expected"):
        read_ladder(tmp_path / "ladder.json")


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [
        ("small", "inference", 0),
        ("small", "pretraining", -1e12),
        ("large", "parameters", "14e6"),
        ("large", "parameters", True),
        ("large", "inference", None),
        ("large", "finetuning", float("nan")),
        ("small", "finetuning", float("inf")),
    ],
)
def test_a_ladder_of_impossible_numbers(tmp_path: Path, model: str, key: str, value: object) -> None:
    changed = {**LADDER, model: {**LADDER[model], key: value}}
    (tmp_path / "ladder.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=rf"ladder\.json: the {model} model's {key} must be a finite number .*; got "):
        read_ladder(tmp_path / "ladder.json")


def test_the_papers_menus() -> None:
    assert {n: ratio_grid(n) for n in (1, 2, 8, 16)} == {
        1: (1.0,),
        2: (0.5, 2.0),
        8: (1 / 8, 1 / 2, 2.0, 8.0),
        16: (1 / 16, 1 / 4, 1.0, 4.0, 16.0),
    }
    assert ratio_grid(128) == (1 / 128, 1 / 32, 1 / 8, 1 / 2, 2, 8, 32, 128)
    assert ratio_grid(256) == (1 / 256, 1 / 16, 1, 16, 256)
    arms = {arm.name: arm for arm in revision_arms([4, 16])}
    assert {name: arm.budgets for name, arm in arms.items()} == {
        "revisions 1:16": (16,),
        "revisions 1:4": (4, 16),
        "revisions 1:1": (4, 16),
        "revisions 4:1": (4, 16),
        "revisions 16:1": (16,),
    }
    assert arms["revisions 1:4"].strategy == SequentialRevision(0.25)
    few = revision_arms([4, 16], (1.0,), "majority")
    assert [(arm.name, arm.budgets) for arm in few] == [
        ("revisions 1:16, majority", (16,)),
        ("revisions 1:4, majority", (4,)),
        ("revisions 1:1, majority", (4, 16)),
        ("revisions 4:1, majority", (4,)),
        ("revisions 16:1, majority", (16,)),
    ]
    assert len({arm.name for arm in search_arms()}) == 9


def test_a_question_that_cannot_be_answered_is_left_out_of_a_study(tmp_path: Path) -> None:
    """It fails again at every start: a study that insisted on it would never end."""

    class Stuck(Student):
        def sample(self, requests: Sequence[Sample]) -> Any:
            if any(request.question.id == problems(16)[3].id for request in requests):
                raise ValueError("this one is too long")
            return super().sample(requests)

    with pytest.warns(UserWarning, match="failed"):
        made = run_study(
            problems(16), tmp_path / "s", SETTINGS, generator=Stuck(0.05), verifier=Examiner(), progress=False
        )
    assert len(made.headline.questions) == len(made.pool.questions) == 15
    assert study_report(Findings(made)).parts
