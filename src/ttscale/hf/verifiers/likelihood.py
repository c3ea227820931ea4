"""How likely a language model finds each step of a solution: every distinct token is run once.

Knows: token ids, one model and its prefix tree. Must not know: text, candidates, what the likelihoods are for.
A step's log-probability is the sum over its tokens, at temperature 1 over the whole vocabulary. What was asked before
is remembered by the ids it depends on; what a generator drew from this very model need not be run at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from ttscale.hf.known_logprobs import Span, known, step_names, trim
from ttscale.hf.memory import Budget, is_out_of_memory
from ttscale.hf.model import HFModel
from ttscale.hf.pick_runner import open_shared_kv
from ttscale.hf.shared_kv.forward import SharedKV
from ttscale.hf.shared_kv.run_sequences import Run, SharedStretch, run_as_tree, run_whole
from ttscale.hf.threads import suited_threads

Tokens: TypeAlias = tuple[int, ...]

FORWARD_TOKENS = 4096
"""Padded tokens of one forward; halved where memory does not allow it."""
READ_LOGITS = 1 << 26
"""Logits held at once, in numbers: 256 MiB of fp32."""


@dataclass(slots=True, eq=False)
class _Read(Run):
    """A sequence, and the log-probabilities found so far, by position.

    ``first`` is the first token whose log-probability is wanted; the hidden state before it is needed. ``end`` leaves
    out the last token, which only has to be predicted.
    """

    found: dict[int, float] = field(default_factory=dict)


class Likelihood:
    """Log-probabilities of steps under one model."""

    def __init__(self, model: HFModel) -> None:
        self._model = model
        self._known = known(model)
        self._budget = Budget(FORWARD_TOKENS)

    @torch.inference_mode()
    def steps(self, sequences: Sequence[tuple[Tokens, Sequence[Span]]]) -> tuple[list[list[float]], list[Run]]:
        """For each (ids, spans): the log-probability (natural) of every span, and a record of what it cost.

        Spans are consecutive up to the end of the ids. What several sequences share is charged to the first.
        """
        with self._model.lock:
            return self._steps(sequences)

    def _steps(self, sequences: Sequence[tuple[Tokens, Sequence[Span]]]) -> tuple[list[list[float]], list[Run]]:
        own = open_shared_kv(self._model)  # forgets what is known of other weights
        names = [step_names(ids, spans) for ids, spans in sequences]
        work: dict[Tokens, _Read] = {}
        for (ids, spans), mine in zip(sequences, names, strict=True):
            missing = [span for span, name in zip(spans, mine, strict=True) if name not in self._known]
            if missing:  # equal ids may come with other borders
                run = work.setdefault(ids, _Read(ids, missing[0][0], len(ids) - 1))
                run.first = min(run.first, missing[0][0])
        if work:
            tokens = min(FORWARD_TOKENS, sum(run.end for run in work.values()))
            with suited_threads(self._model.device, 2.0 * self._model.matmul_parameters * tokens):
                self._run(own, list(work.values()))
            self._budget.grow()
        for (ids, spans), mine in zip(sequences, names, strict=True):
            done = work.get(ids)
            for (begin, end), name in zip(spans, mine, strict=True):
                if done is not None and begin >= done.first:
                    self._known[name] = sum(done.found[position] for position in range(begin, end))
                self._known.move_to_end(name)
        sums = [[self._known[name] for name in mine] for mine in names]
        spent: list[Run] = [work.pop(ids, Run(ids, 0, 0)) for ids, _ in sequences]
        trim(self._known)
        return sums, spent

    def _run(self, own: SharedKV | None, work: list[_Read]) -> None:
        if own is None:
            run_whole(self._model, work, self._forward, self._read_whole, self._budget)
            return
        for run in work:
            node = own.tree.find(run.ids[: run.first])
            if node.length == run.first and node.last is None:
                node = own.tree.find(run.ids[: run.first - 1])
            run.node, run.begin = own.tree.pin(node), node.length
        self._read_before(own, [run for run in work if run.begin == run.first])
        run_as_tree(self._model, own, work, lambda pieces, hidden: self._read(own, pieces, hidden), self._budget)

    def _read_before(self, own: SharedKV, runs: list[_Read]) -> None:
        """The first wanted token of runs whose prefix is in the tree with its last hidden state."""
        hidden = [run.node.last for run in runs if run.node is not None and run.node.last is not None]
        if hidden:
            tokens = [run.ids[run.first] for run in runs]
            for run, value in zip(runs, self._logprobs(own, torch.stack(hidden), tokens), strict=True):
                run.found[run.first] = value
                run.flops += self._model.flops(0, 0, 1)

    def _read(self, own: SharedKV, pieces: list[SharedStretch[_Read]], hidden: Tensor) -> None:
        """What these pieces predict, from their hidden states [pieces, longest, width].

        Inside a piece all its sequences predict the same token; at its end each has its own.
        """
        rows, columns, targets, owners = [], [], [], []
        for row, (group, length) in enumerate(pieces):
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
        for (readers, position), value in zip(owners, values, strict=True):
            readers[0].flops += self._model.flops(0, 0, 1)
            for run in readers:
                run.found[position] = value

    def _logprobs(self, own: SharedKV, hidden: Tensor, targets: list[int]) -> list[float]:
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

    def _forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Log-probability of each next token [sequences, longest - 1]; ids and mask [sequences, longest]."""
        logits = self._model.module(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        found: Tensor = logits.gather(-1, ids[:, 1:, None])[..., 0] - logits.logsumexp(-1)
        return found

    def _read_whole(self, pieces: list[SharedStretch[_Read]], logprobs: Tensor) -> None:
        """All of each sequence, from log-probabilities [sequences, longest - 1]."""
        for ((run, *_), length), row in zip(pieces, logprobs.tolist(), strict=True):
            run.found = {position: row[position - 1] for position in range(1, length)}
            run.flops += self._model.flops(0, 0, length)
