"""Thinking tags, stop strings and delimiters that are special tokens, which a decoded text does not show."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

import ttscale
from hf.recite import Recites, tokenizer_with
from ttscale import Candidate, Key, Question, Step
from ttscale.core.requests import Revise, Sample
from ttscale.hf import HFGenerator, HFModel, HFReviser
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
    assert shown == ["Answer: 5", ""]
    assert "hm" not in plain_text(PLAIN, "q?", attempts[:1])
    told = PromptFormat(chat=False, show_thoughts=True)
    assert "hm" in plain_text(told, "q?", attempts[:1])


OWN = PromptFormat(system=None, thoughts=(("<plan>", "</plan>"),))


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("opened", [True, False])
def test_tags_of_ones_own_are_a_setting_of_the_prompt_format(special: bool, opened: bool) -> None:
    """The text names the thought as every reader knows it; the model goes on from the tokens it wrote."""
    tags = ("<plan>", "</plan>") if special else ()
    tokenizer = tokenizer_with("<|im_start|>", "<|im_end|>", *tags,
                               chat_template=CHAT + ('{{ "<plan>" }}' if opened else ""))  # fmt: skip
    said = ("" if opened else "<plan>") + "\\boxed{3}?\nno</plan>\nAnswer: 5"
    mark = "<|im_start|>assistant\n" + ("<plan>" if opened else "")
    generator = generator_of(tokenizer, lambda prompt: said, mark, prompt=OWN)
    result = ttscale.solve("q?", 2, generator=generator, strategy="majority_vote")
    assert result.text == "<think>\\boxed{3}?\nno</think>\nAnswer: 5"
    assert (result.answer, result.candidates[0].spoken.strip()) == ("5", "Answer: 5")
    prefix = Candidate(Question.of("q?"), Key((0, "q")))
    while prefix.finish == "open":
        (reply,) = generator.sample([Sample(prefix, prefix.key.child(0), max_steps=1)])
        prefix = prefix.extend(prefix.key.child(0), reply.steps, reply.finish)
    assert prefix.text == result.text


def test_without_the_setting_tags_of_ones_own_are_text() -> None:
    tokenizer = tokenizer_with("<|im_start|>", "<|im_end|>", chat_template=CHAT)
    generator = generator_of(
        tokenizer, lambda prompt: "<plan>x</plan>Answer: 5", "<|im_start|>assistant\n", prompt=NO_SYSTEM
    )
    result = ttscale.solve("q?", 1, generator=generator, strategy="majority_vote")
    assert result.candidates[0].spoken == "<plan>x</plan>Answer: 5"


def test_a_reviser_is_shown_attempts_without_thoughts_unless_told_otherwise() -> None:
    seen: list[str] = []

    def say(prompt: str) -> str:
        seen.append(prompt)
        return "<think>deep</think>Answer: 5"

    tokenizer = tokenizer_with("<|im_start|>", "<|im_end|>", chat_template=CHAT)
    for show in (False, True):
        seen.clear()
        form = PromptFormat(system=None, show_thoughts=show)
        reviser = HFReviser(
            HFModel(Recites(tokenizer, say, "<|im_start|>assistant\n"), tokenizer=tokenizer, device="cpu"), prompt=form
        )
        attempt = Candidate(Question.of("q?"), Key((0, "q")), (Step("<think>deep</think>Answer: 4"),), "stop")
        reviser.revise([Revise((attempt,), Key((1,)))])
        assert ("deep" in seen[-1], "Answer: 4" in seen[-1]) == (show, True)


@pytest.mark.parametrize("bad", [[["<a>"]], [["<a>", "<a>"]], [["", "</a>"]], "<a>", [[1, 2]], 5])
def test_what_is_no_pair_of_tags_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="prompt setting thoughts"):
        PromptFormat(thoughts=bad)


def test_tags_of_ones_own_are_kept_as_json() -> None:
    assert PromptFormat.from_json(json.loads(json.dumps(asdict(OWN)))) == OWN
