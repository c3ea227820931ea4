"""From candidates to verdicts: the trunk runs once over every distinct token, whatever family reads it.

Knows: adapters, the model's prefix tree. Must not know: formats of families, search.
What a search has scored already stays: keys and values in the model's prefix tree (within its memory budget), scores by
the ids they depend on. Within a call, sequences that begin alike are run as a tree, each shared run of tokens once.
Models that the shared-KV forward does not serve are run whole, padded on the right, with a mask.
"""

from __future__ import annotations

import hashlib
import math
import time
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Score, Verdict
from ttscale.hf.memory import batches, halves, is_out_of_memory
from ttscale.hf.model import HFModel
from ttscale.hf.pick_runner import Fast, fast
from ttscale.hf.self_check import rescaled
from ttscale.hf.shared_kv.forward import extend
from ttscale.hf.shared_kv.prefix_tree import Node
from ttscale.hf.verifiers.adapter import Adapter

REMEMBERED = 200_000
"""Scores kept, the least recently used dropped first; about 150 bytes each."""
FORWARD_TOKENS = 16_384
"""Padded tokens of one forward; halved where memory does not allow it."""
WORTH_SHARING = 8
"""A shared run shorter than this is run again for each sequence: a forward of its own would cost more."""


@dataclass(eq=False)
class _Sequence:
    """A candidate's ids, the scores it still lacks, and how far it has been run."""

    ids: tuple[int, ...]
    missing: list[int]
    node: Node | None = None
    begin: int = 0
    """Tokens that need not be run: they are in the tree."""
    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    found: dict[int, float] = field(default_factory=dict)


_Runs: TypeAlias = list[tuple[list[_Sequence], int]]
"""Groups of sequences, each with the number of next tokens that it has in common."""


class Scorer:
    """Scores candidates with one model and one adapter."""

    def __init__(self, model: HFModel, adapter: Adapter) -> None:
        self._model = model
        self._adapter = adapter
        self._scores: OrderedDict[bytes, float] = OrderedDict()
        self._version: object = None
        self._most = FORWARD_TOKENS

    @torch.inference_mode()
    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        """One verdict per request. The work for what several requests share is charged to the first of them."""
        with self._model.lock:
            return self._score(requests)

    def _score(self, requests: Sequence[Score]) -> list[Verdict]:
        own = fast(self._model)
        if self._model.fast_version != self._version:  # trained on in between
            self._scores.clear()
            self._adapter.head.refresh()
            self._version = self._model.fast_version
        plans = [self._encode(request) for request in requests]
        work: dict[tuple[int, ...], _Sequence] = {}
        for ids, reads in plans:
            missing = [read for read in reads if self._recall(ids, read) is None]
            if missing:  # equal ids may come with other borders
                sequence = work.setdefault(ids, _Sequence(ids, missing))
                sequence.missing = sorted({*sequence.missing, *missing})
        if work:
            self._run(own, list(work.values()))
            self._most = min(FORWARD_TOKENS, 2 * self._most)
        verdicts = []
        for request, (ids, reads) in zip(requests, plans, strict=True):
            done = work.pop(ids, None)
            scores = [self._recall(ids, read) for read in reads]
            for score in scores:
                if score is None or not 0 <= score <= 1:
                    raise RoleError(f"the verifier's score is {score} ({_where(request)}): broken weights?")
            cost = Cost(verifier_tokens=done.tokens, flops=done.flops, seconds=done.seconds) if done else Cost()
            verdicts.append(Verdict(tuple(score for score in scores if score is not None), cost))
        self._forget()
        return verdicts

    def _encode(self, request: Score) -> tuple[tuple[int, ...], list[int]]:
        candidate, model = request.candidate, self._model
        if not candidate.steps:
            raise RoleError(f"cannot score a candidate without steps ({_where(request)})")
        attempts = [attempt.text for attempt in candidate.attempts if attempt.steps]
        try:
            ids, reads = self._adapter.encode(
                candidate.question.prompt, [step.text for step in candidate.steps], attempts
            )
        except ValueError as error:
            raise RoleError(f"cannot lay out a solution for the verifier: {error} ({_where(request)})") from error
        if len(ids) > model.context_length:
            raise RoleError(
                f"the solution is {len(ids)} tokens long for the verifier, which reads at most {model.context_length} "
                f"({_where(request)}); nothing is cut off, since scores would be lost: use shorter solutions"
            )
        return tuple(ids), reads

    # The work.

    def _run(self, own: Fast | None, work: list[_Sequence]) -> None:
        if own is None:
            self._run_whole(sorted(work, key=lambda sequence: len(sequence.ids)))
        else:
            self._run_as_tree(own, work)
        for sequence in work:
            for read, score in sequence.found.items():
                self._scores[_digest(sequence.ids, read)] = score

    def _run_as_tree(self, own: Fast, work: list[_Sequence]) -> None:
        for sequence in work:
            # The hidden state at the first missing position is needed, so that token itself is run again.
            sequence.node = own.tree.pin(own.tree.find(sequence.ids[: sequence.missing[0]]))
            sequence.begin = sequence.node.length
        try:
            left = work
            while left:
                runs = sorted(_shared_runs(left), key=lambda run: run[1])
                for batch in batches([length for _, length in runs], lambda: self._most):
                    self._extend(own, runs[batch])
                left = [sequence for sequence in left if sequence.begin <= sequence.missing[-1]]
        finally:
            for sequence in work:
                if sequence.node is not None:
                    own.tree.unpin(sequence.node)
            own.tree.trim()

    def _extend(self, own: Fast, runs: _Runs) -> None:
        """Run each group's next tokens in one forward, and read the scores that fall into them."""
        began = time.perf_counter()
        items = []
        for group, length in runs:
            first = group[0]
            assert first.node is not None
            items.append((first.node, first.ids[first.begin : first.begin + length]))
        try:
            ends, hidden = extend(own.network, own.tree, own.shape, items)
        except Exception as error:
            smaller = halves(runs)
            if not smaller or not is_out_of_memory(error):
                raise
            self._most = max(1, self._most // 2)
            own.tree.evict()
            for half in smaller:
                self._extend(own, half)
            return
        total = sum(length for _, length in runs)
        self._model.forwarded_tokens += total
        for row, ((group, length), end) in enumerate(zip(runs, ends, strict=True)):
            first = group[0]
            positions = sorted({r for s in group for r in s.missing if s.begin <= r < s.begin + length})
            scores = self._read(hidden[row], [position - first.begin for position in positions])
            found = dict(zip(positions, scores, strict=True))
            self._charge(first, length, first.begin, len(positions), (time.perf_counter() - began) * length / total)
            for sequence in group:
                assert sequence.node is not None
                own.tree.unpin(sequence.node)
                sequence.found |= {read: found[read] for read in sequence.missing if read in found}
                sequence.node, sequence.begin = own.tree.pin(end), sequence.begin + length
                if sequence.begin > sequence.missing[-1]:  # done: what it holds may go, if memory is short
                    own.tree.unpin(end)
                    sequence.node = None
        own.tree.trim()

    def _run_whole(self, work: list[_Sequence]) -> None:
        """Every sequence from its beginning, in batches of similar length."""
        limit = rescaled(self._model.config)
        for batch in batches([len(sequence.ids) for sequence in work], lambda: self._most, limit):
            self._forward(work[batch])

    def _forward(self, batch: list[_Sequence]) -> None:
        began = time.perf_counter()
        width = max(len(sequence.ids) for sequence in batch)
        device = self._model.device
        # Padding on the right and a mask: a verifier reads early positions, and left padding would move them.
        ids = torch.tensor([[*s.ids, *[0] * (width - len(s.ids))] for s in batch], device=device)
        mask = torch.tensor([[1] * len(s.ids) + [0] * (width - len(s.ids)) for s in batch], device=device)
        try:
            hidden = self._model.module.base_model(input_ids=ids, attention_mask=mask, use_cache=False)[0]
        except Exception as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            self._most = max(1, self._most // 2)
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                self._forward(half)
            return
        self._model.forwarded_tokens += sum(len(sequence.ids) for sequence in batch)
        for row, sequence in enumerate(batch):
            scores = self._read(hidden[row], sequence.missing)
            sequence.found = dict(zip(sequence.missing, scores, strict=True))
            seconds = (time.perf_counter() - began) / len(batch)
            self._charge(sequence, len(sequence.ids), 0, len(sequence.missing), seconds)

    def _read(self, hidden: Tensor, positions: list[int]) -> list[float]:
        """Scores at positions of one row [tokens, width], to six digits: the rest is the rounding noise of a batch."""
        if not positions:
            return []
        scores: list[float] = self._adapter.read(hidden[positions]).float().tolist()
        return [round(score, 6) if math.isfinite(score) else score for score in scores]

    def _charge(self, sequence: _Sequence, tokens: int, context: int, reads: int, seconds: float) -> None:
        sequence.tokens += tokens
        sequence.flops += self._model.flops(tokens, context, 0) + 2.0 * self._adapter.head.matmul_parameters * reads
        sequence.seconds += seconds

    # The memory.

    def _recall(self, ids: tuple[int, ...], read: int) -> float | None:
        name = _digest(ids, read)
        if name not in self._scores:
            return None
        self._scores.move_to_end(name)
        return self._scores[name]

    def _forget(self) -> None:
        while len(self._scores) > REMEMBERED:
            self._scores.popitem(last=False)


def _shared_runs(work: Sequence[_Sequence]) -> Iterator[tuple[list[_Sequence], int]]:
    """Groups of sequences and how many next tokens each group has in common; alone, a sequence runs to its end."""
    groups: dict[tuple[int, int], list[_Sequence]] = defaultdict(list)
    for sequence in work:
        groups[id(sequence.node), sequence.ids[sequence.begin]].append(sequence)
    for group in groups.values():
        least, most = (pick(s.ids[s.begin : s.missing[-1] + 1] for s in group) for pick in (min, max))
        # All of a sorted set share what its first and last have in common.
        shared = next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), len(least))
        if len(group) > 1 and shared >= WORTH_SHARING:
            yield group, shared
        else:
            for sequence in group:
                yield [sequence], sequence.missing[-1] + 1 - sequence.begin


def _digest(ids: tuple[int, ...], read: int) -> bytes:
    """A name for the score at a position: it depends on the ids up to there, and on nothing else."""
    return hashlib.blake2b(array("q", ids[: read + 1]).tobytes(), digest_size=16).digest()


def _where(request: Score) -> str:
    return f"question {request.question.label}, candidate {request.key}"
