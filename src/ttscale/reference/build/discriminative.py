"""The discriminative verifier (the paper's): a scalar head that reads the end of each step.

Knows: the trunk, the head, its losses. Must not know: which steps are wrong.

Trained from scratch at a step's end such a head ranks solutions of one question at chance (the trials on the model
card): it would have to compare each token with the prediction that the trunk made one position earlier. Two things
give it that comparison. The trunk starts as the implicit verifier's, so that the prediction is there, with new layers
on top that start as the identity. And every token is supervised at first: the head learns the implicit verifier's
log-ratio of each token (a regression that needs nothing but the comparison) before it learns values.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ttscale.reference.build.model import Llama
from ttscale.reference.build.train import Batch


class Scorer(nn.Module):
    """A trunk with two numbers per token: the logit of the value, and (in training only) the token's log-ratio."""

    def __init__(self, trunk: Llama) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(trunk.shape.width, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, length) -> (rows, length, 2)"""
        hidden: Tensor = self.trunk(ids)
        return F.linear(hidden, self.head.weight, self.head.bias)

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


def deepen(source: Llama, extra: int) -> Llama:
    """A copy of ``source`` with ``extra`` new layers on top that at first change nothing."""
    deep = Llama(replace(source.shape, layers=source.shape.layers + extra))
    state = deep.state_dict()
    state.update(source.state_dict())
    for layer in range(source.shape.layers, source.shape.layers + extra):
        for name in ("out", "down"):
            state[f"blocks.{layer}.{name}.weight"] = torch.zeros_like(state[f"blocks.{layer}.{name}.weight"])
    deep.load_state_dict(state)
    return deep


def make_loss(dense: float, soft: float):  # type: ignore[no-untyped-def]
    """Channels of the batch: target log-ratio of the token, value at the end of a step (else -1), sample count, and
    the implicit verifier's value at this token. ``dense`` weighs the regression of log-ratios, ``soft`` the teacher's
    values against the Monte-Carlo ones."""

    def loss(model: Scorer, batch: Batch) -> tuple[Tensor, int]:
        out = model(batch.ids).float()
        inside = batch.counts
        ratio, label, times, teacher = batch.values.unbind(-1)
        weight = inside * times.sqrt()
        regression = F.smooth_l1_loss(out[..., 1], ratio.clamp(-6, 3), reduction="none")
        # Almost every token is certain and has ratio 0; the others carry the lesson.
        rare = weight * (1 + 8 * (ratio.abs() > 0.3))
        total = dense * (regression * rare).sum() / rare.sum()
        value = F.binary_cross_entropy_with_logits(out[..., 0], teacher, reduction="none")
        total = total + soft * (value * weight).sum() / weight.sum()
        ends = weight * (label >= 0)
        hard = F.binary_cross_entropy_with_logits(out[..., 0], label.clamp(min=0), reduction="none")
        total = total + (1 - soft) * (hard * ends).sum() / ends.sum()
        return total, int(inside.sum())

    return loss


def save(model: Scorer, folder: Path) -> None:
    """As ``LlamaForTokenClassification`` with one label, whose sigmoid is the score of the step that ends there."""
    from safetensors.torch import save_file

    from ttscale.reference.build import model as models

    models.save(model.trunk, folder)
    weights = models.to_hugging_face(model.trunk)
    weights["score.weight"] = model.head.weight[:1].detach().to(torch.bfloat16).contiguous()
    weights["score.bias"] = model.head.bias[:1].detach().to(torch.bfloat16).contiguous()
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    import json

    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["LlamaForTokenClassification"]
    config["num_labels"] = 1
    config["id2label"], config["label2id"] = {"0": "LABEL_0"}, {"LABEL_0": 0}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
