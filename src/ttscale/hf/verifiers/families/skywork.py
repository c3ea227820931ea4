"""Skywork-o1-Open-PRM (Qwen2.5 1.5B and 7B): a value head on the hidden state at the newline after each step.

Ids: those of BOS, question and newline, then for each step its own and the newline's, tokenised apart. The head is
``v_head.summary`` of the checkpoint, one number, through a sigmoid. The checkpoint's configuration points AutoModel at
remote code with a different head that its weights do not fill; so the language model is loaded and the head read from
the files. A newline inside a step would be one more scored step: steps are put on one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import LinearHead, native_head
from ttscale.hf.verifiers.checkpoint_tensors import read_tensors
from ttscale.prompts.verifier_layouts import Cleaner, Encoded, single_id


def value_head(checkpoint: str, allow_pickle: bool = False) -> LinearHead:
    """The head of the checkpoint; an error where either of its tensors is missing."""
    weight, bias = read_tensors(checkpoint, ("v_head.summary.weight", "v_head.summary.bias"), allow_pickle)
    return LinearHead((weight, bias))


class Skywork:
    """The authors recommend no aggregation; the last step's score is our choice, unverified."""

    aggregate: Aggregate = "last"

    def __init__(self, model: HFModel) -> None:
        self._tokenizer: Any = model.tokenizer
        self._cleaner = Cleaner(self._tokenizer, separator="\n")
        self._newline = single_id(self._tokenizer, "\n")
        self.head = native_head(model, labels=1)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """Attempts are not part of the format."""
        text = (self._tokenizer.bos_token or "") + self._cleaner.question(question) + "\n"
        ids = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        reads = []
        for step in steps:
            ids += [*self._tokenizer(self._cleaner.step(step), add_special_tokens=False)["input_ids"], self._newline]
            reads.append(len(ids) - 1)
        return Encoded(ids, reads)

    def read(self, hidden: Tensor, /) -> Tensor:
        """Sigmoid of the value head."""
        return self.head.logits(hidden)[:, 0].sigmoid()
