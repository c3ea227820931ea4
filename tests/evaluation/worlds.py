"""A toy world for evaluations: problems whose difficulty is known, a student who errs, a verifier that mostly sees it.

No torch. Every draw and every score comes from its key, so that a world is a function of its seed. Costs are made up
but depend on the request only.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ttscale.core.cost import Cost
from ttscale.core.requests import Completion, Revise, Sample, Score, Verdict
from ttscale.core.types import Candidate, Step
from ttscale.evaluation.problems.problem import Problem


def problems(count: int) -> list[Problem]:
    """Problem i is solved by one sample with probability (i + 1) / (count + 1)."""
    return [Problem(f"q{i}", f"{(i + 1) / (count + 1)} of {i}", str(100 + i), 1 + i % 5) for i in range(count)]


def chance(prompt: str) -> float:
    return float(prompt.split()[0])


def truth(prompt: str) -> int:
    return 100 + int(prompt.split()[2])


class Student:
    """Writes a working line and an answer; ``cut`` of the solutions never end."""

    name = "student"

    def __init__(self, cut: float = 0.0) -> None:
        self.cut = cut
        self.drawn = 0

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        self.drawn += len(requests)
        return [self._one(request) for request in requests]

    def _one(self, request: Sample) -> Completion:
        rng = Random(request.key.seed)
        steps = []
        prefix = request.prefix.steps
        if not prefix:
            good = rng.random() < chance(request.question.prompt)
            steps.append(_step("good\n" if good else f"bad {rng.randrange(3)}\n"))
            prefix = tuple(steps)
            if request.max_steps == 1:
                return Completion(tuple(steps), "open", _cost(steps))
        if rng.random() < self.cut:
            return Completion(tuple(steps), "length", _cost(steps))
        steps.append(_last(request.question.prompt, prefix[0].text))
        return Completion(tuple(steps), "stop", _cost(steps))


class Pupil:
    """Revises: each attempt after a wrong one is right with half the remaining chance more."""

    name = "pupil"

    def revise(self, requests: Sequence[Revise]) -> list[Completion]:
        return [self._one(request) for request in requests]

    def _one(self, request: Revise) -> Completion:
        rng = Random(request.key.seed)
        p = chance(request.question.prompt)
        for _ in [attempt for attempt in request.attempts if attempt.steps]:
            p += (1 - p) * 0.2
        first = _step("good\n" if rng.random() < p else f"bad {rng.randrange(3)}\n")
        steps = [first, _last(request.question.prompt, first.text)]
        return Completion(tuple(steps), "stop", _cost(steps))


class Examiner:
    """Scores each step high when it is good, low when not, with ``noise``; from the key of the candidate alone."""

    name = "examiner"

    def __init__(self, noise: float = 0.2) -> None:
        self.noise = noise

    def score(self, requests: Sequence[Score]) -> list[Verdict]:
        return [Verdict(self._of(r.candidate), Cost(verifier_tokens=len(r.candidate.steps))) for r in requests]

    def _of(self, candidate: Candidate) -> tuple[float, ...]:
        rng = Random(candidate.key.seed + 1)
        good = candidate.steps[0].text.startswith("good")
        return tuple(
            min(1.0, max(0.0, (0.8 if good else 0.3) + rng.uniform(-self.noise, self.noise))) for _ in candidate.steps
        )


def _last(prompt: str, first: str) -> Step:
    # The three wrong ways lead to two wrong answers, one of them likelier.
    wrong = 1 if first.strip() in ("bad 0", "bad 1") else 2
    return _step(f"Answer: {truth(prompt) + (0 if first.startswith('good') else wrong)}")


def _step(text: str) -> Step:
    return Step(text, tuple(text.encode()))


def _cost(steps: Sequence[Step]) -> Cost:
    tokens = sum(len(step.tokens) for step in steps)
    return Cost(sampled_tokens=tokens, prompt_tokens=4, flops=100.0 * tokens)
