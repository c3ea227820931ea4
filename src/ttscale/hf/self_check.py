"""Testing a way to run a model against the model's own: a short sequence, and how far logits may be off.

Knows: one model's vocabulary, window and dtype. Must not know: which ways there are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ttscale.hf.model import HFModel

PROBE_TOKENS = 24


def probe_tokens(model: HFModel) -> tuple[int, ...]:
    """A short random sequence, longer than a short sliding window."""
    window = getattr(model.config, "sliding_window", None) or 0
    length = min(PROBE_TOKENS + (window if window <= 64 else 0), model.context_length)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, int(model.config.vocab_size), (length,), generator=generator)
    return tuple(ids.tolist())


def tolerance(model: HFModel) -> float:
    """How far logits may be off, relative to the largest, before they count as another model's.

    Quantised layers may sum one row in another way than many: bitsandbytes' 4-bit ones are off by 0.006 on a CPU.
    """
    exact = model.dtype == torch.float32 and not getattr(model.module, "is_quantized", False)
    return 1e-3 if exact else 0.06


def difference(got: Tensor, wanted: Tensor, fine: float) -> str | None:
    """What is wrong with logits; None if nothing. Logits of -inf, tokens that a model bans, are equal to themselves."""
    scale = wanted[wanted.isfinite()].abs().max().item()
    error = torch.where(got == wanted, 0.0, got - wanted).abs().max().item()
    return (
        None if error <= fine * max(scale, 1e-3) else f"logits off by {error:.2g} (of {scale:.2g}) from the model's own"
    )
