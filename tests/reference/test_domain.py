"""The reference domain: grammar, exact solver, splits, levels. Everything here must run without torch."""

from __future__ import annotations

import ast
import random
import subprocess
import sys

import pytest

from ttscale import reference
from ttscale.reference import expressions, problems


def python_value(prompt: str) -> int:
    """Python's own arithmetic on the expression of a prompt."""
    return int(eval(compile(ast.parse(prompt.removeprefix("Compute "), mode="eval"), "prompt", "eval")))


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("Compute (17 + 5) * 3 - 48", "Compute (17 + 5) * 3 - 48"),
        ("  Compute(17+5)*3-48 ", "Compute (17 + 5) * 3 - 48"),
        ("Compute   ((17)+5) * (3) -48\n", "Compute (17 + 5) * 3 - 48"),
        ("Compute (2 * 3) * 4", "Compute 2 * 3 * 4"),
        ("Compute 2 * (3 * 4)", "Compute 2 * (3 * 4)"),
        ("Compute 9 - (3 - 2) - (4 * 1)", "Compute 9 - (3 - 2) - 4 * 1"),
        ("Compute 1 + (2 + 3)", "Compute 1 + (2 + 3)"),
        ("Compute 0 * 99 + 007", "Compute 0 * 99 + 7"),
    ],
)
def test_questions_are_read_tolerantly_and_spelled_one_way(typed: str, canonical: str) -> None:
    assert reference.check(typed) == canonical
    assert reference.check(canonical) == canonical


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "What is 17 + 5 * 2?",
        "compute 1 + 2 + 3",
        "Computer 1 + 2 + 3",
        "Compute",
        "Compute 5",
        "Compute 1+2+3+4+5+6+7+8+9+1+2",
        "Compute 100 + 2 + 3",
        "Compute 99 * 99 + 1",
        "Compute 12 / 4 + 1",
        "Compute -3 + 4 + 5",
        "Compute (3 + 4 * 2",
        "Compute 3 + 4) * 2",
        "Compute 3 + + 4 - 1",
        "Compute 3 4 + 5 + 6",
        "Compute 2 ** 3 + 1",
        "Compute 1.5 + 2 + 3",
        "Compute x + 2 + 3",
        "Compute 1 + 2 + 3 =",
        "Compute " + "(" * 150 + "1 + 2 + 3" + ")" * 150 + " " * 100 + "+ 1",
        "Compute \u0661 + 2 + 3",
    ],
)
def test_everything_else_is_refused_with_advice(typed: str) -> None:
    with pytest.raises(reference.OutOfDomainError) as error:
        reference.check(typed)
    assert isinstance(error.value, ValueError)
    assert ". The bundled reference model only solves" in str(error.value)
    assert "Compute (17 + 5) * 3 - 48" in str(error.value)
    assert "generator=" in str(error.value)


def test_a_question_that_is_no_string_is_refused() -> None:
    with pytest.raises(reference.OutOfDomainError, match="not int"):
        reference.check(5)  # type: ignore[arg-type]


def test_the_answers_are_those_of_python() -> None:
    for problem in reference.questions(300, split="train", seed=3):
        assert int(problem.answer) == python_value(problem.prompt)
        assert reference.check(problem.prompt) == problem.prompt


def test_every_line_of_the_exact_solution_has_the_same_value_and_one_operation_fewer() -> None:
    for problem in reference.questions(60, split="train", seed=4):
        items = expressions.read(problem.prompt)
        count = sum(item in ("+", "-", "*") for item in items)
        for line in expressions.exact(items):
            count -= 1
            assert sum(item in ("+", "-", "*") for item in line) == count
            assert python_value(expressions.show(line)) == int(problem.answer)
        assert count == 0


def test_levels_hold_the_numbers_of_operations_they_say() -> None:
    for level, operations in problems.LEVELS.items():
        for problem in reference.questions(20, level=level, split="train"):
            assert problem.level == level
            assert sum(item in ("+", "-", "*") for item in expressions.read(problem.prompt)) in operations


def test_the_split_is_a_function_of_the_question_alone() -> None:
    """Overlap is impossible, not merely unseen: whatever draws a question, its text decides its split."""
    buckets = [bucket for owned in problems.SPLITS.values() for bucket in owned]
    assert sorted(buckets) == list(range(100))
    for split in problems.SPLITS:
        for seed in (0, 1):
            assert all(reference.split_of(p.prompt) == split for p in reference.questions(40, split=split, seed=seed))
    assert reference.split_of("Compute (17+5)*3-48") == reference.split_of("Compute ( 17 + 5 ) * 3 - 48")


def test_the_same_arguments_give_the_same_problems_in_any_process() -> None:
    code = (
        "import sys; from ttscale import reference; "
        "print([(p.id, p.prompt, p.answer) for p in reference.questions(12, seed=5)]); "
        "assert 'torch' not in sys.modules"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert outputs == {f"{[(p.id, p.prompt, p.answer) for p in reference.questions(12, seed=5)]}\n"}


def test_more_questions_begin_with_the_same_ones() -> None:
    assert reference.questions(23, seed=1)[:10] == reference.questions(10, seed=1)
    assert len({p.prompt for p in reference.questions(200, seed=1)}) == 200
    assert len({p.id for p in reference.questions(200, seed=1)}) == 200


@pytest.mark.parametrize("arguments", [{"n": -1}, {"n": 1, "split": "dev"}, {"n": 1, "level": 6}])
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must not be negative|unknown split|unknown level"):
        reference.questions(**arguments)  # type: ignore[arg-type]


def test_random_trees_survive_printing_and_reading() -> None:
    rng = random.Random(1)
    for _ in range(300):
        tree = problems._draw(rng, 2 + int(rng.random() * 8))
        if tree is not None:
            items = expressions.flatten(tree)
            text = "Compute " + expressions.show(items)
            assert expressions.read(text) == items
            assert python_value(text) == expressions.value(tree)
