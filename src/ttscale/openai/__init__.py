"""Models behind OpenAI-compatible servers: vLLM, SGLang, llama.cpp, Ollama, OpenAI and others (extra ``openai``).

The official client loads on first use of a name here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ttscale.core.idioms import lazy

if TYPE_CHECKING:
    from ttscale.openai.connection import Connection
    from ttscale.openai.generator_and_reviser import OpenAIGenerator, OpenAIReviser
    from ttscale.openai.server_kinds import Server
    from ttscale.openai.verifier import Layout, OpenAIVerifier

__all__ = ["Connection", "Layout", "OpenAIGenerator", "OpenAIReviser", "OpenAIVerifier", "Server"]

_look_up = lazy(
    __name__,
    {
        "ttscale.openai.connection": "Connection",
        "ttscale.openai.generator_and_reviser": "OpenAIGenerator OpenAIReviser",
        "ttscale.openai.server_kinds": "Server",
        "ttscale.openai.verifier": "Layout OpenAIVerifier",
    },
)


def __getattr__(name: str) -> Any:
    try:
        return _look_up(name)
    except ModuleNotFoundError as error:
        if error.name != "openai":
            raise
        raise ImportError(f"{name} needs the official client: pip install 'ttscale[openai]'") from error
