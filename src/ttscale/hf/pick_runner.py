"""Which runner serves a model: the fast one where it reproduces the model's own forward, else the plain one.

Knows: how to test a model against itself. Must not know: requests, text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ttscale.hf.memory import is_out_of_memory
from ttscale.hf.model import HFModel, free_bytes
from ttscale.hf.own_cache.cache_check import caching
from ttscale.hf.own_cache.runner import PlainRunner
from ttscale.hf.self_check import difference, probe_tokens, rope_of, tolerance
from ttscale.hf.shared_kv.attention import Unsupported, register
from ttscale.hf.shared_kv.cpu_llama import Lean, fits
from ttscale.hf.shared_kv.forward import Extension, Network, Shape, extend
from ttscale.hf.shared_kv.prefix_tree import PrefixTree
from ttscale.hf.shared_kv.runner import FastRunner


@dataclass(frozen=True)
class Fast:
    """What the fast path keeps for a model, shared by all of its roles."""

    network: Network
    tree: PrefixTree
    shape: Shape


def fast(model: HFModel) -> Fast | None:
    """The model's shared KV and modules, or None when only its own forward is right.

    Tested once per model, and again when its weights were changed in place; what was cached of the old ones is dropped.
    A module that was put into training mode in between is put back: dropout has no place in a forward here.
    """
    with model.lock:
        model.module.eval()
        return _fast(model)


def _fast(model: HFModel) -> Fast | None:
    version = model.weights_version()
    if version != model.fast_version:
        model.fast = model.plain_because = None
        model.fast_version = version
        model.plain_caching = None
        if model.drawn is not None:
            model.drawn.clear()
    if model.fast is None and model.plain_because is None:
        if model.shared_kv:
            before = model.forwarded_tokens
            try:
                model.fast = _probed(model)
            except (Unsupported, AttributeError, KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
                if not is_out_of_memory(error):  # that passes: the next call tries again
                    model.plain_because = f"{type(error).__name__}: {error}"
            model.forwarded_tokens = before  # the test is nobody's
        else:
            model.plain_because = "shared_kv=False"
    found: Fast | None = model.fast
    return found


def runner(model: HFModel) -> FastRunner | PlainRunner:
    """A fresh set of rows on this model."""
    own = fast(model)
    if own is not None:
        return FastRunner(model, own.network, own.tree, own.shape)
    with model.lock:
        if model.plain_caching is None:
            model.plain_caching = caching(model)
        return PlainRunner(model, model.plain_caching)


@torch.inference_mode()
def _probed(model: HFModel) -> Fast:
    """Run a short sequence the model's way and ours, and insist on the same logits."""
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if not kinds <= {"full_attention", "sliding_attention"}:
        raise Unsupported(f"layers of type {sorted(kinds)}")
    rope = str(rope_of(config))
    if "dynamic" in rope or "longrope" in rope:
        raise Unsupported("rotary embeddings that depend on the length of the whole batch")
    register()
    network = Network(model)
    with_head = network.head is not None
    if not with_head:  # a verifier's trunk: its hidden states are what counts
        network.head = torch.nn.Identity()
    tokens = probe_tokens(model)
    position = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    context = Extension([], position, 1)
    network.run(torch.tensor([tokens[:1]], device=model.device), position, context)
    _, _, heads, _, size = context.kv[0].shape
    if _window_unsaid(config, kinds) and all(window is None for _, window in context.settings):
        raise Unsupported("a sliding window that the attention is not told of")
    shape = Shape(len(context.kv), heads, size)
    own = Fast(network, PrefixTree(model.kv_bytes), shape)
    ids = torch.tensor([tokens], device=model.device)
    output = (model.module if with_head else network.base)(input_ids=ids, use_cache=False)
    wanted = (output.logits if with_head else output[0])[0].float()
    if with_head and (error := _head_error(network, ids, wanted)) is not None:
        raise Unsupported(error)
    if fits(model):
        network.lean = Lean(network.base, network.head, context.settings)
        if _error(own, model, tokens, wanted) is not None:
            network.lean = None
    if network.lean is None:
        error = _error(own, model, tokens, wanted)
        if error is not None:
            raise Unsupported(error)
    return own


def _window_unsaid(config: Any, kinds: set[str]) -> bool:
    """Whether some layers should look back a limited way, by the config."""
    used = getattr(config, "use_sliding_window", True) and getattr(config, "sliding_window", None)
    return bool(used) and (not getattr(config, "layer_types", None) or "sliding_attention" in kinds)


def _head_error(network: Network, ids: torch.Tensor, wanted: torch.Tensor) -> str | None:
    """Whether the logits are more than the head's product: scaled, or capped. On one hidden state both round alike."""
    asked = [name for name in ("final_logit_softcapping", "logit_softcap") if getattr(network.model.config, name, None)]
    if asked:
        return asked[0]
    got = network.logits(network.base(input_ids=ids, use_cache=False)[0])[0]
    fine = 1e-5 if network.model.dtype == torch.float32 else 1e-2
    error = difference(got, wanted, fine)
    return error and f"of the head: {error}"


def _error(own: Fast, model: HFModel, tokens: tuple[int, ...], wanted: torch.Tensor) -> str | None:
    """What is wrong with our logits of a sequence run in two pieces and then token by token; None if nothing."""
    network, shape, cut = own.network, own.shape, len(tokens) // 2
    tree = PrefixTree(model.kv_bytes)
    first, hidden_a = extend(network, tree, shape, [(tree.root, tokens[: cut // 2])])
    _, hidden_b = extend(network, tree, shape, [(first[0], tokens[cut // 2 : cut])])
    rows = FastRunner(model, network, tree, shape)
    rows.enter([rows.open(tokens[:cut])], [cut // 2])
    hidden = [rows.hidden(torch.tensor([token], device=model.device)) for token in tokens[cut:]]
    rows.close()
    got = network.logits(torch.cat((hidden_a[0], hidden_b[0], *hidden)))
    return difference(got, wanted, tolerance(model))


def row_limit(model: HFModel) -> int:
    """Rows to decode together: ``max_batch``, or what half of the free memory holds at 512 own tokens per row."""
    if model.max_batch is not None:
        return model.max_batch
    most = 512 if model.device.type == "cpu" else 1024
    own: Fast | None = model.fast  # ``runner`` has just looked
    if own is None:
        return min(most, 64)
    size = torch.finfo(model.dtype).bits // 8
    row = 2 * own.shape.layers * own.shape.heads * own.shape.size * size * 512
    return max(1, min(most, free_bytes(model.device) // 2 // row))
