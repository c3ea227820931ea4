"""A keyword that a class does not have: the error says what it is called here, or where it is set."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest

from ttscale.hf import HFGenerator, HFModel, HFReviser
from ttscale.openai import Connection, OpenAIGenerator, OpenAIReviser
from ttscale.prompts import PromptFormat


@pytest.mark.parametrize(
    ("kind", "keyword", "said"),
    [
        (HFGenerator, "max_tokens", r"^HFGenerator\(\) has no argument 'max_tokens'; .* is max_new_tokens$"),
        (HFReviser, "device", r"^HFReviser\(\) .* HFModel\(name, device=\.\.\.\)$"),
        (HFGenerator, "do_sample", "temperature=0 is greedy"),
        (HFGenerator, "temprature", "did you mean temperature"),
        (HFModel, "torch_dtype", "it is called dtype"),
        (HFModel, "load_in_4bit", "load it with transformers"),
        (OpenAIGenerator, "url", r"^OpenAIGenerator\(\) has no argument 'url'; it is called base_url$"),
        (OpenAIReviser, "timeout", r"Connection\(url, timeout=\.\.\.\)"),
        (OpenAIGenerator, "top_k", r"extra=\{'top_k': \.\.\.\}"),
        (OpenAIGenerator, "colour", "it takes api, api_key, base_url"),
    ],
)
def test_the_error_says_what_to_do(kind: Any, keyword: str, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        kind("some-model", **{keyword: 1})


def test_what_hints_name_is_there() -> None:
    from ttscale.hf import model, sampler
    from ttscale.openai import writer

    def arguments(kind: Any) -> set[str]:
        return set(inspect.signature(kind).parameters)

    for kind, hints in ((HFGenerator, sampler.INSTEAD), (HFModel, model.INSTEAD), (OpenAIGenerator, writer.INSTEAD)):
        assert not arguments(kind) & hints.keys()
    assert {"max_new_tokens", "temperature", "prompt"} <= arguments(HFGenerator) & arguments(OpenAIGenerator)
    assert {"device", "dtype", "trust_remote_code", "max_batch", "tokenizer"} <= arguments(HFModel)
    assert {"timeout", "concurrency", "retries", "headers"} <= arguments(Connection)
    assert {"extra", "base_url", "api_key"} <= arguments(OpenAIGenerator)
    assert {"stop", "system"} <= {field.name for field in fields(PromptFormat)}
