"""The rows being decoded: their slots, and the trunks and branches they share.

Knows: nodes, slabs, levels. Must not know: the model, sampling, text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ttscale.hf.shared_kv.attention import Level
from ttscale.hf.shared_kv.kv_slots import Slab
from ttscale.hf.shared_kv.prefix_tree import PrefixNode, PrefixTree

NodeSpan: TypeAlias = tuple[PrefixNode, PrefixNode]
"""A run of the tree: from (excluded) one node to (included) another further down."""

WIDTHS = sorted({base << i for base in (32, 48) for i in range(16)})


class Block:
    """Spans of similar length in one slab, one slot each, with a count of the rows that read them."""

    def __init__(self, slab: Slab, width: int) -> None:
        self.slab = slab
        self.width = width
        self.spans: list[NodeSpan] = []
        self.readers: list[int] = []

    def make_room(self, spans: Collection[NodeSpan]) -> None:
        """Room for spans that are about to be taken, at once: a block that grows is copied."""
        new = [last.length - first.length for first, last in set(spans).difference(self.spans)]
        if new:
            self.slab.reserve(len(self.spans), len(self.spans) + len(new), max(new))

    def take(self, tree: PrefixTree, span: NodeSpan) -> None:
        """One more row reads this span, for which there is room; it is copied in for the first."""
        if span in self.spans:
            self.readers[self.spans.index(span)] += 1
            return
        slot = len(self.spans)
        nodes = tree.path(span[1])
        begin = nodes.index(span[0]) + 1 if span[0].parent is not None else 0
        self.slab.fill(slot, (node.kv for node in nodes[begin:]))
        self.spans.append(span)
        self.readers.append(1)

    def drop(self, span: NodeSpan) -> None:
        """One row fewer; the slot is given up with the last, and the last slot moves into its place."""
        slot = self.spans.index(span)
        self.readers[slot] -= 1
        if self.readers[slot]:
            return
        last = len(self.spans) - 1
        if slot != last:
            self.slab.move(last, slot)
            self.spans[slot], self.readers[slot] = self.spans[last], self.readers[last]
        self.spans.pop()
        self.readers.pop()
        if self.spans:  # else all of it is given back
            self.slab.wipe(last, last + 1)


class SharedSpans:
    """All spans of one kind (trunks, or branches), in blocks by length."""

    def __init__(self, tree: PrefixTree, new_slab: Callable[[], Slab]) -> None:
        self._tree = tree
        self._new_slab = new_slab
        self._blocks: dict[int, Block] = {}
        self._rows: list[tuple[Block, NodeSpan] | None] = []
        self._levels: list[Level] | None = None

    @property
    def bytes(self) -> int:
        return sum(block.slab.bytes for block in self._blocks.values())

    def add(self, spans: Sequence[NodeSpan]) -> None:
        """The next rows read these spans (an empty one: nothing)."""
        self._levels = None
        chosen: dict[NodeSpan, Block] = {}
        for span in dict.fromkeys(spans):
            length = span[1].length - span[0].length
            if length:
                chosen[span] = self._block(length, chosen.values())
        for block in dict.fromkeys(chosen.values()):
            block.make_room([span for span, its in chosen.items() if its is block])
        for span in spans:
            taker = chosen.get(span)
            if taker is None:
                self._rows.append(None)
            else:
                taker.take(self._tree, span)
                self._rows.append((taker, span))

    def keep(self, index: Sequence[int]) -> None:
        """Only these rows go on, in this order."""
        kept = set(index)
        for i, entry in enumerate(self._rows):
            if i not in kept and entry is not None:
                entry[0].drop(entry[1])
        for block in self._blocks.values():
            if not block.spans and block.slab.slots:
                block.slab.clear()
        self._rows = [self._rows[i] for i in index]
        self._levels = None

    def levels(self) -> list[Level]:
        """One level per block in use."""
        if self._levels is None:
            readers: dict[int, dict[NodeSpan, list[int]]] = {}
            for row, entry in enumerate(self._rows):
                if entry is not None:
                    readers.setdefault(entry[0].width, {}).setdefault(entry[1], []).append(row)
            self._levels = []
            for width, rows in readers.items():
                block = self._blocks[width]
                used = block.slab.kv[:, :, : len(block.spans)]
                lengths = [last.length - first.length for first, last in block.spans]
                offsets = [first.length for first, _ in block.spans]
                groups = [rows[span] for span in block.spans]
                self._levels.append(Level(used, lengths, offsets, groups, len(self._rows)))
        return self._levels

    def _block(self, length: int, chosen: Collection[Block]) -> Block:
        """The block in use, or just chosen, that fits without much waste, else one of the next standard width."""
        used = [block for block in self._blocks.values() if block.spans or block in chosen]
        fitting = [block.width for block in used if length <= block.width <= 2 * length]
        width = min(fitting, default=next(w for w in WIDTHS if w >= length))
        if width not in self._blocks:
            self._blocks[width] = Block(self._new_slab(), width)
        return self._blocks[width]


class BatchRows:
    """Every row in the batch: prefix node, own KV, how many own tokens are in it."""

    def __init__(self, tree: PrefixTree, new_slab: Callable[[], Slab], device: torch.device) -> None:
        self._tree = tree
        self._device = device
        self.slab = new_slab()
        self.trunks = SharedSpans(tree, new_slab)
        self.branches = SharedSpans(tree, new_slab)
        self.nodes: list[PrefixNode] = []
        self.counts: list[int] = []

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def bytes(self) -> int:
        return self.slab.bytes + self.trunks.bytes + self.branches.bytes

    def add(self, trunks: Sequence[PrefixNode], leaves: Sequence[PrefixNode]) -> None:
        """New rows at the end of the batch, each continuing its leaf."""
        self.slab.reserve(len(self.nodes), len(self.nodes) + len(leaves), 1)
        self.trunks.add([(self._tree.root, trunk) for trunk in trunks])
        self.branches.add(list(zip(trunks, leaves, strict=True)))
        self.nodes += [self._tree.pin(leaf) for leaf in leaves]
        self.counts += [0] * len(leaves)

    def store(self, row: int, tokens: Sequence[int]) -> None:
        """Keep a row's own keys and values in the tree, as far as they were run."""
        ran = self.counts[row]
        if ran:
            kv = self.slab.kv[:, :, row, :, :ran].clone()
            self._tree.insert(self.nodes[row], tokens[:ran], kv, None)

    def keep(self, index: Sequence[int]) -> None:
        """Only these rows go on; ``index`` must move rows towards the front only."""
        kept = set(index)
        dropped = [node for i, node in enumerate(self.nodes) if i not in kept]
        for target, source in enumerate(index):
            if source != target:
                self.slab.move(source, target)
        self.trunks.keep(index)
        self.branches.keep(index)
        self.nodes = [self.nodes[i] for i in index]
        self.counts = [self.counts[i] for i in index]
        for node in dropped:  # last, so that an interruption above leaves them to the next call
            self._tree.unpin(node)
        if self.nodes:
            self.slab.wipe(len(self.nodes), len(self.nodes) + len(dropped))
        else:
            self.slab.clear()

    def ready(self) -> tuple[Tensor, Tensor, list[Level], int]:
        """Own lengths [rows], positions [rows, 1], levels, and the length of the longest row with its new token."""
        self.slab.reserve(len(self.nodes), len(self.nodes), max(self.counts) + 1)
        lengths = torch.tensor(self.counts, device=self._device)
        ends = [node.length + count for node, count in zip(self.nodes, self.counts, strict=True)]
        positions = torch.tensor(ends, device=self._device)[:, None]
        return lengths, positions, self.trunks.levels() + self.branches.levels(), max(ends) + 1

    def advance(self) -> None:
        """The new token of every row has been run."""
        self.counts = [count + 1 for count in self.counts]
