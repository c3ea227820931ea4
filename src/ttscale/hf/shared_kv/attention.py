"""Attention over keys and values that several rows share: partial results per level, merged by their log-sum-exps.

Knows: tensors and positions. Must not know: models, tokens, trees. Registered with transformers as "ttscale": inside
``with_context`` the model's own modules call ``_attention`` here instead of SDPA. (Shared-prefix attention as in
Hydragen, arXiv 2402.05099, with the softmax of each part merged exactly.)

Shapes: ``q`` [rows, new, kv heads, queries per kv head, head size]; a partial result is the normalised output in that
shape with its log-sum-exp [rows, new, kv heads, queries per kv head].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock, local
from typing import Any, Protocol

import torch
from torch import Tensor

NAME = "ttscale"
_current = local()
_routing = RLock()
"""Configs are changed for the time of a forward, and modules may share one."""


class Unsupported(Exception):
    """The model's attention does something this file does not do; the plain path serves it."""


class Context(Protocol):
    """What one forward attends to."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor: ...


@contextmanager
def with_context(config: Any, context: Context) -> Iterator[None]:
    """Route the attention of the model with this config through ``context``."""
    with _routing:
        before = config._attn_implementation
        config._attn_implementation = NAME
        _current.context = context
        try:
            yield
        finally:
            config._attn_implementation = before
            _current.context = None


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **extra: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: [rows, heads, new, size] in, [rows, new, heads, size] out."""
    context: Context | None = getattr(_current, "context", None)
    if context is None:
        raise RuntimeError("the ttscale attention was called outside of ttscale's own forward")
    odd = [name for name in ("softcap", "s_aux", "position_bias") if extra.get(name) is not None]
    if odd or attention_mask is not None or key.shape != value.shape:
        raise Unsupported(", ".join(odd) or "masks or value sizes of its own")
    rows, heads, new, size = query.shape
    kv_heads = key.shape[1]
    q = query.view(rows, kv_heads, heads // kv_heads, new, size).permute(0, 3, 1, 2, 4)
    scale = size**-0.5 if scaling is None else scaling
    out = context.attend(module.layer_idx, q, key, value, scale, sliding_window)
    return out.reshape(rows, new, heads, size), None


def register() -> None:
    """Make "ttscale" known to transformers; harmless when repeated."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attention)


def additive(blocked: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask to add to scores: 0, or so low that it weighs nothing where ``blocked``.

    Finite, so that a row whose window has left a level gets a weight of 0 for it and not a NaN.
    """
    low = torch.finfo(dtype).min / 2
    return torch.zeros(blocked.shape, device=blocked.device, dtype=dtype).masked_fill_(blocked, low)


def dense(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attention of ``q`` [batch, heads, queries, size] over ``k``, ``v`` [batch, heads, keys, size], with its lse.

    ``mask`` is added to the scores and broadcasts to [batch, heads, queries, keys]. On a CPU the fused kernel is the
    fastest of what we measured for many queries per key; for one in float32 products are faster from 64 heads on (1.1
    to 2 times). Elsewhere it is written out.
    """
    batch, heads, queries, size = q.shape
    if q.device.type == "cpu" and q.dtype == torch.float32 and queries == 1 and batch * heads >= 64:
        added = None if mask is None else mask.expand(batch, heads, 1, -1).reshape(batch * heads, 1, -1)
        out, lse = by_product(
            q.reshape(-1, 1, size), k.reshape(batch * heads, -1, size), v.reshape(batch * heads, -1, size), scale, added
        )
        return out.view(q.shape), lse.view(batch, heads, 1)
    if q.device.type == "cpu":
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, False, attn_mask=mask, scale=scale
        )
        return out, lse
    scores = torch.matmul(q, k.transpose(2, 3)).float() * scale
    if mask is not None:
        scores = scores + mask
    lse = scores.logsumexp(-1)
    return torch.matmul((scores - lse[..., None]).exp().to(v.dtype), v), lse


def by_product(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same in batched products, for [batch, queries, size] over [batch, keys, size]."""
    keys = k.transpose(1, 2)
    scores = torch.bmm(q * scale, keys) if mask is None else torch.baddbmm(mask, q, keys, alpha=scale)
    weights = scores.softmax(-1, dtype=torch.float32)
    return torch.bmm(weights.to(v.dtype), v), scores.amax(-1).float() - weights.amax(-1).log()


def merge(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], last: bool) -> tuple[Tensor, Tensor]:
    """Two partial results over disjoint keys as one; after the ``last`` merge the log-sum-exp is not needed."""
    (out_a, lse_a), (out_b, lse_b) = a, b
    share = torch.sigmoid(lse_a - lse_b)[..., None].to(out_a.dtype)
    return torch.lerp(out_b, out_a, share), lse_b if last else torch.logaddexp(lse_a, lse_b)


class Level:
    """Keys shared by groups of rows, and which row reads which group.

    ``kv`` [layers, 2, groups, kv heads, width, size], of which the first ``lengths[group]`` are filled; they stand at
    absolute positions from ``offsets[group]`` on. ``rows[group]`` lists the rows that read the group.
    """

    def __init__(self, kv: Tensor, lengths: list[int], offsets: list[int], rows: list[list[int]], batch: int) -> None:
        device = kv.device
        width = max(lengths)
        # One group can be cut to its length; several are read at full width, because gaps between them cost more.
        self.kv = kv[..., :width, :] if len(lengths) == 1 else kv
        self.lengths = torch.tensor(lengths, device=device)
        self.offsets = torch.tensor(offsets, device=device)
        self.last = [offset + length - 1 for offset, length in zip(offsets, lengths, strict=True)]
        self.first = offsets
        self.each = max(map(len, rows))
        """Rows per group, after padding."""
        flat = [row for group in rows for row in group]
        self.all = len(flat) == batch
        self.natural = self.all and flat == list(range(batch)) and len(flat) == len(rows) * self.each
        padded = [group + [group[0]] * (self.each - len(group)) for group in rows]
        place = {row: g * self.each + i for g, group in enumerate(rows) for i, row in enumerate(group)}
        self.gather = torch.tensor([row for group in padded for row in group], device=device)
        self.members = torch.tensor(sorted(flat), device=device)
        self.scatter = torch.tensor([place[row] for row in sorted(flat)], device=device)
        keys = torch.arange(self.kv.shape[-2], device=device)
        full = min(lengths) == self.kv.shape[-2]
        blocked = keys >= self.lengths[:, None]
        self.padding = None if full else additive(blocked, kv.dtype)
        self._keys = keys

    def window_mask(self, positions: Tensor, window: int) -> Tensor:
        """Additive mask [groups, 1, rows * new, keys] for queries at ``positions`` [batch, new]."""
        mine = positions.index_select(0, self.gather).view(len(self.lengths), -1)
        keys = self.offsets[:, None] + self._keys
        blocked = (mine[:, :, None] - keys[:, None] >= window) | (self._keys >= self.lengths[:, None])[:, None]
        return additive(blocked, self.kv.dtype)[:, None]

    def partial(self, layer: int, q: Tensor, scale: float, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attention of the rows that belong here, in the order of ``members``.

        ``mask`` [groups, 1, rows * new, keys] replaces the padding mask (sliding windows).
        """
        _, new, heads, queries, size = q.shape
        groups = len(self.lengths)
        mine = q if self.natural else q.index_select(0, self.gather)
        mine = mine.reshape(groups, self.each * new, heads, queries, size).transpose(1, 2)
        mine = mine.reshape(groups, heads, self.each * new * queries, size)
        if mask is not None:
            mask = mask.repeat_interleave(queries, 2) if queries > 1 else mask
        elif self.padding is not None:
            mask = self.padding[:, None, None]
        out, lse = dense(mine, self.kv[layer, 0], self.kv[layer, 1], scale, mask)
        out = out.view(groups, heads, self.each * new, queries, size).transpose(1, 2)
        lse = lse.view(groups, heads, self.each * new, queries).transpose(1, 2)
        out = out.reshape(groups * self.each, new, heads, queries, size)
        lse = lse.reshape(groups * self.each, new, heads, queries)
        if self.natural:
            return out, lse
        return out.index_select(0, self.scatter), lse.index_select(0, self.scatter)


def add_levels(
    own: tuple[Tensor, Tensor],
    levels: list[Level],
    layer: int,
    q: Tensor,
    scale: float,
    masks: list[Tensor | None],
) -> Tensor:
    """Merge the rows' own part with what they read from each level."""
    out, lse = own
    for level, mask in zip(levels, masks, strict=True):
        last = level is levels[-1]
        part = level.partial(layer, q, scale, mask)
        if level.all:
            out, lse = merge(part, (out, lse), last)
        else:
            mine = (out.index_select(0, level.members), lse.index_select(0, level.members))
            new_out, new_lse = merge(part, mine, last)
            out = out.index_copy(0, level.members, new_out)
            lse = lse.index_copy(0, level.members, new_lse)
    return out
