"""How many tokens a model can read, and from which length on its rotary embeddings change.

Knows: transformers' configs and the kinds of rotary embeddings in ``transformers.modeling_rope_utils``. Must not know:
tokens, roles.
"""

from __future__ import annotations

from typing import Any

from ttscale.core.checks import check_count

UNLIMITED = 2**31
"""Where a model states no limit."""
NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")


def context_length(config: Any, tokenizer: Any, given: int | None) -> int:
    """The longest sequence the model can read, in tokens; ``UNLIMITED`` where it states none.

    ``given`` goes before what the config says. It may be larger than that with rotary embeddings only: a table of
    positions ends where it ends.
    """
    stated = next((n for name in NAMES if isinstance(n := getattr(config, name, None), int) and n > 0), None)
    if stated is None:
        most = getattr(tokenizer, "model_max_length", None)
        stated = most if isinstance(most, int) and 0 < most < UNLIMITED else UNLIMITED
    else:
        stated = max(stated, _stretched(config, stated))
    if given is None:
        return stated
    check_count("context_length", given, none=True)
    if given > stated and not rope_of(config):
        raise ValueError(f"context_length must be at most {stated}, the positions that this model has; got {given}")
    return given


def _stretched(config: Any, stated: int) -> int:
    """The length that scaled rotary embeddings reach; 0 where they are not scaled, or the config has scaled already.

    Linear and dynamic scaling stretch ``max_position_embeddings``, YaRN and longrope the length of pre-training.
    Llama 3 and models with one kind of embedding per layer type (Gemma 3) state the stretched length.
    """
    rope = rope_of(config)
    kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
    if not isinstance(factor, int | float) or factor <= 1:
        return 0
    if kind in ("linear", "dynamic"):
        return int(stated * factor)
    if kind in ("yarn", "longrope", "su"):
        return int((_pretrained(config, rope) or stated) * factor)
    return 0


def rope_of(config: Any) -> dict[str, Any]:
    """The settings of the rotary embeddings, by the name that this version of transformers or the one before gives."""
    found = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return dict(found)


def rescaled(config: Any) -> int | None:
    """The length beyond which the rotary embeddings of *all* positions change (longrope, dynamic); None: never.

    Keys that were computed up to there are of no use beyond it, and what is run together must lie on one side of it.
    """
    rope = rope_of(config)
    if "longrope" in str(rope):
        return _pretrained(config, rope)
    return int(config.max_position_embeddings) if changes_every_token(config) else None


def changes_every_token(config: Any) -> bool:
    """Whether the embeddings change with every token beyond ``rescaled`` (dynamic scaling)."""
    return "dynamic" in str(rope_of(config))


def fresh_rotary(module: Any, config: Any) -> None:
    """Before a forward: make dynamic embeddings forget the longest sequence seen so far, which was another's."""
    if not changes_every_token(config):
        return
    for part in module.modules():
        if hasattr(part, "max_seq_len_cached") and hasattr(part, "original_inv_freq"):
            part.register_buffer("inv_freq", part.original_inv_freq.to(part.inv_freq.device), persistent=False)
            part.max_seq_len_cached = part.original_max_seq_len


def _pretrained(config: Any, rope: dict[str, Any]) -> int | None:
    found = getattr(config, "original_max_position_embeddings", None) or rope.get("original_max_position_embeddings")
    return int(found) if found else None
