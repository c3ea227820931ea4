"""The API reference names everything public, and ``help()`` tells what a result holds."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import ttscale

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
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
    assert found(name).__doc__


def test_every_public_name_is_on_the_page() -> None:
    """By itself or in a module that is shown whole; type aliases and the version need no entry."""
    shown = [found(name) for name in NAMES]
    modules = {one.__name__ for one in shown if hasattr(one, "__path__") or not hasattr(one, "__module__")}
    aliases = {"MAX_BUDGET", "Reply", "Request", "Search", "__version__"}
    missing = [
        name
        for name in set(ttscale.__all__) - aliases
        if (one := getattr(ttscale, name)) not in shown and one.__module__ not in modules
    ]
    assert missing == []


def test_help_on_a_result_documents_every_field() -> None:
    text = ttscale.Result.__doc__ or ""
    assert [field.name for field in fields(ttscale.Result) if f"``{field.name}``" not in text] == []
