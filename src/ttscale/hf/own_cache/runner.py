"""Decoding on a model's own forward and cache: slower than ``shared_kv``, for architectures that does not know.

Rows that start from the same prefix form a lane and go forward in lockstep, so all have the same length and nothing is
padded. That is exact for every architecture whose cache can be copied and reordered, linear attention included. What a
cache gets wrong (``cache_check.py``) is run again; a model without one is run on the whole sequence for every token.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ttscale.hf.context_length import fresh_rotary
from ttscale.hf.model import HFModel
from ttscale.hf.own_cache.cache_check import Caching, forward
from ttscale.hf.runner import Prefix

KEPT_PREFIXES = 32


class CachedPrefix(Prefix):
    """A context: run whole by ``advance``, after the longest prefix of it that is kept."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        super().__init__(tokens)
        self.cache: Any = None
        self.logits: Tensor | None = None

    @property
    def ready(self) -> bool:
        return self.logits is not None


class _Lane:
    """Rows of equal length with one cache."""

    def __init__(self, cache: Any, tokens: tuple[int, ...], caching: Caching) -> None:
        self.cache = cache
        self._caching = caching
        self.start = tokens
        self.length = len(tokens)
        self.rows: list[int] = []
        """Their places in the batch, in the order of the cache."""
        self.own: Tensor | None = None
        """Tokens run so far [rows, ran], for models that need them again."""

    @property
    def again(self) -> bool:
        """Whether the cache is of no use for the next token."""
        border = self._caching.length
        return border is not None and (self.length >= border if self._caching.every else self.length == border)

    def select(self, index: list[int], device: torch.device) -> None:
        """Keep these rows of the cache; a row may be taken several times."""
        if self.cache is not None:
            self.cache.reorder_cache(torch.tensor(index, device=device))
        if self.own is not None:
            self.own = self.own[torch.tensor(index, device=device)]

    def forward(self, model: HFModel, tokens: Tensor) -> Tensor:
        """Run one more token per row [rows, 1]: next-token logits, fp32."""
        if self.cache is None or self._caching.length is not None:
            self.own = tokens if self.own is None else torch.cat((self.own, tokens), 1)
        if self.cache is not None and not self.again:
            self.cache, logits = forward(model, tokens, self.cache, self.length)
        else:
            assert self.own is not None
            start = torch.tensor([self.start], device=tokens.device).expand(len(tokens), -1)
            whole = torch.cat((start, self.own), 1)
            if self.cache is None:
                fresh_rotary(model.module, model.config)
                logits = model.module(input_ids=whole, use_cache=False).logits.float()
            else:
                self.cache, logits = forward(model, whole, None, 0)
        self.length += 1
        return logits[:, -1]


class OwnCacheRunner:
    """The decode loop's ``Runner`` on ``model(...)`` and its own cache class."""

    def __init__(self, model: HFModel, caching: Caching) -> None:
        self._model = model
        self._caching = caching
        self.whole = not caching.steps
        """Whether every token runs its whole sequence again."""
        self._lanes: list[_Lane] = []
        self._rows = 0
        self._kept: OrderedDict[tuple[int, ...], tuple[Any, Tensor]] = OrderedDict()
        self._sizes: dict[tuple[int, ...], int] = {}
        self.chunk = 1

    @property
    def kv_bytes(self) -> int:
        """Bytes of the prefixes kept; what running rows hold is not known."""
        return sum(map(self._sizes.__getitem__, self._kept))

    def open(self, tokens: tuple[int, ...]) -> CachedPrefix:
        """A handle on a context; ``advance`` makes it ready."""
        return CachedPrefix(tokens)

    def release(self, prefix: CachedPrefix) -> None:
        """Let go of a handle."""
        prefix.cache = None

    def advance(self, prefixes: Sequence[CachedPrefix]) -> None:
        """Run what the first of the prefixes misses."""
        prefix = prefixes[0]
        found = self._kept.get(prefix.tokens)
        if found is None:
            found = self._run(prefix)
            self._kept[prefix.tokens] = found
            self._sizes[prefix.tokens] = _bytes(found[0])
        self._kept.move_to_end(prefix.tokens)
        while self._kept and (len(self._kept) > KEPT_PREFIXES or self.kv_bytes > self._model.kv_bytes):
            self._sizes.pop(self._kept.popitem(last=False)[0])
        prefix.cache, prefix.logits = found

    def _run(self, prefix: CachedPrefix) -> tuple[Any, Tensor]:
        cache, start, most = None, 0, self._caching.length or 0
        for tokens, (kept, _) in self._kept.items() if self._caching.prefixes else ():
            beyond = bool(most) and len(prefix.tokens) > most
            fits = not beyond or (len(tokens) > most and not self._caching.every)
            if fits and len(tokens) > start and prefix.tokens[: len(tokens)] == tokens:
                cache, start = kept, len(tokens)
        ids = torch.tensor([prefix.tokens[start:]], device=self._model.device)
        if self.whole:
            fresh_rotary(self._model.module, self._model.config)
            logits = self._model.module(input_ids=ids, use_cache=False).logits.float()
        else:
            cache, logits = forward(self._model, ids, copy.deepcopy(cache), start)
        prefix.ran = len(prefix.tokens) - start
        prefix.ran_flops = self._model.flops(prefix.ran, start, prefix.ran)
        self._model.forwarded_tokens += prefix.ran
        return cache, logits[0, -1]

    def admit(self, prefixes: Sequence[CachedPrefix], trunks: Sequence[int]) -> Tensor:
        """One new row per entry from a ready prefix: next-token logits [entries, vocabulary], fp32.

        ``trunks`` means nothing here: rows share no keys and values.
        """
        lanes: dict[CachedPrefix, _Lane] = {}
        for place, prefix in enumerate(prefixes, self._rows):
            if prefix not in lanes:
                lanes[prefix] = _Lane(copy.deepcopy(prefix.cache), prefix.tokens, self._caching)
            lanes[prefix].rows.append(place)
        for lane in lanes.values():
            lane.select([0] * len(lane.rows), self._model.device)
        self._lanes += lanes.values()
        self._rows += len(prefixes)
        return torch.stack([prefix.logits for prefix in prefixes if prefix.logits is not None])

    def store(self, row: int, tokens: Sequence[int]) -> None:
        """Rows of a lane have one cache, so nothing is kept: a continuation runs again."""

    def keep(self, index: Sequence[int]) -> None:
        """Only the rows at these places go on, in this order."""
        places = {old: new for new, old in enumerate(index)}
        for lane in self._lanes:
            left = [i for i, row in enumerate(lane.rows) if row in places]
            if left and len(left) < len(lane.rows):
                lane.select(left, self._model.device)
            lane.rows = [places[lane.rows[i]] for i in left]
        self._lanes = [lane for lane in self._lanes if lane.rows]
        self._rows = len(index)

    def forward(self, tokens: Tensor) -> Tensor:
        """Run one token per row, ``tokens`` [rows]: next-token logits [rows, vocabulary], fp32."""
        logits: Tensor | None = None
        for lane in self._lanes:
            at = torch.tensor(lane.rows, device=self._model.device)
            again = self.whole or lane.again
            last = lane.forward(self._model, tokens[at][:, None])
            self._model.forwarded_tokens += len(lane.rows) * (lane.length if again else 1)
            if logits is None:
                logits = torch.empty((self._rows, last.shape[-1]), device=self._model.device)
            logits[at] = last
        assert logits is not None
        return logits

    def shrink(self) -> None:
        """Give back memory after an out-of-memory error."""
        self._kept.clear()
        self._sizes.clear()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Let go of all rows."""
        self._lanes, self._rows = [], 0


def _bytes(cache: Any) -> int:
    """Bytes of all tensors in a cache, whatever its class."""
    seen: set[int] = set()

    def walk(part: Any) -> int:
        if id(part) in seen:
            return 0
        seen.add(id(part))
        if isinstance(part, Tensor):
            return part.numel() * part.element_size()
        if isinstance(part, dict):
            return sum(map(walk, part.values()))
        if isinstance(part, list | tuple):
            return sum(map(walk, part))
        return walk(vars(part)) if hasattr(part, "__dict__") and not isinstance(part, type) else 0

    return walk(cache)
