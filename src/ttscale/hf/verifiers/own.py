"""Process and outcome reward models trained by ttscale: token classification, read at the end of each step.

Knows: the layout of ``ttscale_verifier.json``. Must not know: search.

Input as trained (TRL's): the prompt's ids, then for each step its ids and the separator's; no separator between prompt
and first step. The probability is softmax(logits)[1] in fp32 at the last id of each separator (an ORM: of the last
one). ``ttscale_verifier.json``: ``{"separator": "\\n", "kind": "prm", "template": "{question}\\n"}``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from ttscale._cost import Cost
from ttscale._errors import RoleError
from ttscale._requests import Score, Verdict
from ttscale.hf.model import HFModel
from ttscale.hf.prompts import PromptFormat, encode, read_settings


class HFVerifier:
    """Scores candidates with a checkpoint's own head."""

    def __init__(self, model: HFModel | str) -> None:
        own = model if isinstance(model, HFModel) else None
        self.model = own or HFModel(str(model), auto_class="AutoModelForTokenClassification")
        settings = read_settings(self.model.name, "ttscale_verifier.json")
        self.separator: str = settings.get("separator", "\n")
        self.kind: str = settings.get("kind", "prm")
        self._prompt = PromptFormat(chat=False, template=settings.get("template", "{question}\n"))
        self._separator_ids = self.model.tokenizer(self.separator, add_special_tokens=False)["input_ids"]
        self.name = self.model.name
        self.worker = self.model.worker

    @torch.inference_mode()
    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One verdict per request: a probability per step, or one for the whole of it (ORM)."""
        verdicts = []
        for request in requests:
            began = time.perf_counter()
            candidate = request.candidate
            if not candidate.steps:
                raise RoleError(f"cannot score the empty candidate {candidate.key} of question {candidate.question.id}")
            ids = encode(self.model.tokenizer, self._prompt, candidate.question.prompt)
            reads = []
            for step in candidate.steps:
                text = step.text.removesuffix(self.separator)
                ids += self.model.tokenizer(text, add_special_tokens=False)["input_ids"] + self._separator_ids
                reads.append(len(ids) - 1)
            if len(ids) > self.model.context_length:
                raise RoleError(
                    f"candidate {candidate.key} of question {candidate.question.id} is {len(ids)} tokens long, the "
                    f"verifier reads at most {self.model.context_length}"
                )
            logits = self.model.module(input_ids=torch.tensor([ids], device=self.model.device)).logits[0].float()
            scores = logits.softmax(-1)[reads, 1].tolist()
            cost = Cost(
                verifier_tokens=len(ids),
                flops=self.model.flops(len(ids), 0, len(ids)),
                seconds=time.perf_counter() - began,
            )
            values = tuple(round(score, 6) for score in (scores[-1:] if self.kind == "orm" else scores))
            verdicts.append(Verdict(values, cost))
        return verdicts
