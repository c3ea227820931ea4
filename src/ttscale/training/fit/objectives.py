"""What is minimised: sums and counts over a batch, so that accumulated and distributed batches average exactly.

Knows logits and targets. Must not know models, files or optimizers. Every batch is a dict of tensors: ``input_ids``
and ``attention_mask`` [B, T], and the targets an objective names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid

IGNORE = -100
Batch: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss as a sum over units: ``total(logits, batch)`` and how many units a batch has."""

    total: Callable[[Tensor, Batch], Tensor]
    count: Callable[[Batch], int]
    targets: tuple[str, ...]
    """Entries of the batch that the model must not see."""
    reads: Callable[[Batch], Tensor] | None = None
    """[B, T] the positions whose logits ``total`` reads, where they are few of all; it then takes [1, n, V] too, the
    logits of those n alone."""


def step_margin(logits: Tensor) -> Tensor:
    """[..., 2] logits -> log-odds of label 1, in fp32: softmax(logits)[1] is its sigmoid."""
    return logits[..., 1].float() - logits[..., 0].float()


def _step_total(logits: Tensor, batch: Batch) -> Tensor:
    labels = batch["labels"]  # [B, T] floats, IGNORE where no step ends
    read = labels != IGNORE
    return binary_cross_entropy_with_logits(step_margin(logits[read]), labels[read], reduction="sum")


STEP_BCE = Objective(_step_total, lambda batch: int((batch["labels"] != IGNORE).sum()), ("labels",))
"""Binary cross-entropy with soft labels at the end of each step: -(y log p + (1 - y) log(1 - p)), mean over steps."""


def _token_total(logits: Tensor, batch: Batch) -> Tensor:
    labels = batch["labels"]
    read = before_labels(batch)
    return cross_entropy(_of(logits, read).float(), labels[:, 1:][read[:, :-1]], reduction="sum")


def before_labels(batch: Batch) -> Tensor:
    """[B, T] where the next token has a label: position t predicts token t + 1."""
    read = torch.zeros_like(batch["labels"], dtype=torch.bool)
    read[:, :-1] = batch["labels"][:, 1:] != IGNORE
    return read


def _of(logits: Tensor, read: Tensor) -> Tensor:
    """[n, V] the logits at the n positions of ``read`` [B, T], of all logits or of those alone."""
    return logits[read] if logits.shape[:2] == read.shape else logits[0]


TOKEN_CE = Objective(
    _token_total, lambda batch: int((batch["labels"][:, 1:] != IGNORE).sum()), ("labels",), before_labels
)
"""Next-token cross-entropy over the tokens that have a label, mean over tokens."""


def sequence_logprobs(logits: Tensor, labels: Tensor) -> Tensor:
    """[B] sum of the log-probabilities of the labelled tokens, in fp32."""
    read = before_labels({"labels": labels})
    logprobs = -cross_entropy(_of(logits, read).float(), labels[:, 1:][read[:, :-1]], reduction="none")
    rows = read.nonzero()[:, 0]
    return torch.zeros(labels.shape[0], device=logits.device).index_add(0, rows, logprobs)


def implicit_bce(beta: float) -> Objective:
    """Cross-entropy of the outcome with sigmoid(beta * log-ratio of the solution) (arXiv 2412.01981, eq. 5).

    The batch carries each solution's ``reference`` log-probability and its ``outcome`` in [0, 1].
    """

    def total(logits: Tensor, batch: Batch) -> Tensor:
        margin = beta * (sequence_logprobs(logits, batch["labels"]) - batch["reference"])
        outcome = batch["outcome"]
        return -(outcome * logsigmoid(margin) + (1 - outcome) * logsigmoid(-margin)).sum()

    return Objective(
        total, lambda batch: int(batch["outcome"].shape[0]), ("labels", "reference", "outcome"), before_labels
    )


@dataclass(frozen=True, slots=True)
class Collator:
    """Right-pads features to one batch: ``labels`` with IGNORE, the inputs with ``pad`` under an attention mask."""

    pad: int

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Tensor]:
        width = max(len(feature["input_ids"]) for feature in features)
        batch: dict[str, Tensor] = {}
        for name in features[0]:
            values = [feature[name] for feature in features]
            if name in ("input_ids", "labels"):
                fill = self.pad if name == "input_ids" else IGNORE
                values = [value + [fill] * (width - len(value)) for value in values]
            batch[name] = torch.tensor(values)
        lengths = torch.tensor([len(feature["input_ids"]) for feature in features])
        batch["attention_mask"] = (torch.arange(width)[None, :] < lengths[:, None]).long()
        return batch
