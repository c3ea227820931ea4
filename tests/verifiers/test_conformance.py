"""Verifiers and revisers made of functions and of other roles, held to the suites that third parties use."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ttscale import Candidate, Completion, Cost, Sample, Step
from ttscale.revisers import PromptedReviser
from ttscale.testing import ReviserTests, VerifierTests, as_async, as_session
from ttscale.verifiers import EnsembleVerifier, FunctionVerifier, JudgeVerifier


def chance(text: str) -> float:
    """A number in [0, 1) that any text has."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


def by_step(candidate: Candidate) -> list[float]:
    begun = [candidate.steps[: n + 1] for n in range(len(candidate.steps))]
    return [chance("".join(step.text for step in steps)) for steps in begun]


async def later(candidate: Candidate) -> float:
    return chance(candidate.text)


class Chatter:
    """A generator that replies to everything, each key in its own words."""

    name = "chatter"

    def sample(self, requests: Any, /) -> list[Completion]:
        return [self._reply(request) for request in requests]

    def _reply(self, request: Sample) -> Completion:
        said = chance(f"{request.question.prompt}{request.key.seed}")
        steps = (
            Step("Let me see.\n", (1, 2, 3)),
            Step(f"Answer: {int(1000 * said)} {'Yes' if said > 0.5 else 'No'}", (4,)),
        )
        return Completion(steps, "stop", Cost(sampled_tokens=5, prompt_tokens=len(request.question.prompt)))


def judge(generator: Any, votes: int) -> JudgeVerifier:
    return JudgeVerifier(generator, votes=votes)


VERIFIERS: dict[str, Any] = {
    "one score": lambda: FunctionVerifier(lambda candidate: chance(candidate.text)),
    "a score per step": lambda: FunctionVerifier(by_step),
    "yes or no": lambda: FunctionVerifier(lambda candidate: candidate.answer == "7"),
    "awaited": lambda: FunctionVerifier(later),
    "judge": lambda: judge(Chatter(), 5),
    "awaited judge": lambda: judge(as_async(Chatter()), 5),
    "ensemble": lambda: EnsembleVerifier([FunctionVerifier(by_step), FunctionVerifier(later), judge(Chatter(), 3)]),
}


class TestVerifiers(VerifierTests):
    @pytest.fixture(params=VERIFIERS.values(), ids=VERIFIERS)
    def verifier(self, request: pytest.FixtureRequest) -> Any:
        return request.param()


WAYS: dict[str, Any] = {
    "batch": Chatter,
    "awaited": lambda: as_async(Chatter()),
    "session": lambda: as_session(Chatter()),
}


class TestPromptedReviser(ReviserTests):
    @pytest.fixture(params=WAYS.values(), ids=WAYS)
    def reviser(self, request: pytest.FixtureRequest) -> PromptedReviser:
        return PromptedReviser(request.param())
