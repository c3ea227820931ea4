"""The fast runner: the decode loop's ``Runner`` on shared keys and values.

Knows: prefixes, rows, the model's modules through ``forward.py``. Must not know: sampling, text, questions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ttscale.hf.model import HFModel
from ttscale.hf.runner import Prefix
from ttscale.hf.shared_kv.batch_rows import BatchRows
from ttscale.hf.shared_kv.forward import DecodeAttention, SharedKV, extend
from ttscale.hf.shared_kv.prefix_tree import PrefixNode, Tokens

CHUNK_TOKENS = 1024
"""Prefix tokens run in one forward, so that a long prompt does not stall the rows that decode."""
SHARE_AT = 8
"""Of prefixes that share this many missing tokens, one runs those and the others wait."""


class TreePrefix(Prefix):
    """Ready with every token run, and the last hidden state at hand."""

    def __init__(self, tokens: Tokens, node: PrefixNode) -> None:
        super().__init__(tokens)
        self.node = node

    @property
    def missing(self) -> Tokens:
        return self.tokens[self.node.length :]

    @property
    def ready(self) -> bool:
        return self.node.length == len(self.tokens)


class SharedKVRunner:
    """Prefixes, rows and forwards over one model's tree. Closing it lets go of everything it pinned."""

    whole = False
    """Whether every token runs its whole sequence again."""

    def __init__(self, model: HFModel, own: SharedKV) -> None:
        self._model = model
        self._own = own
        self._network, self._tree = own.network, own.tree
        self._rows = BatchRows(own.tree, own.shape.slab, model.device)
        self.chunk = CHUNK_TOKENS

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values held now, by the tree and by the running rows."""
        return self._tree.bytes + self._rows.bytes

    def open(self, tokens: Tokens) -> TreePrefix:
        """A handle on a context, holding what the tree has of it."""
        node = self._tree.find(tokens)
        if node.length == len(tokens) and node.last is None:
            node = self._tree.find(tokens[:-1])
        return TreePrefix(tokens, self._tree.pin(node))

    def release(self, prefix: TreePrefix) -> None:
        """Let go of a handle; rows that entered from it keep what they need."""
        self._tree.unpin(prefix.node)

    def advance(self, prefixes: Sequence[TreePrefix]) -> None:
        """Run one chunk of what the prefixes miss, shared beginnings once."""
        items, served = self._plan(prefixes)
        ends, _ = extend(self._own, items)
        for (node, tokens), mine, end in zip(items, served, ends, strict=True):
            mine[0].ran += len(tokens)
            mine[0].ran_flops += self._model.flops(len(tokens), node.length, 0)
            for prefix in mine:
                self._tree.pin(end)
                self._tree.unpin(prefix.node)
                prefix.node = end
        self._model.forwarded_tokens += sum(len(tokens) for _, tokens in items)
        self._tree.trim()

    def _plan(self, prefixes: Sequence[TreePrefix]) -> tuple[list[tuple[PrefixNode, Tokens]], list[list[TreePrefix]]]:
        groups: dict[tuple[int, int], list[TreePrefix]] = {}
        for prefix in prefixes:
            groups.setdefault((id(prefix.node), prefix.missing[0]), []).append(prefix)
        wanted: list[tuple[Tokens, list[TreePrefix]]] = []
        for group in groups.values():
            low, high = min(p.missing for p in group), max(p.missing for p in group)
            shared = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
            if len(group) > 1 and (shared >= SHARE_AT or shared == len(low)):
                wanted.append((low[:shared], group))
            else:
                wanted += [(prefix.missing, [prefix]) for prefix in group]
        wanted.sort(key=lambda entry: len(entry[0]))
        items: list[tuple[PrefixNode, Tokens]] = []
        served: list[list[TreePrefix]] = []
        for tokens, group in wanted:
            if items and (len(items) + 1) * len(tokens) > self.chunk:
                break
            items.append((group[0].node, tokens[: self.chunk]))
            served.append(group)
        return items, served

    def admit(self, prefixes: Sequence[TreePrefix], trunks: Sequence[int]) -> Tensor:
        """One new row per entry from a ready prefix, whose first ``trunks`` tokens it shares.

        Returns next-token logits [entries, vocabulary], fp32.
        """
        distinct = list(dict.fromkeys(prefix.node for prefix in prefixes))
        for prefix in dict.fromkeys(prefixes):
            prefix.ran_flops += self._model.flops(0, 0, 1)
        shared = [self._tree.find(prefix.tokens[:trunk]) for prefix, trunk in zip(prefixes, trunks, strict=True)]
        self._rows.add(shared, [prefix.node for prefix in prefixes])
        hidden = [node.last for node in distinct if node.last is not None]
        logits = self._network.logits(torch.stack(hidden))
        if len(distinct) == len(prefixes):
            return logits
        place = {node: i for i, node in enumerate(distinct)}
        return logits[torch.tensor([place[prefix.node] for prefix in prefixes], device=logits.device)]

    def hidden(self, tokens: Tensor) -> Tensor:
        """Run one token per row, ``tokens`` [rows]: hidden states [rows, width]."""
        lengths, positions, levels, longest = self._rows.ready()
        step = DecodeAttention(self._rows.slab, lengths, positions, levels, longest)
        hidden = self._network.run(tokens[:, None], positions, step)[:, 0]
        self._rows.advance()
        self._model.forwarded_tokens += len(tokens)
        return hidden

    def forward(self, tokens: Tensor) -> Tensor:
        """Run one token per row, ``tokens`` [rows]: next-token logits [rows, vocabulary], fp32."""
        return self._network.logits(self.hidden(tokens))

    def store(self, row: int, tokens: Sequence[int]) -> None:
        """Keep what a row has run, for prefixes that will continue it."""
        self._rows.store(row, tokens)

    def keep(self, index: Sequence[int]) -> None:
        """Only these rows go on, in this order; rows may only move towards the front."""
        self._rows.keep(index)
        self._tree.trim()

    def shrink(self) -> None:
        """Give back memory after an out-of-memory error: everything that nothing running needs."""
        self._tree.evict()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Let go of all rows; what is kept of them fits the budget."""
        self._rows.keep([])
        self._tree.trim()
