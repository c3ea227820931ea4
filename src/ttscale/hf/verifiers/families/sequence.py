"""Outcome reward models for sequence classification with one label, and Qwen2.5-Math-RM: one score for a solution.

The chat template lays out question and solution. transformers reads these models at the last token that is not its
padding token; where padding and end of sequence are the same id, that is not the last token of the text, and the model
was trained so. The position is recorded here, so it depends on nothing else in a batch. The raw logit is unbounded and
goes through a sigmoid: votes weighted by negative scores would favour the answer fewest solutions have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import Cleaner, Encoded, native_head
from ttscale.prompts.layouts import QWEN_MATH, Messages, chat_turns


class SequenceORM:
    """Any checkpoint of AutoModelForSequenceClassification with one label.

    ``system`` puts the system prompt of Qwen2.5-Math before the question, as its reward model expects.
    """

    aggregate: Aggregate = "last"

    def __init__(self, model: HFModel, system: bool = False) -> None:
        self._tokenizer: Any = model.tokenizer
        self._cleaner = Cleaner(self._tokenizer)
        self._pad: int | None = model.config.pad_token_id
        self._system = system
        self.head = native_head(model, labels=1)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """One position for the whole solution. Attempts are not part of the format."""
        question, solution = self._cleaner.question(question), self._cleaner.step("".join(steps))
        turns: Messages = chat_turns(QWEN_MATH.prompt, question) if self._system else []
        turns = turns or [{"role": "user", "content": question}]
        turns = [*turns, {"role": "assistant", "content": solution}]
        if self._tokenizer.chat_template:
            text = self._tokenizer.apply_chat_template(turns, tokenize=False)
            # The template has written the BOS token already.
            ids = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        else:
            ids = list(self._tokenizer(f"{question}\n{solution}")["input_ids"])
        read = len(ids) - 1
        while read > 0 and self._pad is not None and ids[read] == self._pad:
            read -= 1
        return Encoded(ids, [read])

    def read(self, hidden: Tensor, /) -> Tensor:
        """Sigmoid of the reward."""
        return self.head.logits(hidden)[:, 0].sigmoid()
