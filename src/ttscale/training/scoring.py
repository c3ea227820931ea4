"""Running a verifier over solutions that are already there: to measure it, to distil it, to take its opinion.

Knows the verifier protocol. Must not know torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttscale._requests import Score, Verdict
from ttscale._roles import AnyVerifier
from ttscale._types import Candidate, Key, Question, Step
from ttscale.training._ask import asker
from ttscale.training.examples import StepExample
from ttscale.training.quality import Judged


def candidate_of(example: StepExample, number: int = 0) -> Candidate:
    """The example as a verifier sees it; ``number`` tells solutions of one question apart."""
    question = Question(example.id, example.prompt)
    key = Key((0, example.id, "example", number))
    attempts = tuple(
        Candidate(question, key.child("attempt", i), (Step(text),), "stop") for i, text in enumerate(example.attempts)
    )
    steps = tuple(Step(text) for text in example.steps)
    ended = example.answer is not None or example.correct is not None
    return Candidate(question, key, steps, "stop" if ended else "open", attempts)


def verifier_scores(
    verifier: AnyVerifier, examples: Sequence[StepExample], *, batch: int = 256
) -> list[tuple[float, ...]]:
    """The verifier's scores for each example: one per step (PRM) or one in all (ORM)."""
    scores: list[tuple[float, ...]] = []
    requests = [Score(candidate_of(example, number)) for number, example in enumerate(examples)]
    with asker(verifier, verifier.score) as ask:
        for first in range(0, len(requests), batch):
            replies: list[Verdict] = ask(requests[first : first + batch])
            scores += [reply.step_scores for reply in replies]
    return scores


def judge(verifier: AnyVerifier, examples: Sequence[StepExample], *, batch: int = 256) -> list[Judged]:
    """The examples with the verifier's scores, for ``quality_report``. They must say whether they are right."""
    unknown = [example.id for example in examples if example.correct is None]
    if unknown:
        raise ValueError(
            f"{len(unknown)} solution(s) do not say whether their answer is right (the first of question "
            f"{unknown[0]!r}), so a verifier cannot be measured on them."
        )
    return [
        Judged(e.id, bool(e.correct), e.answer, scores, e.labels if len(scores) == len(e.steps) else ())
        for e, scores in zip(examples, verifier_scores(verifier, examples, batch=batch), strict=True)
    ]
