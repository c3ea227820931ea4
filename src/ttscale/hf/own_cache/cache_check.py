"""What a model's own cache can be trusted with, found by running a short sequence with and without it.

Knows: one model and its cache class. Must not know: rows, requests. Recurrent layers of some architectures forget their
state when several tokens follow a cached prefix. Some caches cannot be reordered, and some models count positions from
another number than 0. Such a model runs with less of a cache, or with none: slower, but right.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ttscale.hf.context_length import changes_every_token, fresh_rotary, rescaled
from ttscale.hf.memory import is_out_of_memory
from ttscale.hf.model import HFModel
from ttscale.hf.self_check import difference, probe_tokens, tolerance


@dataclass(frozen=True, slots=True)
class Caching:
    """What the cache is used for. ``length``: a cache up to here is of no use beyond it (None: no such place)."""

    steps: bool
    """One token per row after a prefix, rows copied and dropped."""
    prefixes: bool
    """Several tokens after a kept prefix."""
    length: int | None = None
    every: bool = False
    """Whether beyond that place every token needs its whole sequence run again."""


@torch.inference_mode()
def caching(model: HFModel) -> Caching:
    """What this model's cache gets right."""
    if "past_key_values" not in signature(model.module.forward).parameters:
        return Caching(False, False)
    tokens = torch.tensor([probe_tokens(model)], device=model.device)
    other = torch.cat((tokens[:, : tokens.shape[1] // 2], tokens[:, tokens.shape[1] // 2 :].flip(1)), 1)
    both = torch.cat((other, tokens))
    wanted = model.module(input_ids=both, use_cache=False).logits.float()
    found = []
    for check in (_steps, _prefixes):
        try:
            found.append(check(model, both, wanted))
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            found.append(False)
    return Caching(found[0], found[0] and found[1], rescaled(model.config), changes_every_token(model.config))


def _steps(model: HFModel, both: Tensor, wanted: Tensor) -> bool:
    """Two rows from one prefix, of which the second goes on alone."""
    half, length = both.shape[1] // 2, both.shape[1]
    cache, logits = forward(model, both[:1, :half], None, 0)
    close = [_close(model, logits[0, -1], wanted[0, half - 1])]
    cache.reorder_cache(torch.tensor([0, 0], device=model.device))
    rows = torch.arange(2, device=model.device)
    for position in range(half, length):
        if position == half + (length - half) // 2:
            rows = rows[1:]
            cache.reorder_cache(torch.tensor([1], device=model.device))
        cache, logits = forward(model, both[rows, position : position + 1], cache, position)
        close.append(_close(model, logits[:, -1], wanted[rows, position]))
    return all(close)


def _prefixes(model: HFModel, both: Tensor, wanted: Tensor) -> bool:
    """The rest of a sequence after a copy of the cache of its first half."""
    half = both.shape[1] // 2
    cache, _ = forward(model, both[1:, :half], None, 0)
    _, logits = forward(model, both[1:, half:], copy.deepcopy(cache), half)
    return _close(model, logits[0], wanted[1, half:])


def forward(model: HFModel, ids: Tensor, cache: Any, start: int) -> tuple[Any, Tensor]:
    """Tokens [rows, new] at positions from ``start`` on, after what is cached: the cache and the logits."""
    fresh_rotary(model.module, model.config)
    positions = torch.arange(start, start + ids.shape[1], device=ids.device).expand(len(ids), -1)
    output = model.module(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True)
    return output.past_key_values, output.logits.float()


def _close(model: HFModel, got: Tensor, wanted: Tensor) -> bool:
    return difference(got, wanted, tolerance(model)) is None
