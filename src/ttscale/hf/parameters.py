"""How large a model is, for counting FLOPs: weights that take part in matrix products, and the width of its attention.

Knows: modules and configs, whatever their weights are stored as. Must not know: tokens, roles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
"""What configs call the number of a mixture's experts."""


def matrix_sizes(module: nn.Module, config: Any) -> Iterator[int]:
    """The size of each matrix, as far as one token meets it: of a mixture's experts the chosen share counts.

    A linear layer counts as inputs times outputs, since quantised weights are stored in fewer numbers. Of a module that
    an adapter replaced whole (peft's ``modules_to_save``), the one that is used counts.
    """
    experts = next((n for k in EXPERTS if isinstance(n := getattr(config, k, None), int) and n), 1)
    share = (getattr(config, "num_experts_per_tok", None) or experts) / experts
    for name, part in module.named_modules():
        if "original_module" in name:
            continue
        if isinstance(part, Conv1D):
            yield part.weight.numel()
        elif _is_linear(part):
            yield round(part.in_features * part.out_features * (share if ".experts." in name else 1))
        elif "router" in type(part).__name__.lower():  # in transformers 5 a parameter, not a Linear
            yield from (w.numel() for w in part.parameters(recurse=False) if w.dim() == 2)
        elif "expert" in name:  # all experts of a layer in one tensor [experts, out, in]
            yield from (round(w.numel() * share) for w in part.parameters(recurse=False) if w.dim() == 3)


def _is_linear(part: Any) -> bool:
    """Whether this is a linear layer of any kind and no wrapper around one."""
    sizes = (getattr(part, "in_features", None), getattr(part, "out_features", None))
    return all(isinstance(size, int) for size in sizes) and not any(True for _ in part.children())


def attention_width(config: Any) -> int:
    """Query heads x head size, summed over layers; where keys and values differ in size, their mean."""
    layers = int(getattr(config, "num_hidden_layers", 0) or 0)
    try:
        return round(layers * _layer_width(config))
    except RuntimeError:  # layers of different sizes, which the config refuses to name in one number
        return round(sum(_layer_width(config.per_layer_config[i]) for i in range(layers)))


def _layer_width(config: Any) -> float:
    heads = int(getattr(config, "num_attention_heads", 0) or 0)
    if getattr(config, "qk_nope_head_dim", None):
        size: float = (config.qk_nope_head_dim + config.qk_rope_head_dim + config.v_head_dim) / 2
    else:
        size = getattr(config, "head_dim", None) or (getattr(config, "hidden_size", 0) // heads if heads else 0)
    return heads * size
