"""Decoding on a model's own forward and cache: slower than ``fast_rows.py``, for architectures that one does not know.

Rows that start from the same prefix form a lane and go forward in lockstep, so all have the same length and nothing is
padded; that is exact for every architecture whose cache can be copied and reordered, linear attention included.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ttscale.hf.model import HFModel

KEPT_PREFIXES = 32


class PlainPrefix:
    """A context: run whole by ``advance``, after the longest prefix of it that is kept."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self.tokens = tokens
        self.ran = 0
        self.ran_flops = 0.0
        self.users = 0
        self.cache: Any = None
        self.logits: Tensor | None = None

    @property
    def ready(self) -> bool:
        return self.logits is not None


class _Lane:
    """Rows of equal length with one cache."""

    def __init__(self, cache: Any, length: int) -> None:
        self.cache = cache
        self.length = length
        self.rows: list[_Row] = []


class _Row:
    """A row's place: its lane. Compared by identity."""

    def __init__(self, lane: _Lane) -> None:
        self.lane = lane
        lane.rows.append(self)


class PlainRunner:
    """KV and forwards for the decode loop, on ``model(...)`` and its own cache class."""

    row_bytes = 0

    def __init__(self, model: HFModel) -> None:
        self._model = model
        self._rows: list[_Row] = []
        self._kept: OrderedDict[tuple[int, ...], tuple[Any, Tensor]] = OrderedDict()
        self.chunk = 1

    def open(self, tokens: tuple[int, ...]) -> PlainPrefix:
        """A handle on a context; ``advance`` makes it ready."""
        return PlainPrefix(tokens)

    def release(self, prefix: PlainPrefix) -> None:
        """Let go of a handle."""
        prefix.cache = None

    def advance(self, prefixes: Sequence[PlainPrefix]) -> None:
        """Run what the first of the prefixes misses."""
        prefix = prefixes[0]
        found = self._kept.get(prefix.tokens)
        if found is None:
            found = self._run(prefix)
            self._kept[prefix.tokens] = found
            while len(self._kept) > KEPT_PREFIXES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(prefix.tokens)
        prefix.cache, prefix.logits = found

    def _run(self, prefix: PlainPrefix) -> tuple[Any, Tensor]:
        cache, start = None, 0
        for tokens, (kept, _) in self._kept.items():
            if len(tokens) > start and prefix.tokens[: len(tokens)] == tokens:
                cache, start = kept, len(tokens)
        device = self._model.device
        ids = torch.tensor([prefix.tokens[start:]], device=device)
        positions = torch.arange(start, len(prefix.tokens), device=device)[None]
        output = self._model.module(
            input_ids=ids, position_ids=positions, past_key_values=copy.deepcopy(cache), use_cache=True
        )
        prefix.ran = len(prefix.tokens) - start
        prefix.ran_flops = self._model.flops(prefix.ran, start, prefix.ran)
        self._model.forwarded_tokens += prefix.ran
        return output.past_key_values, output.logits[0, -1].float()

    def enter(self, prefixes: Sequence[PlainPrefix], trunks: Sequence[int]) -> Tensor:
        """One new row per entry from a ready prefix: next-token logits. ``trunks`` is for the fast runner only."""
        lanes: dict[int, _Lane] = {}
        for prefix in prefixes:
            if id(prefix) not in lanes:
                lanes[id(prefix)] = _Lane(copy.deepcopy(prefix.cache), len(prefix.tokens))
            self._rows.append(_Row(lanes[id(prefix)]))
        for lane in lanes.values():
            lane.cache.reorder_cache(torch.zeros(len(lane.rows), dtype=torch.long, device=self._model.device))
        return torch.stack([prefix.logits for prefix in prefixes if prefix.logits is not None])

    def store(self, row: int, tokens: Sequence[int]) -> None:
        """Rows of a lane have one cache, so nothing is kept: a continuation runs again."""

    def keep(self, index: Sequence[int]) -> None:
        """Only the rows at these places go on, in this order."""
        rows = [self._rows[i] for i in index]
        alive = set(map(id, rows))
        for lane in {id(row.lane): row.lane for row in self._rows}.values():
            left = [i for i, row in enumerate(lane.rows) if id(row) in alive]
            if left and len(left) < len(lane.rows):
                lane.cache.reorder_cache(torch.tensor(left, device=self._model.device))
                lane.rows = [lane.rows[i] for i in left]
        self._rows = rows

    def forward(self, tokens: Tensor) -> Tensor:
        """Run one token per row: next-token logits [rows, vocabulary], fp32."""
        place = {id(row): i for i, row in enumerate(self._rows)}
        logits: Tensor | None = None
        for lane in {id(row.lane): row.lane for row in self._rows}.values():
            at = torch.tensor([place[id(row)] for row in lane.rows], device=self._model.device)
            positions = torch.full((len(lane.rows), 1), lane.length, device=self._model.device)
            output = self._model.module(
                input_ids=tokens[at][:, None], position_ids=positions, past_key_values=lane.cache, use_cache=True
            )
            lane.cache = output.past_key_values
            lane.length += 1
            if logits is None:
                logits = torch.empty((len(self._rows), output.logits.shape[-1]), device=self._model.device)
            logits[at] = output.logits[:, -1].float()
        assert logits is not None
        self._model.forwarded_tokens += len(self._rows)
        return logits

    def shrink(self) -> None:
        """Give back memory after an out-of-memory error."""
        self._kept.clear()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Let go of all rows."""
        self._rows = []
