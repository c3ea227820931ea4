"""Forwards that share keys and values: prefixes run once into the tree, rows decoded over shared levels.

Knows: the model's modules, the prefix tree, slabs of KV. Must not know: sampling, text, questions.
A row attends to three parts: its *trunk* (the prefix that everything admitted with it shares), its *branch* (the rest
of its own prefix, shared by rows that continue the same one) and its own new tokens. Trunk and branch are copied once
per group into dense blocks while the group is decoded; the tree keeps every distinct token once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ttscale.hf.shared_kv.attention import Level, add_levels, additive, by_product, dense, with_context
from ttscale.hf.shared_kv.cpu_linear import fits, product, swapped, swaps_of
from ttscale.hf.shared_kv.cpu_llama import Lean
from ttscale.hf.shared_kv.kv_slots import Slab
from ttscale.hf.shared_kv.prefix_tree import PrefixNode, PrefixTree, Tokens


@dataclass(frozen=True, slots=True)
class Shape:
    """What the KV of one token looks like."""

    layers: int
    heads: int
    """KV heads."""
    size: int
    """Numbers in one head's key; a value is as long."""
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        """Bytes of one token's keys and values."""
        return 2 * self.layers * self.heads * self.size * torch.finfo(self.dtype).bits // 8

    def slab(self) -> Slab:
        """An empty slab for tokens of this kind."""
        return Slab(self.layers, self.heads, self.size, self.dtype, self.device)


class PrefillAttention:
    """The attention of new tokens [rows, new] after the prefixes in ``levels``; keeps their keys and values."""

    def __init__(self, levels: list[Level], positions: Tensor, longest: int) -> None:
        self._levels = levels
        self._positions = positions
        self._longest = longest
        self._masks: dict[int | None, tuple[Tensor | None, list[Tensor | None]]] = {}
        self.kv: list[Tensor] = []
        self.settings: list[tuple[float, int | None]] = []
        """Scale and window that each layer asked for."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """Causal among the new tokens, all of each prefix, within the window."""
        self.kv.append(torch.stack((k, v)))
        self.settings.append((scale, window))
        batch, new, heads, queries, size = q.shape
        own_mask, masks = self._mask(window, new, q.dtype)
        flat = q.permute(0, 2, 3, 1, 4).reshape(batch, heads * queries, new, size)
        if queries > 1:
            k, v = k.repeat_interleave(queries, 1), v.repeat_interleave(queries, 1)
        out, lse = dense(flat, k, v, scale, own_mask)
        out = out.view(batch, heads, queries, new, size).permute(0, 3, 1, 2, 4)
        lse = lse.view(batch, heads, queries, new).permute(0, 3, 1, 2)
        return add_levels((out, lse), self._levels, layer, q, scale, masks)

    def _mask(self, window: int | None, new: int, dtype: torch.dtype) -> tuple[Tensor | None, list[Tensor | None]]:
        if window not in self._masks:
            at = torch.arange(new, device=self._positions.device)
            blocked = at[None] > at[:, None]
            masks: list[Tensor | None] = [None] * len(self._levels)
            if window is not None and self._longest > window:
                blocked = blocked | (at[:, None] - at[None] >= window)
                masks = [level.window_mask(self._positions, window) for level in self._levels]
            self._masks[window] = (additive(blocked, dtype)[None, None] if new > 1 else None, masks)
        return self._masks[window]


class DecodeAttention:
    """The attention of one new token per row, over its own tokens so far (written into ``slab``) and its levels."""

    def __init__(self, slab: Slab, lengths: Tensor, positions: Tensor, levels: list[Level], longest: int) -> None:
        self._slab = slab
        self._lengths = lengths
        self._positions = positions
        self._levels = levels
        self._longest = longest
        heads, width = slab.kv.shape[3], slab.width
        rows = torch.arange(len(lengths), device=lengths.device)
        flat = (rows[:, None] * heads + torch.arange(heads, device=lengths.device)) * width + lengths[:, None]
        self._place = flat.flatten()
        self._keys = torch.arange(width, device=lengths.device)
        self._masks: dict[int | None, tuple[Tensor, list[Tensor | None]]] = {}

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """Write the new token's key and value, then attend."""
        batch, _, heads, queries, size = q.shape
        own = self._slab.kv[layer]
        own[0].view(-1, size).index_copy_(0, self._place, k.reshape(-1, size))
        own[1].view(-1, size).index_copy_(0, self._place, v.reshape(-1, size))
        mask, masks = self._mask(window, heads, queries, q.dtype)
        keys = own[0, :batch].view(batch * heads, -1, size)
        values = own[1, :batch].view(batch * heads, -1, size)
        out, lse = by_product(q.reshape(batch * heads, queries, size), keys, values, scale, mask)
        own_part = (out.view(batch, 1, heads, queries, size), lse.view(batch, 1, heads, queries))
        return add_levels(own_part, self._levels, layer, q, scale, masks)

    def _mask(
        self, window: int | None, heads: int, queries: int, dtype: torch.dtype
    ) -> tuple[Tensor, list[Tensor | None]]:
        if window not in self._masks:
            blocked = self._keys > self._lengths[:, None]
            masks: list[Tensor | None] = [None] * len(self._levels)
            if window is not None and self._longest > window:
                blocked = blocked | (self._keys <= self._lengths[:, None] - window)
                masks = [level.window_mask(self._positions, window) for level in self._levels]
            mask = additive(blocked, dtype)[:, None, None]
            mask = mask.expand(-1, heads, queries, -1).reshape(-1, queries, len(self._keys))
            self._masks[window] = (mask, masks)
        return self._masks[window]


class Network:
    """The model's own modules under our attention: tokens to hidden states, hidden states to logits."""

    def __init__(self, module: Any, config: Any) -> None:
        self.config = config
        self.base: Any = module.base_model
        self.head: Any = module.get_output_embeddings()
        self.lean: Lean | None = None
        """The written-out forward, where it serves this model."""
        self._swaps = swaps_of(self.base)

    def run(self, ids: Tensor, positions: Tensor, context: PrefillAttention | DecodeAttention) -> Tensor:
        """Hidden states [rows, new, width] after the last norm."""
        if self.lean is not None:
            return self.lean.run(ids, positions, context)
        with with_context(self.config, context), swapped(self._swaps):
            hidden: Tensor = self.base(input_ids=ids, position_ids=positions, use_cache=False)[0]
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits of hidden states [..., width], fp32."""
        if self.lean is not None:
            return self.lean.head(hidden).float()
        logits: Tensor = product(self.head, hidden) if fits(self.head) else self.head(hidden)
        return logits.float()


@dataclass(frozen=True, slots=True)
class SharedKV:
    """What all roles of one model share: its forward, its keys and values, and their shape."""

    network: Network
    tree: PrefixTree
    shape: Shape


def extend(own: SharedKV, items: Sequence[tuple[PrefixNode, Tokens]]) -> tuple[list[PrefixNode], Tensor]:
    """Run each item's tokens after its node, all items in one forward, and keep what came out in the tree.

    Returns the node at the end of each item and the hidden states [items, longest, width], padded on the right.
    """
    tree, device = own.tree, own.shape.device
    longest = max(len(tokens) for _, tokens in items)
    ids = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for _, tokens in items], device=device)
    starts = torch.tensor([node.length for node, _ in items], device=device)
    positions = starts[:, None] + torch.arange(longest, device=device)
    # Padding must not pass the end of position tables; what it computes is not used.
    positions = positions.clamp(max=max(node.length + len(tokens) for node, tokens in items) - 1)
    parents = list(dict.fromkeys(node for node, _ in items if node.length))
    levels = []
    if parents:
        slab = own.shape.slab()
        slab.reserve(0, len(parents), max(node.length for node in parents))
        for slot, node in enumerate(parents):
            slab.fill(slot, (part.kv for part in tree.path(node)))
        rows = [[i for i, (node, _) in enumerate(items) if node is parent] for parent in parents]
        levels = [Level(slab.kv, [node.length for node in parents], [0] * len(parents), rows, len(items))]
    context = PrefillAttention(levels, positions, max(node.length + len(tokens) for node, tokens in items))
    hidden = own.network.run(ids, positions, context)
    kv = torch.stack(context.kv)  # [layers, 2, items, kv heads, longest, size]
    ends = []
    for i, (node, tokens) in enumerate(items):
        mine = kv[:, :, i, :, : len(tokens)].clone()
        ends.append(tree.insert(node, tokens, mine, hidden[i, len(tokens) - 1].clone()))
    return ends, hidden
