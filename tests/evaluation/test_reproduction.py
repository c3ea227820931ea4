"""docs/reproduction.md says what is stored, and what is stored is what a study measured."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.worlds import Examiner, Pupil, Student, problems
from ttscale.evaluation.report.contents import study_report
from ttscale.evaluation.report.figure_data import Figure
from ttscale.evaluation.report.page import Table
from ttscale.evaluation.report.settings import StudySettings, reduced
from ttscale.evaluation.report.study import run_study
from ttscale.evaluation.report.tables import Findings
from ttscale.evaluation.statistics import Interval

ROOT = Path(__file__).parent.parent.parent
sys.path.append(str(ROOT / "benchmarks"))

from _contrasts import PRIMARY, corrected, judged, primary, score  # noqa: E402
from _contrasts import stored as stored_contrasts  # noqa: E402
from _reproduction_claims import HEADER, Claim, claims  # noqa: E402
from _reproduction_page import figure_of, figures_of, slug, stored, write_page  # noqa: E402
from _reproduction_plan import Log, full, planned, solutions  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "reproduction.json"
SEARCHED = ROOT / "benchmarks" / "results" / "step_search.json"
PAGE = ROOT / "docs" / "reproduction.md"
NAMES = {f"{name}.svg" for name in json.loads(RESULTS.read_text(encoding="utf-8"))["parts"]}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    settings = replace(reduced(), samples=8, chain_length=6, bins=3, probe=2, deep_questions=8, deep_samples=16)
    settings = replace(settings, search=None, menu=None)
    models = {"generator": Student(0.05), "verifier": Examiner(), "reviser": Pupil()}
    folder = tmp_path_factory.mktemp("study")
    return Findings(run_study(problems(18), folder, settings, large=Student(), progress=False, **models))


def test_the_page_is_the_one_made_of_the_stored_results() -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    assert write_page(page, results) == page
    assert "has no part" not in page
    assert RESULTS.stat().st_size < 2_000_000
    shown = {f"{figure.name}.svg" for figure in figures_of(results, page)}
    assert shown == {file.name for file in (ROOT / "docs" / "figures").glob("*.svg") if file.name in NAMES}
    searched = stored_contrasts(SEARCHED)
    assert results["contrasts"] == [one.to_json() for one in primary(results, searched)]


def test_verdicts_count_how_many_contrasts_there_are() -> None:
    """Of a difference .02 [.001, .039], P = .04 alone; beside three others that are not 0 by chance it is not shown."""
    weak = judged("weak", "", "", Interval(0.02, 0.001, 0.039), "ahead", 100, 1)
    strong = judged("strong", "", "", Interval(-0.2, -0.25, -0.15), "ahead", 100, 1)
    level = judged("level", "", "", Interval(0.0, -0.01, 0.01), "level", 100, 1)
    behind = judged("behind", "", "", Interval(-0.1, -0.13, -0.07), "level", 100, 1)
    nothing = judged("nothing", "", "", Interval(0.0, 0.0, 0.0), "ahead", 100, 1)
    assert weak.p == pytest.approx(math.erfc(0.02 / (0.038 / 3.919928) / math.sqrt(2)))
    assert [one.verdict for one in corrected([weak])] == ["same"]
    found = corrected([weak, strong, level, behind, nothing])
    assert [one.verdict for one in found] == ["not shown", "opposite", "same", "opposite", "not shown"]
    assert score(found) == "1 same, 2 opposite, 2 not shown"


def test_a_report_survives_being_stored(found: Findings) -> None:
    report = study_report(found)
    claim = Table("Point by point", HEADER, tuple(one.row for one in claims(found)))
    results = json.loads(json.dumps(stored(report, claim, found.study.fitted.final.to_json())))
    figures = [part for part in report.parts if isinstance(part, Figure)]
    assert [figure_of(results["parts"][one.name]) for one in figures] == figures
    names = {part.name if isinstance(part, Figure) else slug(part.title) for part in report.parts}
    assert names | {"claims"} == set(results["parts"])


def test_findings_are_judged_by_their_intervals() -> None:
    def verdict(expected: str, low: float, high: float) -> str:
        return Claim("", "", "", Interval((low + high) / 2, low, high), expected).verdict  # type: ignore[arg-type]

    assert [verdict("ahead", *ends) for ends in ((0.1, 0.2), (-0.1, 0.2), (-0.2, -0.1))] == [
        "same",
        "not shown",
        "opposite",
    ]
    assert [verdict("behind", *ends) for ends in ((0.1, 0.2), (-0.1, 0.2), (-0.2, -0.1))] == [
        "opposite",
        "not shown",
        "same",
    ]
    assert [verdict("level", *ends) for ends in ((-0.01, 0.2), (-0.1, 0.2), (-0.2, -0.1))] == [
        "same",
        "not shown",
        "opposite",
    ]


def test_every_finding_of_the_paper_is_there_and_is_what_was_measured(found: Findings) -> None:
    made = {claim.name: claim for claim in claims(found)}
    assert len(made) == len(claims(found))
    low = made["beam, low budget"].interval
    assert low == found.shown["beam, M = 4"].gain(4, found.shown["weighted best-of-N"], 4)
    sequential = made["sequential against parallel"].interval
    assert sequential == found.ratios[16.0].gain(16, found.ratios[1 / 16], 16)
    mixed = made["a mix of both, N = 4"].interval
    assert mixed == found.arms["revisions 1:1"].gain(4, found.arms["revisions all parallel"], 4)
    assert {"longer chains", "lookahead", "over-optimisation", "predicted difficulty"} <= set(made)
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    names = {row[0] for row in results["parts"]["claims"]["rows"]}
    assert {name for name, *_ in PRIMARY} <= names


def test_the_plan_counts_shared_draws_once() -> None:
    settings = StudySettings(
        budgets=(1, 4), probe=1, search=("majority", "best-of-N", "beam, M = 4"), menu=("beam, M = 4",)
    )
    arms = settings.arms(False)
    assert solutions(arms.search[:2]) == 64
    assert solutions([replace(arm, budgets=(1, 4)) for arm in arms.search]) == 4 + 1 + 4
    plan = planned(full(500, 100, 50, 3), 500, 10.0, True)
    assert plan["pool"] == 500 * 32
    assert plan["second verifier"] == 50 * 256
    assert all(units > 0 for units in plan.values())


def test_the_log_knows_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log({"a": 100.0, "b": 300.0}, tmp_path / "log.txt")
    assert log.left() == "400 solutions left"
    log("a", 5, 10)
    assert log.left() == "350 solutions left"  # what was there before says nothing about speed
    log("a", 10, 10)
    assert "min left" in log.left()
    assert "a: 10 of 10" in (tmp_path / "log.txt").read_text()
    assert "a: 10 of 10" in capsys.readouterr().err
