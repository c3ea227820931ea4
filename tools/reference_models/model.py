"""The reference models' network: Llama, written for fast training on one CPU core, saved in Hugging Face format.

Knows: shapes, weights, the forward pass. Must not know: data, losses, schedules.
Same arithmetic as ``LlamaForCausalLM`` (a test compares the logits). Attention is written out, because at these lengths
that is faster on a CPU than the fused kernel.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The size of a model."""

    vocabulary: int = 105
    width: int = 192
    layers: int = 5
    heads: int = 6
    hidden: int = 512
    positions: int = 2048
    theta: float = 10_000.0

    @property
    def head(self) -> int:
        return self.width // self.heads


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.up = nn.Linear(shape.width, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)
        self.norm1 = nn.Parameter(torch.ones(shape.width))
        self.norm2 = nn.Parameter(torch.ones(shape.width))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        rows, length, width = x.shape
        q, k, v = self.qkv(norm(x, self.norm1)).view(rows, length, 3 * self.heads, -1).transpose(1, 2).chunk(3, 1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)  # (rows, heads, length, head)
        q = (q * q.shape[-1] ** -0.5).reshape(rows * self.heads, length, -1)
        k, v = k.reshape(rows * self.heads, length, -1), v.reshape(rows * self.heads, length, -1)
        weights = torch.softmax(torch.baddbmm(mask, q, k.transpose(-1, -2)), -1)
        x = x + self.out((weights @ v).view(rows, self.heads, length, -1).transpose(1, 2).reshape(rows, length, width))
        gate, up = self.up(norm(x, self.norm2)).chunk(2, -1)
        out: Tensor = x + self.down(F.silu(gate) * up)
        return out


def norm(x: Tensor, weight: Tensor) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype) * weight.to(x.dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Llama(nn.Module):
    """Token ids -> hidden states (after the last norm); the head shares the embedding's weights."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))
        inverse = shape.theta ** (-torch.arange(0, shape.head, 2).float() / shape.head)
        angles = torch.outer(torch.arange(shape.positions).float(), inverse).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                residual = 0.5 if "out" in name or "down" in name else 1.0
                nn.init.normal_(weight, std=0.02 if "embedding" in name else shape.width**-0.5 * residual)

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, length) ids, padded on the right -> (rows, length, width)."""
        rows, length = ids.shape
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else self.norm.dtype
        cos, sin = self.cos[:length].to(dtype), self.sin[:length].to(dtype)
        allowed = torch.ones(length, length, dtype=torch.bool).tril()
        mask = torch.where(allowed, 0.0, -1e9).to(dtype).expand(rows * self.shape.heads, -1, -1)
        x = self.embedding(ids).to(dtype)
        for block in self.blocks:
            x = block(x, cos, sin, mask)
        return norm(x, self.norm)

    def stack(self) -> list[Block]:
        """The blocks, bottom first, as what they are."""
        return cast(list[Block], list(self.blocks))

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.embedding.weight)

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


def to_hugging_face(model: Llama) -> dict[str, Tensor]:
    """The weights under the names that ``LlamaForCausalLM`` uses."""
    out = {"model.embed_tokens.weight": model.embedding.weight, "model.norm.weight": model.norm}
    for i, block in enumerate(model.stack()):
        q, k, v = block.qkv.weight.chunk(3, 0)
        gate, up = block.up.weight.chunk(2, 0)
        at = f"model.layers.{i}."
        out |= {
            at + "self_attn.q_proj.weight": q,
            at + "self_attn.k_proj.weight": k,
            at + "self_attn.v_proj.weight": v,
            at + "self_attn.o_proj.weight": block.out.weight,
            at + "mlp.gate_proj.weight": gate,
            at + "mlp.up_proj.weight": up,
            at + "mlp.down_proj.weight": block.down.weight,
            at + "input_layernorm.weight": block.norm1,
            at + "post_attention_layernorm.weight": block.norm2,
        }
    return {name: weight.detach().to(torch.bfloat16).clone().contiguous() for name, weight in out.items()}


SETTINGS = {
    "prompt": {
        "chat": False,
        "template": "{bos}{question}\n",
        "attempt_template": "{attempt}{eos}",
        "max_attempts": 4,
    },
    "delimiter": "\n",
    "temperature": 1.0,
    "max_new_tokens": 512,
}
"""How ``ttscale.hf`` lays out a question for these models, as ``prompt`` and ``revision_prompt`` do."""


def save(model: Llama, folder: Path, temperature: float = 1.0) -> None:
    """config.json, generation_config.json, model.safetensors (bfloat16), the tokenizer and ttscale.json."""
    from safetensors.torch import save_file
    from tools.reference_models import tokenizer
    from transformers import GenerationConfig, LlamaConfig

    shape = model.shape
    folder.mkdir(parents=True, exist_ok=True)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        intermediate_size=shape.hidden,
        max_position_embeddings=shape.positions,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
    )
    config.save_pretrained(str(folder))
    generation = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)  # type: ignore[no-untyped-call]
    generation.save_pretrained(str(folder))
    save_file(to_hugging_face(model), str(folder / "model.safetensors"), metadata={"format": "pt"})
    tokenizer.save(folder)
    (folder / "ttscale.json").write_text(json.dumps(SETTINGS | {"temperature": temperature}, indent=1) + "\n")
    (folder / "model.safetensors").chmod(0o644)


def load(folder: Path) -> Llama:
    """A model that ``save`` wrote, in float32."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    shape = Shape(
        config["vocab_size"],
        config["hidden_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config["intermediate_size"],
        config["max_position_embeddings"],
    )
    weights = {name: weight.float() for name, weight in load_file(str(folder / "model.safetensors")).items()}
    model = Llama(shape)
    state: dict[str, Tensor] = {
        "embedding.weight": weights["model.embed_tokens.weight"],
        "norm": weights["model.norm.weight"],
    }
    for i in range(shape.layers):
        at = f"model.layers.{i}."
        state |= {
            f"blocks.{i}.qkv.weight": torch.cat([weights[f"{at}self_attn.{x}_proj.weight"] for x in "qkv"]),
            f"blocks.{i}.out.weight": weights[at + "self_attn.o_proj.weight"],
            f"blocks.{i}.up.weight": torch.cat([weights[f"{at}mlp.{x}_proj.weight"] for x in ("gate", "up")]),
            f"blocks.{i}.down.weight": weights[at + "mlp.down_proj.weight"],
            f"blocks.{i}.norm1": weights[at + "input_layernorm.weight"],
            f"blocks.{i}.norm2": weights[at + "post_attention_layernorm.weight"],
        }
    model.load_state_dict(state)
    return model


def describe(model: Llama) -> dict[str, float]:
    """The shape and size, for records."""
    return {**asdict(model.shape), "parameters": model.parameter_count()}
