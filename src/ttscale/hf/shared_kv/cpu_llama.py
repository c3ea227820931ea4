"""The Llama-shaped decoder layer written out for fp32 on a CPU: the same weights through a third of the operations.

Knows: the modules of ``LlamaModel``, ``MistralModel`` and ``Qwen2Model``. Must not know: KV, rows. In small models most
of a decode step is norms, rotations and module calls: the bundled models decode 1.3 to 1.9 times as fast this way. The
matrices are laid out once, which costs one or two copies of them. On SmolLM2-135M all that saves 8% and takes 540 MB:
larger models go through their own modules (with ``cpu_linear.py``). The result is compared with the model's own
forward before it is used (``pick_runner.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscale.hf.model import HFModel, free_bytes
from ttscale.hf.shared_kv.attention import Context
from ttscale.hf.shared_kv.cpu_linear import ONEDNN

Linear: TypeAlias = Callable[[Tensor], Tensor]

AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
COPIES = 2 if ONEDNN and AVX512 else 1
"""Of most matrices, one per layout."""
MOST_BYTES = 64 << 20
"""The most that copies of a model's matrices may take."""
WIDE = 2048
"""Above so many outputs always for oneDNN: with AVX2 the transpose was as fast at 1,408 and up to twice as slow at
4,096."""
WORK = 1 << 19
"""With AVX-512 (measured on an AMD CPU) oneDNN also serves narrower products of so many multiplications. Below, the
transpose is up to three times as fast; from twice as many on it is half as fast."""

_BASES = {"LlamaModel", "MistralModel", "Qwen2Model"}
_PARTS = {
    "": {"embed_tokens", "layers", "norm", "rotary_emb"},
    "layer": {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"},
    "self_attn": {"q_proj", "k_proj", "v_proj", "o_proj"},
    "mlp": {"gate_proj", "up_proj", "down_proj", "act_fn"},
}


def fits(model: HFModel) -> bool:
    """Whether the model is small and made of exactly the parts that ``Lean`` calls, and its copies fit into memory."""
    base = model.module.base_model
    if model.dtype != torch.float32 or model.device.type != "cpu" or type(base).__name__ not in _BASES:
        return False
    return (
        COPIES * 4 * model.matmul_parameters < min(MOST_BYTES, free_bytes(model.device) // 4)
        and _children(base) == _PARTS[""]
        and all(_layer_fits(layer) for layer in base.layers)
    )


def _layer_fits(layer: Any) -> bool:
    parts = [(layer, "layer"), (layer.self_attn, "self_attn"), (layer.mlp, "mlp")]
    matrices = [part for _, part in (*layer.self_attn.named_children(), *layer.mlp.named_children())]
    plain = [
        type(part) is nn.Linear and type(part.weight.data) is Tensor
        for part in matrices
        if part is not layer.mlp.act_fn
    ]
    return all(plain) and all(_children(part) == _PARTS[name] for part, name in parts)


def _children(module: nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


class _Layer:
    """The parts of one decoder layer, with its matrices packed."""

    def __init__(self, layer: Any, scale: float, window: int | None) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.size: int = attention.head_dim
        self.heads = (attention.q_proj.out_features // self.size, attention.k_proj.out_features // self.size)
        """Query heads and KV heads."""
        self.scale, self.window = scale, window
        self.norm, self.mlp_norm, self.act = layer.input_layernorm, layer.post_attention_layernorm, mlp.act_fn
        self.qkv = _packed(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = _packed(attention.o_proj)
        self.gate_up = _packed(mlp.gate_proj, mlp.up_proj)
        self.down = _packed(mlp.down_proj)


class Lean:
    """The forward of one model. ``settings``: each layer's attention scale and window, as its module asks for them."""

    def __init__(self, base: Any, head: Any, settings: list[tuple[float, int | None]]) -> None:
        self._base = base
        self._layers = [_Layer(layer, *setting) for layer, setting in zip(base.layers, settings, strict=True)]
        self.head: Linear = _packed(head) if type(head) is nn.Linear else head

    def run(self, ids: Tensor, positions: Tensor, context: Context) -> Tensor:
        """Hidden states [rows, new, width] after the last norm."""
        rows, new = ids.shape
        embedded = self._base.embed_tokens(ids)
        cos, sin = (part.reshape(rows * new, 1, -1) for part in self._base.rotary_emb(embedded, positions))
        half = cos.shape[-1] // 2
        cos, sin = cos[..., :half], sin[..., :half]  # both halves are the same angles
        x = embedded.reshape(rows * new, -1)
        for index, layer in enumerate(self._layers):
            queries, heads = layer.heads
            qkv = layer.qkv(_norm(x, layer.norm)).view(rows * new, queries + 2 * heads, layer.size)
            qk = _rotate(qkv[:, : queries + heads], cos, sin).view(rows, new, queries + heads, layer.size)
            q = qk[:, :, :queries].reshape(rows, new, heads, queries // heads, layer.size)
            k = qk[:, :, queries:].transpose(1, 2)
            v = qkv.view(rows, new, -1, layer.size)[:, :, queries + heads :].transpose(1, 2)
            out = context.attend(index, q, k, v, layer.scale, layer.window)
            x = x + layer.out(out.reshape(rows * new, -1))
            gate, up = layer.gate_up(_norm(x, layer.mlp_norm)).chunk(2, -1)
            x = x + layer.down(layer.act(gate) * up)
        return _norm(x, self._base.norm).view(rows, new, -1)


def _packed(*linears: nn.Linear) -> Linear:
    """Several matrices over the same input as one, laid out as their transpose, and for oneDNN where that is better."""
    weight = torch.cat([linear.weight.detach() for linear in linears])
    biases = [linear.bias for linear in linears]
    bias = None
    if any(b is not None for b in biases):
        bias = torch.cat([torch.zeros(m.out_features) if m.bias is None else m.bias.detach() for m in linears])
    wide = len(weight) > WIDE
    transposed = None if wide and ONEDNN else weight.t().contiguous()
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, 64) if ONEDNN and (wide or AVX512) else None
    many = 0 if transposed is None else -(-WORK // weight.numel())

    def run(x: Tensor) -> Tensor:
        if laid_out is not None and len(x) >= many:
            out: Tensor = torch.ops.mkldnn._linear_pointwise(x, laid_out, bias, "none", [], "")
            return out
        assert transposed is not None
        return torch.mm(x, transposed) if bias is None else torch.addmm(bias, x, transposed)

    return run


def _norm(x: Tensor, norm: Any) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [tokens, heads, size] by half-size cosines and sines [tokens, 1, size / 2]."""
    first, second = x.chunk(2, -1)
    return torch.cat(
        (torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(second * cos, first, sin)), dim=-1
    )
