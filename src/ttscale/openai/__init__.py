"""Models behind OpenAI-compatible servers: vLLM, SGLang, llama.cpp, Ollama, OpenAI and others (extra ``openai``).

The official client loads on first use of a name here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscale.openai._connection import Connection
    from ttscale.openai._roles import OpenAIGenerator, OpenAIReviser
    from ttscale.openai._servers import Server
    from ttscale.openai._verifier import Layout, OpenAIVerifier

__all__ = ["Connection", "Layout", "OpenAIGenerator", "OpenAIReviser", "OpenAIVerifier", "Server"]

_HOME = {
    "Connection": "_connection",
    "Layout": "_verifier",
    "OpenAIGenerator": "_roles",
    "OpenAIReviser": "_roles",
    "OpenAIVerifier": "_verifier",
    "Server": "_servers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ttscale.openai' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"ttscale.openai.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise ImportError(f"{name} needs the official client: pip install 'ttscale[openai]'") from error
