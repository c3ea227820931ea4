"""How likely a language model finds each step of a solution: every distinct token is run once.

Knows: token ids, one model and its prefix tree. Must not know: text, candidates, what the likelihoods are for.
A step's log-probability is the sum over its tokens, at temperature 1 over the whole vocabulary. What was asked before
is remembered by the ids it depends on; what a generator drew from this very model need not be run at all.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from ttscale.hf.memory import batches, halves, is_out_of_memory
from ttscale.hf.model import REMEMBERED, HFModel, Span, step_names
from ttscale.hf.pick_runner import Fast, fast
from ttscale.hf.self_check import rescaled
from ttscale.hf.shared_kv.forward import extend
from ttscale.hf.shared_kv.prefix_tree import Node

Tokens: TypeAlias = tuple[int, ...]

FORWARD_TOKENS = 4096
"""Padded tokens of one forward; halved where memory does not allow it."""
READ_LOGITS = 1 << 26
"""Logits held at once, in numbers: 256 MiB of fp32."""
WORTH_SHARING = 8
"""A shared run shorter than this is run again for each sequence: a forward of its own would cost more."""


@dataclass(slots=True)
class Spent:
    """What asking about one sequence cost."""

    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class _Run:
    """A sequence on its way: where it begins to be run, and the log-probabilities found so far, by position."""

    ids: Tokens
    first: int
    """The first token whose log-probability is wanted; the hidden state before it is needed."""
    end: int
    """Tokens to run: up to the last but one, which predicts the last."""
    node: Node | None = None
    begin: int = 0
    found: dict[int, float] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)


class Likelihood:
    """Log-probabilities of steps under one model."""

    def __init__(self, model: HFModel) -> None:
        self._model = model
        if model.drawn is None:
            model.drawn = OrderedDict()
        self._known = model.drawn
        self._most = FORWARD_TOKENS

    @torch.inference_mode()
    def steps(self, sequences: Sequence[tuple[Tokens, Sequence[Span]]]) -> tuple[list[list[float]], list[Spent]]:
        """For each (ids, spans): the log-probability of every span, and what it cost.

        Spans are consecutive up to the end of the ids. What several sequences share is charged to the first.
        """
        with self._model.lock:
            return self._steps(sequences)

    def _steps(self, sequences: Sequence[tuple[Tokens, Sequence[Span]]]) -> tuple[list[list[float]], list[Spent]]:
        own_kv = fast(self._model)  # forgets what is known of other weights
        names = [step_names(ids, spans) for ids, spans in sequences]
        work: dict[Tokens, _Run] = {}
        for (ids, spans), own in zip(sequences, names, strict=True):
            missing = [span for span, name in zip(spans, own, strict=True) if name not in self._known]
            if missing:  # equal ids may come with other borders
                run = work.setdefault(ids, _Run(ids, missing[0][0], len(ids) - 1))
                run.first = min(run.first, missing[0][0])
        self._run(own_kv, list(work.values()))
        for (ids, spans), own in zip(sequences, names, strict=True):
            done = work.get(ids)
            for (begin, end), name in zip(spans, own, strict=True):
                if done is not None and begin >= done.first:
                    self._known[name] = sum(done.found[position] for position in range(begin, end))
                self._known.move_to_end(name)
        sums = [[self._known[name] for name in own] for own in names]
        spent = []
        for ids, _ in sequences:
            done = work.pop(ids, None)
            spent.append(Spent() if done is None else done.spent)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return sums, spent

    def _run(self, own: Fast | None, work: list[_Run]) -> None:
        if own is not None:
            self._run_as_tree(own, work)
        else:
            runs = sorted(work, key=lambda run: run.end)
            for place in batches([run.end + 1 for run in runs], lambda: self._most, rescaled(self._model.config)):
                self._run_whole(runs[place])

    def _run_as_tree(self, own: Fast, work: list[_Run]) -> None:
        try:
            for run in work:
                node = own.tree.find(run.ids[: run.first])
                if node.length == run.first and node.last is None:
                    node = own.tree.find(run.ids[: run.first - 1])
                run.node, run.begin = own.tree.pin(node), node.length
            self._read_before(own, [run for run in work if run.begin == run.first])
            left = [run for run in work if run.begin < run.end]
            while left:
                groups = sorted(_shared(left), key=lambda entry: entry[1])
                for place in batches([length for _, length in groups], lambda: self._most):
                    self._extend(own, groups[place])
                left = [run for run in left if run.begin < run.end]
        finally:
            for run in work:
                if run.node is not None:
                    own.tree.unpin(run.node)
            own.tree.trim()

    def _read_before(self, own: Fast, runs: list[_Run]) -> None:
        """The first wanted token of runs whose prefix is in the tree with its last hidden state."""
        hidden = [run.node.last for run in runs if run.node is not None and run.node.last is not None]
        if hidden:
            tokens = [run.ids[run.first] for run in runs]
            for run, value in zip(runs, self._logprobs(own, torch.stack(hidden), tokens), strict=True):
                run.found[run.first] = value
                run.spent.flops += self._model.flops(0, 0, 1)

    def _extend(self, own: Fast, groups: list[tuple[list[_Run], int]]) -> None:
        """Run each group's next tokens in one forward and read what they predict."""
        began = time.perf_counter()
        items = []
        for group, length in groups:
            first = group[0]
            assert first.node is not None
            items.append((first.node, first.ids[first.begin : first.begin + length]))
        try:
            ends, hidden = extend(own.network, own.tree, own.shape, items)
        except Exception as error:
            smaller = halves(groups)
            if not smaller or not is_out_of_memory(error):
                raise
            self._most = max(1, self._most // 2)
            own.tree.evict()
            for half in smaller:
                self._extend(own, half)
            return
        # Which hidden states predict a wanted token: all inside a run; at the end of a shared one, one per follower.
        rows, columns, targets, owners = [], [], [], []
        for row, (group, length) in enumerate(groups):
            begin, wanted = group[0].begin, min(run.first for run in group)
            for position in range(begin, begin + length):
                inner = position + 1 < begin + length
                for run in group[:1] if inner else group:
                    if position + 1 >= wanted:
                        rows.append(row)
                        columns.append(position - begin)
                        targets.append(run.ids[position + 1])
                        owners.append((group if inner else [run], position + 1))
        values = self._logprobs(own, hidden[rows, columns], targets)
        for (group, position), value in zip(owners, values, strict=True):
            for run in group:
                run.found[position] = value
        total = sum(length for _, length in groups)
        self._model.forwarded_tokens += total
        for (group, length), end in zip(groups, ends, strict=True):
            spent, begin = group[0].spent, group[0].begin
            spent.tokens += length
            spent.flops += self._model.flops(length, begin, 0)
            spent.seconds += (time.perf_counter() - began) * length / total
            for run in group:
                assert run.node is not None
                own.tree.unpin(run.node)
                run.node, run.begin = own.tree.pin(end), begin + length
                if run.begin >= run.end:  # done: what it holds may go, if memory is short
                    own.tree.unpin(end)
                    run.node = None
        for group, _ in owners:
            group[0].spent.flops += self._model.flops(0, 0, 1)
        own.tree.trim()

    def _logprobs(self, own: Fast, hidden: Tensor, targets: list[int]) -> list[float]:
        """Log-probability of each target after its hidden state [n, width]."""
        wanted = torch.tensor(targets, device=hidden.device)
        most = max(1, READ_LOGITS // int(self._model.config.vocab_size))
        found: list[float] = []
        while (begin := len(found)) < len(targets):
            try:
                logits = own.network.logits(hidden[begin : begin + most])
                chosen = logits.gather(-1, wanted[begin : begin + most, None])[:, 0]
                found += (chosen - logits.logsumexp(-1)).tolist()
            except Exception as error:
                if most == 1 or not is_out_of_memory(error):
                    raise
                most = max(1, min(most, len(targets) - begin) // 2)
                own.tree.evict()
        return found

    def _run_whole(self, batch: list[_Run]) -> None:
        """On the model's own forward: every sequence from its beginning, padded on the right."""
        began = time.perf_counter()
        device, width = self._model.device, max(len(run.ids) for run in batch)
        ids = torch.tensor([[*run.ids, *[0] * (width - len(run.ids))] for run in batch], device=device)
        mask = torch.tensor([[1] * len(run.ids) + [0] * (width - len(run.ids)) for run in batch], device=device)
        try:
            logits = self._model.module(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            values = (logits.gather(-1, ids[:, 1:, None])[..., 0] - logits.logsumexp(-1)).tolist()
        except Exception as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            self._most = max(1, self._most // 2)
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                self._run_whole(half)
            return
        for run, row in zip(batch, values, strict=True):
            run.found = {position: row[position - 1] for position in range(1, len(run.ids))}
            length = len(run.ids)
            self._model.forwarded_tokens += length
            run.spent = Spent(length, self._model.flops(length, 0, length), (time.perf_counter() - began) / len(batch))


def _shared(work: Sequence[_Run]) -> Iterator[tuple[list[_Run], int]]:
    """Groups of sequences and how many next tokens each has in common; alone, a sequence runs to its end."""
    groups: dict[tuple[int, int], list[_Run]] = defaultdict(list)
    for run in work:
        groups[id(run.node), run.ids[run.begin]].append(run)
    for group in groups.values():
        low, high = (pick(run.ids[run.begin : run.end] for run in group) for pick in (min, max))
        # All of a sorted set share what its first and last have in common.
        shared = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
        if len(group) > 1 and shared >= WORTH_SHARING:
            yield group, shared
        else:
            for run in group:
                yield [run], run.end - run.begin
