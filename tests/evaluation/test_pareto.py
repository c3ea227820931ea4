"""What a report says first: the front against comparing every pair, and the sentence it comes to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.core.cost import Cost
from ttscale.evaluation import Record, Records
from ttscale.evaluation.report.pareto import Point, answer, figure, front
from ttscale.evaluation.statistics import Interval


def point(name: str, budget: int, tokens: float, right: float) -> Point:
    return Point(name, budget, tokens, Interval(right, right - 0.1, right + 0.1))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_the_front_is_what_no_other_point_beats(pairs: list[tuple[int, int]]) -> None:
    points = [point(str(i), 1, tokens, right / 10) for i, (tokens, right) in enumerate(pairs)]
    ahead = front(points)
    places = {(one.tokens, one.accuracy.value) for one in ahead}
    unbeaten = {
        (one.tokens, one.accuracy.value)
        for one in points
        if not any(
            other.tokens <= one.tokens
            and other.accuracy.value >= one.accuracy.value
            and (other.tokens, other.accuracy.value) != (one.tokens, one.accuracy.value)
            for other in points
        )
    }
    assert places == unbeaten
    assert len(places) == len(ahead)


def test_the_answer_names_the_best_and_the_best_at_half_its_price() -> None:
    points = [point("vote", 1, 50, 0.5), point("vote", 16, 1300, 0.95), point("beam", 4, 250, 0.9)]
    assert answer(points) == (
        "On your questions: vote at N = 16, 0.950 [0.850, 1.050] right, 1.3k tokens a question. For at most half of "
        "the tokens: beam at N = 4, 0.900 [0.800, 1.000] right, 250 tokens a question."
    )
    assert answer(points[1:2]).endswith("1.3k tokens a question.")
    assert answer([]) == "Nothing was measured."
    assert [one.name for one in figure(points).panels[0].series] == ["vote", "beam", "Pareto front"]
    assert figure(points).panels[0].series[-1].x == (50, 250, 1300)


def records() -> Records:
    right = {"vote": 0.5, "beam": 0.75}
    return Records(
        Record(
            arm, arm, 4, 0, f"q{i}", "d", "m", "1", 0.5, i < 4 * share, Cost(sampled_tokens=10, verifier_tokens=5 * i)
        )
        for arm, share in right.items()
        for i in range(4)
    )


def test_records_say_what_to_use_and_draw_themselves(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = records()
    assert [(one.name, one.tokens, one.accuracy.value) for one in found.points()] == [
        ("vote", 17.5, 0.5),
        ("beam", 17.5, 0.75),
    ]
    assert found.summary().startswith("On your questions: beam at N = 4, 0.750 [")
    plot = found.plot(tmp_path / "plot.svg")
    assert plot._repr_svg_() == (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert "Pareto front" in plot._repr_svg_()


def test_a_notebook_shows_records_as_a_table() -> None:
    shown = records()._repr_html_()
    assert "On your questions: beam at N = 4" in shown
    assert "<td>vote</td><td>4</td><td>0.500 [0.000, 1.000]</td><td>18</td>" in shown
    assert "Left out" not in shown


def test_a_notebook_names_what_failed_and_shows_nothing_measured() -> None:
    shown = Records([], ["q<0>"], {'["beam", 4, 0, "q<0>"]': OSError("gone")})._repr_html_()
    assert "Nothing was measured." in shown
    assert "Left out, since they failed: q&lt;0&gt;" in shown


def test_records_become_a_data_frame_with_a_column_per_cost() -> None:
    pandas = pytest.importorskip("pandas")
    frame = records().to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.groupby("arm")["correct"].mean().to_dict() == {"beam": 0.75, "vote": 0.5}
    assert frame["cost_verifier_tokens"].tolist() == [0, 5, 10, 15] * 2
    assert "cost" not in frame.columns


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        records().to_pandas()
