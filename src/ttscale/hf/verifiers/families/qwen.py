"""Qwen2.5-Math-PRM and its kin: two labels from a small head on the hidden state at ``<extra_0>`` after each step.

The head, ``score.0`` and ``score.2`` with a ReLU between them, is read from the files: no remote code,
which no longer runs with current versions of transformers. Scores are taken by position; the published way of decoding
them (all entries that are not zero) loses those that underflow.
"""

from __future__ import annotations

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import LinearHead, native_head
from ttscale.hf.verifiers.checkpoint_tensors import read_tensors
from ttscale.prompts.verifier_layouts import QwenPRMLayout

HEAD = ("score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias")


class QwenPRM:
    """Trained on labels by people and judges too; the authors multiply the step scores for best-of-N."""

    aggregate: Aggregate = "prod"

    def __init__(self, model: HFModel) -> None:
        self.encode = QwenPRMLayout(model.tokenizer).encode
        self.head = native_head(model, labels=2)

    def read(self, hidden: Tensor, /) -> Tensor:
        """P(label 1)."""
        return self.head.logits(hidden).softmax(-1)[:, 1]


def mlp_head(checkpoint: str, allow_pickle: bool = False) -> LinearHead:
    """The head of Qwen's reward models, process and outcome."""
    first, first_bias, second, second_bias = read_tensors(checkpoint, HEAD, allow_pickle)
    return LinearHead((first, first_bias), (second, second_bias))
