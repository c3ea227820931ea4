"""Thoughts are never the answer, whatever their tags look like."""

from __future__ import annotations

import pytest

from ttscale import Candidate, Key, Question, Step
from ttscale.answers import extract_answer
from ttscale.answers.thoughts import without_thoughts

HARMONY = "<|channel|>analysis<|message|>maybe \\boxed{3}?<|end|><|start|>assistant<|channel|>final<|message|>Answer: 5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>3</think>5", "5"),
        ("[THINK]3[/THINK]5", "5"),
        ("<|channel>thought\n3<channel|>5", "5"),
        ("<|begin_of_thought|>3<|end_of_thought|>5", "5"),
        ("<|START_THINKING|>3<|END_THINKING|>5", "5"),
        ("3</think>5", "5"),
        ("<think>3", ""),
        ("<|channel>3", ""),
        ("[THINK]3", ""),
        (HARMONY, "Answer: 5"),
        (HARMONY + "<|return|>", "Answer: 5"),
        ("<|channel|>analysis<|message|>maybe \\boxed{3}", ""),
        ("analysisWe add.assistantfinalAnswer: 5", "Answer: 5"),
        ("analysisWe add \\boxed{3}", ""),
        ("no thought", "no thought"),
    ],
)
def test_thoughts_are_cut_out(text: str, said: str) -> None:
    assert without_thoughts(text) == said


def test_a_block_that_the_prompt_opened() -> None:
    assert without_thoughts("3 or 4, \\boxed{3}", opened=True) == ""
    assert without_thoughts("3 or 4</think>\\boxed{5}", opened=True) == "\\boxed{5}"


def test_tags_of_ones_own() -> None:
    assert without_thoughts("((3))5", [("((", "))")]) == "5"


@pytest.mark.parametrize("tags", ["<think>|</think>", "[THINK]|[/THINK]", "<|channel>|<channel|>"])
def test_an_answer_that_was_thought_does_not_count(tags: str) -> None:
    opening, closing = tags.split("|", 1) if tags[1] != "|" else ("<|channel>", "<channel|>")
    assert extract_answer(f"{opening}maybe \\boxed{{3}}? no{closing}Answer: 5") == "5"
    assert extract_answer(f"{opening}maybe \\boxed{{3}}") is None


def test_a_candidate_shows_what_it_said() -> None:
    shown = Candidate(Question("q", "?"), Key((0, "q")), (Step("<think>3</think>Answer: 5"),), "stop")
    assert (shown.spoken, shown.answer) == ("Answer: 5", "5")
