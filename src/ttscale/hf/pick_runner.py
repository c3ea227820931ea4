"""Which runner serves a model: the one with shared keys and values where that gives the model's own logits, else the
one on the model's own cache.

Knows: how to test a model against itself; what was found of each model, until its weights change. Must not know:
requests, text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ttscale.hf.context_length import rescaled
from ttscale.hf.known_logprobs import forget
from ttscale.hf.memory import is_out_of_memory
from ttscale.hf.model import HFModel, free_bytes
from ttscale.hf.own_cache.cache_check import Caching, caching
from ttscale.hf.own_cache.runner import OwnCacheRunner
from ttscale.hf.runner import AnyRunner
from ttscale.hf.self_check import difference, probe_tokens, tolerance
from ttscale.hf.shared_kv.attention import Unsupported, register
from ttscale.hf.shared_kv.cpu_llama import Lean, fits
from ttscale.hf.shared_kv.forward import Network, PrefillAttention, Shape, SharedKV, extend
from ttscale.hf.shared_kv.prefix_tree import PrefixTree
from ttscale.hf.shared_kv.runner import SharedKVRunner
from ttscale.hf.weights_version import weights_version

OWN_TOKENS = 512
"""New tokens of a row that memory is reckoned for."""


@dataclass(slots=True, eq=False)
class Found:
    """What was found out about one model with the weights it has now. Nothing in here may hold the ``HFModel``."""

    version: object
    shared: SharedKV | None = None
    unshared_because: str | None = None
    """Why the shared forward does not serve this model, once it was tried; None where it does."""
    caching: Caching | None = None
    """What the model's own cache can be trusted with, once it was tried."""


_FOUND: WeakKeyDictionary[HFModel, Found] = WeakKeyDictionary()


def found(model: HFModel) -> Found:
    """What is known of the model; found out anew when its weights were changed, and nothing is kept of the old ones.

    A module that was put into training mode in between is put back: dropout has no place in a forward here.
    """
    with model.lock:
        model.module.eval()
        version, known = weights_version(model.module), _FOUND.get(model)
        if known is None or version != known.version:
            forget(model)
            known = _FOUND[model] = Found(version)
        if known.shared is None and known.unshared_because is None:
            _try_to_share(model, known)
        return known


def open_shared_kv(model: HFModel) -> SharedKV | None:
    """The model's shared keys and values with their forward, or None where only its own forward is right."""
    return found(model).shared


def runner(model: HFModel) -> AnyRunner:
    """A fresh set of rows on this model."""
    with model.lock:
        known = found(model)
        if known.shared is not None:
            return SharedKVRunner(model, known.shared)
        if known.caching is None:
            known.caching = caching(model)
        return OwnCacheRunner(model, known.caching)


def row_limit(model: HFModel) -> int:
    """Rows to decode together: ``max_batch``, or what half of the free memory holds at ``OWN_TOKENS`` each."""
    if model.max_batch is not None:
        return model.max_batch
    most = 512 if model.device.type == "cpu" else 1024
    known = _FOUND.get(model)  # ``runner`` has just looked
    own = known.shared if known else None
    if own is None:
        return min(most, 64)
    return max(1, min(most, free_bytes(model.device) // 2 // (own.shape.token_bytes * OWN_TOKENS)))


def _try_to_share(model: HFModel, known: Found) -> None:
    if not model.shared_kv:
        known.unshared_because = "shared_kv=False"
        return
    before = model.forwarded_tokens
    try:
        known.shared = _probed(model)
    except (Unsupported, AssertionError, LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        if not is_out_of_memory(error):  # that passes: the next call tries again
            known.unshared_because = f"{type(error).__name__}: {error}"
    model.forwarded_tokens = before  # the test is nobody's


@torch.inference_mode()
def _probed(model: HFModel) -> SharedKV:
    """Run a short sequence the model's way and ours, and insist on the same logits."""
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if not kinds <= {"full_attention", "sliding_attention"}:
        raise Unsupported(f"layers of type {sorted(kinds)}")
    if rescaled(config) is not None:
        raise Unsupported("rotary embeddings that depend on the length of the whole batch")
    register()
    network = Network(model.module, config)
    with_head = network.head is not None
    if not with_head:  # a verifier's trunk: its hidden states are what counts
        network.head = torch.nn.Identity()
    tokens = probe_tokens(model)
    position = torch.zeros((1, 1), dtype=torch.long, device=model.device)
    context = PrefillAttention([], position, 1)
    network.run(torch.tensor([tokens[:1]], device=model.device), position, context)
    _, _, heads, _, size = context.kv[0].shape
    if _window_unsaid(config, kinds) and all(window is None for _, window in context.settings):
        raise Unsupported("a sliding window that the attention is not told of")
    shape = Shape(len(context.kv), heads, size, model.dtype, model.device)
    own = SharedKV(network, PrefixTree(model.kv_bytes), shape)
    ids = torch.tensor([tokens], device=model.device)
    output = (model.module if with_head else network.base)(input_ids=ids, use_cache=False)
    wanted = (output.logits if with_head else output[0])[0].float()
    if with_head and (error := _head_error(model, network, ids, wanted)) is not None:
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


def _head_error(model: HFModel, network: Network, ids: torch.Tensor, wanted: torch.Tensor) -> str | None:
    """Whether the logits [tokens, vocabulary] are more than the head's product: scaled, or capped.

    On one hidden state both round alike.
    """
    asked = [name for name in ("final_logit_softcapping", "logit_softcap") if getattr(network.config, name, None)]
    if asked:
        return asked[0]
    got = network.logits(network.base(input_ids=ids, use_cache=False)[0])[0]
    error = difference(got, wanted, 1e-5 if model.dtype == torch.float32 else 1e-2)
    return error and f"of the head: {error}"


def _error(own: SharedKV, model: HFModel, tokens: tuple[int, ...], wanted: torch.Tensor) -> str | None:
    """What is wrong with our logits of a sequence, against ``wanted`` [tokens, vocabulary]; None if nothing.

    The sequence is run in two pieces and then token by token.
    """
    cut = len(tokens) // 2
    fresh = SharedKV(own.network, PrefixTree(model.kv_bytes), own.shape)
    first, hidden_a = extend(fresh, [(fresh.tree.root, tokens[: cut // 2])])
    _, hidden_b = extend(fresh, [(first[0], tokens[cut // 2 : cut])])
    rows = SharedKVRunner(model, fresh)
    rows.admit([rows.open(tokens[:cut])], [cut // 2])
    hidden = [rows.hidden(torch.tensor([token], device=model.device)) for token in tokens[cut:]]
    rows.close()
    got = own.network.logits(torch.cat((hidden_a[0], hidden_b[0], *hidden)))
    return difference(got, wanted, tolerance(model))
