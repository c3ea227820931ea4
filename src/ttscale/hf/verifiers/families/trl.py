"""Process reward models trained with TRL: token classification with two labels, read at the end of each separator.

Ids as in TRL's training: BOS if there is one, the prompt's, then for each step its own and the separator's; no
separator after the prompt, no chat template. (TRL's documentation shows another layout, which is not what its trainer
does.) The separator is part of the model: "\\n" by default, a blank line for HuggingFaceH4's Qwen2.5-Math PRMs 0.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import Cleaner, Encoded, native_head


class TRL:
    """TRL recommends no aggregation; the last step's score is our choice, unverified."""

    aggregate: Aggregate = "last"

    def __init__(self, model: HFModel, separator: str = "\n") -> None:
        self._tokenizer: Any = model.tokenizer
        self._cleaner = Cleaner(self._tokenizer, separator=separator)
        self._separator_ids = list(self._tokenizer(separator, add_special_tokens=False)["input_ids"])
        if not self._separator_ids:
            raise ValueError(f"the tokenizer turns the separator {separator!r} into no token at all")
        self.head = native_head(model, labels=2)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """Attempts are not part of the format."""
        bos = self._tokenizer.bos_token_id
        ids = [] if bos is None else [bos]
        ids += self._tokenizer(self._cleaner.question(question), add_special_tokens=False)["input_ids"]
        reads = []
        for step in steps:
            text = self._cleaner.step(step)
            ids += [*self._tokenizer(text, add_special_tokens=False)["input_ids"], *self._separator_ids]
            reads.append(len(ids) - 1)
        return Encoded(ids, reads)

    def read(self, hidden: Tensor, /) -> Tensor:
        """P(LABEL_1), "this step is right"."""
        return self.head.logits(hidden).softmax(-1)[:, 1]
