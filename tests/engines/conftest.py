"""One running engine of each kind for all tests: with a key, and a chat template that thinks when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.engines import KEY, Engine, python_of
from engines.gguf_in_fp32 import in_fp32
from real_models import gguf_file, model_folder

ASSISTANT = "{{ '<|im_start|>assistant\n' }}"
"""The end of SmolLM2's template, which begins the reply."""
THINKS = "{% if thinking %}{{ '<think>\n' }}{% endif %}"


def thinking_template(folder: Path) -> Path:
    """SmolLM2's chat template, which with ``thinking=True`` opens a thinking block for the assistant."""
    text = (model_folder() / "chat_template.jinja").read_text(encoding="utf-8")
    assert text.count(ASSISTANT) == 1
    file = folder / "thinking.jinja"
    file.write_text(text.replace(ASSISTANT, ASSISTANT + THINKS), encoding="utf-8")
    return file


@pytest.fixture(scope="session", params=["vllm", "llama.cpp"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A running engine."""
    kind = request.param
    if not python_of("vllm" if kind == "vllm" else "llamacpp").exists():
        pytest.skip(f"{kind} is not set up here: make engines")
    template = thinking_template(tmp_path_factory.mktemp("template"))
    options: tuple[str, ...] = ("--api-key", KEY, "--chat-template", str(template))
    if kind == "vllm":
        options += ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
    running = Engine(kind, model_folder() if kind == "vllm" else in_fp32(gguf_file()), options)
    try:
        running.start()
        yield running
    finally:
        running.stop()
