"""Process reward models trained with TRL: token classification with two labels, read at the end of each separator.

The separator is part of the model: "\\n" by default, a blank line for HuggingFaceH4's Qwen2.5-Math PRMs 0.2.
"""

from __future__ import annotations

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import native_head
from ttscale.prompts.verifier_layouts import TRLLayout


class TRL:
    """TRL recommends no aggregation; the last step's score is our choice, unverified."""

    aggregate: Aggregate = "last"

    def __init__(self, model: HFModel, separator: str = "\n") -> None:
        self.encode = TRLLayout(model.tokenizer, separator).encode
        self.head = native_head(model, labels=2)

    def read(self, hidden: Tensor, /) -> Tensor:
        """P(LABEL_1), "this step is right"."""
        return self.head.logits(hidden).softmax(-1)[:, 1]
