"""Token sequences through a model once: what they have in common is run together, what the tree holds is not run again.

Knows: token ids, the prefix tree, forwards, memory. Must not know: what hidden states are read for (``Reader`` does).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from ttscale.hf.context_length import changes_every_token, fresh_rotary, rescaled
from ttscale.hf.memory import Budget, batches, halves, is_out_of_memory
from ttscale.hf.model import HFModel
from ttscale.hf.shared_kv.forward import SharedKV, extend
from ttscale.hf.shared_kv.prefix_tree import PrefixNode

WORTH_SHARING = 8
"""A shared run shorter than this is run again for each sequence: a forward of its own would cost more."""


@dataclass(slots=True, eq=False)
class Run:
    """One sequence on its way through the model, and what that has cost."""

    ids: tuple[int, ...]
    first: int
    """The first position whose hidden state is wanted."""
    end: int
    """Tokens to run: the last wanted hidden state is at ``end - 1``."""
    node: PrefixNode | None = None
    begin: int = 0
    """Tokens that need not be run any more."""
    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0


R = TypeVar("R", bound=Run)
SharedStretch: TypeAlias = tuple[list[R], int]
"""Sequences that go on from one node, and how many next tokens they have in common; the first is charged for them."""
Reader: TypeAlias = Callable[[list[SharedStretch[R]], Tensor], None]
"""Takes what it wants from the hidden states [pieces, longest, width] of one forward; ``begin`` is where each began."""


def run_as_tree(model: HFModel, own: SharedKV, work: Sequence[R], read: Reader[R], budget: Budget) -> None:
    """Run every sequence from its node on, each shared stretch once, and let ``read`` see each forward.

    ``node`` (pinned) and ``begin`` of each sequence must be set. The nodes are unpinned at the end, whatever happens.
    """
    try:
        left = [run for run in work if run.begin < run.end]
        while left:
            pieces = sorted(_shared_pieces(left), key=lambda piece: piece[1])
            for place in batches([length for _, length in pieces], budget.most):
                _extend(model, own, pieces[place], read, budget)
            left = [run for run in left if run.begin < run.end]
    finally:
        for run in work:
            if run.node is not None:
                own.tree.unpin(run.node)
                run.node = None
        own.tree.trim()


def _extend(model: HFModel, own: SharedKV, pieces: list[SharedStretch[R]], read: Reader[R], budget: Budget) -> None:
    """One forward over the next tokens of each piece; out of memory, two smaller ones."""
    began = time.perf_counter()
    items = []
    for group, length in pieces:
        first = group[0]
        assert first.node is not None
        items.append((first.node, first.ids[first.begin : first.begin + length]))
    try:
        ends, hidden = extend(own, items)
    except Exception as error:
        smaller = halves(pieces)
        if not smaller or not is_out_of_memory(error):
            raise
        budget.shrink()
        own.tree.evict()
        for half in smaller:
            _extend(model, own, half, read, budget)
        return
    read(pieces, hidden)
    total = sum(length for _, length in pieces)
    model.forwarded_tokens += total
    seconds = (time.perf_counter() - began) / total
    for (group, length), end in zip(pieces, ends, strict=True):
        first = group[0]
        first.tokens += length
        first.flops += model.flops(length, first.begin, 0)
        first.seconds += seconds * length
        for run in group:
            assert run.node is not None
            own.tree.unpin(run.node)
            run.node, run.begin = own.tree.pin(end), run.begin + length
            if run.begin >= run.end:  # done: what it holds may go, if memory is short
                own.tree.unpin(end)
                run.node = None
    own.tree.trim()


def _shared_pieces(work: Sequence[R]) -> Iterator[SharedStretch[R]]:
    """Groups of sequences and how many next tokens each group has in common; alone, a sequence runs to its end."""
    groups: dict[tuple[int, int], list[R]] = defaultdict(list)
    for run in work:
        groups[id(run.node), run.ids[run.begin]].append(run)
    for group in groups.values():
        least, most = (pick(run.ids[run.begin : run.end] for run in group) for pick in (min, max))
        # All of a sorted set share what its first and last have in common.
        shared = next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))
        if len(group) > 1 and shared >= WORTH_SHARING:
            yield group, shared
        else:
            for run in group:
                yield [run], run.end - run.begin


def run_whole(
    model: HFModel, work: Sequence[R], forward: Callable[[Tensor, Tensor], Tensor], read: Reader[R], budget: Budget
) -> None:
    """Every sequence from its beginning, for models that the shared forward does not serve.

    ``forward`` takes ids and attention mask, both [sequences, longest] and padded on the right (a verifier reads early
    positions, which padding on the left would move); ``read`` is given what it returns.
    """
    runs = sorted(work, key=lambda run: len(run.ids))
    for place in batches(
        [len(run.ids) for run in runs], budget.most, rescaled(model.config), changes_every_token(model.config)
    ):
        _forward(model, runs[place], forward, read, budget)


def _forward(
    model: HFModel, runs: list[R], forward: Callable[[Tensor, Tensor], Tensor], read: Reader[R], budget: Budget
) -> None:
    began = time.perf_counter()
    ids, mask = padded([run.ids for run in runs], model.device)
    fresh_rotary(model.module, model.config)
    try:
        read([([run], len(run.ids)) for run in runs], forward(ids, mask))
    except Exception as error:
        if len(runs) == 1 or not is_out_of_memory(error):
            raise
        budget.shrink()
        for half in (runs[: len(runs) // 2], runs[len(runs) // 2 :]):
            _forward(model, half, forward, read, budget)
        return
    seconds = (time.perf_counter() - began) / len(runs)
    for run in runs:
        length = len(run.ids)
        model.forwarded_tokens += length
        run.tokens, run.seconds = run.tokens + length, run.seconds + seconds
        run.flops += model.flops(length, 0, 0)


def padded(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both [sequences, longest], padded on the right with 0."""
    width = max(map(len, sequences))
    ids = torch.tensor([[*some, *[0] * (width - len(some))] for some in sequences], device=device)
    mask = torch.tensor([[1] * len(some) + [0] * (width - len(some)) for some in sequences], device=device)
    return ids, mask
