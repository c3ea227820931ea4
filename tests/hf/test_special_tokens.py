"""Thinking tags, stop strings and delimiters that are special tokens, which a decoded text does not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ttscale
from hf.recite import Recites, tokenizer_with
from ttscale import Candidate, Key, Question
from ttscale.core.requests import Sample
from ttscale.hf import HFGenerator, HFModel
from ttscale.prompts.layouts import PromptFormat

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    '{{ "<|im_start|>assistant\n" }}'
)
NO_SYSTEM = PromptFormat(system=None)
PLAIN = PromptFormat(chat=False)


def generator_of(tokenizer: Any, say: Callable[[str], str], mark: str, **settings: Any) -> HFGenerator:
    return HFGenerator(HFModel(Recites(tokenizer, say, mark), tokenizer=tokenizer, device="cpu"), **settings)


TAGS = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>thought\n", "<channel|>"),
]


@pytest.mark.parametrize(("opening", "closing"), TAGS)
def test_a_thought_between_special_tags_is_no_answer(opening: str, closing: str) -> None:
    tags = [tag.removesuffix("thought\n") for tag in (opening, closing)]
    tokenizer = tokenizer_with("<|im_start|>", "<|im_end|>", *tags, chat_template=CHAT)
    generator = generator_of(
        tokenizer,
        lambda prompt: f"{opening}maybe \\boxed{{3}}? no{closing}Answer: 5",
        "<|im_start|>assistant\n",
        prompt=NO_SYSTEM,
    )
    result = ttscale.solve("q?", 2, generator=generator, strategy="majority_vote")
    assert result.text == f"{opening}maybe \\boxed{{3}}? no{closing}Answer: 5"
    assert result.answer == "5"


def test_a_thought_in_the_harmony_format_is_no_answer() -> None:
    tokenizer = tokenizer_with("<|start|>", "<|end|>", "<|channel|>", "<|message|>", "<|return|>")
    said = (
        "<|channel|>analysis<|message|>maybe \\boxed{3}<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Answer: 5<|return|>"
    )
    generator = generator_of(tokenizer, lambda prompt: said, "q?\n", prompt=PLAIN)
    result = ttscale.solve("q?", 1, generator=generator, strategy="majority_vote")
    assert result.answer == "5"


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize(("said", "answer"), [("maybe \\boxed{3}?</think>Answer: 5", "5"), ("maybe \\boxed{3}?", None)])
def test_a_thought_that_the_template_opens_is_seen(said: str, answer: str | None, special: bool) -> None:
    """The prompt ends in the tag, so the model never writes it; without a closing one, nothing was answered."""
    tags = ("<think>", "</think>") if special else ()
    tokenizer = tokenizer_with("<|im_start|>", "<|im_end|>", *tags, chat_template=CHAT + '{{ "<think>\n" }}')
    generator = generator_of(tokenizer, lambda prompt: said, "<|im_start|>assistant\n<think>\n", prompt=NO_SYSTEM)
    result = ttscale.solve("q?", 1, generator=generator, strategy="majority_vote")
    assert result.answer == answer
    assert result.candidates[0].text == "<think>\n" + said


def test_a_thought_that_the_template_opens_is_opened_once_in_step_search() -> None:
    tokenizer = tokenizer_with(
        "<|im_start|>", "<|im_end|>", "<think>", "</think>", chat_template=CHAT + '{{ "<think>\n" }}'
    )
    said = "one\ntwo</think>\nAnswer: 5"
    generator = generator_of(tokenizer, lambda prompt: said, "<|im_start|>assistant\n<think>\n", prompt=NO_SYSTEM)
    prefix = Candidate(Question.of("q?"), Key((0, "q")))
    texts = []
    while prefix.finish == "open":
        key = prefix.key.child(0)
        (reply,) = generator.sample([Sample(prefix, key, max_steps=1)])
        texts += [step.text for step in reply.steps]
        prefix = prefix.extend(key, reply.steps, reply.finish)
    assert texts == ["<think>\none\n", "two</think>\n", "Answer: 5"]
    assert prefix.answer == "5"


@pytest.mark.parametrize("stop", ["<|eot_id|>", "<|eot_id|>\n", "5<|eot_id|>", "5<|eot_id|>\nAns"])
def test_a_stop_string_with_a_special_token_in_it_stops(stop: str) -> None:
    """As in Llama 3, whose ``<|eot_id|>`` is not among ``all_special_tokens``."""
    tokenizer = tokenizer_with("<|eot_id|>")
    form = PromptFormat(chat=False, stop=(stop,))
    generator = generator_of(tokenizer, lambda prompt: "Answer: 5<|eot_id|>\nAnswer: 7", "q?\n", prompt=form)
    result = ttscale.solve("q?", 1, generator=generator, strategy="majority_vote")
    assert result.text == "Answer: 5".removesuffix(stop.partition("<")[0])


def test_a_delimiter_that_is_a_special_token_is_refused() -> None:
    tokenizer = tokenizer_with("<|eot_id|>")
    with pytest.raises(ValueError, match=r"special token, '<\|eot_id\|>'.*take one of text"):
        generator_of(tokenizer, lambda prompt: "x", "q?\n", prompt=PLAIN, delimiter="<|eot_id|>")


def test_attempts_are_shown_without_their_thoughts() -> None:
    from ttscale.prompts.layouts import chat_turns, plain_text

    attempts = ["<think>hm \\boxed{3}</think>\nAnswer: 5", "<think>never ended"]
    shown = [turn["content"] for turn in chat_turns(NO_SYSTEM, "q?", attempts) if turn["role"] == "assistant"]
    assert shown == ["Answer: 5", "<think>never ended"]
    assert "hm" not in plain_text(PLAIN, "q?", attempts[:1])
