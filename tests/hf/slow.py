"""The slow, obvious decode loop: one row at a time, a whole forward for every token, no cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

MASK = (1 << 64) - 1


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def uniform(seed: int, counter: int) -> float:
    """The number that belongs to a draw, in plain integers."""
    return ((mix((mix(seed) + (counter + 1) * 0x9E3779B97F4A7C15) & MASK) >> 41) + 0.5) / 2**23


@dataclass
class Drawn:
    """What one row came to."""

    steps: list[str]
    tokens: list[list[int]]
    finish: str
    sampled: int


def probabilities(
    logits: torch.Tensor, temperature: float, top_k: int | None, top_p: float | None, min_p: float | None
) -> torch.Tensor:
    """The distribution [vocabulary] after temperature and filters, in that order, in float64."""
    p = (logits.double() / temperature).softmax(-1)
    if top_k is not None:
        p = torch.where(p >= p.sort(descending=True).values[min(top_k, len(p)) - 1], p, 0.0)
    if top_p is not None:
        p = p / p.sum()
        ordered, at = p.sort(descending=True)
        before = ordered.cumsum(0) - ordered
        p = torch.zeros_like(p).index_put((at[before < top_p],), ordered[before < top_p])
    if min_p is not None:
        p = torch.where(p >= min_p * p.max(), p, 0.0)
    return p / p.sum()


@torch.inference_mode()
def slow_draw(
    module: Any,
    tokenizer: Any,
    context: list[int],
    seed: int,
    *,
    eos_ids: frozenset[int],
    temperature: float = 1.0,
    delimiter: str | None = "a",
    max_steps: int | None = None,
    max_new_tokens: int = 24,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Drawn:
    """Sample one continuation; for tokenizers whose text of several tokens is the sum of their texts, byte for byte."""
    ids, steps, tokens, begin, sampled = list(context), [], [], len(context), 0
    finish = ""
    while not finish:
        logits = module(input_ids=torch.tensor([ids], device=module.device), use_cache=False).logits[0, -1].float()
        if temperature == 0:
            token = int(logits.argmax())
        else:
            mass = probabilities(logits, temperature, top_k, top_p, min_p).cumsum(0)
            token = int((mass <= uniform(seed, sampled)).sum())
        sampled += 1
        if token in eos_ids:
            finish = "stop"
            break
        ids.append(token)
        text = tokenizer.decode(ids[begin:], skip_special_tokens=True)
        if delimiter is not None and delimiter in text and text.strip():
            steps.append(text)
            tokens.append(ids[begin:])
            begin = len(ids)
            if len(steps) == max_steps:
                finish = "open"
        if not finish and sampled == max_new_tokens:
            finish = "length"
    if begin < len(ids):
        steps.append(tokenizer.decode(ids[begin:], skip_special_tokens=True))
        tokens.append(ids[begin:])
    return Drawn(steps, tokens, finish, sampled)
