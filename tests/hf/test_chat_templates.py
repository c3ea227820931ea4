"""Chat templates: their arguments, the day they are told it is, and how stored results tell them apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as T

from hf.recite import tokenizer_with
from hf.tiny import SHAPE
from ttscale.api.role_labels import label
from ttscale.hf import HFGenerator, HFModel, HFReviser
from ttscale.prompts.layouts import PromptFormat, stop_strings
from ttscale.prompts.tokenize import encode

TEMPLATE = (
    "{% if date_string is defined %}{{ date_string }}{% else %}{{ strftime_now('%d %b %Y') }}{% endif %}|"
    "{% if enable_thinking is defined and not enable_thinking %}quiet{% else %}thinks{% endif %}|"
    "{{ messages[-1].content }}"
)


def laid_out(form: PromptFormat, template: str = TEMPLATE) -> str:
    tokenizer = tokenizer_with(chat_template=template)
    text: str = tokenizer.decode(encode(tokenizer, form, "q?"))
    return text


def test_a_template_is_told_the_same_day_on_every_day() -> None:
    assert laid_out(PromptFormat()) == "26 Jul 2024|thinks|q?"
    assert laid_out(PromptFormat(date="2026-11-28")) == "28 Nov 2026|thinks|q?"
    assert laid_out(PromptFormat(chat_template_kwargs={"date_string": "today"})) == "today|thinks|q?"


def test_a_template_is_given_its_arguments() -> None:
    form = PromptFormat(chat_template_kwargs={"enable_thinking": False})
    assert laid_out(form) == "26 Jul 2024|quiet|q?"
    assert form == PromptFormat.from_json({"chat_template_kwargs": {"enable_thinking": False}})
    assert hash(form) != hash(PromptFormat())
    for wrong in ({"chat_template_kwargs": 3}, {"date": "today"}):
        with pytest.raises(ValueError, match="prompt settings"):
            PromptFormat(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", [HFGenerator, HFReviser])
def test_roles_take_arguments_of_the_template_and_are_named_by_it(role: Any) -> None:
    def made(template: str, **settings: Any) -> Any:
        tokenizer = tokenizer_with(chat_template=template)
        torch.manual_seed(0)
        module = T.LlamaForCausalLM(T.LlamaConfig(**{**SHAPE, "vocab_size": len(tokenizer)}))
        return role(HFModel(module, tokenizer=tokenizer, device="cpu"), **settings)

    plain, again, edited = made(TEMPLATE), made(TEMPLATE), made(TEMPLATE + " ")
    quiet = made(TEMPLATE, chat_template_kwargs={"enable_thinking": False})
    assert quiet._sampler.settings.prompt.chat_template_kwargs == (("enable_thinking", False),)
    assert label(plain) == label(again)
    assert len({label(one) for one in (plain, edited, quiet)}) == 3


@pytest.mark.parametrize(
    ("template", "solution", "stops"),
    [
        ("Question: {question}\nAnswer: {solution}\n\n", "6", ("\nQuestion:",)),
        ("Q: {question} A: {solution}\n", "6", ("\nQ:",)),
        ("Problem:\n{question}\n\nSolution:\n{solution}\n\n", "a\n\nb", ("\nProblem:",)),
        ("{question}\n{solution}\n\n", "one line\nAnswer: 6", ("\n\n",)),
        ("{question}\n{solution}\n\n", "one\n\nAnswer: 6", ()),
        ("{bos}{question}\n{solution}{eos}", "6", ()),
    ],
)
def test_stop_strings_come_from_the_examples(template: str, solution: str, stops: tuple[str, ...]) -> None:
    form = PromptFormat(examples=(("2 * 3", solution),), example_template=template)
    assert stop_strings(form, chat=False) == stops
    assert stop_strings(form, chat=True) == ()
    assert stop_strings(PromptFormat(examples=form.examples, stop=("END",)), chat=False) == ("END",)
    assert stop_strings(PromptFormat(), chat=False) == ()
