"""The matrices of the written-out forward, in both layouts, against ``nn.Linear``."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ttscale.hf import lean
from ttscale.hf.lean import FEW, WIDE, _packed


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, FEW, 64])
@pytest.mark.parametrize("outputs", [WIDE - 8, WIDE + 8])
@pytest.mark.parametrize("avx512", [False, True])
@pytest.mark.parametrize("onednn", [False, lean.ONEDNN])
def test_several_matrices_as_one_equal_each(
    outputs: int, rows: int, avx512: bool, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "AVX512", avx512)
    monkeypatch.setattr(lean, "ONEDNN", onednn)
    torch.manual_seed(0)
    without, with_bias = nn.Linear(48, outputs - 24, bias=False), nn.Linear(48, 24)
    x = torch.randn(rows, 48)
    for linears in ([without, with_bias], [nn.Linear(48, outputs, bias=False)]):
        wanted = torch.cat([linear(x) for linear in linears], -1)
        torch.testing.assert_close(_packed(*linears)(x), wanted, rtol=1e-5, atol=1e-5)
