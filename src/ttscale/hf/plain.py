"""Decoding on a model's own forward and cache: slower than ``fast.py``, for architectures that one does not know.

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


class _Lane:
    """Rows of equal length with one cache."""

    def __init__(self, cache: Any, rows: list[_Row]) -> None:
        self.cache = cache
        self.rows = rows


class _Row:
    """A row's place: its lane. Compared by identity."""

    def __init__(self) -> None:
        self.lane: _Lane


class Prefix:
    """A context that is being, or has been, run: its tokens, how many were found in a cache, its next-token logits."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self.tokens = tokens
        self.cached = 0
        self.cache: Any = None
        self.logits: Tensor | None = None


class PlainRunner:
    """KV and forwards for the decode loop, on ``model(...)`` and its own cache class."""

    def __init__(self, model: HFModel) -> None:
        self._model = model
        self._rows: list[_Row] = []
        self._kept: OrderedDict[tuple[int, ...], tuple[Any, Tensor]] = OrderedDict()

    def open(self, tokens: tuple[int, ...]) -> Prefix:
        """A handle for this context; ``advance`` makes it ready."""
        return Prefix(tokens)

    def advance(self, prefix: Prefix) -> None:
        """Run what is missing of the prefix."""
        found = self._kept.get(prefix.tokens)
        if found is None:
            cache, start = None, 0
            for tokens, (kept, _) in reversed(self._kept.items()):
                if len(tokens) > start and prefix.tokens[: len(tokens)] == tokens:
                    cache, start = kept, len(tokens)
            ids = torch.tensor([prefix.tokens[start:]], device=self._model.device)
            positions = torch.arange(start, len(prefix.tokens), device=self._model.device)[None]
            output = self._model.module(
                input_ids=ids, position_ids=positions, past_key_values=copy.deepcopy(cache), use_cache=True
            )
            found = (output.past_key_values, output.logits[0, -1].float())
            prefix.cached = start
            self._kept[prefix.tokens] = found
            while len(self._kept) > KEPT_PREFIXES:
                self._kept.popitem(last=False)
        else:
            prefix.cached = len(prefix.tokens)
            self._kept.move_to_end(prefix.tokens)
        prefix.cache, prefix.logits = found

    def enter(self, prefix: Prefix, count: int) -> Tensor:
        """Start ``count`` rows from a ready prefix, at the end of the batch: their next-token logits."""
        assert prefix.logits is not None
        lane = _Lane(copy.deepcopy(prefix.cache), [_Row() for _ in range(count)])
        lane.cache.reorder_cache(torch.zeros(count, dtype=torch.long, device=self._model.device))
        for row in lane.rows:
            row.lane = lane
        self._rows += lane.rows
        return prefix.logits.expand(count, -1)

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

    def forward(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """One token per row, at position ``lengths[row]``: the next-token logits of every row, fp32."""
        place = {id(row): i for i, row in enumerate(self._rows)}
        logits: Tensor | None = None
        for lane in {id(row.lane): row.lane for row in self._rows}.values():
            at = torch.tensor([place[id(row)] for row in lane.rows], device=self._model.device)
            where = lengths[place[id(lane.rows[0])]]
            positions = torch.full((len(lane.rows), 1), where, device=self._model.device)
            output = self._model.module(
                input_ids=tokens[at][:, None], position_ids=positions, past_key_values=lane.cache, use_cache=True
            )
            lane.cache = output.past_key_values
            if logits is None:
                logits = torch.empty((len(self._rows), output.logits.shape[-1]), device=self._model.device)
            logits[at] = output.logits[:, -1].float()
        assert logits is not None
        return logits
