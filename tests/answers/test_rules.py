"""Answer rules of one's own, from ``solve`` to the trace, and the same rule in votes and grades."""

from __future__ import annotations

import importlib
import re
from collections.abc import Hashable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttscale
from ttscale import answers
from ttscale.answers.formats import blocks
from ttscale.answers.rules import rule_of_row, rule_written
from ttscale.evaluation.problems.grading import grade, grade_text
from ttscale.evaluation.problems.problem import Problem
from ttscale.viz import tree


@pytest.mark.parametrize(
    ("rule", "text", "stated"),
    [
        (answers.choice(), "The correct option is B. Paris", "B"),
        (answers.choice(), "b) Paris", "B"),
        (answers.choice(), "Answer: (C) Rome", "C"),
        (answers.choice("AB"), "Answer: C", None),
        (answers.choice(), "I do not know.", None),
        (answers.number(), "Answer: $1,080", "$1,080"),
        (answers.number(), "Answer: Paris", None),
        (answers.text(), "Answer: The Nile", "The Nile"),
        (answers.json("answer"), 'so {"x": 1} then {"answer": [1, 2]} done', "[1, 2]"),
        (answers.json("answer"), '{"other": 3}', None),
        (answers.json("a"), '{"a": 1} {"a": 2}', "2"),
        (answers.code(), "```python\nprint(1)\n```\nor\n```python\nprint(2)\n```", "print(2)"),
        (answers.code(), "no code", None),
        (answers.json("answer"), '{"steps": [{"answer": 1}], "answer": 3}', "3"),
        (answers.json("answer"), '{"answer": 7, "sub": {"answer": 8}}', "7"),
        (answers.json("answer"), '{"a": {"answer": 7}}', "7"),
        (answers.json("answer"), '{"answer": null}', None),
        (answers.code(), "```python\nprint(4)\n```\nOutput:\n```\n4\n```", "print(4)"),
        (answers.code(), "```py\nprint(1)\n```", "print(1)"),
        (answers.code(), "1. x\n   ```python3\n   print(1)\n   ```", "print(1)"),
        (answers.code(), "```\nprint(1)\n```", "print(1)"),
        (answers.code(), "```bash\npip\n```", None),
        (answers.code("c++"), "```c++\nint x;\n```", "int x;"),
        (answers.code("c++"), "```cpp\nint x;\n```", "int x;"),
        (answers.code("c#"), "```c#\nint x;\n```", "int x;"),
        (answers.text(), "Paris", "Paris"),
        (answers.text(), "Answer: William won the battle of 1066.", "William won the battle of 1066"),
        (answers.choice(), "Answer: A, C", None),
        (answers.choice(), "A, C and D", None),
        (answers.choice(), "A, I think", "A"),
        (answers.regex(r"x=(\d+)|y=(\d+)"), "x=1 y=2", "2"),
        (answers.regex(r"ANSWER<(.*?)>"), "ANSWER<3> no, ANSWER<4>", "4"),
        (answers.regex(r"\d+"), "<think>12</think> none", None),
    ],
)
def test_a_rule_finds_its_answer(rule: answers.AnswerRule, text: str, stated: str | None) -> None:
    assert answers.extract(text, rule) == stated


LINES = st.sampled_from(["```", "````", "~~~", "~~~~~", "  ```py", "x", " ", "`", "{", "```a`b```", "\n", "\n", "\n"])


@given(st.lists(LINES, max_size=20).map("".join))
def test_blocks_are_those_of_one_expression(text: str) -> None:
    """The expression that says what a block is takes quadratic time where fences stay open."""
    fenced = r"^[ \t]*(`{3,}+|~{3,}+)[ \t]*\{?([^\s`{}]*)[^\n]*\n(.*?)^[ \t]*\1"
    found = re.findall(fenced, text, re.DOTALL | re.MULTILINE)
    assert list(blocks(text)) == [(name, body) for _, name, body in found]


def test_fences_that_stay_open_are_looked_at_once() -> None:
    """Ever shorter fences, none of which the next one closes, before many pairs."""
    ladder = "".join("~" * n + "\n" for n in range(1000, 3, -1))
    assert answers.extract(ladder + "```\nx\n```\n" * 20_000, answers.code()) == "x"


@pytest.mark.parametrize(
    ("rule", "a", "b", "same"),
    [
        ("choice", "B. Paris", "(b)", True),
        ("choice", "B", "C", False),
        (answers.number(3), "0.3333", "1/3", True),
        (answers.number(), "0.3333", "1/3", False),
        (answers.number(3), "0.333", "0.334", False),
        (answers.number(0), "2.5", "3", True),
        (answers.number(0), "2.5", "2", False),
        (answers.number(0), "-2.5", "-3", True),
        (answers.number(2), "0.125", "0.13", True),
        (answers.number(-1), "15", "20", True),
        ("text", "The  Nile.", "the nile", True),
        (answers.json("a"), "7", "7.0", True),
        (answers.json("a"), "7", "7.5", False),
        (answers.json("a"), "true", "1", False),
        ("text", "1/2", "0.5", False),
        (answers.json("a"), '{"x": 1, "y": 2}', '{"y": 2, "x": 1}', True),
        (answers.code(), "x = 1  # one", "x=1", True),
        (answers.code(), "x = 1", "x = 2", False),
        (None, "0.5", r"\frac12", True),
    ],
)
def test_a_rule_compares(rule: answers.AnswerRule | str | None, a: str, b: str, same: bool) -> None:
    assert answers.equal(a, b, rule) is same
    assert answers.equal(b, a, rule) is same


class Says:
    """A generator that says one text per draw, in turn."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def sample(self, requests: Sequence[ttscale.Sample]) -> list[ttscale.Completion]:
        return [
            ttscale.Completion((ttscale.Step(self.texts[int(request.key.path[-1]) % len(self.texts)]),), "stop")
            for request in requests
        ]


class Length:
    """A rule of one's own: an answer is a word, and words of one length are the same."""

    def extract(self, text: str) -> str | None:
        return text.split()[-1] if text.strip() else None

    def key(self, answer: str) -> Hashable:
        return len(answer)


def test_solve_votes_by_the_rule_it_is_given() -> None:
    said = Says("B. Paris", "(b) Paris", "A")
    result = ttscale.solve("Which?", 3, generator=said, strategy="majority_vote", answers="choice")
    assert (result.answer, result.score) == ("B", pytest.approx(2 / 3))
    own = ttscale.solve("Which?", 3, generator=Says("of two", "of six", "of three"), strategy="majority_vote",
                        answers=Length())  # fmt: skip
    assert own.answer == "two"


def test_a_question_may_bring_its_rule_and_the_trace_names_it() -> None:
    question = ttscale.Question("q", "Which?", answers=answers.choice("ABC"))
    result = ttscale.solve(question, 2, generator=Says("(B) Paris", "B. Paris"), strategy="majority_vote")
    assert result.answer == "B"
    start = next(iter(result.trace.events()))
    assert start["answers"] == "choice(ABC)"
    assert [node.answer for node in tree(result.trace).nodes if node.kind == "sample"] == ["B", "B"]
    plain = ttscale.solve("Which?", 1, generator=Says("Answer: 3"), strategy="majority_vote")
    assert "answers" not in next(iter(plain.trace.events()))


def test_problems_are_graded_by_their_rule() -> None:
    problem = Problem("p", "Which?", "B", answers="choice")  # type: ignore[arg-type]
    assert problem.question.answers == answers.choice()
    assert grade("(b) Paris", "B", problem.answers)
    assert grade_text("I would say\nB. Paris", "B", answers.regex(r"^([A-D])\.")) is True


@pytest.mark.parametrize(
    "name", ["choice(ABC)", "number(3)", "number(-1)", "text", "json(a)", "code(python)", "regex(x+)"]
)
def test_a_rule_is_found_again_by_its_name(name: str) -> None:
    assert answers.name_of_rule(answers.rule_called(name)) == name


@pytest.mark.parametrize("name", ["mathematics", "choice", "number", "text", "code"])
def test_a_bare_name_means_what_it_means_to_solve(name: str) -> None:
    assert answers.rule_called(name) == answers.rule_named(name)


@pytest.mark.parametrize("bad", ["choise", 3, object()])
def test_what_is_no_rule_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="answer"):
        ttscale.solve("Why?", 1, generator=Says("x"), answers=bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="regular expression"):
        answers.regex("(")


@pytest.mark.parametrize("digits", ["2", 2.5, True])
def test_places_are_a_whole_number(digits: object) -> None:
    with pytest.raises(ValueError, match="whole number"):
        answers.number(digits)  # type: ignore[arg-type]


def test_a_written_choice_has_letters() -> None:
    assert rule_written("choice(abcd)") == answers.choice("abcd")
    for wrong in ("choice()", "choice(12)", "choice(A-D)"):
        with pytest.raises(ValueError, match="letters such as 'ABCD'"):
            rule_written(wrong)
        with pytest.raises(ValueError, match=r"row 3: .*letters such as 'ABCD'"):
            rule_of_row(wrong, "row 3")


def test_public_names_are_functions_and_no_modules() -> None:
    for name in ("extract", "equal", "answer_classes", "choice", "number", "text", "json", "code", "regex"):
        assert callable(getattr(answers, name))
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"ttscale.answers.{name}")
    assert ttscale.answers.extract("Answer: 5") == "5"
