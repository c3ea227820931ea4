"""The matrices of the written-out forward, in both layouts, against ``nn.Linear``."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from ttscale.hf.shared_kv import cpu_llama as lean
from ttscale.hf.shared_kv.cpu_llama import WIDE, WORK, _packed


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("outputs", [WIDE - 8, WIDE + 8])
@pytest.mark.parametrize("avx512", [False, True])
@pytest.mark.parametrize("onednn", [False, True])
def test_several_matrices_as_one_equal_each(
    outputs: int, rows: int, avx512: bool, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if onednn and not lean.ONEDNN:
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(lean, "AVX512", avx512)
    monkeypatch.setattr(lean, "ONEDNN", onednn)
    torch.manual_seed(0)
    without, with_bias = nn.Linear(48, outputs - 24, bias=False), nn.Linear(48, 24)
    x = torch.randn(rows, 48)
    for linears in ([without, with_bias], [nn.Linear(48, outputs, bias=False)]):
        wanted = torch.cat([linear(x) for linear in linears], -1)
        torch.testing.assert_close(_packed(*linears)(x), wanted, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
@pytest.mark.skipif(not lean.ONEDNN, reason="this build of torch has no oneDNN")
def test_large_products_go_through_onednn_where_that_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    product, seen = torch.ops.mkldnn._linear_pointwise, []

    def spy(x: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(len(x))
        out: torch.Tensor = product(x, *rest)
        return out

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", spy)
    narrow, enough = nn.Linear(64, 128, bias=False), WORK // (64 * 128)
    for avx512, wanted in ((True, [enough]), (False, [])):
        monkeypatch.setattr(lean, "AVX512", avx512)
        run = _packed(narrow)
        for rows in (1, enough - 1, enough):
            run(torch.randn(rows, 64))
        assert seen == wanted
        seen.clear()
    _packed(nn.Linear(8, WIDE + 8, bias=False))(torch.randn(1, 8))
    assert seen == [1]


@pytest.mark.skipif(not lean.ONEDNN, reason="this build of torch has no oneDNN")
@pytest.mark.parametrize(("avx512", "copies"), [(False, 1), (True, 2)])
def test_a_matrix_is_held_once_per_layout(avx512: bool, copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``fits`` asks the memory for is what is kept."""
    monkeypatch.setattr(lean, "AVX512", avx512)
    held = inspect.getclosurevars(_packed(nn.Linear(64, 128, bias=False))).nonlocals.values()
    assert sum(isinstance(one, torch.Tensor) for one in held) == copies
