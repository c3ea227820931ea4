"""Tiny random models and tokenizers, and requests to try them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from ttscale import Candidate, Step
from ttscale.core.requests import Sample

SPECIALS = ["<pad>", "<bos>", "<eos>"]


def byte_tokenizer(merges: tuple[str, ...] = (), chat_template: str | None = None, **special: str | None) -> Any:
    """A byte-level tokenizer of printable ASCII, newline and the given longer pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs, pieces = [], []
    for word in merges:
        encoded = "".join({" ": "Ġ", "\n": "Ċ"}.get(c, c) for c in word)
        for end in range(2, len(encoded) + 1):
            pair = (encoded[: end - 1], encoded[end - 1])
            if pair not in pairs:
                pairs.append(pair)
                pieces.append(encoded[:end])
    vocabulary = {piece: i for i, piece in enumerate([*SPECIALS, *alphabet, *dict.fromkeys(pieces)])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\n+|[^\n]+"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    options: dict[str, Any] = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", **special}
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{key: value for key, value in options.items() if value is not None}
    )
    if chat_template is not None:
        fast.chat_template = chat_template
    return fast


SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def tiny_config(kind: str, vocabulary: int, **changes: Any) -> Any:
    """A configuration of a few thousand parameters."""
    classes = {
        "llama": transformers.LlamaConfig,
        "qwen2": transformers.Qwen2Config,
        "mistral": transformers.MistralConfig,
    }
    return classes[kind](**{**SHAPE, "vocab_size": vocabulary, **changes})


VARIANTS: dict[str, dict[str, Any]] = {
    "llama": {"kind": "llama"},
    "qwen2": {"kind": "qwen2", "tie_word_embeddings": True},
    "qwen2-sliding": {
        "kind": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 12,
        "max_window_layers": 1,
        "num_hidden_layers": 3,
    },
    "mistral-sliding": {"kind": "mistral", "sliding_window": 10},
}


def request_tree(roots: Sequence[Candidate], answer: Callable[[Sample], Any]) -> list[tuple[Sample, Any]]:
    """Requests three waves deep, with their answers: each wave continues some of what the one before left open."""
    found: list[tuple[Sample, Any]] = []
    wave = [Sample(root, root.key.child(i), max_steps=1) for root in roots for i in range(3)]
    for _ in range(3):
        answered = [(request, answer(request)) for request in wave]
        found += answered
        going = []
        for request, drawn in answered:
            if drawn.finish == "open":
                steps = [Step(text, tuple(tokens)) for text, tokens in zip(drawn.steps, drawn.tokens, strict=True)]
                going.append(request.prefix.extend(request.key, steps, "open"))
        wave = [Sample(c, c.key.child(i), max_steps=1) for c in going[:3] for i in range(2)]
    return found
