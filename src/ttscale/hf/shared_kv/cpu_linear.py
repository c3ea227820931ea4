"""Products of a few rows with large matrices in fp32 on a CPU, through oneDNN and on the weights as they lie.

Knows: ``nn.Linear``. Must not know: models, KV. torch's own product takes 1.6 to 2.4 times as long at 4 to 64 rows of
SmolLM2's matrices on an AMD CPU; for one or two rows, and for small matrices, it is the faster one. No copy of the
weights is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")
FEW_ROWS = 3
"""From so many rows on oneDNN is faster."""
SMALL = 1 << 18
"""Weights of a matrix below which it is not."""

Swaps: TypeAlias = list[tuple[dict[str, Any], Callable[[Tensor], Tensor]]]
"""Modules, by their attributes, with the product that takes the place of their ``forward``."""


def product(linear: nn.Linear, x: Tensor) -> Tensor:
    """What ``linear`` makes of ``x`` [..., inputs]: [..., outputs]."""
    inputs = x.shape[-1]
    if x.numel() < FEW_ROWS * inputs:
        return F.linear(x, linear.weight, linear.bias)
    flat = x.reshape(-1, inputs)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(flat, linear.weight, linear.bias, "none", [], "")
    return out.view(*x.shape[:-1], out.shape[-1])


def fits(part: Any) -> bool:
    """Whether ``product`` may stand for this module: a plain and large linear layer of fp32 weights on a CPU."""
    if not ONEDNN or type(part) is not nn.Linear or "forward" in part.__dict__:
        return False
    weight = part.weight
    plain = type(weight.data) is Tensor and weight.dtype == torch.float32 and weight.is_contiguous()
    return plain and weight.device.type == "cpu" and weight.numel() >= SMALL


def swaps_of(module: nn.Module) -> Swaps:
    """The layers of a model that ``product`` may stand for."""
    return [(part.__dict__, partial(product, part)) for part in module.modules() if fits(part)]  # type: ignore[arg-type]


@contextmanager
def swapped(swaps: Sequence[tuple[dict[str, Any], Callable[[Tensor], Tensor]]]) -> Iterator[None]:
    """Inside, these layers go through oneDNN. Not to be entered by two threads at once."""
    for attributes, product_of in swaps:
        attributes["forward"] = product_of
    try:
        yield
    finally:
        for attributes, _ in swaps:
            attributes.pop("forward", None)
