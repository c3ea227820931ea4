"""The quality report against brute force: every pair, every subset, every bin counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.answers import MATHEMATICS, number, text
from ttscale.core.selection import weighted_vote
from ttscale.core.types import Candidate, Key, Question, Step
from ttscale.evaluation.verifier_quality.markdown import plot_reliability, quality_markdown
from ttscale.evaluation.verifier_quality.metrics import auc, expected_calibration_error, reliability
from ttscale.evaluation.verifier_quality.report import Judged, quality_report

scores_and_labels = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0]), st.booleans()), min_size=1, max_size=7
)


def slow_auc(scores, labels):
    rows = list(zip(scores, labels, strict=True))
    pairs = [(a, b) for a, x in rows for b, y in rows if x and not y]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs) if pairs else None


@given(scores_and_labels)
def test_auc_counts_every_pair(rows):
    scores, labels = zip(*rows, strict=True)
    fast, slow = auc(np.array(scores), np.array(labels)), slow_auc(scores, labels)
    assert fast == (None if slow is None else pytest.approx(slow))


@given(scores_and_labels, st.sampled_from([1, 4, 10]))
def test_reliability_table_and_ece_by_hand(rows, bins):
    scores, labels = zip(*rows, strict=True)
    table = reliability(np.array(scores), np.array(labels, dtype=float), bins)
    total = 0.0
    for row in table:
        last = row is table[-1]
        inside = [y for s, y in rows if row.low <= s < row.high or (last and s == row.high)]
        assert row.count == len(inside)
        if inside:
            mean = np.mean([s for s, _ in rows if row.low <= s < row.high or (last and s == row.high)])
            assert (row.score, row.right) == (pytest.approx(mean), pytest.approx(np.mean(inside)))
            total += len(inside) * abs(mean - np.mean(inside))
        else:
            assert (row.score, row.right) == (None, None)
    assert expected_calibration_error(table) == pytest.approx(total / len(rows))
    assert sum(row.count for row in table) == len(rows)


def question(name, *rows):
    return [Judged(name, right, answer, tuple(scores), tuple(labels)) for right, answer, scores, labels in rows]


EXAMPLE = [
    *question(
        "easy",
        (True, "7", [0.9, 0.8], [1.0, 1.0]),
        (True, "7", [0.6, 0.95], [0.5, 1.0]),
        (False, "8", [0.9, 0.85], [1.0, 0.0]),
        (True, "7", [0.9, 0.9], []),
    ),
    *question(
        "hard",
        (False, "1", [0.1], [0.0]),
        (True, "3", [0.3], [1.0]),
        (False, "1", [0.2], [None]),
        (False, None, [0.4], [0.0]),
    ),
]


def test_the_whole_report_on_two_questions():
    report = quality_report(EXAMPLE, budgets=(1, 4), resamples=50)
    assert (report.questions, report.solutions, report.steps) == (2, 8, 12)
    # easy: right .8 .95 .9 against wrong .85 wins two of three; hard: .3 against .1 .2 .4 wins two of three.
    assert (report.pair_accuracy.value, report.pair_questions, report.pairs) == (pytest.approx(2 / 3), 2, 6)
    assert report.pair_accuracy_pooled == pytest.approx(2 / 3)
    final, right = [0.8, 0.95, 0.85, 0.9, 0.1, 0.3, 0.2, 0.4], [1, 1, 0, 1, 0, 1, 0, 0]
    assert report.auc == pytest.approx(slow_auc(final, right))
    assert report.brier == pytest.approx(np.mean((np.array(final) - np.array(right)) ** 2))
    four = report.selection[1]
    assert {method: value.value for method, value in four.accuracy.items()} == {
        "pass@1": 0.5,
        "majority": 0.5,
        "best-of-N": 1.0,  # the unanswered .4 is not selected while .3 has an answer
        "weighted best-of-N": 1.0,  # hard: .1 + .2 for "1" ties with .3 for "3", which has the highest score
        "oracle": 1.0,
    }
    assert four.gain["best-of-N"].value == 0.5
    assert [(row.step, row.count) for row in report.by_step] == [(1, 7), (2, 4)]
    first = [(0.9, 1), (0.6, 1), (0.9, 1), (0.9, 1), (0.1, 0), (0.3, 1), (0.4, 0)]
    assert report.by_step[0].auc == pytest.approx(slow_auc(*zip(*first, strict=True)))
    assert report.notes == ()


@pytest.mark.parametrize(("answers", "right"), [("8778", 1.0), ("7887", 0.0), ("7778", 0.0)])
def test_a_vote_chooses_as_a_search_does(answers, right):
    """Weights .75 + .25 tie with .5 + .5: the answer of the candidate with the highest score wins, as in ``solve``."""
    scores = (0.75, 0.5, 0.5, 0.25)
    candidates = [
        Candidate(Question("q", "?"), Key((0, "q", i)), (Step(f"Answer: {answer}"),), "stop")
        for i, answer in enumerate(answers)
    ]
    chosen = weighted_vote(candidates, scores)
    assert (candidates[chosen].answer == "8") is bool(right)
    judged = [Judged("q", a == "8", a, (score,)) for a, score in zip(answers, scores, strict=True)]
    (selection,) = quality_report(judged, budgets=(4,)).selection
    assert selection.accuracy["weighted best-of-N"].value == right


def test_answers_vote_by_the_rule_of_their_question() -> None:
    """With two digits three of the five solutions say .33, which is right; as numbers of mathematics .5 leads."""
    answers = ["0.331", "0.332", "0.333", "0.5", "0.5"]
    for rule, right in ((number(2), 1.0), (MATHEMATICS, 0.0)):
        rows = [Judged("q", a != "0.5", a, (0.5,), answers=rule) for a in answers]
        (row,) = quality_report(rows, budgets=(5,)).selection
        assert row.accuracy["majority"].value == right


def test_pair_accuracy_sees_what_pooled_auc_hides():
    """A verifier that knows only the question: pooled AUC .9, chance within a question."""
    rows = [
        Judged(f"q{i}", j < (9 if i % 2 else 1), str(j), (0.9 if i % 2 else 0.1,)) for i in range(20) for j in range(10)
    ]
    report = quality_report(rows, budgets=())
    assert report.pair_accuracy.value == 0.5
    assert report.auc == pytest.approx(0.9)


def test_the_order_of_questions_and_solutions_in_other_questions_changes_nothing():
    report = quality_report(EXAMPLE, budgets=(2,))
    turned = quality_report(EXAMPLE[4:] + EXAMPLE[:4], budgets=(2,))
    alone = quality_report(EXAMPLE[4:], budgets=(2,))
    assert {k: v.value for k, v in turned.selection[0].accuracy.items()} == {
        k: pytest.approx(v.value) for k, v in report.selection[0].accuracy.items()
    }
    assert alone.selection[0].questions == 1


def test_json_markdown_and_plot(tmp_path):
    report = quality_report(EXAMPLE, budgets=(4, 16), resamples=20)
    assert json.loads(report.to_json())["pair_questions"] == 2
    text = quality_markdown(report, "Tiny")
    assert text.startswith("# Tiny\n")
    assert "| within-question pair accuracy (mean over 2 questions with both) | 0.667 [" in text
    assert "N = 16: 2 of 2 questions have fewer than 16 solutions and are left out." in text
    plot_reliability(report, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_one_kind_only_is_not_defined_rather_than_zero():
    report = quality_report([Judged("q", True, "1", (0.7,)), Judged("q", True, "1", (0.9,))], budgets=(2,))
    assert (report.auc, report.pair_accuracy, report.pair_accuracy_pooled, report.step_auc) == (None, None, None, None)
    assert "not defined" in quality_markdown(report)
    assert json.loads(report.to_json())["auc"] is None


def test_raw_scores_rank_but_are_not_calibrated(tmp_path):
    rows = [Judged("q", i % 2 == 0, str(i), (-3.0 + i,)) for i in range(4)]
    report = quality_report(rows, budgets=(4,), probabilities=False)
    assert report.pair_accuracy.value == pytest.approx(slow_auc([-3, -2, -1, 0], [1, 0, 1, 0]))
    assert (report.ece, report.brier, report.reliability) == (None, None, ())
    assert list(report.selection[0].accuracy) == ["pass@1", "majority", "best-of-N", "oracle"]
    with pytest.raises(ValueError, match="probabilities=False"):
        plot_reliability(report, tmp_path / "plot.png")
    with pytest.raises(ValueError, match=r"solution 0 of question 'q' has the score -3.0, outside \[0, 1\]"):
        quality_report(rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no solutions"),
        (
            [Judged("q", True, "1", (0.5,)), Judged("q", True, "1", (0.5,), answers=text())],
            "solution 1 of question 'q' has the answer rule text",
        ),
        ([Judged("q", True, "1", ())], "solution 0 of question 'q' has no score"),
        ([Judged("q", True, "1", (float("nan"),))], "has the score nan"),
        ([Judged("q", True, "1", (0.5, 0.5), (1.0,))], "2 step scores and 1 step labels"),
        ([Judged("q", True, "1", (0.5, 0.5), (None, float("nan")))], "question 'q' has the step label nan"),
        ([Judged("q", True, "1", (0.5,), (2.0,))], "question 'q' has the step label 2.0"),
    ],
)
def test_bad_input_names_the_solution(rows, message):
    with pytest.raises(ValueError, match=message):
        quality_report(rows)


def test_small_weights_decide_a_vote_as_large_ones_do():
    """Thirty steps of .3 against thirty of .2: products of 1e-16 and 1e-21."""
    rows = [Judged("q", i < 3, "right" if i < 3 else "wrong", ((0.3 if i < 3 else 0.2),) * 30) for i in range(8)]
    (selection,) = quality_report(rows, aggregate="prod", budgets=(8,)).selection
    assert selection.accuracy["weighted best-of-N"].value == 1.0


def test_a_score_on_an_edge_belongs_to_the_bin_above():
    rows = [Judged("q", i % 2 == 0, "a", (0.2,)) for i in range(100)] + [Judged("q", False, "a", (0.3,))] * 100
    report = quality_report(rows, budgets=())
    assert [(b.low, b.high, b.count) for b in report.reliability if b.count] == [(0.2, 0.3, 100), (0.3, 0.4, 100)]
    assert report.ece == pytest.approx(0.3)


@pytest.mark.parametrize("options", [{"draws": 0}, {"resamples": 0}, {"bins": 2.5}, {"budgets": (4, 1.5)}])
def test_settings_are_whole_numbers(options):
    with pytest.raises(ValueError, match=r"(draws|resamples|bins|a budget) must be a positive integer; got"):
        quality_report([Judged("q", True, "1", (0.5,))], **options)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=30))
def test_any_input_gives_valid_json_and_bounded_numbers(rows):
    judged = [Judged(str(q), a == 0, str(a) if a < 3 else None, (s,)) for q, a, s in rows]
    report = quality_report(judged, budgets=(1, 2, 4), resamples=10, draws=5)
    json.loads(report.to_json())
    for row in report.selection:
        values = {method: interval.value for method, interval in row.accuracy.items()}
        assert all(-1e-9 <= value <= 1 + 1e-9 for value in values.values())
        # The votes are averages over random subsets, the oracle is exact: only these two can be compared.
        assert values["best-of-N"] <= values["oracle"] + 1e-9
        if row.n == 1:
            assert values["best-of-N"] == pytest.approx(values["pass@1"])


def test_outcomes_are_bools_of_any_kind():
    def report(outcomes):
        rows = [Judged("q", c, str(i), (0.9 - i / 10,)) for i, c in enumerate(outcomes)]
        return quality_report(rows, budgets=(2,)).to_json()

    wanted = report([True, False, False])
    assert report([1, 0, 0]) == report([np.True_, np.False_, np.False_]) == wanted
    with pytest.raises(ValueError, match="correct=2; it must be True or False"):
        report([2, 0, 0])
