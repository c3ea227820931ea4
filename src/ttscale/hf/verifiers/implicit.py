"""The implicit process reward: the running log-likelihood ratio of two language models (arXiv 2412.01981).

Knows: two ``HFModel``s over one tokenizer and the calibration. Must not know: search, how likelihoods are computed.

With a model of right solutions and the generator as reference, Bayes gives p(step | prefix, right) / p(step | prefix) =
V(prefix + step) / V(prefix): the running sum of log-ratios is a process reward. The score of a step is ``sigmoid(scale
* curve(S) + bias)``. S is the sum over the tokens so far of [log p - w log p_reference]. The last step of a finished
solution includes the end-of-sequence token, unless ``"eos"`` is false because the model was not taught with it.

``curve`` is "linear" (S itself) or "log" (sign(S) log(1 + |S|)): a token that is out of the question says little more
than one that is unlikely. So the straight line is too sure of itself. Neither changes which solution ranks higher.
``ttscale_verifier.json`` beside the model holds ``{"kind": "implicit", "reference": "../generator", "reference_weight":
w, "scale": 1.0, "bias": 0.0, "curve": "linear", "eos": true}``, every field optional; with w = 0 the reference is
neither loaded nor run. With ``"attempts": true`` the model reads a revision's earlier attempts in its context, else the
bare question.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from ttscale.core.checks import check_choice
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError, TooLongError
from ttscale.core.requests import Score, Verdict
from ttscale.core.selection import Aggregate
from ttscale.core.types import Step, said_steps
from ttscale.core.unscored import OnError, check_on_error, settle
from ttscale.hf.known_logprobs import Span
from ttscale.hf.model import HFModel
from ttscale.hf.shared_kv.run_sequences import Run
from ttscale.hf.verifiers.likelihood import Likelihood
from ttscale.prompts.steps import step_ids
from ttscale.prompts.tokenize import PromptFormat, encode, read_settings

Curve: TypeAlias = Literal["linear", "log"]
DIGITS = 5
"""Scores are rounded to this: in fp32 the sums carry rounding noise that depends on what ran in the same batch."""


class ImplicitVerifier:
    """One score per step from the log-likelihoods of ``model`` against ``reference``, which share one tokenizer.

    What is left out comes from the model's ``ttscale_verifier.json``, the reference included (``reference_weight`` is 1
    where nothing says otherwise). A model used by several roles should be one ``HFModel``: what a generator has drawn
    from it is then not run again. ``on_error`` and ``thoughts`` are those of ``HFVerifier``.
    """

    aggregate: Aggregate = "last"

    def __init__(
        self,
        model: HFModel | str,
        reference: HFModel | str | None = None,
        *,
        scale: float | None = None,
        bias: float | None = None,
        reference_weight: float | None = None,
        curve: Curve | None = None,
        attempts: bool | None = None,
        eos: bool | None = None,
        thoughts: bool = False,
        prompt: PromptFormat | None = None,
        on_error: OnError | None = None,
    ) -> None:
        self.on_error = check_on_error(on_error)
        self.model = model if isinstance(model, HFModel) else HFModel(model)
        own = read_settings(self.model.name, "ttscale_verifier.json")
        self.scale = float(own.get("scale", 1.0) if scale is None else scale)
        self.bias = float(own.get("bias", 0.0) if bias is None else bias)
        weight = own.get("reference_weight", 1.0) if reference_weight is None else reference_weight
        self.reference_weight = float(weight)
        self.curve: Curve = own.get("curve", "linear") if curve is None else curve
        check_choice("curve", self.curve, get_args(Curve))
        self.attempts = bool(own.get("attempts", False) if attempts is None else attempts)
        self.thoughts = thoughts
        self.sampling: dict[str, object] = {"thoughts": True} if thoughts else {}
        self.eos = bool(own.get("eos", True) if eos is None else eos)
        self.reference: HFModel | None = None
        if self.reference_weight:
            self.reference = _reference(self.model, reference, own.get("reference"))
        self._models = [(1.0, Likelihood(self.model))]
        if self.reference is not None:
            self._models.append((-self.reference_weight, Likelihood(self.reference)))
        self._limit = min(m.context_length for m in (self.model, self.reference) if m is not None)
        form = self.model.settings.get("prompt", {})
        self._prompt = PromptFormat.from_json(form) if prompt is None else prompt
        self.name = f"implicit({self.model.name})"
        self.worker = self.model.worker
        self.weights = tuple(m.name for m in (self.model, self.reference) if m is not None)

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One verdict per request, a probability for each step."""
        plans = [self._encode(request) for request in requests]
        sequences = [plan for plan in plans if not isinstance(plan, RoleError)]
        sums = [[0.0] * len(spans) for _, spans in sequences]
        spent = [Cost()] * len(sequences)
        for weight, likelihood in self._models:
            found, costs = likelihood.steps(sequences)
            sums = [
                [total + weight * value for total, value in zip(*pair, strict=True)]
                for pair in zip(sums, found, strict=True)
            ]
            spent = [cost + _cost(more) for cost, more in zip(spent, costs, strict=True)]
        scored = iter(zip(sums, spent, strict=True))
        replies = [
            plan if isinstance(plan, RoleError) else self._verdict(request, *next(scored))
            for request, plan in zip(requests, plans, strict=True)
        ]
        return settle(replies, self.on_error)

    def _encode(self, request: Score) -> tuple[tuple[int, ...], list[Span]] | RoleError:
        """The question's and the solution's tokens, and where each step begins and ends in them; or what is wrong."""
        candidate, tokenizer = request.candidate, self.model.tokenizer
        where = f"candidate {candidate.key} of question {candidate.question.label}"
        if not candidate.steps:
            return RoleError(f"cannot score a candidate without steps: {where}")
        earlier = [attempt for attempt in candidate.attempts if attempt.steps] if self.attempts else []
        attempts = [attempt.text if self.thoughts else attempt.spoken for attempt in earlier]
        ids = encode(tokenizer, self._prompt, candidate.question.prompt, attempts)
        if not ids:
            return RoleError(f"the prompt of {where} has no tokens, so its first step cannot be scored")
        spans = []
        for step, said in zip(candidate.steps, said_steps(candidate, self.thoughts), strict=True):
            begin = len(ids)
            ids += step_ids(tokenizer, step if said == step.text else Step(said or ""))
            spans.append((begin, len(ids)))
        if self.eos and candidate.finish == "stop" and tokenizer.eos_token_id is not None:
            ids.append(tokenizer.eos_token_id)
            spans[-1] = (spans[-1][0], len(ids))
        if len(ids) > self._limit:
            return TooLongError(f"{where} is {len(ids)} tokens long; the verifier reads at most {self._limit}")
        return tuple(ids), spans

    def _verdict(self, request: Score, steps: list[float], cost: Cost) -> Verdict | RoleError:
        scores, total = [], 0.0
        for step in steps:
            total += step
            if not math.isfinite(total):
                return RoleError(
                    f"the log-likelihood of candidate {request.key} of question {request.question.label} is {total}: "
                    "broken weights, or tokens the verifier gives no probability"
                )
            x = self.bias + self.scale * bend(total, self.curve)
            scores.append(round(1 / (1 + math.exp(-x)) if x > -700 else 0.0, DIGITS))
        return Verdict(tuple(scores), cost)

    def __repr__(self) -> str:
        return f"ImplicitVerifier({self.model.name!r})"


def bend(total: float, curve: Curve) -> float:
    """The running sum as the sigmoid reads it; increasing."""
    return total if curve == "linear" else math.copysign(math.log1p(abs(total)), total)


def _reference(model: HFModel, reference: HFModel | str | None, saved: Any) -> HFModel:
    """The reference that was given, else the one the checkpoint names (relative to its folder, or an id)."""
    if isinstance(reference, HFModel):
        return reference
    if reference is None:
        if not saved:
            raise ValueError(f"{model.name!r} names no reference model to be compared with; give reference=")
        beside = Path(model.name) / str(saved)
        reference = os.fspath(beside) if beside.is_dir() else str(saved)
    return HFModel(reference)


def _cost(spent: Run) -> Cost:
    return Cost(verifier_tokens=spent.tokens, flops=spent.flops, seconds=spent.seconds)
