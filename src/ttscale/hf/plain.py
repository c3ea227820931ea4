"""Decoding on a model's own forward and cache: slower than ``fast_rows.py``, for architectures that one does not know.

Rows that start from the same prefix form a lane and go forward in lockstep, so all have the same length and nothing is
padded; that is exact for every architecture whose cache can be copied and reordered, linear attention included. A model
that returns no ``past_key_values`` is run on the whole sequence for every token.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from inspect import signature
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

    def __init__(self, cache: Any, tokens: tuple[int, ...]) -> None:
        self.cache = cache
        self.start = tokens
        self.length = len(tokens)
        self.rows: list[_Row] = []
        self.own: Tensor | None = None
        """Tokens run so far [rows, ran], for models without a cache."""

    def select(self, index: list[int], device: torch.device) -> None:
        """Keep these rows of the cache; a row may be taken several times."""
        if self.cache is not None:
            self.cache.reorder_cache(torch.tensor(index, device=device))
        elif self.own is not None:
            self.own = self.own[torch.tensor(index, device=device)]

    def forward(self, model: HFModel, tokens: Tensor) -> Tensor:
        """Run one more token per row [rows, 1]: next-token logits, fp32."""
        if self.cache is not None:
            positions = torch.full((len(tokens), 1), self.length, device=tokens.device)
            output = model.module(input_ids=tokens, position_ids=positions, past_key_values=self.cache, use_cache=True)
            self.cache = output.past_key_values
        else:
            self.own = tokens if self.own is None else torch.cat((self.own, tokens), 1)
            start = torch.tensor([self.start], device=tokens.device).expand(len(tokens), -1)
            output = model.module(input_ids=torch.cat((start, self.own), 1), use_cache=False)
        self.length += 1
        logits: Tensor = output.logits[:, -1].float()
        return logits


class _Row:
    """A row's place: its lane. Compared by identity."""

    def __init__(self, lane: _Lane) -> None:
        self.lane = lane
        lane.rows.append(self)


class PlainRunner:
    """KV and forwards for the decode loop, on ``model(...)`` and its own cache class."""

    kv_bytes = 0
    """Not known: caches differ by architecture."""

    def __init__(self, model: HFModel) -> None:
        self._model = model
        self._rows: list[_Row] = []
        self._kept: OrderedDict[tuple[int, ...], tuple[Any, Tensor]] = OrderedDict()
        self.chunk = 1
        # By the name of the argument: models with a cache of another kind run without one.
        self._cacheless = "past_key_values" not in signature(model.module.forward).parameters

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
            if kept is not None and len(tokens) > start and prefix.tokens[: len(tokens)] == tokens:
                cache, start = kept, len(tokens)
        device = self._model.device
        ids = torch.tensor([prefix.tokens[start:]], device=device)
        positions = torch.arange(start, len(prefix.tokens), device=device)[None]
        known = {} if self._cacheless else {"position_ids": positions, "past_key_values": copy.deepcopy(cache)}
        output = self._model.module(input_ids=ids, use_cache=not self._cacheless, **known)
        prefix.ran = len(prefix.tokens) - start
        prefix.ran_flops = self._model.flops(prefix.ran, start, prefix.ran)
        self._model.forwarded_tokens += prefix.ran
        return getattr(output, "past_key_values", None), output.logits[0, -1].float()

    def enter(self, prefixes: Sequence[PlainPrefix], trunks: Sequence[int]) -> Tensor:
        """One new row per entry from a ready prefix: next-token logits. ``trunks`` is for the fast runner only."""
        lanes: dict[int, _Lane] = {}
        for prefix in prefixes:
            if id(prefix) not in lanes:
                lanes[id(prefix)] = _Lane(copy.deepcopy(prefix.cache), prefix.tokens)
            self._rows.append(_Row(lanes[id(prefix)]))
        for lane in lanes.values():
            lane.select([0] * len(lane.rows), self._model.device)
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
                lane.select(left, self._model.device)
                lane.rows = [lane.rows[i] for i in left]
        self._rows = rows

    def forward(self, tokens: Tensor) -> Tensor:
        """Run one token per row: next-token logits [rows, vocabulary], fp32."""
        place = {id(row): i for i, row in enumerate(self._rows)}
        logits: Tensor | None = None
        for lane in {id(row.lane): row.lane for row in self._rows}.values():
            at = torch.tensor([place[id(row)] for row in lane.rows], device=self._model.device)
            last = lane.forward(self._model, tokens[at][:, None])
            if logits is None:
                logits = torch.empty((len(self._rows), last.shape[-1]), device=self._model.device)
            logits[at] = last
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
