"""Prompts are data: what they render to, which family gets which, and where texts fall into steps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.prompts.layouts import (
    FOUR_SHOT,
    QWEN_MATH,
    SEARCH_AND_LEARN,
    THINKING,
    Family,
    PromptFormat,
    chat_turns,
    family_of,
    fill,
    plain_text,
    split_steps,
    without_marks,
)

FORM = PromptFormat(
    system="S",
    user="Q: {question}",
    template="Q: {question}\nA: ",
    examples=(("1+1", "2"),),
    example_template="Q: {question}\nA: {solution}{eos}",
    attempt_template="{attempt}{eos}A: ",
    revision_request="Again.",
    max_attempts=2,
)


def test_a_chat_holds_the_examples_the_question_and_the_last_attempts() -> None:
    asked = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Q: 1+1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "Q: 2+2"},
    ]
    assert chat_turns(FORM, "2+2") == asked
    assert chat_turns(FORM, "2+2", ["3", "5\n", "6"]) == [
        *asked,
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "Again."},
        {"role": "assistant", "content": "6"},
        {"role": "user", "content": "Again."},
    ]
    bare = PromptFormat(system=None, revision_request=None)
    assert chat_turns(bare, "q", ["a"]) == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def test_a_document_holds_the_same() -> None:
    assert plain_text(FORM, "2+2", eos="|") == "Q: 1+1\nA: 2|Q: 2+2\nA: "
    assert plain_text(FORM, "2+2", ["3", "5\n", "6"], eos="|") == "Q: 1+1\nA: 2|Q: 2+2\nA: 5|A: 6|A: "
    assert plain_text(PromptFormat(max_attempts=0), "q", ["a"]) == "q\n"
    assert plain_text(PromptFormat(template="{bos}{question}"), "q", bos="<s>") == "<s>q"


def test_braces_and_names_in_what_is_filled_in_are_left_alone() -> None:
    question = r"Let $\frac{a}{b}$ and {question} and {eos} and {0}"
    assert fill("<{question}>{eos}{x}", question=question, eos="|") == f"<{question}>|{{x}}"
    assert chat_turns(PromptFormat(), question)[-1]["content"] == question


def test_a_prompt_that_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match=r"user must contain '\{question\}'"):
        PromptFormat(user="hello")
    with pytest.raises(ValueError, match="strings that are not empty"):
        PromptFormat(stop=("",))
    with pytest.raises(ValueError, match="unknown prompt setting 'sytem'"):
        PromptFormat.from_json({"sytem": "x"})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "must be a JSON object"),
        ({"template": 3}, "template must be a string"),
        ({"system": 3}, "system must be a string or None"),
        ({"chat": "yes"}, "chat must be True, False or None"),
        ({"max_attempts": -1}, "max_attempts must be an integer of at least 0"),
        ({"examples": 3}, "examples must be a list of pairs"),
        ({"examples": [["q"]]}, "examples must be a list of pairs"),
        ({"stop": "x"}, "stop must be a list of strings"),
        ({"stop": ["x", ""]}, "stop must be a list of strings that are not empty"),
    ],
)
def test_a_setting_of_the_wrong_type_is_named(data: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PromptFormat.from_json(data)


def test_a_text_is_no_list_of_stop_strings() -> None:
    with pytest.raises(ValueError, match="stop must be a list of strings that are not empty; got '##'"):
        PromptFormat(stop="##")  # type: ignore[arg-type]


def test_a_prompt_comes_back_from_json() -> None:
    data = {"chat": False, "examples": [["1+1", "2"]], "stop": ["x"], "max_attempts": 1}
    assert PromptFormat.from_json(data) == PromptFormat(
        chat=False, examples=(("1+1", "2"),), stop=("x",), max_attempts=1
    )


def test_the_four_shot_prompt_has_the_papers_shape() -> None:
    form = FOUR_SHOT.prompt
    assert len(form.examples) == 4
    assert all(len(split_steps(solution, FOUR_SHOT.delimiter)) >= 3 for _, solution in form.examples)
    assert all("\\boxed{" in solution for _, solution in form.examples)
    text = plain_text(form, "What is 6 * 7?")
    assert text.count("Problem:\n") == 5
    assert text.endswith("\n\nProblem:\nWhat is 6 * 7?\n\nSolution:\n")
    # The stop string is what the model itself would write to go on with a sixth problem.
    assert text.count(form.stop[0]) == 4


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("Qwen/Qwen2.5-Math-7B-Instruct", QWEN_MATH),
        ("/models/Qwen2.5-1.5B-Instruct/", QWEN_MATH),
        ("Qwen/Qwen3-8B", THINKING),
        ("Qwen/Qwen3-4B-Instruct-2507", QWEN_MATH),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", THINKING),
        ("meta-llama/Llama-3.2-1B-Instruct", SEARCH_AND_LEARN),
        ("meta-llama/Llama-2-7b-hf", FOUR_SHOT),
        ("google/gemma-3-4b-pt", FOUR_SHOT),
        ("somebody/unheard-of", QWEN_MATH),
    ],
)
def test_the_family_is_read_from_the_name(model: str, family: Family) -> None:
    assert family_of(model) is family


@pytest.mark.parametrize(
    ("text", "delimiter", "steps"),
    [
        ("", "\n", []),
        ("a", "\n", ["a"]),
        ("a\nb", "\n", ["a\n", "b"]),
        ("a\nb\n", "\n", ["a\n", "b\n"]),
        ("a\n\nb", "\n", ["a\n", "\nb"]),
        ("\n\na\n", "\n", ["\n\na\n"]),
        ("a\n\n\n\n", "\n\n", ["a\n\n\n\n"]),
        ("a\n\n\nb", "\n\n", ["a\n\n", "\nb"]),
        ("\n \n", "\n", ["\n \n"]),
        ("a;;b", ";", ["a;", ";", "b"]),
    ],
)
def test_steps(text: str, delimiter: str, steps: list[str]) -> None:
    assert split_steps(text, delimiter) == steps


@given(st.text("ab \n", max_size=40), st.sampled_from(["\n", "\n\n", "ab"]))
def test_steps_lose_nothing_and_are_never_blank(text: str, delimiter: str) -> None:
    steps = split_steps(text, delimiter)
    assert "".join(steps) == text
    assert all(step.strip() for step in steps) or not text.strip()
    assert all(delimiter in step for step in steps[:-1])


def test_marks_are_taken_out_however_they_are_nested() -> None:
    assert without_marks("a<x>b", ["<x>"]) == "ab"
    assert without_marks("<<x>x>a<y<x>>", ["<x>", "<y>"]) == "a"
    assert without_marks("plain", ["<x>"]) == "plain"


def test_examples_are_pairs_of_texts() -> None:
    assert PromptFormat(examples=[["q", "a"]]) == PromptFormat(examples=(("q", "a"),))  # type: ignore[arg-type]
    for wrong in ("qa", ["qa"], [("q", "a", "b")], [{"question": "q", "solution": "a"}], [("q", None)], None):
        with pytest.raises(ValueError, match=r"examples must be pairs \(question, solution\) of strings; got "):
            PromptFormat(examples=wrong)  # type: ignore[arg-type]
