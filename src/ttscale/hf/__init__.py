"""Hugging Face models as generator, reviser and verifier. torch and transformers load on first use of a name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscale.hf.generator import HFGenerator
    from ttscale.hf.model import HFModel
    from ttscale.hf.prompts import PromptFormat
    from ttscale.hf.reviser import HFReviser
    from ttscale.hf.verifiers import HFVerifier
    from ttscale.hf.verifiers.implicit import ImplicitVerifier

__all__ = ["HFGenerator", "HFModel", "HFReviser", "HFVerifier", "ImplicitVerifier", "PromptFormat"]

_HOME = {
    "HFGenerator": "generator",
    "HFModel": "model",
    "HFReviser": "reviser",
    "HFVerifier": "verifiers",
    "ImplicitVerifier": "verifiers.implicit",
    "PromptFormat": "prompts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ttscale.hf' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ttscale.hf.{_HOME[name]}"), name)
