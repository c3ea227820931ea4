"""Hugging Face models as generator, reviser and verifier. torch and transformers load on first use of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttscale.core.idioms import lazy

if TYPE_CHECKING:
    from ttscale.hf.generator import HFGenerator
    from ttscale.hf.model import HFModel
    from ttscale.hf.reviser import HFReviser
    from ttscale.hf.verifiers import HFVerifier
    from ttscale.hf.verifiers.implicit import ImplicitVerifier
    from ttscale.prompts.tokenize import PromptFormat

__all__ = ["HFGenerator", "HFModel", "HFReviser", "HFVerifier", "ImplicitVerifier", "PromptFormat"]

__getattr__ = lazy(
    __name__,
    {
        "ttscale.hf.generator": "HFGenerator",
        "ttscale.hf.model": "HFModel",
        "ttscale.hf.reviser": "HFReviser",
        "ttscale.hf.verifiers": "HFVerifier",
        "ttscale.hf.verifiers.implicit": "ImplicitVerifier",
        "ttscale.prompts.tokenize": "PromptFormat",
    },
)
