"""Math-Shepherd (peiyi9979/math-shepherd-mistral-7b-prm): a plain LM that answers + or - at a tag after each step.

Format of the model card: ``{question} {step 1} ки\\n{step 2} ки\\n``, no chat template, no system prompt. Read at the
tag itself: softmax over the logits of "+" and "-". A tag that is not preceded by a space is another token, and its step
would silently lose its score; here that is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import lm_head
from ttscale.prompts.verifier_layouts import Cleaner, Encoded, tokens_at

TAG = "ки"


class MathShepherd:
    """A verifier trained on Monte-Carlo labels; its paper takes the least step score of a solution."""

    aggregate: Aggregate = "min"

    def __init__(self, model: HFModel) -> None:
        self._tokenizer: Any = model.tokenizer
        self._cleaner = Cleaner(self._tokenizer, TAG)
        self._tag = self._tokenizer(TAG, add_special_tokens=False)["input_ids"][-1]
        verdicts = self._tokenizer("+ -", add_special_tokens=False)["input_ids"]
        if len(verdicts) != 2:
            raise ValueError(
                f"{model.name!r} is no Math-Shepherd model: its tokenizer makes {len(verdicts)} tokens of '+ -'"
            )
        self.head = lm_head(model, verdicts)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """Attempts are not part of the format."""
        text, places = self._cleaner.question(question), []
        for number, step in enumerate(steps):
            text += ("\n" if number else " ") + self._cleaner.step(step) + " " + TAG
            places.append(len(text) - 1)
        ids, reads = tokens_at(self._tokenizer, text + "\n" * bool(steps), places, special=True)
        for number, read in enumerate(reads, 1):
            if ids[read] != self._tag:
                raise ValueError(
                    f"the tag after step {number} became the token {ids[read]} instead of {self._tag}; this tokenizer "
                    "is not the one the model was trained with"
                )
        return Encoded(ids, reads)

    def read(self, hidden: Tensor, /) -> Tensor:
        """P("+") against "-"."""
        return self.head.logits(hidden).softmax(-1)[:, 0]
