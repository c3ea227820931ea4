"""Small generators whose Monte-Carlo values are known, shared by the training tests. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ttscale.core.cost import Cost
from ttscale.core.requests import Completion, Sample
from ttscale.core.types import Step


class TwoStep:
    """Two coins: the first step is "good" with chance ``first``; the answer is right with chance ``after[first step]``.

    So the value of the prefix "good" is ``after["good"]``, and so on: a closed form. Every draw comes from its key.
    """

    name = "two-step"

    def __init__(self, first: float = 0.5, after: dict[str, float] | None = None, unparsable: float = 0.0) -> None:
        self.first = first
        self.after = after or {"good": 0.75, "bad": 0.25}
        self.unparsable = unparsable
        self.asked: list[Sample] = []
        self.calls = 0

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        self.asked += requests
        self.calls += 1
        return [self.one(request) for request in requests]

    def one(self, request: Sample) -> Completion:
        rng = Random(request.key.seed)
        steps = [step.text for step in request.prefix.steps]
        new = []
        if not steps:
            new.append("good\n" if rng.random() < self.first else "bad\n")
        state = (steps + new)[0].strip()
        right = rng.random() < self.after[state]
        if rng.random() < self.unparsable:
            new.append("I do not know")
        else:
            new.append(f"Answer: {7 if right else 8}")
        tokens = tuple(Step(text, tuple(text.encode())) for text in new)
        return Completion(tokens, "stop", Cost(sampled_tokens=sum(len(text) for text in new)))
