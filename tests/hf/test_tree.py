"""The prefix tree against a set of strings: what is kept, split, evicted and counted."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ttscale.hf.shared_kv.prefix_tree import PrefixNode, PrefixTree

SEQUENCE = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)


def kv(tokens: tuple[int, ...], begin: int = 0) -> torch.Tensor:
    """KV that says which prefix it belongs to: one number per token, the digits up to it."""
    values = [
        float(sum((t + 1) * 4.0**-i for i, t in enumerate(tokens[: end + 1]))) for end in range(begin, len(tokens))
    ]
    return torch.tensor(values).view(1, 1, 1, -1, 1).expand(2, 2, 1, -1, 1).clone()


def add(tree: PrefixTree, tokens: tuple[int, ...], last: bool = False) -> PrefixNode:
    node = tree.find(tokens)
    begin = node.length
    return tree.insert(node, tokens[begin:], kv(tokens, begin), torch.ones(3) if last else None)


def held(tree: PrefixTree, node: PrefixNode) -> torch.Tensor:
    return torch.cat([part.kv for part in tree.path(node) if part.kv is not None], dim=-2)


@settings(max_examples=30)
@given(st.lists(SEQUENCE, max_size=12), SEQUENCE)
def test_holds_every_distinct_token_once(sequences: list[tuple[int, ...]], other: tuple[int, ...]) -> None:
    tree = PrefixTree(1 << 30)
    nodes = {tokens: add(tree, tokens) for tokens in sequences}
    prefixes = {tokens[:end] for tokens in sequences for end in range(1, len(tokens) + 1)}
    assert tree.tokens() == len(prefixes)
    assert tree.bytes == len(prefixes) * 4 * 4
    for tokens, node in nodes.items():
        assert node is tree.find(tokens)
        assert torch.equal(held(tree, node), kv(tokens))
    longest = max((end for end in range(len(other) + 1) if other[:end] in prefixes or end == 0), default=0)
    found = tree.find(other)
    assert found.length == longest
    assert tree.tokens() == len(prefixes)
    if longest:
        assert torch.equal(held(tree, found), kv(other[:longest]))


@settings(max_examples=30)
@given(st.lists(SEQUENCE, min_size=1, max_size=12, unique=True), st.data())
def test_eviction_spares_what_is_pinned(sequences: list[tuple[int, ...]], data: st.DataObject) -> None:
    tree = PrefixTree(0)
    nodes = [add(tree, tokens, last=True) for tokens in sequences]
    pinned = data.draw(st.sets(st.sampled_from(range(len(nodes)))))
    for i in pinned:
        tree.pin(nodes[i])
    tree.trim()
    left = {sequences[i][:end] for i in pinned for end in range(1, len(sequences[i]) + 1)}
    assert tree.tokens() == len(left)
    for i in pinned:
        assert torch.equal(held(tree, nodes[i]), kv(sequences[i]))
        tree.unpin(nodes[i])
    tree.evict()
    assert (tree.tokens(), tree.bytes) == (0, 0)


def test_the_least_recently_used_goes_first() -> None:
    tree = PrefixTree(1 << 30)
    for tokens in ((0, 0), (1, 1), (2, 2)):
        add(tree, tokens)
    tree.find((0, 0))
    tree.evict(tree.bytes // 3)
    assert [tree.find((t, t)).length for t in range(3)] == [2, 0, 0]


def test_trim_keeps_within_the_budget() -> None:
    tree = PrefixTree(10 * 16)
    for i in range(20):
        add(tree, (i,))
        tree.trim()
        assert tree.bytes <= tree.max_bytes
    assert tree.find((19,)).length == 1


def test_a_node_stays_the_same_end_when_its_path_is_split() -> None:
    tree = PrefixTree(1 << 30)
    long = add(tree, (1, 2, 3, 4), last=True)
    upper = tree.find((1, 2))
    assert (upper.length, long.length, long.last is not None, upper.last) == (2, 4, True, None)
    assert tree.path(long) == [upper, long]
    again = tree.insert(tree.root, (1, 2), kv((1, 2)), torch.ones(3))
    assert again is upper
    assert upper.last is not None


def test_a_split_that_runs_out_of_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in (1, 2):
        tree = PrefixTree(1 << 30)
        node = add(tree, (1, 2, 3, 4))
        calls, original = 0, torch.Tensor.clone

        def clone(tensor: torch.Tensor, fault: int = fault, original: Any = original) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if calls == fault:
                raise torch.OutOfMemoryError("injected")
            return cast(torch.Tensor, original(tensor))

        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "clone", clone)
            with pytest.raises(torch.OutOfMemoryError):
                tree.find((1, 2))
        assert tree.find((1, 2, 3, 4)) is node
        assert torch.equal(held(tree, node), kv((1, 2, 3, 4)))
