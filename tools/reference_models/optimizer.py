"""Muon for the matrices, AdamW for the rest.

Knows: gradients. Must not know: what is being learned. Muon (Jordan et al. 2024) orthogonalises the momentum of each
matrix; on these models it needs about half the tokens that AdamW alone needs for the same loss.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tools.reference_models.precision import DTYPE
from torch import Tensor


def orthogonalise(update: Tensor, rounds: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrix, by the quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = update.shape[0] > update.shape[1]
    x = (update.T if tall else update).to(DTYPE)
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.T if tall else x).float()
    return result


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled so that every matrix moves by the same root mean square."""

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.0) -> None:
        super().__init__(list(weights), {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = weight.grad.lerp(state["momentum"], group["momentum"])
                # Fused matrices (q, k, v and gate, up) are separate maps and are orthogonalised one by one.
                pieces = max(1, weight.shape[0] // weight.shape[1]) if weight.shape[0] > weight.shape[1] else 1
                parts = [orthogonalise(part) for part in update.chunk(pieces, 0)]
                scale = 0.2 * max(parts[0].shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(torch.cat(parts), alpha=-group["lr"] * scale)
