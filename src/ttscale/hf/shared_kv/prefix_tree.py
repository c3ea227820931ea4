"""Keys and values of every prefix that was run, kept once: a radix tree with reference counts and a byte budget.

Knows: token ids and opaque KV tensors [layers, 2, kv heads, tokens, head size]. Must not know: models, rows, questions.
A node holds the tokens between its parent's end and its own. Nodes in use are pinned; of the others the least recently
used leaves go first when the budget is passed. Whatever was evicted is run again when it is asked for: same result.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import count

from torch import Tensor

Tokens = tuple[int, ...]


class PrefixNode:
    """The end of a prefix. Identity is what matters: a node stays the same end when the path above it is split."""

    __slots__ = ("children", "kv", "last", "length", "parent", "pins", "tokens", "used")

    def __init__(self, parent: PrefixNode | None, tokens: Tokens, kv: Tensor | None, last: Tensor | None) -> None:
        self.parent = parent
        self.tokens = tokens
        self.kv = kv
        self.last = last
        """Hidden state after the last token, ready for a head; None where it was not kept."""
        self.children: dict[int, PrefixNode] = {}
        self.length: int = len(tokens) + (parent.length if parent is not None else 0)
        self.pins = 0
        self.used = 0

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.kv, self.last) if t is not None)


class PrefixTree:
    """All prefixes of one model. ``max_bytes`` bounds what is kept beyond the pinned nodes."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.root = PrefixNode(None, (), None, None)
        self.root.pins = 1
        self._clock = count(1)

    def find(self, tokens: Sequence[int]) -> PrefixNode:
        """The deepest node whose whole path is a prefix of ``tokens``; a node that agrees in part is split."""
        tokens = tuple(tokens)
        node, now = self.root, next(self._clock)
        while node.length < len(tokens):
            child = node.children.get(tokens[node.length])
            if child is None:
                break
            shared = common(child.tokens, tokens, node.length)
            if shared < len(child.tokens):
                child = self._split(child, shared)
            child.used = now
            node = child
        return node

    def insert(self, parent: PrefixNode, tokens: Sequence[int], kv: Tensor, last: Tensor | None) -> PrefixNode:
        """Add ``tokens`` after ``parent`` with their ``kv``; what is there already is not stored twice."""
        tokens = tuple(tokens)
        node, begin, now = parent, 0, next(self._clock)
        while begin < len(tokens):
            child = node.children.get(tokens[begin])
            if child is None:
                child = PrefixNode(node, tokens[begin:], kv if begin == 0 else kv[..., begin:, :].clone(), None)
                node.children[tokens[begin]] = child
                self.bytes += child.bytes
                begin = len(tokens)
            else:
                shared = common(child.tokens, tokens, begin)
                if shared < len(child.tokens):
                    child = self._split(child, shared)
                begin += shared
            child.used = now
            node = child
        if last is not None and node.last is None and node is not self.root:
            node.last = last
            self.bytes += last.numel() * last.element_size()
        return node

    def path(self, node: PrefixNode) -> list[PrefixNode]:
        """The nodes from the root's child to ``node``."""
        nodes = []
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def pin(self, node: PrefixNode) -> PrefixNode:
        """Keep the node, and so its whole path, until it is unpinned as often."""
        node.pins += 1
        return node

    def unpin(self, node: PrefixNode) -> None:
        node.pins -= 1

    def trim(self) -> None:
        """Evict down to nine tenths of the budget when it is passed."""
        if self.bytes > self.max_bytes:
            self.evict(self.max_bytes * 9 // 10)

    def evict(self, target: int = 0) -> None:
        """Drop unpinned leaves, least recently used first, until at most ``target`` bytes are left."""
        order = count()
        leaves = [(n.used, next(order), n) for n in self._nodes() if not n.children and not n.pins]
        heapq.heapify(leaves)
        while leaves and self.bytes > target:
            node = heapq.heappop(leaves)[2]
            parent = node.parent
            assert parent is not None
            del parent.children[node.tokens[0]]
            self.bytes -= node.bytes
            node.kv = node.last = None
            if not parent.children and not parent.pins:
                heapq.heappush(leaves, (parent.used, next(order), parent))

    def tokens(self) -> int:
        """Tokens whose keys and values are held."""
        return sum(len(node.tokens) for node in self._nodes())

    def _nodes(self) -> Iterator[PrefixNode]:
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack += node.children.values()

    def _split(self, node: PrefixNode, at: int) -> PrefixNode:
        """Put a node for the first ``at`` tokens above ``node``, which keeps the rest and its identity."""
        assert node.kv is not None
        assert node.parent is not None
        above, below = node.kv[..., :at, :].clone(), node.kv[..., at:, :].clone()  # before anything is changed
        upper = PrefixNode(node.parent, node.tokens[:at], above, None)
        upper.used = node.used
        node.parent.children[node.tokens[0]] = upper
        node.tokens, node.kv, node.parent = node.tokens[at:], below, upper
        upper.children[node.tokens[0]] = node
        return upper


def common(piece: Tokens, tokens: Tokens, begin: int) -> int:
    """How many of ``piece`` agree with ``tokens`` from ``begin`` on."""
    if tokens[begin : begin + len(piece)] == piece:
        return len(piece)
    return next((i for i, (a, b) in enumerate(zip(piece, tokens[begin:], strict=False)) if a != b), len(tokens) - begin)
