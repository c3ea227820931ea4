"""What the figures show, as data: every number in its place. How they are drawn is tested only for being drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from evaluation.worlds import Examiner, Pupil, Student, problems
from ttscale.evaluation import draw_pool
from ttscale.evaluation.analyse.chains import along_the_chain
from ttscale.evaluation.analyse.difficulty import Agreement, Bins
from ttscale.evaluation.analyse.flops import compare
from ttscale.evaluation.analyse.outcomes import Outcomes
from ttscale.evaluation.report import figures
from ttscale.evaluation.report import matplotlib as _draw
from ttscale.evaluation.report.figure_data import Figure, Panel, Series, series, table
from ttscale.evaluation.statistics import Interval, accuracy

QUESTIONS = ("a", "b", "c", "d")
BINS = Bins({"a": 0, "b": 0, "c": 1, "d": 1}, 2, (0.5,))


def outcomes(name: str, right: dict[int, list[int]], tokens: float = 10.0, flops: float = 100.0) -> Outcomes:
    return Outcomes(
        name,
        QUESTIONS,
        {n: np.array(own, dtype=float)[:, None] for n, own in right.items()},
        {n: {"sampled_tokens": tokens * n, "flops": flops * n} for n in right},
    )


BEST = outcomes("best", {1: [1, 0, 0, 0], 4: [1, 1, 0, 0], 16: [1, 1, 1, 0]})
BEAM = outcomes("beam", {1: [0, 0, 0, 1], 4: [0, 0, 1, 1]}, tokens=20)


def shown(one: Series) -> dict[float, float]:
    return dict(zip(one.x, one.y, strict=True))


def test_accuracy_against_budget_tokens_and_flops() -> None:
    figure = figures.accuracy_against_budget([BEST, BEAM])
    generations, tokens, flops = figure.panels
    assert [one.name for one in generations.series] == ["best", "beam"]
    assert shown(generations.series[0]) == {1: 0.25, 4: 0.5, 16: 0.75}
    assert shown(generations.series[1]) == {1: 0.25, 4: 0.5}
    assert shown(tokens.series[1]) == {20: 0.25, 80: 0.5}
    assert shown(flops.series[0]) == {100: 0.25, 400: 0.5, 1600: 0.75}
    assert generations.series[0].low == tuple(BEST.accuracy(n).low for n in (1, 4, 16))


def test_models_that_report_no_flops_have_no_panel_for_them() -> None:
    figure = figures.accuracy_against_budget([BEST, outcomes("server", {1: [1, 1, 1, 1]}, flops=0.0)])
    assert [panel.x for panel in figure.panels] == ["budget N", "sampled tokens per question"]


def test_bars_by_bin() -> None:
    figure = figures.bars_by_bin([BEST, BEAM], BINS, [4, 16])
    four, sixteen = figure.panels
    assert (four.title, sixteen.title) == ("N = 4", "N = 16")
    assert [(one.name, shown(one)) for one in four.series] == [("best", {0: 1.0, 1: 0.0}), ("beam", {0: 0.0, 1: 1.0})]
    assert [(one.name, shown(one)) for one in sixteen.series] == [("best", {0: 1.0, 1: 0.5})]
    assert (four.kind, four.ticks) == ("bars", ("1", "2"))


def test_ratio_curves() -> None:
    by_ratio = {0.25: outcomes("1:4", {4: [1, 0, 0, 0]}), 1.0: BEST, 4.0: BEAM}
    figure = figures.ratio_curves(by_ratio, [4, 16], BINS)
    by_budget, by_bin = figure.panels
    assert {one.name: shown(one) for one in by_budget.series} == {
        "N = 4": {0.25: 0.25, 1.0: 0.5, 4.0: 0.5},
        "N = 16": {1.0: 0.75},
    }
    assert {one.name: shown(one) for one in by_bin.series} == {"bin 1": {1.0: 1.0}, "bin 2": {1.0: 0.5}}
    assert by_bin.title == "by difficulty, N = 16"
    assert table(by_budget)[0] == ["sequential : parallel", "1:4", "1:1", "4:1"]


def test_compute_optimal_has_references_dashed() -> None:
    (panel,) = figures.compute_optimal("name", [BEST], [BEAM], "figure 4").panels
    assert [(one.name, one.dashed) for one in panel.series] == [("best", False), ("beam", True)]


def test_flops_matched_bars() -> None:
    large = outcomes("large", {1: [1, 0, 0, 1]})
    figure = figures.flops_matched(compare(BEST, large, BINS, [(22.0, 15.5), (99.0, 0.5)]), BINS)
    pays, does_not = figure.panels
    assert pays.title == "R = 22, multiplier 15.5"
    assert [(one.name, shown(one)) for one in pays.series] == [
        ("large, greedy", {0: 0.5, 1: 0.5}),
        ("small, N = 4", {0: 1.0, 1: 0.0}),
    ]
    assert [one.name for one in does_not.series] == ["large, greedy"]


def test_aggregation_and_pool_curves_are_the_estimators() -> None:
    pool = draw_pool(problems(6), None, 16, generator=Student(0.1), verifier=Examiner(), progress=False)
    weighted, best = figures.aggregation(pool, [1, 4, 16]).panels
    assert [one.name for one in weighted.series] == ["last", "min", "prod", "mean"]
    for one in weighted.series:
        expected = [
            np.mean([accuracy(own, "weighted_best_of_n", n) for own in pool.graded(one.name)])  # type: ignore[arg-type]
            for n in (1, 4, 16)
        ]
        assert one.y == pytest.approx(expected)
    assert best.title == "best of n"
    (panel,) = figures.pool_curves(pool, [1, 16]).panels
    found = {one.name: one for one in panel.series}
    assert set(found) == {"majority", "best of n", "weighted best of n", "oracle (pass@N)"}
    assert found["oracle (pass@N)"].dashed
    assert found["majority"].y[1] == pytest.approx(np.mean([accuracy(own, "majority", 16) for own in pool.graded()]))


def test_chain_figure() -> None:
    models = {"generator": Student(), "verifier": Examiner(), "reviser": Pupil()}
    pool = draw_pool(problems(9), None, 2, kind="chains", length=4, progress=False, **models)  # type: ignore[arg-type]
    steps = along_the_chain(pool.graded_chains())
    left, right = figures.chain_figure(steps, reference=0.5).panels
    assert shown(left.series[0]) == {one.step: one.pass_at_1.value for one in steps}
    assert (left.series[1].y, left.series[1].dashed) == ((0.5, 0.5), True)
    shares = {one.name: shown(one) for one in right.series}
    assert shares["right to wrong"] == {one.step: one.broken for one in steps if one.broken is not None}
    assert len(figures.chain_figure(steps).panels[0].series) == 1


def test_difficulty_figure() -> None:
    found = [
        Agreement(1, None, 0.2, 0.5, ((1.0,),), 4, 10.0),
        Agreement(4, 0.8, 0.6, 0.9, ((1.0,),), 1, 40.0),
    ]
    (panel,) = figures.difficulty_figure(found).panels
    assert {one.name: shown(one) for one in panel.series} == {
        "rank correlation with the oracle": {4.0: 0.8},
        "same bin": {1.0: 0.2, 4.0: 0.6},
        "same bin or a neighbour": {1.0: 0.5, 4.0: 0.9},
    }


def test_a_table_has_every_number_once() -> None:
    panel = Panel(
        "",
        "N",
        "y",
        (series("a", [(1, Interval(0.5, 0.25, 0.75)), (4, Interval(1.0, 1.0, 1.0))]), Series("b", (4.0,), (0.125,))),
    )
    assert table(panel) == (
        ["N", "1", "4"],
        [["a", "0.500 [0.250, 0.750]", "1.000 [1.000, 1.000]"], ["b", "", "0.125"]],
    )
    bars = Panel("", "bin", "y", (Series("a", (0.0, 1.0), (0.1, 0.2)),), "bars", ticks=("easy", "hard"))
    assert table(bars) == (["bin", "easy", "hard"], [["a", "0.100", "0.200"]])


@pytest.mark.parametrize(
    "figure",
    [
        figures.accuracy_against_budget([BEST, BEAM]),
        figures.bars_by_bin([BEST, BEAM], BINS, [4]),
        figures.ratio_curves({0.5: BEST, 2.0: BEAM}, [4], BINS),
        Figure("empty", "nothing to draw", "", (Panel("", "x", "y", ()),)),
    ],
    ids=lambda figure: figure.name,
)
def test_every_kind_of_figure_is_drawn_the_same_each_time(figure: Figure) -> None:
    svg = _draw.to_svg(figure)
    assert svg == _draw.to_svg(figure)
    assert ET.fromstring(svg).tag.endswith("svg")
    for panel in figure.panels:
        for one in panel.series:
            assert one.name in svg
