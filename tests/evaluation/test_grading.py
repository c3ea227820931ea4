"""Right or wrong: the same rule as for votes, and references that cannot be used are refused."""

from __future__ import annotations

import pytest

from ttscale.answers import MAX_ANSWER
from ttscale.evaluation.problems.grading import check_reference, final_answer, grade, grade_text, right_answers


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("0.5", r"\frac{1}{2}", True),
        ("18", "18", True),
        ("$18.00", "18", True),
        ("x = 5", "5", True),
        ("5", "x=5", True),
        (r"2\sqrt2", r"\sqrt{8}", True),
        ("10", r"10\%", True),
        ("(C)", r"\text{(C)}", True),
        ("19", "18", False),
        ("0.3333", r"\frac13", False),
        ("", "18", False),
        (None, "18", False),
        (None, "None", False),
    ],
)
def test_grades(answer: str | None, reference: str, right: bool) -> None:
    assert grade(answer, reference) is right


@pytest.mark.parametrize(
    ("text", "right"),
    [(r"so \boxed{\frac12}", True), ("Answer: .5", True), ("Answer: 5", False), ("0.5", True), ("", False)],
)
def test_grades_solutions_by_what_they_state(text: str, right: bool) -> None:
    assert grade_text(text, "1/2") is right


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("$", "nothing but signs"),
        (r"\frac{1}{", "do not match"),
        (r"1}{", "do not match"),
        (r"\begin{pmatrix} 1", "do not match"),
        ("1" * (MAX_ANSWER + 1), "at most 1,000"),
        ("#### ", "marks an answer and holds none"),
        ("Answer:", "marks an answer and holds none"),
        ("The answer is ", "marks an answer and holds none"),
        (r"\boxed{}", "nothing but signs"),
        (18, "must be a text"),
        (None, "must be a text"),
    ],
)
def test_references_that_cannot_be_read_are_refused(reference: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_reference(reference)
    with pytest.raises(ValueError, match=why):
        grade("5", reference)


@pytest.mark.parametrize(
    "reference", ["18", "answer", r"\{1, 2\}", "east", r"x \equiv 3 \pmod 7", r"(3,4]", r"\overline{AB}"]
)
def test_other_references_are_taken(reference: str) -> None:
    assert check_reference(reference) == reference
    assert grade(f" {reference} ", reference)


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("18", "18"),
        (" 18 ", "18"),
        ("He has 3 + 4 = 7.\n#### 7", "7"),
        (r"Thus $x = \boxed{7}$.", "7"),
        ("A: 7", "7"),
        ("east", "east"),
        ("He has 3.\nThen 7.", None),
        (" ", None),
    ],
)
def test_final_answers_of_reference_solutions(solution: str, answer: str | None) -> None:
    assert final_answer(solution) == answer


def test_answers_are_graded_together_by_equivalence() -> None:
    assert right_answers(["7", "8", None, "7.0"], "7") == {None: False, "7": True, "8": False, "7.0": True}
