"""One reader of questions with answers, for evaluation and training: what it takes, and what it refuses and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale import answers, evaluation, training
from ttscale.core.types import Question
from ttscale.evaluation.problems.grading import grade_text
from ttscale.evaluation.problems.problem import (
    ANSWER_FIELDS,
    ID_FIELDS,
    QUESTION_FIELDS,
    Problem,
    as_problems,
    problems_digest,
)
from ttscale.reference import questions
from ttscale.testing import FakeGenerator


def test_evaluation_and_training_have_one_problem_and_one_loader() -> None:
    assert evaluation.Problem is training.Problem is Problem
    assert training.load_problems is evaluation.from_jsonl
    assert training.as_problems is as_problems


@given(
    st.sampled_from(QUESTION_FIELDS),
    st.sampled_from(ANSWER_FIELDS),
    st.sampled_from((None, *ID_FIELDS)),
    st.sampled_from(["18", "work\n#### 18", r"so $\boxed{18}$", "Answer: 18", 18]),
)
def test_every_name_of_a_field_is_read(question: str, answer: str, id_: str | None, reference: str | int) -> None:
    row = {question: "9 + 9?", answer: reference} | ({} if id_ is None else {id_: "a/1"})
    found = Problem(Question.of("9 + 9?").id if id_ is None else "a/1", "9 + 9?", "18")
    assert as_problems([row]) == [found]


def test_pairs_rows_and_objects_are_problems() -> None:
    objects = questions(3, split="train")
    assert as_problems(objects) == [Problem(p.id, p.prompt, p.answer, p.level) for p in objects]
    (pair,) = as_problems([("2 + 2?", "4")])
    assert (pair.prompt, pair.answer, len(pair.id)) == ("2 + 2?", "4", 16)
    assert as_problems([pair]) == as_problems(as_problems([pair])) == [pair]
    assert pair.question == Question(pair.id, "2 + 2?")


def test_a_field_that_holds_null_is_passed_over() -> None:
    row = {"problem": None, "question": "2+2?", "answer": None, "final_answer": "4", "id": None, "unique_id": "u"}
    assert as_problems([row]) == [Problem("u", "2+2?", "4")]


def test_bad_references_are_named_or_left_out() -> None:
    rows: list[Any] = [("a?", "4"), ("b?", ""), ("c?", "one\ntwo"), ("d?", None)]
    with pytest.raises(ValueError, match=r"3 reference answers cannot be read; .*problem 2: .*problem 3: "):
        as_problems(rows)
    with pytest.raises(ValueError, match=r"^problem 2: the reference answer '' cannot be read: it is empty"):
        as_problems(rows[:2])
    assert [p.prompt for p in as_problems(rows, bad_references="skip")] == ["a?"]
    with pytest.raises(ValueError, match="no problems: the list: all 3 references cannot be read"):
        as_problems(rows[1:], bad_references="skip")
    with pytest.raises(ValueError, match="there are no problems: the list is empty"):
        as_problems([])
    with pytest.raises(ValueError, match="bad_references must be one of raise, skip"):
        as_problems(rows, bad_references="drop")  # type: ignore[arg-type]


NOTHING = ["", " ", r"\boxed{}", "####", "Answer:", "The answer is", "nan", "#### nan", r"\boxed{nan}", "inf", "null"]


@pytest.mark.parametrize("nothing", [*NOTHING, "-Infinity", "Answer: none", "N/A", "?", r"\frac{1}{", "9" * 2000])
def test_references_that_cannot_be_graded_against_are_refused(nothing: str) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        as_problems([("2 + 2?", nothing)])


@pytest.mark.parametrize("nothing", [float("nan"), float("inf"), numpy.float32("nan"), True, None, ["4"]])
def test_values_that_are_no_answer_are_refused(nothing: Any) -> None:
    with pytest.raises(ValueError, match=r"problem 1: the reference answer .* is neither a text nor a number"):
        as_problems([("2 + 2?", nothing)])


def test_numbers_of_other_libraries_are_references() -> None:
    rows: list[Any] = [("a", numpy.int64(4)), ("b", numpy.float32(0.5)), ("c", 10**400)]
    assert [p.answer for p in as_problems(rows)] == ["4", "0.5", str(10**400)]


def test_half_a_character_is_replaced() -> None:
    assert as_problems([{"id": "\ud800", "question": "\udc00?", "answer": "\ud800"}]) == [
        Problem("\ufffd", "\ufffd?", "\ufffd")
    ]


def test_a_repeated_question_counts_once_unless_it_contradicts_itself() -> None:
    assert as_problems([("a?", "0.5"), ("a?", "1/2")]) == as_problems([("a?", "0.5")])
    with pytest.raises(ValueError, match=r"problem 2: the question 'a\?' stands in problem 1 already"):
        as_problems([("a?", "4"), ("a?", "5")])
    two = [{"id": "x", "prompt": "a", "answer": "1"}, {"id": "x", "prompt": "b", "answer": "1"}]
    with pytest.raises(ValueError, match="problem 2: the id 'x' stands in problem 1 already, with another question"):
        as_problems(two)


def test_questions_with_two_answers_are_named_together_or_left_out() -> None:
    rows = [("a?", "4"), ("b?", "1"), ("a?", "5"), ("c?", "2"), ("b?", "3"), ("a?", "4"), ("d?", "")]
    with pytest.raises(
        ValueError, match=r"3 reference answers cannot be read; .*problem 3: .*problem 5: .*problem 7: "
    ):
        as_problems(rows)
    assert [problem.prompt for problem in as_problems(rows, bad_references="skip")] == ["c?"]


def test_one_text_under_two_ids_has_one_answer() -> None:
    rows = [{"id": "a", "question": "2 + 2", "answer": "4"}, {"id": "b", "question": "2  + 2", "answer": "4.0"}]
    assert len(as_problems(rows)) == 2
    with pytest.raises(ValueError, match=r"problem 3: .* stands in problem 1 already, with another answer"):
        as_problems([*rows, {"id": "c", "question": "2 + 2", "answer": "5"}])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["abc"], "problem 1 is no question with its answer: 'abc'"),
        ([("a", "1", "2")], "problem 1: expected a .prompt, answer. pair; got 3 values"),
        ([("a", "1"), (5, "1")], "problem 2 has no question: expected a text, got 5"),
        ([(" ", "1")], "problem 1 has no question"),
        ([{"answer": "1"}], "a question is missing; expected a field named problem or question or prompt"),
        ([{"question": "a", "answer": "1", "id": [1]}], r"an id must be a text or an integer, got \[1\]"),
        ("questions.jsonl", r"not the path 'questions.jsonl': read it, evaluation.load\(path\)"),
        (Path("questions.jsonl"), "problems must be a list, not the path"),
        (3, "problems must be a list"),
    ],
)
def test_what_is_no_problem_is_named(rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_problems(rows)


def test_a_file_reads_as_its_rows_do(tmp_path: Path) -> None:
    rows = [{"problem": "a?", "solution": r"\boxed{1}", "level": "Level 3"}, {"prompt": "b?", "answer": 2, "id": 7}]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert training.load_problems(path) == evaluation.load(path) == as_problems(rows)
    assert [p.level for p in as_problems(rows)] == [3, None]


def test_a_digest_knows_the_set_and_not_its_order() -> None:
    found = as_problems([("a?", "1"), ("b?", "2")])
    assert problems_digest(found) == problems_digest(found[::-1]) != problems_digest(found[:1])


@pytest.mark.parametrize(
    "row",
    [
        Problem("p", "Which?", "B", answers="choice"),  # type: ignore[arg-type]
        {"id": "p", "question": "Which?", "answer": "B", "answers": "choice"},
        {"id": "p", "question": "Which?", "answer": "B", "answers": answers.choice()},
    ],
    ids=["object", "name", "rule"],
)
def test_a_problems_own_rule_grades_its_answers(row: Any) -> None:
    (problem,) = as_problems([row])
    assert problem.answers == answers.choice()
    generator = FakeGenerator(["Answer: B. Paris", "Answer: B) Lyon"] * 2)
    records = evaluation.sweep(["majority_vote"], [2], [row], generator=generator, progress=False)
    assert [record.correct for record in records] == [True]
    drawn = evaluation.draw_pool([row], None, samples=2, generator=generator, progress=False)
    assert drawn.of([row]).graded()[0].correct.all()


def test_a_rule_is_part_of_a_problems_digest() -> None:
    one, other = Problem("p", "Which?", "B"), Problem("p", "Which?", "B", answers="choice")  # type: ignore[arg-type]
    assert one.digest != other.digest
    assert as_problems([{"question": "Who?", "answer": "4", "answers": ["4", "four"]}])[0].answers == one.answers


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("chioce", "choice"),
        ("Choice", "choice"),
        ("multiple_choice", "choice"),
        ("numbr", "number"),
        ("number (2)", "number"),
        ("txt", "text"),
        ("mathematic", "mathematics"),
        ("json", r"ttscale\.answers\.json\(\.\.\.\)"),
        ("regex ([A-D])", r"ttscale\.answers\.regex\(\.\.\.\)"),
    ],
)
def test_a_misspelt_rule_is_refused(given: str, meant: str) -> None:
    row = {"question": "Which?", "answer": "B", "answers": given}
    with pytest.raises(ValueError, match=rf"^problem 1: no answer rule is called .* did you mean '?{meant}'?\?"):
        as_problems([row])


@pytest.mark.parametrize(
    ("rule", "reference"),
    [(answers.choice("ABCD"), "B"), (answers.number(2), "4"), (answers.regex("[A-D]"), "B"), (answers.json("x"), "4")],
)
def test_a_rule_with_its_setting_is_read_as_it_names_itself(rule: Any, reference: str) -> None:
    (problem,) = as_problems([{"question": "Which?", "answer": reference, "answers": rule.name}])
    assert problem.answers == rule


def test_a_rule_that_was_not_made_is_refused() -> None:
    with pytest.raises(ValueError, match=r"problem 1: .*call it"):
        as_problems([{"question": "Which?", "answer": "B", "answers": answers.choice}])


@pytest.mark.parametrize(
    "foreign", ["42", "Paris", "B", "the text of the law", "f(x)", "code 7", "", "next", "lumber", 42, {"text": ["4"]}]
)
def test_an_answers_field_of_another_kind_is_passed_over(foreign: Any) -> None:
    (problem,) = as_problems([{"question": "Which?", "answer": "lumber", "answers": foreign}])
    assert problem.answers == answers.MATHEMATICS


def test_a_reference_is_read_by_the_problems_rule() -> None:
    code = "def double(x):\n    return 2 * x"
    assert as_problems([{"question": "Double?", "answer": code, "answers": "code"}])[0].answer == code


@pytest.mark.parametrize(
    ("rule", "reference", "stated"),
    [
        ("choice", "The answer is (B)", "B"),
        ("number", "6 * 3 = 18\n#### 18", "18"),
        ("text", "Answer: Paris", "Paris"),
        ("code", "```python\nx = 1\n```", "x = 1"),
        (answers.json("a"), '{"a": 7}', "7"),
        (answers.regex(r"ans=(\d+)"), "ans=7", "7"),
    ],
)
def test_a_reference_may_state_its_answer_as_a_solution_does(rule: Any, reference: str, stated: str) -> None:
    (problem,) = as_problems([{"question": "Which?", "answer": reference, "answers": rule}])
    assert problem.answer == stated
    assert grade_text(reference, problem.answer, problem.answers)
    assert as_problems([problem]) == [problem]


@pytest.mark.parametrize(("rule", "reference"), [("choice", "Paris"), ("choice", 1), ("number", "many")])
def test_a_reference_that_no_solution_could_state_is_refused(rule: str, reference: Any) -> None:
    with pytest.raises(ValueError, match=rf"problem 1: the reference answer '{reference}' cannot be read: the rule "):
        as_problems([{"question": "Which?", "answer": reference, "answers": rule}])
