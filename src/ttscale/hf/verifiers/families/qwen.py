"""Qwen2.5-Math-PRM and its kin: two labels from a small head on the hidden state at ``<extra_0>`` after each step.

A chat: the system prompt the model was trained with, the question, and an assistant turn of all steps, each followed by
``<extra_0>``. The head, ``score.0`` and ``score.2`` with a ReLU between them, is read from the files: no remote code,
which no longer runs with current versions of transformers. Scores are taken by position; the published way of decoding
them (all entries that are not zero) loses those that underflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import Cleaner, Encoded, LinearHead, native_head, single_id, tokens_at
from ttscale.hf.verifiers.checkpoint_tensors import read_tensors
from ttscale.prompts.layouts import QWEN_MATH, chat_turns

MARK = "<extra_0>"
HEAD = ("score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias")


class QwenPRM:
    """Trained on labels by people and judges too; the authors multiply the step scores for best-of-N."""

    aggregate: Aggregate = "prod"

    def __init__(self, model: HFModel) -> None:
        self._tokenizer: Any = model.tokenizer
        self._cleaner = Cleaner(self._tokenizer, MARK)
        self._mark = single_id(self._tokenizer, MARK)
        self.head = native_head(model, labels=2)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """Attempts are not part of the format."""
        said = "".join(self._cleaner.step(step) + MARK for step in steps)
        turns = [
            *chat_turns(QWEN_MATH.prompt, self._cleaner.question(question)),
            {"role": "assistant", "content": said},
        ]
        text: str = self._tokenizer.apply_chat_template(turns, tokenize=False)
        places = [i for i in range(len(text)) if text.startswith(MARK, i)]
        if len(places) != len(steps):
            raise ValueError(f"the chat template shows {len(places)} of {len(steps)} step marks")
        ids, reads = tokens_at(self._tokenizer, text, places, special=False)
        if any(ids[read] != self._mark for read in reads):
            raise ValueError(f"the tokenizer does not keep {MARK} as one token inside a text")
        return Encoded(ids, reads)

    def read(self, hidden: Tensor, /) -> Tensor:
        """P(label 1)."""
        return self.head.logits(hidden).softmax(-1)[:, 1]


def mlp_head(checkpoint: str, allow_pickle: bool = False) -> LinearHead:
    """The head of Qwen's reward models, process and outcome."""
    first, first_bias, second, second_bias = read_tensors(checkpoint, HEAD, allow_pickle)
    return LinearHead((first, first_bias), (second, second_bias))
