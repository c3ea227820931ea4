"""The generator's own confidence as a verifier: free, since the draw has recorded it.

It knows the records in ``Step``; it asks no model. Confidence ranks worse than a trained verifier, and a long fluent
mistake is confident too; what it costs is nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from ttscale.core.errors import RoleError
from ttscale.core.requests import Score, Verdict
from ttscale.core.selection import Aggregate
from ttscale.core.types import Step
from ttscale.core.unscored import OnError, check_on_error, each, settle

Measure = Literal["logprob", "certainty"]


class ConfidenceVerifier:
    """Scores a step by how sure the generator was of everything up to its end.

    "logprob": the geometric mean of the probabilities of its tokens, exp(mean log p), at temperature 1. "certainty":
    self-certainty (arXiv 2502.18581), the mean over the tokens of KL(uniform || model) = c >= 0, mapped to [0, 1) by
    c / (1 + c), which keeps its order and does not saturate. Servers send log-probabilities only
    (``OpenAIGenerator(..., logprobs=True)``); the Hugging Face backend records both. ``on_error="unscored"`` lets a
    candidate without such records compete without a score; by default it is an error.
    """

    aggregate: Aggregate = "last"

    def __init__(self, measure: Measure = "logprob", *, on_error: OnError | None = None) -> None:
        self.on_error = check_on_error(on_error)
        if measure not in ("logprob", "certainty"):
            raise ValueError(f'measure must be "logprob" or "certainty"; got {measure!r}')
        self.measure = measure
        self.name = f"confidence({measure})"

    def __repr__(self) -> str:
        return f"ConfidenceVerifier({self.measure!r})"

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One probability per step, each over all steps so far; a step without tokens repeats the one before."""
        return settle(each(self._verdict, requests), self.on_error)

    def _verdict(self, request: Score) -> Verdict:
        total, count = 0.0, 0
        scores = []
        for number, step in enumerate(request.candidate.steps, 1):
            where = f"step {number} of candidate {request.key}, question {request.question.label}"
            n = len(step.tokens) or step.drawn or 0
            value = self._sum(step, n)
            if value is None and (n or step.text):
                raise RoleError(
                    f"{where} carries no {self.measure}: use a generator that records it "
                    f"({'OpenAIGenerator(..., logprobs=True) or ' * (self.measure == 'logprob')}HFGenerator)"
                )
            if value is not None and not value < math.inf:  # -inf is a token of probability 0
                raise RoleError(f"{where} carries a {self.measure} of {value}; are the weights broken?")
            total += value or 0.0
            count += n
            scores.append((total, count))
        if not count:
            raise RoleError(f"candidate {request.key} of question {request.question.label} holds no tokens to judge by")
        return Verdict(tuple(self._map(t / n) if n else self._map(0.0) for t, n in scores))

    def _sum(self, step: Step, n: int) -> float | None:
        """The step's record summed over its tokens; None where there is none."""
        if self.measure == "logprob":
            return step.logprob if n else None
        return None if step.certainty is None or not n else step.certainty * n

    def _map(self, mean: float) -> float:
        if self.measure == "logprob":
            return math.exp(min(0.0, mean))
        return max(0.0, mean) / (1 + max(0.0, mean))
