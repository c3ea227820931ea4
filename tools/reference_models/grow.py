"""Models made of trained ones: larger ones that begin as a smaller one (Net2Net, arXiv 1511.05641), and means.

Knows: the network's weights. Must not know: what is learned with the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from tools.reference_models.model import Llama
from torch import Tensor


def deepen(base: Llama, extra: int) -> Llama:
    """The same model with ``extra`` blocks on top that change nothing yet."""
    made = Llama(replace(base.shape, layers=base.shape.layers + extra))
    state = made.state_dict() | base.state_dict()
    for layer in range(base.shape.layers, made.shape.layers):
        for name in ("out", "down"):
            state[f"blocks.{layer}.{name}.weight"].zero_()
    made.load_state_dict(state)
    return made


def widen(base: Llama, times: int, noise: float = 0.0) -> Llama:
    """The same function with ``times`` copies of every channel, head and hidden unit.

    Copies would learn alike for ever; ``noise``, in units of each matrix's standard deviation, tells them apart.
    """
    old = base.shape
    shape = replace(old, width=old.width * times, heads=old.heads * times, hidden=old.hidden * times)
    made = Llama(shape)

    def tiled(weight: Tensor, parts: int) -> Tensor:
        """Each of the ``parts`` maps fused in a matrix, repeated; inputs come ``times`` times and are averaged."""
        wide = torch.cat([part.repeat(times, times) / times for part in weight.chunk(parts, 0)])
        return wide + noise * wide.std() * torch.randn_like(wide)

    state = {"embedding.weight": base.embedding.weight.repeat(1, times), "norm": base.norm.repeat(times) / times}
    for i, block in enumerate(base.stack()):
        for name, parts in (("qkv", 3), ("out", 1), ("up", 2), ("down", 1)):
            state[f"blocks.{i}.{name}.weight"] = tiled(getattr(block, name).weight.detach(), parts)
        for name in ("norm1", "norm2"):
            state[f"blocks.{i}.{name}"] = getattr(block, name).repeat(times)
    made.load_state_dict(state)
    return made


def mean_of(models: Sequence[Llama]) -> Llama:
    """The model whose weights are the mean of the others'."""
    states = [one.state_dict() for one in models]
    made = Llama(models[0].shape)
    made.load_state_dict({name: sum(state[name] for state in states) / len(states) for name in states[0]})
    return made
