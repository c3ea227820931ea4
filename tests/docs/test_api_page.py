"""The API reference names everything public, and ``help()`` tells what a result holds."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields
from html import unescape
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import ttscale

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "api.md"
PARTS = (
    *("answers", "evaluation", "hf", "openai", "prompts", "reference", "strategies", "testing", "training"),
    *("verifiers", "viz", "vllm"),
)
NAMES = re.findall(r"^::: (\S+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def found(name: str) -> Any:
    """The module, class or function of a dotted name."""
    module, _, last = name.rpartition(".")
    try:
        return getattr(import_module(module), last)
    except (ImportError, AttributeError):
        return import_module(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_on_the_page_exists_and_says_what_it_is(name: str) -> None:
    assert found(name).__doc__ or name.endswith(".Search")  # an alias has no docstring when it runs


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as readers get it."""
    pytest.importorskip("mkdocstrings")
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return (site / "api.html").read_text(encoding="utf-8")


def signature(built: str, heading: str) -> str:
    """The arguments that stand under a heading, in one line."""
    block = built.partition(f'id="{heading}"')[2].partition("<pre>")[2].partition("</pre>")[0]
    return " ".join(unescape(re.sub("<[^>]+>", "", block)).split())


def test_every_public_name_is_on_the_page(built: str) -> None:
    """Of the package, and of each of its parts that says what is public."""
    headings = set(re.findall(r'id="ttscale\.(?:[\w.]+\.)?(\w+)"', built))
    parts = [ttscale, *(import_module(f"ttscale.{name}") for name in PARTS)]
    public = {f"{part.__name__}.{name}" for part in parts for name in part.__all__} - {"ttscale.__version__"}
    public |= {"ttscale.revisers.PromptedReviser", "ttscale.revisers.PromptedAggregator"}
    assert sorted(name for name in public if name.rpartition(".")[2] not in headings) == []


def test_the_parts_are_all_that_say_what_is_public() -> None:
    folders = {folder.parent.name for folder in (ROOT / "src" / "ttscale").glob("*/__init__.py")}
    assert set(PARTS) == {name for name in folders if hasattr(import_module(f"ttscale.{name}"), "__all__")}


@pytest.mark.parametrize(
    ("heading", "argument"),
    [
        ("ttscale.hf.HFModel", "trust_remote_code: bool = False"),
        ("ttscale.hf.HFGenerator", "top_k: int | None = FROM_CHECKPOINT"),
        ("ttscale.hf.HFReviser", "delimiter: str | None = FROM_CHECKPOINT"),
        ("ttscale.openai.OpenAIGenerator", "temperature: float | None = 1.0"),
        ("ttscale.openai.Connection", "concurrency: int"),
        ("ttscale.vllm.VLLMGenerator", "top_k: int = -1"),
        ("ttscale.verifiers.JudgeVerifier", "votes: int | None = None"),
        ("ttscale.verifiers.PromptedComparator", "generator: Any"),
        ("ttscale.strategies.Beam", "width: Width = 4"),
        ("ttscale.strategies.Rebase", "temperature: float = 0.1"),
        ("ttscale.evaluation.Arm", "name: str"),
        ("ttscale.training.train_prm", "recipe: Recipe"),
    ],
)
def test_the_page_shows_arguments_and_defaults(built: str, heading: str, argument: str) -> None:
    assert argument in signature(built, heading)


@pytest.mark.parametrize("name", ["hf.HFGenerator", "openai.OpenAIGenerator", "vllm.VLLMGenerator"])
def test_help_on_a_generator_explains_its_arguments(name: str) -> None:
    """The words are its own, not those of a base that ``help()`` does not show."""
    text = found(f"ttscale.{name}").__doc__
    assert all(f"``{argument}" in text for argument in ("delimiter", "temperature", "max_new_tokens", "prompt"))


def test_help_shows_no_address_in_memory() -> None:
    for name in ("hf.HFGenerator", "hf.HFReviser", "openai.OpenAIGenerator", "vllm.VLLMGenerator"):
        assert " at 0x" not in str(inspect.signature(found(f"ttscale.{name}")))


def test_help_on_a_result_documents_every_field() -> None:
    text = ttscale.Result.__doc__ or ""
    assert [field.name for field in fields(ttscale.Result) if f"``{field.name}``" not in text] == []


def test_the_page_on_cost_has_every_field() -> None:
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    assert [field.name for field in fields(ttscale.Cost) if f"| `{field.name}` |" not in page] == []
