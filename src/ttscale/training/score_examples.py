"""Running a verifier over solutions that are already there: to measure it, to distil it, to take its opinion.

Knows the verifier protocol. Must not know torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from ttscale.api.load_roles import open_role
from ttscale.core.checks import check_count
from ttscale.core.protocols import AnyVerifier
from ttscale.core.requests import Score, Search, Verdict
from ttscale.core.types import Candidate, Key, Outcome, Question, Step
from ttscale.engine.core import Ended
from ttscale.engine.drive import Job, run
from ttscale.evaluation.verifier_quality.report import Judged
from ttscale.training.data.examples import StepExample
from ttscale.training.fit.arguments import examples_of


def candidate_of(example: StepExample, number: int = 0) -> Candidate:
    """The example as a verifier sees it; ``number`` tells solutions of one question apart."""
    question = Question(example.id, example.prompt, example.answers)
    key = Key((0, example.id, "example", number))
    attempts = tuple(
        Candidate(question, key.child("attempt", i), (Step(text),), "stop") for i, text in enumerate(example.attempts)
    )
    steps = tuple(Step(text) for text in example.steps)
    ended = example.answer is not None or example.correct is not None
    return Candidate(question, key, steps, example.finish if ended else "open", attempts)


def verifier_scores(
    verifier: AnyVerifier | str | Path, examples: Iterable[StepExample], *, together: int = 256
) -> list[tuple[float, ...]]:
    """The verifier's scores for each example: one per step (PRM) or one in all (ORM).

    ``verifier``: an object, a path or a Hugging Face id. ``together`` examples are asked for at once. The first that
    the verifier fails on raises its ``RoleError``.
    """
    check_count("together", together)
    examples = examples_of(examples, StepExample)
    verifier = open_role("verifier", verifier)
    scores: dict[int, tuple[float, ...]] = {}

    def scoring(index: int, candidate: Candidate) -> Search[Outcome]:
        (verdict,) = yield [Score(candidate)]
        scores[index] = cast(Verdict, verdict).step_scores
        return Outcome((), (), None)

    def end(index: int, ended: Ended) -> None:
        if ended.error is not None:
            raise ended.error

    candidates = [candidate_of(example, number) for number, example in enumerate(examples)]
    jobs = (Job(candidate, scoring(index, candidate)) for index, candidate in enumerate(candidates))
    run(jobs, {"verifier": verifier}, end, window=together)
    return [scores[index] for index in range(len(examples))]


def judge(verifier: AnyVerifier | str | Path, examples: Iterable[StepExample], *, together: int = 256) -> list[Judged]:
    """The examples with the verifier's scores, for ``quality_report``. They must say whether they are right."""
    examples = examples_of(examples, StepExample)
    unknown = [example.id for example in examples if example.correct is None]
    if unknown:
        raise ValueError(
            f"{len(unknown)} solution(s) do not say whether their answer is right (the first of question "
            f"{unknown[0]!r}), so a verifier cannot be measured on them"
        )
    prompts: dict[str, str] = {}
    for e in examples:
        if prompts.setdefault(e.id, e.prompt) != e.prompt:
            raise ValueError(
                f"two different questions have the id {e.id!r}, so their solutions would be ranked against each other: "
                f"{prompts[e.id][:60]!r} and {e.prompt[:60]!r}; give every question an id of its own"
            )
    return [
        Judged(e.id, bool(e.correct), e.answer, scores, e.labels if len(scores) == len(e.steps) else (), e.answers)
        for e, scores in zip(examples, verifier_scores(verifier, examples, together=together), strict=True)
    ]
