"""Questions with answers: reading, grading, splitting by question, and refusing what would spoil a measurement."""

from __future__ import annotations

import json

import pytest

from real_data import data_file
from ttscale.reference import questions
from ttscale.training.splits import (
    Problem,
    as_problems,
    check_disjoint,
    fingerprints,
    grade,
    load_problems,
    split_questions,
)


def test_pairs_rows_and_objects_are_problems():
    objects = questions(3, split="train")
    assert as_problems(objects) == [Problem(p.id, p.prompt, p.answer) for p in objects]
    (pair,) = as_problems([("2 + 2?", "4")])
    assert (pair.prompt, pair.answer, len(pair.id)) == ("2 + 2?", "4", 16)
    rows = [{"question": "q", "answer": "work\n#### 18"}, {"problem": "p", "final_answer": 3, "unique_id": "algebra/1"}]
    assert [(p.id, p.prompt, p.answer) for p in as_problems(rows)][1] == ("algebra/1", "p", "3")
    assert as_problems(rows)[0].answer == "18"


def test_bad_references_are_named_or_left_out():
    rows = [("a?", "4"), ("b?", ""), ("c?", "one\ntwo"), ("d?", None)]
    with pytest.raises(ValueError, match=r"3 reference answer\(s\) cannot be read: '\w+' \(row 2: ''\), "):
        as_problems(rows)
    assert [p.prompt for p in as_problems(rows, bad_references="skip")] == ["a?"]
    with pytest.raises(ValueError, match="empty after bad references"):
        as_problems(rows[1:], bad_references="skip")
    with pytest.raises(ValueError, match="no questions"):
        as_problems([])


def test_numbers_that_are_none_are_no_references():
    rows = [{"question": "a?", "answer": float("nan")}, {"question": "b?", "answer": float("inf")}]
    with pytest.raises(ValueError, match=r"2 reference answer\(s\) cannot be read"):
        as_problems(rows)


def test_half_a_character_is_replaced():
    (problem,) = as_problems([{"id": "\ud800", "question": "\udc00?", "answer": "\ud800"}])
    assert problem == Problem("\ufffd", "\ufffd?", "\ufffd")


def test_a_repeated_question_counts_once_unless_it_contradicts_itself():
    assert len(as_problems([("a?", "4"), ("a?", "4")])) == 1
    assert as_problems([("a?", "0.5"), ("a?", "1/2")])[0].answer == "0.5"
    with pytest.raises(ValueError, match=r"comes twice \(again in row 2\)"):
        as_problems([("a?", "4"), ("a?", "5")])
    with pytest.raises(ValueError, match="'x' comes twice"):
        as_problems([{"id": "x", "prompt": "a", "answer": "1"}, {"id": "x", "prompt": "b", "answer": "1"}])


def test_files_are_read_and_their_faults_are_named(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "a?", "answer": "4"}) + "\n\n")
    assert [p.prompt for p in load_problems(path)] == ["a?"]
    path.write_text("{")
    with pytest.raises(ValueError, match=r"q\.jsonl, line 1, is not JSON"):
        load_problems(path)
    path.write_bytes(b'{"question": "a?", "answer": "4"}\n{"question": "\xff", "answer": "4"}')
    with pytest.raises(ValueError, match=r"q\.jsonl, line 2, is not JSON in UTF-8"):
        load_problems(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="line 1: expected an object"):
        load_problems(path)
    path.write_text('{"answer": "4"}')
    with pytest.raises(ValueError, match=r"q\.jsonl: Row 1 has no question"):
        load_problems(path)


def test_gsm8k_as_published():
    problems = load_problems(data_file("gsm8k_test.jsonl"))
    assert len(problems) == 1319
    assert problems[0].answer == "18"


def test_answers_are_graded_by_equivalence():
    assert grade(["7", "8", None, "7"], "7") == {None: False, "7": True, "8": False}


def test_questions_are_held_out_whole_and_whatever_the_order():
    examples = [Problem(f"{q}-{i}", f"question {q}", "1") for q in range(40) for i in range(3)]
    training, held_out = split_questions(examples, 0.1)
    assert len({e.prompt for e in held_out}) == 4
    assert len(held_out) == 12
    assert not {e.prompt for e in training} & {e.prompt for e in held_out}
    again = split_questions(examples[::-1], 0.1)
    assert {e.id for e in again[1]} == {e.id for e in held_out}
    assert {e.prompt for e in split_questions(examples, 0.1, seed=1)[1]} != {e.prompt for e in held_out}


def test_too_few_questions_to_hold_one_out():
    with pytest.raises(ValueError, match="1 distinct question"):
        split_questions([Problem("a", "x", "1"), Problem("b", "x ", "1")])
    with pytest.raises(ValueError, match="0 distinct question"):
        split_questions([])
    training, held_out = split_questions([Problem("a", "x", "1"), Problem("b", "y", "1")])
    assert (len(training), len(held_out)) == (1, 1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_questions([Problem("a", "x", "1")], 1.0)


def test_a_question_on_both_sides_is_refused():
    training = [Problem("a", "What is 1 + 1?", "2")]
    check_disjoint(training, [Problem("b", "What is 1 + 2?", "3")])
    with pytest.raises(ValueError, match=r"1 question\(s\) are in the training data and in the test data: 'z'"):
        check_disjoint(training, [Problem("z", "What  is 1 + 1?\n", "2")])
    with pytest.raises(ValueError, match="in the validation data: 'a'"):
        check_disjoint(training, [Problem("a", "another", "2")], "validation")
    assert fingerprints(training * 2) == fingerprints([Problem("z", "What  is 1 + 1?\n", "2")])


def test_a_name_that_holds_null_is_passed_over():
    row = {"prompt": None, "question": "2+2?", "answer": None, "final_answer": "4", "id": None, "unique_id": "u"}
    assert as_problems([row]) == [Problem("u", "2+2?", "4")]


NOTHING = ["nan", "#### nan", "\\boxed{nan}", "inf", "-Infinity", "Answer: none", "null", "N/A", "?"]


@pytest.mark.parametrize("nothing", ["\\boxed{}", "####", "Answer:", "The answer is", float("nan"), *NOTHING])
def test_what_stands_where_an_answer_was_left_out_is_no_reference(nothing):
    with pytest.raises(ValueError, match="cannot be read"):
        as_problems([("2 + 2?", nothing)])


def test_numbers_of_other_libraries_are_references():
    numpy = pytest.importorskip("numpy")
    assert [p.answer for p in as_problems([("a", numpy.int64(4)), ("b", numpy.float32(0.5))])] == ["4", "0.5"]


def test_one_text_under_two_ids_has_one_answer():
    rows = [{"id": "a", "question": "2 + 2", "answer": "4"}, {"id": "b", "question": "2  + 2", "answer": "4.0"}]
    assert len(as_problems(rows)) == 2
    with pytest.raises(ValueError, match="comes twice, as 'a' and as 'c'"):
        as_problems([*rows, {"id": "c", "question": "2 + 2", "answer": "5"}])


def test_a_row_that_is_no_question_is_named():
    with pytest.raises(ValueError, match="Row 1 is no question with its answer: 'abc'"):
        as_problems(["abc"])


def test_the_texts_of_one_id_stay_on_one_side():
    examples = [Problem(f"q{i // 2}", f"Sum {i}", "1") for i in range(20)]
    examples.append(Problem("other", "Sum 3", "1"))
    for seed in range(5):
        training, held_out = split_questions(examples, 0.3, seed)
        check_disjoint(training, held_out)
        assert training
        assert held_out
