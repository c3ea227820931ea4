"""RLHFlow's process and outcome reward models: a chat whose assistant says + or - after each step.

Turns: user ``{question} {step 1}``, assistant "+", user ``{step 2}``, assistant "+", ... Read just before each "+":
softmax over the logits of "+" and "-". Since every earlier turn of the assistant is "+" whatever was predicted, one
forward over the whole chat gives what the authors' loop of one forward per step does. The outcome model sees the whole
solution in a single user turn. No system prompt of ours; the template may add its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import lm_head
from ttscale.prompts.verifier_layouts import Cleaner, Encoded, tokens_at

HOLE = "\ue000"
"""Stands for the assistant's words while the chat is laid out (a private-use character)."""


class RLHFlow:
    """The authors' own evaluation takes the mean of the step scores."""

    aggregate: Aggregate = "mean"

    def __init__(self, model: HFModel, kind: Literal["prm", "orm"] = "prm") -> None:
        self._tokenizer: Any = model.tokenizer
        if not self._tokenizer.chat_template:
            raise ValueError(f"the tokenizer of {model.name!r} has no chat template, which an RLHFlow verifier needs")
        self._cleaner = Cleaner(self._tokenizer, HOLE)
        self._whole = kind == "orm"
        verdicts = [self._tokenizer(verdict, add_special_tokens=False)["input_ids"][-1] for verdict in ("+", "-")]
        self._plus = verdicts[0]
        self.head = lm_head(model, verdicts)

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        """Attempts are not part of the format."""
        said = [self._cleaner.step(step) for step in (["".join(steps)] if self._whole else steps)]
        turns = []
        for number, step in enumerate(said):
            turns.append({"role": "user", "content": step if number else f"{self._cleaner.question(question)} {step}"})
            turns.append({"role": "assistant", "content": HOLE})
        laid_out: str = self._tokenizer.apply_chat_template(turns, tokenize=False)
        pieces = laid_out.split(HOLE)
        if len(pieces) != len(said) + 1:
            raise ValueError(
                f"the chat template shows {len(pieces) - 1} of {len(said)} turns of the assistant; an RLHFlow verifier "
                "needs all of them"
            )
        text, places = pieces[0], []
        for piece in pieces[1:]:
            places.append(len(text))
            text += "+" + piece
        ids, found = tokens_at(self._tokenizer, text, places, special=False)
        for number, index in enumerate(found, 1):
            if ids[index] != self._plus or index == 0:
                raise ValueError(
                    f"the '+' after step {number} became the token {ids[index]} instead of {self._plus}; this chat "
                    "template is not the one the model was trained with"
                )
        return Encoded(ids, [index - 1 for index in found])

    def read(self, hidden: Tensor, /) -> Tensor:
        """P("+") against "-" for the token to come."""
        return self.head.logits(hidden).softmax(-1)[:, 0]
