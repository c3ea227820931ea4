"""Splits by question: whole questions on one side, whatever the order; a question on both sides is refused."""

from __future__ import annotations

import pytest

from ttscale.evaluation.problems.problem import Problem
from ttscale.evaluation.problems.splits import check_disjoint, fingerprints, split_questions


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


def test_the_texts_of_one_id_stay_on_one_side():
    examples = [Problem(f"q{i // 2}", f"Sum {i}", "1") for i in range(20)]
    examples.append(Problem("other", "Sum 3", "1"))
    for seed in range(5):
        training, held_out = split_questions(examples, 0.3, seed)
        check_disjoint(training, held_out)
        assert training
        assert held_out
