"""Where OpenAI-compatible servers differ, as data: one record per kind of server.

Sources: the servers' documentation and, for vLLM, llama.cpp and transformers serve, what was seen when asking them
(docs/engines.md has the table). This file knows nothing of requests or connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Server:
    """What a kind of server can do. Make your own for one that is not listed: ``Server("mine", stop="kept")``."""

    name: str
    stop: Literal["named", "kept", "hidden"] = "hidden"
    """How a stop string shows in a reply. "named": a field says which one it was (``stop_reason`` or ``matched_stop``).
    "kept": it is in the text. "hidden": neither, so the end of a step and the end of the solution look the same; such a
    server is asked to write to the end and the text is cut at the delimiter, which costs more tokens, all counted."""
    continues: Literal["flag", "trailing", "prefix", "no"] = "no"
    """How a chat goes on with a partial assistant message. "flag": ``continue_final_message`` (vLLM, SGLang).
    "trailing": it does so by itself when the last message is the assistant's. "prefix": a ``prefix`` field in that
    message (Mistral, DeepSeek). "no": it cannot; step search then needs ``api="completions"``."""
    seed_bits: int = 31
    """The largest seed it takes, in bits; 0: it takes none. A seed is the top bits of ``key.seed``, which has 63."""
    logprobs: bool = True
    """Whether it returns log-probabilities of the tokens it drew."""
    chat_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the limit on new tokens is called in a chat request."""
    extra: tuple[tuple[str, object], ...] = ()
    """Fields that every request needs."""
    neutral: tuple[tuple[str, object], ...] = ()
    """Sampling settings that change nothing, sent because the server, or the checkpoint it read, has others."""
    ids: Literal["vllm", "llama.cpp"] | None = None
    """The server whose API for token ids it has, for prompts and draws; None: it deals in text only."""
    counts_seeds: bool = False
    """Whether the draws of one request (``n``) have the seeds ``seed``, ``seed`` + 1 and so on, as if asked alone."""
    most: int = 128
    """The most draws in one request, where several are."""


_USUAL: tuple[tuple[str, object], ...] = (("top_p", 1.0), ("min_p", 0.0))
VLLM = Server(
    "vllm",
    stop="named",
    continues="flag",
    seed_bits=63,
    # It takes temperature, top_k and penalties from the checkpoint's generation_config.json.
    neutral=(*_USUAL, ("top_k", -1), ("repetition_penalty", 1.0)),
    ids="vllm",
    counts_seeds=True,
)
SGLANG = Server("sglang", stop="named", continues="flag", neutral=(*_USUAL, ("top_k", -1), ("repetition_penalty", 1.0)))
TRANSFORMERS = Server(
    "transformers",
    stop="kept",
    seed_bits=63,
    logprobs=False,
    # It decodes greedily, whatever the temperature, unless it is told to sample; its own top_k would be 50.
    extra=(
        (
            "generation_config",
            '{"do_sample": true, "top_k": 0, "top_p": 1.0, "min_p": null, "repetition_penalty": 1.0}',
        ),
    ),
)
LLAMA_CPP = Server(
    "llama.cpp",
    continues="trailing",
    neutral=(*_USUAL, ("top_k", 0), ("repeat_penalty", 1.0)),  # its own are 0.95, 0.05, 40 and 1
    ids="llama.cpp",
    counts_seeds=True,
    most=1,  # as many as it has slots, which it is asked for
)
OLLAMA = Server("ollama", continues="trailing", neutral=(("top_p", 1.0),))
OPENAI = Server("openai", neutral=(("top_p", 1.0),), seed_bits=63, chat_limit="max_completion_tokens")
MISTRAL = Server("mistral", continues="prefix", logprobs=False, seed_bits=0, neutral=(("top_p", 1.0),))
GENERIC = Server("generic")
"""Assumes the least; what an unknown server is taken for."""

SERVERS = {s.name: s for s in (VLLM, SGLANG, TRANSFORMERS, LLAMA_CPP, OLLAMA, OPENAI, MISTRAL, GENERIC)}

OWNED_BY = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "llamacpp": LLAMA_CPP,
    "me": LLAMA_CPP,  # llama-cpp-python
    "library": OLLAMA,
    "mistralai": MISTRAL,
    "openai": OPENAI,
    "openai-internal": OPENAI,
    "system": OPENAI,
}
"""``owned_by`` of the models a server lists, and what it gives away. transformers serve gives the model's author."""


def named(server: Server | str) -> Server | None:
    """The record for a name; None for "auto", which means to find out."""
    if isinstance(server, Server):
        return server
    if server == "auto":
        return None
    if server not in SERVERS:
        known = ", ".join(sorted([*SERVERS, "auto"]))
        raise ValueError(f"unknown server {server!r}; choose one of {known}, or pass a ttscale.openai.Server")
    return SERVERS[server]
