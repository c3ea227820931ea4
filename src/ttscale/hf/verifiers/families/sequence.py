"""Outcome reward models for sequence classification with one label, and Qwen2.5-Math-RM: one score for a solution.

The position is recorded with the ids, so it depends on nothing else in a batch. The raw logit is unbounded and goes
through a sigmoid: votes weighted by negative scores would favour the answer fewest solutions have.
"""

from __future__ import annotations

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import native_head
from ttscale.prompts.verifier_layouts import SequenceLayout


class SequenceORM:
    """Any checkpoint of AutoModelForSequenceClassification with one label.

    ``system`` puts the system prompt of Qwen2.5-Math before the question, as its reward model expects.
    """

    aggregate: Aggregate = "last"

    def __init__(self, model: HFModel, system: bool = False) -> None:
        self.encode = SequenceLayout(model.tokenizer, model.config.pad_token_id, system).encode
        self.head = native_head(model, labels=1)

    def read(self, hidden: Tensor, /) -> Tensor:
        """Sigmoid of the reward."""
        return self.head.logits(hidden)[:, 0].sigmoid()
