"""Process and outcome reward models trained by ttscale: token classification, read at the end of each step.

The input is what ``StepEncoder`` makes of a solution, in training and here; the probability is softmax(logits)[1] at
the position read for each step (an ORM: of the last one). ``ttscale_verifier.json`` beside the weights says the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import native_head
from ttscale.hf.verifiers.input_format import VerifierFormat
from ttscale.prompts.tokenize import encode, piece_ids
from ttscale.prompts.verifier_layouts import Cleaner, Encoded


class StepEncoder:
    """A solution's tokens, without control tokens of its own: one layout for training and inference."""

    def __init__(self, tokenizer: Any, form: VerifierFormat) -> None:
        self._tokenizer = tokenizer
        self._form = form
        self._clean = Cleaner(tokenizer).question

    def __call__(
        self, question: str, steps: Sequence[str], attempts: Sequence[str] = ()
    ) -> tuple[list[int], list[int]]:
        """(token ids, the position to read each step's score at).

        The prompt, then for each step its own ids and the separator's, tokenised apart so that none merges over a
        border; no separator between prompt and first step (TRL's layout).
        """
        tokenizer, form, clean = self._tokenizer, self._form, self._clean
        earlier = [clean(attempt) for attempt in attempts] if form.attempts else []
        ids = encode(tokenizer, form.prompt, clean(question), earlier)
        separator = piece_ids(tokenizer, form.separator)
        if not separator:
            raise ValueError(f"the tokenizer turns the separator {form.separator!r} into no token at all")
        reads = []
        for step in steps:
            ids += piece_ids(tokenizer, clean(step).removesuffix(form.separator)) + separator
            reads.append(len(ids) - 1)
        return ids, reads


class Own:
    """Trained on soft Monte-Carlo values: the paper's choice is the last step's score."""

    aggregate: Aggregate = "last"

    def __init__(self, model: HFModel, form: VerifierFormat) -> None:
        self._encode = StepEncoder(model.tokenizer, form)
        self._last_only = form.kind == "orm"
        self.head = native_head(model, labels=2)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """One position per step; for an ORM the last one only."""
        ids, reads = self._encode(question, steps, attempts)
        return Encoded(ids, reads[-1:] if self._last_only else reads)

    def read(self, hidden: Tensor, /) -> Tensor:
        """P(label 1)."""
        return self.head.logits(hidden).softmax(-1)[:, 1]
