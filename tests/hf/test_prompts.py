"""From questions and attempts to token ids: chat templates, plain layouts, few-shot, beginnings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors

from hf.tiny import byte_tokenizer
from ttscale.prompts.tokenize import PromptFormat, encode, leading_ids, read_settings

CHAT = (
    "{% for m in messages %}<bos>{{ m['role'] }}:{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<bos>assistant:{% endif %}"
)


def shown(tokenizer: Any, form: PromptFormat, question: str, attempts: tuple[str, ...] = ()) -> str:
    return str(tokenizer.decode(encode(tokenizer, form, question, attempts)))


def test_a_chat() -> None:
    tokenizer = byte_tokenizer(chat_template=CHAT)
    assert shown(tokenizer, PromptFormat(system="Be brief."), "1+1?") == (
        "<bos>system:Be brief.<eos><bos>user:1+1?<eos><bos>assistant:"
    )
    ids = encode(tokenizer, PromptFormat(system=None), "1+1?")
    assert (ids[0], ids.count(1), ids.count(2)) == (1, 2, 1)


def test_a_chat_with_examples_and_attempts() -> None:
    form = PromptFormat(system=None, examples=(("q", "s"),), revision_request="Again.", max_attempts=2)
    assert shown(byte_tokenizer(chat_template=CHAT), form, "1+1?", ("a", "b\n", "c")) == (
        "<bos>user:q<eos><bos>assistant:s<eos><bos>user:1+1?<eos><bos>assistant:b<eos><bos>user:Again.<eos>"
        "<bos>assistant:c<eos><bos>user:Again.<eos><bos>assistant:"
    )


def test_plain_text() -> None:
    form = PromptFormat(
        chat=False, template="Q: {question}\nA: ", examples=(("x", "y"),), example_template="{question}={solution};"
    )
    assert shown(byte_tokenizer(chat_template=CHAT), form, "{question} {bos}") == "x=y;Q: {question} {bos}\nA: "


def test_plain_attempts_end_in_eos() -> None:
    form = PromptFormat(chat=False, max_attempts=2)
    tokenizer = byte_tokenizer()
    assert shown(tokenizer, form, "q", ("a", "b\n", "c")) == "q\nb<eos>c<eos>"
    assert encode(tokenizer, form, "q", ("b",)).count(2) == 1
    assert shown(byte_tokenizer(eos_token=None), form, "q", ("b",)) == "q\nb\n"
    assert shown(tokenizer, PromptFormat(chat=False, max_attempts=0), "q", ("b",)) == "q\n"


def test_the_beginning_is_written_once() -> None:
    """By the tokenizer or by the template, never by both."""
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 1)]
    )
    assert leading_ids(tokenizer) == [1]
    for template in ("{question}\n", "{bos}{question}\n"):
        ids = encode(tokenizer, PromptFormat(chat=False, template=template), "q")
        assert (ids[0], ids.count(1)) == (1, 1)
    assert leading_ids(byte_tokenizer()) == []


def test_a_template_that_refuses_is_explained() -> None:
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}x"
    with pytest.raises(ValueError, match=r"\['system', 'user'\].*no system role.*system=None"):
        encode(byte_tokenizer(chat_template=template), PromptFormat(system="s"), "q")


def test_asking_for_a_chat_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no chat template"):
        encode(byte_tokenizer(), PromptFormat(chat=True), "q")


def test_settings_beside_a_checkpoint(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == {}
    (tmp_path / "ttscale.json").write_text('{"delimiter": "x"}')
    assert read_settings(tmp_path) == {"delimiter": "x"}
    (tmp_path / "ttscale.json").write_text("[1]")
    with pytest.raises(ValueError, match="JSON object"):
        read_settings(tmp_path)
    (tmp_path / "ttscale.json").write_text('{"delimiter": ')
    with pytest.raises(ValueError, match=r"ttscale\.json is not JSON"):
        read_settings(tmp_path)
