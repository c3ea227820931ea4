"""Grown models: at first the same function, then not tied to it."""

from __future__ import annotations

import torch
from tools.reference_models import grow
from tools.reference_models.model import Llama, Shape

TINY = Shape(width=16, layers=2, heads=2, hidden=32, positions=1024)


def test_blocks_on_top_change_nothing_at_first() -> None:
    torch.manual_seed(0)
    base = Llama(TINY)
    deeper = grow.deepen(base, 2)
    ids = torch.randint(3, 90, (2, 12))
    assert len(deeper.blocks) == 4
    assert torch.equal(base(ids), deeper(ids))


def test_a_wider_model_is_the_same_function_and_can_be_told_apart() -> None:
    torch.manual_seed(0)
    base = Llama(TINY)
    with torch.no_grad():
        base.norm.uniform_(0.5, 1.5)
        base.stack()[0].norm1.uniform_(0.5, 1.5)
    ids = torch.randint(3, 90, (2, 12))
    expected = base.logits(base(ids))
    wide = grow.widen(base, 3)
    assert wide.shape == Shape(width=48, layers=2, heads=6, hidden=96, positions=1024)
    assert torch.allclose(wide.logits(wide(ids)), expected, atol=1e-5)
    noisy = grow.widen(base, 3, noise=0.05)
    weight = noisy.stack()[0].qkv.weight
    assert not torch.equal(weight[:16], weight[16:32])
    assert torch.allclose(noisy.logits(noisy(ids)), expected, atol=0.1)
