"""Noticing that a model's weights have changed since it was last looked at.

Knows: modules, tensors, adapters. Must not know: what is kept of the old weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def weights_version(module: nn.Module) -> object:
    """Something that compares unequal once weights were replaced or changed in place, adapters switched or scaled,
    hooks added or removed.

    Writing to ``.data`` bumps no version, so one element per tensor is sampled. Buffers that are not saved with the
    model (tables of rotary embeddings) are not weights.
    """
    parts = list(module.modules())
    tensors = [t for p in parts for t in (*p._parameters.values(), *_saved_buffers(p)) if t is not None]
    by_device: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.numel() and tensor.device.type != "meta":
            by_device.setdefault(tensor.device, []).append(_sampled(tensor))
    numbers = b"".join(torch.stack(some).cpu().numpy().tobytes() for some in by_device.values())
    places = hash(tuple(map(_place, tensors)))
    try:
        changes = sum(tensor._version for tensor in tensors)
    except RuntimeError:  # made under inference_mode, which does not count
        changes = 0
    hooks = tuple((*part._forward_hooks, *part._forward_pre_hooks) for part in parts)
    return changes, places, numbers, hooks, tuple(_adapter(part) for part in parts if hasattr(part, "_active_adapter"))


def _saved_buffers(part: nn.Module) -> list[Tensor | None]:
    return [t for name, t in part._buffers.items() if name not in part._non_persistent_buffers_set]


def _sampled(tensor: Tensor) -> Tensor:
    """One element, as a double []; of a tensor that is a class of its own (quantised) nothing can be said cheaply."""
    if type(tensor.data) is not Tensor or tensor.layout is not torch.strided:
        return torch.zeros((), dtype=torch.float64, device=tensor.device)
    return tensor.detach().reshape(-1)[tensor.numel() // 2].double()


def _place(tensor: Tensor) -> int:
    """Where a tensor lies; for one without storage of its own, which object it is."""
    try:
        return tensor.data_ptr() or id(tensor)
    except (RuntimeError, NotImplementedError):
        return id(tensor)


def _adapter(part: Any) -> tuple[str, ...]:
    """What an adapter's layer has switched on; kinds of adapters differ in what they scale."""
    return tuple(str(getattr(part, name, None)) for name in ("_active_adapter", "_disable_adapters", "scaling"))
