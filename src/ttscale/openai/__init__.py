"""Models behind OpenAI-compatible servers: vLLM, SGLang, llama.cpp, Ollama, OpenAI and others (extra ``openai``).

The official client loads on first use of a name here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscale.openai.connection import Connection
    from ttscale.openai.generator_and_reviser import OpenAIGenerator, OpenAIReviser
    from ttscale.openai.server_kinds import Server
    from ttscale.openai.verifier import Layout, OpenAIVerifier

__all__ = ["Connection", "Layout", "OpenAIGenerator", "OpenAIReviser", "OpenAIVerifier", "Server"]

_HOME = {
    "Connection": "ttscale.openai.connection",
    "Layout": "ttscale.openai.verifier",
    "OpenAIGenerator": "ttscale.openai.generator_and_reviser",
    "OpenAIReviser": "ttscale.openai.generator_and_reviser",
    "OpenAIVerifier": "ttscale.openai.verifier",
    "Server": "ttscale.openai.server_kinds",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ttscale.openai' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise ImportError(f"{name} needs the official client: pip install 'ttscale[openai]'") from error
