"""The implicit process reward: the running log-likelihood ratio of two language models (arXiv 2412.01981).

Knows: two ``HFModel``s over one tokenizer and the calibration. Must not know: search.

With one model trained on correct solutions only and the generator as reference, Bayes gives
p(step | prefix, correct) / p(step | prefix) = V(prefix + step) / V(prefix): the sum of log-ratios up to a step is that
step's log-value relative to the question's. It is calibrated to [0, 1] by ``sigmoid(bias + scale * sum)``; ``scale``
and ``bias`` come from ``ttscale_verifier.json`` beside the correct-only model, ``{"scale": 1.0, "bias": 0.0}``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch

from ttscale._cost import Cost
from ttscale._errors import RoleError
from ttscale._requests import Score, Verdict
from ttscale.hf.generator import UNSET as _UNSET
from ttscale.hf.generator import Sampler, Settings
from ttscale.hf.model import HFModel
from ttscale.hf.prompts import PromptFormat, read_settings

BATCH = 32


class ImplicitVerifier:
    """One score per step from the log-likelihoods of ``model`` against ``reference``.

    Both must share one tokenizer. ``scale`` and ``bias`` default to the model's ``ttscale_verifier.json``.
    """

    def __init__(
        self,
        model: HFModel | str,
        reference: HFModel | str,
        *,
        scale: float | None = None,
        bias: float | None = None,
        prompt: PromptFormat | None = None,
    ) -> None:
        self.model = model if isinstance(model, HFModel) else HFModel(model)
        self.reference = reference if isinstance(reference, HFModel) else HFModel(reference)
        own = read_settings(self.model.name, "ttscale_verifier.json")
        self.scale = float(own.get("scale", 1.0) if scale is None else scale)
        self.bias = float(own.get("bias", 0.0) if bias is None else bias)
        self.name = f"implicit({self.model.name})"
        self.worker = self.model.worker
        self._sampler = Sampler(self.model, Settings(self.model, _UNSET, None, _UNSET, _UNSET, _UNSET, None, prompt))

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One verdict per request, one probability per step."""
        began = time.perf_counter()
        sequences = [self._ids(request) for request in requests]
        distinct = sorted({ids for ids, _ in sequences}, key=len)
        ratios: dict[tuple[int, ...], list[float]] = {}
        for begin in range(0, len(distinct), BATCH):
            batch = distinct[begin : begin + BATCH]
            ratios.update(zip(batch, self._ratios(batch), strict=True))
        paid: set[tuple[int, ...]] = set()
        verdicts: list[Verdict] = []
        for request, (ids, ends) in zip(requests, sequences, strict=True):
            scores = []
            for end in ends:
                total = math.fsum(ratios[ids][ends[0][0] - 1 : end[1] - 1])
                scores.append(self._calibrate(total, request))
            fresh = ids not in paid
            paid.add(ids)
            cost = Cost(
                verifier_tokens=2 * len(ids) if fresh else 0,
                flops=sum(m.flops(len(ids), 0, len(ids)) for m in (self.model, self.reference)) if fresh else 0.0,
                seconds=(time.perf_counter() - began) / len(requests) if len(verdicts) == 0 else 0.0,
            )
            verdicts.append(Verdict(tuple(scores), cost))
        return verdicts

    def _ids(self, request: Score) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        """All tokens of the candidate with its context, and where each step begins and ends in them."""
        candidate = request.candidate
        if not candidate.steps:
            raise RoleError(f"cannot score the empty candidate {candidate.key} of question {candidate.question.id}")
        root = type(candidate)(candidate.question, candidate.key, (), "open", candidate.attempts)
        ids = list(self._sampler.prefix(root)[1])
        spans = []
        for step in candidate.steps:
            begin = len(ids)
            if step.tokens or not step.text:
                ids += step.tokens
            else:
                ids += self.model.tokenizer(step.text, add_special_tokens=False)["input_ids"]
            spans.append((begin, len(ids)))
        if candidate.finish == "stop" and self.model.tokenizer.eos_token_id is not None:
            ids.append(self.model.tokenizer.eos_token_id)
            spans[-1] = (spans[-1][0], len(ids))
        if len(ids) > min(self.model.context_length, self.reference.context_length):
            raise RoleError(
                f"candidate {candidate.key} of question {candidate.question.id} is {len(ids)} tokens long, "
                "more than the verifier reads"
            )
        return tuple(ids), spans

    @torch.inference_mode()
    def _ratios(self, batch: Sequence[tuple[int, ...]]) -> list[list[float]]:
        """For every sequence the log-ratio of each token but the first, in fp32."""
        width = max(map(len, batch))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in batch], device=self.model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch], device=self.model.device)
        logs = []
        for model in (self.model, self.reference):
            logits = model.module(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
            logs.append(logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].double())
        ratio = (logs[0] - logs[1]).tolist()
        return [row[: len(ids) - 1] for row, ids in zip(ratio, batch, strict=True)]

    def _calibrate(self, total: float, request: Score) -> float:
        if not math.isfinite(total):
            raise RoleError(f"the likelihood ratio of candidate {request.key} of {request.question.id} is {total}")
        x = self.bias + self.scale * total
        return round(1 / (1 + math.exp(-x)) if x > -700 else 0.0, 6)
