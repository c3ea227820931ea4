"""Process and outcome reward models trained by ttscale: token classification, read at the end of each step.

Knows: two-label heads. Must not know: search.

The input is ``layout.encode_steps``, as in training. The probability is softmax(logits)[1] in fp32 at the position
read for each step (an ORM: of the last one).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from ttscale._cost import Cost
from ttscale._errors import RoleError
from ttscale._requests import Score, Verdict
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.layout import VerifierFormat, encode_steps


class HFVerifier:
    """Scores candidates with a checkpoint's own head."""

    def __init__(self, model: HFModel | str) -> None:
        own = model if isinstance(model, HFModel) else None
        self.model = own or HFModel(str(model), auto_class="AutoModelForTokenClassification")
        self.format = VerifierFormat.of_checkpoint(self.model.name)
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
            steps = [step.text for step in candidate.steps]
            attempts = [attempt.text for attempt in candidate.attempts if attempt.steps]
            ids, reads = encode_steps(self.model.tokenizer, self.format, candidate.question.prompt, steps, attempts)
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
            values = tuple(round(score, 6) for score in (scores[-1:] if self.format.kind == "orm" else scores))
            verdicts.append(Verdict(values, cost))
        return verdicts
