"""MATH-500 and GSM8K: every reference answer is found, recognised however it is written, and nothing else is."""

from __future__ import annotations

import re
from collections import defaultdict
from fractions import Fraction

import pytest

from answers.rewritings import rewritings
from real_data import rows
from ttscale.answers import answer_classes, equivalent, extract_answer
from ttscale.answers.keys import key_of
from ttscale.evaluation.problems.grading import check_reference, grade, grade_text

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")

MERGED = [
    {"-2,1", "1,-2"},
    {r"10,\!080", "10080"},
    {"120", r"120^\circ"},
    {"15", r"15\mbox{ cm}^2"},
    {r"2 \sqrt{5}", r"2\sqrt{5}"},
    {"30", r"30^\circ"},
    {"36", r"36^\circ", r"\$36"},
    {"5", "x=5"},
    {"90", r"90^\circ"},
    {r"\frac14", r"\frac{1}{4}"},
]
"""The answers to different problems of MATH-500 that are written differently and are the same, by our rules."""


@pytest.fixture(scope="module")
def math500() -> list[dict[str, str]]:
    return rows("math500.jsonl")


def test_every_reference_is_stated_by_its_own_solution(math500: list[dict[str, str]]) -> None:
    missed = [row["unique_id"] for row in math500 if not grade_text(row["solution"], row["answer"])]
    assert missed == []


def test_every_reference_can_be_read_and_equals_itself(math500: list[dict[str, str]]) -> None:
    assert all(grade(row["answer"], check_reference(row["answer"])) for row in math500)
    assert [row["answer"] for row in math500 if key_of(row["answer"])[0] == "text"] == []


def test_every_reference_equals_all_its_rewritings(math500: list[dict[str, str]]) -> None:
    answers = {row["answer"] for row in math500}
    written = {answer: rewritings(answer) for answer in answers}
    assert min(map(len, written.values())) >= 5
    assert [(a, b) for a, texts in written.items() for b in texts if not equivalent(a, b)] == []


def test_every_rewriting_is_found_in_a_text(math500: list[dict[str, str]]) -> None:
    for answer in {row["answer"] for row in math500}:
        for text in rewritings(answer):
            assert grade_text(rf"Hence it is $\boxed{{{text}}}$.", answer), text
            assert grade_text(f"First we add.\n\nFinal Answer: {text}", answer), text


@pytest.mark.parametrize(
    "sentence",
    [
        "So the final answer is $%s$. I hope it is correct.",
        r"The answer is \(%s\).",
        "Therefore, the answer is: $$%s$$",
        "The answer is %s.",
        "**Answer:** $%s$ because of step 3.",
        "<think>\nAnswer: 3\n</think>\n#### %s",
        "Answer: %s",
    ],
)
def test_every_reference_is_found_in_a_sentence(math500: list[dict[str, str]], sentence: str) -> None:
    missed = [row["answer"] for row in math500 if not grade_text(sentence % row["answer"], row["answer"])]
    assert missed == []


def test_different_answers_stay_apart(math500: list[dict[str, str]]) -> None:
    groups: dict[int | None, set[str]] = defaultdict(set)
    answers = [row["answer"] for row in math500]
    for answer, number in zip(answers, answer_classes(answers), strict=True):
        groups[number].add(answer)
    assert sorted(sorted(group) for group in groups.values() if len(group) > 1) == sorted(map(sorted, MERGED))


def test_an_answer_that_is_slightly_off_is_wrong(math500: list[dict[str, str]]) -> None:
    """One digit more, the sign turned: never the reference."""
    for row in math500:
        answer = row["answer"]
        digits = [m.start() for m in re.finditer("[0-9]", re.sub(r"\^\{?[23]\}?$|_\{?[0-9]\}?$", "  ", answer))]
        for at in digits:
            changed = answer[:at] + str((int(answer[at]) + 1) % 10) + answer[at + 1 :]
            assert not grade(changed, answer), (changed, answer)
        if re.fullmatch(r"\\frac\{[0-9]+\}\{[0-9]+\}|[1-9][0-9.]*", answer):
            assert not grade(f"-{answer}", answer)


@pytest.mark.parametrize("model", MODELS)
def test_gsm8k_labels_agree_with_our_grading(model: str) -> None:
    """All 5,276 labels: no disagreement to explain."""
    disagreements = [
        row["question"]
        for row in rows("gsm8k_model_solutions.jsonl")
        if grade_text(row[model]["solution"], extract_answer(row["ground_truth"])) != row[model]["is_correct"]
    ]
    assert disagreements == []


def test_gsm8k_references_are_integers_and_both_files_agree() -> None:
    first = [extract_answer(row["answer"]) for row in rows("gsm8k_test.jsonl")]
    second = [extract_answer(row["ground_truth"]) for row in rows("gsm8k_model_solutions.jsonl")]
    assert all(equivalent(a, b) for a, b in zip(first, second, strict=True))
    assert {Fraction(str(answer).replace(",", "")).denominator for answer in first} == {1}


def test_qwen_samples_are_labelled_as_we_grade_them_but_for_one_wrong_label() -> None:
    """A solution whose answer is 10000 is labelled wrong against the reference 10{,}000."""
    differ = [
        (row["question"], row["answer"], extract_answer(sample))
        for row in rows("qwen_math_samples.jsonl")
        for sample, label in zip(row["samples"], row["is_correct"], strict=True)
        if grade_text(sample, row["answer"]) != label
    ]
    assert [(question, reference) for question, reference, _ in differ] == [
        (r"Compute $49{,}994\div 7 + 20{,}006\div 7$.", "10{,}000")
    ]
    assert equivalent(differ[0][2], "10000")
