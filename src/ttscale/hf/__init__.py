"""Hugging Face models as generator, reviser and verifier. torch and transformers load on first use of a name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscale.hf.generator import HFGenerator
    from ttscale.hf.model import HFModel
    from ttscale.hf.reviser import HFReviser
    from ttscale.hf.verifiers import HFVerifier
    from ttscale.hf.verifiers.implicit import ImplicitVerifier
    from ttscale.prompts.tokenize import PromptFormat

__all__ = ["HFGenerator", "HFModel", "HFReviser", "HFVerifier", "ImplicitVerifier", "PromptFormat"]

_HOME = {
    "HFGenerator": "ttscale.hf.generator",
    "HFModel": "ttscale.hf.model",
    "HFReviser": "ttscale.hf.reviser",
    "HFVerifier": "ttscale.hf.verifiers",
    "ImplicitVerifier": "ttscale.hf.verifiers.implicit",
    "PromptFormat": "ttscale.prompts.tokenize",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ttscale.hf' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
