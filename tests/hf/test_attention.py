"""Attention in parts, merged by their log-sum-exps, against attention over everything at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ttscale.hf.shared_kv.attention import Level, add_levels, additive, dense, merge
from ttscale.hf.shared_kv.forward import DecodeAttention, PrefillAttention
from ttscale.hf.shared_kv.kv_slots import Slab

HEADS, QUERIES, SIZE = 2, 3, 8
SCALE = 0.3


def whole(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, position: int, window: int | None) -> torch.Tensor:
    """One query [heads, queries, size] at ``position`` over keys [heads, n, size] at 0..n-1, in float64."""
    at = torch.arange(k.shape[1])
    allowed = (at <= position) if window is None else (at <= position) & (at > position - window)
    scores = torch.einsum("hqd,hnd->hqn", q.double(), k.double()) * SCALE
    scores = scores.masked_fill(~allowed, -torch.inf)
    return torch.einsum("hqn,hnd->hqd", scores.softmax(-1), v.double())


@pytest.mark.parametrize("device", ["cpu", "meta-free math"])
def test_merge_of_two_halves(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the fused kernel, and written out as other devices do it."""
    torch.manual_seed(0)
    q, k, v = torch.randn(2, HEADS, 5, SIZE), torch.randn(2, HEADS, 12, SIZE), torch.randn(2, HEADS, 12, SIZE)
    attend = dense if device == "cpu" else written_out
    mask = additive(torch.rand(2, 1, 1, 12) < 0.3, torch.float32)
    expected, lse = attend(q, k, v, SCALE, mask)
    parts = [attend(q, k[:, :, s], v[:, :, s], SCALE, mask[..., s]) for s in (slice(0, 5), slice(5, 12))]
    got, got_lse = merge(parts[0], parts[1], last=False)
    assert torch.allclose(got, expected, atol=1e-6)
    assert torch.allclose(got_lse, lse, atol=1e-5)


def written_out(q: Any, k: Any, v: Any, scale: float, mask: Any) -> Any:
    class Elsewhere(torch.Tensor):
        @property
        def device(self) -> Any:  # type: ignore[override]
            return torch.device("meta")

    return tuple(part.as_subclass(torch.Tensor) for part in dense(q.as_subclass(Elsewhere), k, v, scale, mask))


@pytest.mark.parametrize("window", [None, 40, 7, 3])
def test_a_step_over_trunk_branch_and_own_tokens(window: int | None) -> None:
    """Rows of different lengths, two trunks and three branches, with and without a sliding window."""
    torch.manual_seed(1)
    trunk_of, branch_of, own = [0, 1, 0, 1, 0], [0, 1, 2, None, 0], [4, 0, 6, 2, 9]
    trunks, branches = [7, 12], [5, 3, 2]
    tk, tv = ([torch.randn(HEADS, n, SIZE) for n in trunks] for _ in range(2))
    bk, bv = ([torch.randn(HEADS, n, SIZE) for n in branches] for _ in range(2))
    ok, ov = ([torch.randn(HEADS, n + 1, SIZE) for n in own] for _ in range(2))
    slab = Slab(1, HEADS, SIZE, torch.float32, torch.device("cpu"))
    slab.reserve(0, 5, 10)
    for row, n in enumerate(own):
        slab.write(row, 0, torch.stack((ok[row][:, :n], ov[row][:, :n]))[None])
    levels = [
        level(trunks, [0, 0], tk, tv, [[0, 2, 4], [1, 3]]),
        level(branches, [7, 12, 7], bk, bv, [[0, 4], [1], [2]]),
    ]
    starts = [trunks[t] + (0 if b is None else branches[b]) for t, b in zip(trunk_of, branch_of, strict=True)]
    ends = [start + n for start, n in zip(starts, own, strict=True)]
    q = torch.randn(5, 1, HEADS, QUERIES, SIZE)
    k, v = (torch.stack([part[row][:, own[row]] for row in range(5)])[:, :, None] for part in (ok, ov))
    step = DecodeAttention(slab, torch.tensor(own), torch.tensor(ends)[:, None], levels, max(ends) + 1)
    got = step.attend(0, q, k, v, SCALE, window)
    for row in range(5):
        keys, values = [tk[trunk_of[row]]], [tv[trunk_of[row]]]
        branch = branch_of[row]
        if branch is not None:
            keys.append(bk[branch])
            values.append(bv[branch])
        expected = whole(q[row, 0], torch.cat([*keys, ok[row]], 1), torch.cat([*values, ov[row]], 1), ends[row], window)
        assert torch.allclose(got[row, 0].double(), expected, atol=1e-5), row


def level(lengths: list[int], offsets: list[int], k: Any, v: Any, rows: list[list[int]]) -> Level:
    slab = Slab(1, HEADS, SIZE, torch.float32, torch.device("cpu"))
    slab.reserve(0, len(lengths), max(lengths))
    for slot, _ in enumerate(lengths):
        slab.write(slot, 0, torch.stack((k[slot], v[slot]))[None])
    return Level(slab.kv, lengths, offsets, rows, 5)


@pytest.mark.parametrize("window", [None, 6, 2])
def test_an_extension_after_prefixes(window: int | None) -> None:
    torch.manual_seed(2)
    prefixes, new = [4, 9], 5
    pk, pv = ([torch.randn(HEADS, n, SIZE) for n in prefixes] for _ in range(2))
    slab = Slab(1, HEADS, SIZE, torch.float32, torch.device("cpu"))
    slab.reserve(0, 2, 9)
    for slot in range(2):
        slab.write(slot, 0, torch.stack((pk[slot], pv[slot]))[None])
    levels = [Level(slab.kv, prefixes, [0, 0], [[0, 2], [1]], 3)]
    starts = torch.tensor([4, 9, 4])
    q = torch.randn(3, new, HEADS, QUERIES, SIZE)
    k, v = torch.randn(3, HEADS, new, SIZE), torch.randn(3, HEADS, new, SIZE)
    extension = PrefillAttention(levels, starts[:, None] + torch.arange(new), 14)
    got = extension.attend(0, q, k, v, SCALE, window)
    assert torch.equal(extension.kv[0], torch.stack((k, v)))
    for row, prefix in enumerate((0, 1, 0)):
        keys, values = torch.cat((pk[prefix], k[row]), 1), torch.cat((pv[prefix], v[row]), 1)
        for t in range(new):
            expected = whole(q[row, t], keys, values, prefixes[prefix] + t, window)
            assert torch.allclose(got[row, t].double(), expected, atol=1e-5), (row, t)


def test_a_level_that_a_window_has_left_weighs_nothing() -> None:
    """No NaN where every key of a level is blocked."""
    torch.manual_seed(3)
    q, own = torch.randn(2, 1, HEADS, QUERIES, SIZE), torch.randn(2, 1, HEADS, QUERIES, SIZE)
    far = level([4], [0], [torch.randn(HEADS, 4, SIZE)], [torch.randn(HEADS, 4, SIZE)], [[0, 1]])
    mask = far.window_mask(torch.tensor([[30], [40]]), 5)
    got = add_levels((own, torch.zeros(2, 1, HEADS, QUERIES)), [far], 0, q, SCALE, [mask])
    assert torch.equal(got, own)
