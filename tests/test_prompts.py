"""Prompts are data: what they render to, which family gets which, and where texts fall into steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscale.prompts import (
    FOUR_SHOT,
    QWEN_MATH,
    SEARCH_AND_LEARN,
    THINKING,
    Prompt,
    prompt_for,
    split_steps,
    without_thinking,
)


def test_messages_and_text_hold_the_same_words() -> None:
    prompt = Prompt(system="S", user="Q: {question}", document="Q: {question}\nA: ", shots=(("1+1", "2"),))
    assert prompt.messages("2+2") == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Q: 1+1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "Q: 2+2"},
    ]
    assert prompt.text("2+2") == "S\n\nQ: 1+1\nA: 2\n\nQ: 2+2\nA: "


def test_braces_and_placeholders_in_a_question_are_left_alone() -> None:
    question = r"Let $\frac{a}{b}$ and {question} and {0}"
    assert Prompt(document="<{question}>").text(question) == f"<{question}>"
    assert QWEN_MATH.messages(question)[-1]["content"] == question


def test_a_prompt_without_its_blank_or_delimiter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"user must contain '\{question\}'"):
        Prompt(user="hello")
    with pytest.raises(ValueError, match="needs a delimiter"):
        Prompt(delimiter="")


def test_the_four_shot_prompt_has_the_papers_shape() -> None:
    assert len(FOUR_SHOT.shots) == 4
    assert all(len(split_steps(solution, "\n")) >= 3 for _, solution in FOUR_SHOT.shots)
    assert all("\\boxed{" in solution for _, solution in FOUR_SHOT.shots)
    text = FOUR_SHOT.text("What is 6 * 7?")
    assert text.count("Problem:\n") == 5
    assert text.endswith("Problem:\nWhat is 6 * 7?\n\nSolution:\n")
    # The stop string is what the model itself would write to go on with a sixth problem.
    assert text.count(FOUR_SHOT.stop[0]) == 4


@pytest.mark.parametrize(
    ("model", "prompt"),
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
def test_the_family_is_read_from_the_name(model: str, prompt: Prompt) -> None:
    assert prompt_for(model) is prompt


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("plain", "plain"),
        ("<think>a \\boxed{1}</think>\\boxed{2}", "\\boxed{2}"),
        ("thought of a prompt's tag</think> b", " b"),
        ("<think>never closed \\boxed{1}", ""),
        ("a<think>b</think>c<think>d", "c"),
        ("<think></think>", ""),
    ],
)
def test_thinking_is_stripped(text: str, rest: str) -> None:
    assert without_thinking(text) == rest


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
