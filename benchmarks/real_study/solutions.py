"""Sampled solutions: drawn once per part of the questions, with the generator's own confidence; lessons made of them.

Knows pools and labels. Must not know how a verifier is trained.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from benchmarks.real_study.plan import TEMPERATURE, Plan
from benchmarks.real_study.questions import Row

from ttscale.core.types import Candidate, Key, Question, Step
from ttscale.evaluation import Drawn, Pool, draw_pool, grade, load_pool
from ttscale.hf import HFGenerator, HFModel
from ttscale.prompts.layouts import split_steps
from ttscale.training import Problem, StepExample
from ttscale.training.data.step_values import step_counts
from ttscale.verifiers import ConfidenceVerifier

SEED = 0
BF16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
DTYPE = "bfloat16" if BF16 else "float32"
"""Models run in bf16 where the CPU has it: about half the time, and an error of about .1 in a log-likelihood."""


def problems_of(rows: Iterable[Row]) -> list[Problem]:
    """The questions with their answers."""
    return [Problem(row.id, row.question, row.answer) for row in rows]


def generator(folder: Path, plan: Plan) -> HFGenerator:
    """The fine-tuned generator at the study's temperature."""
    return HFGenerator(HFModel(folder / "generator", dtype=DTYPE), temperature=TEMPERATURE, max_new_tokens=plan.longest)


def pool(folder: Path, plan: Plan, part: str, samples: int, seed: int = SEED) -> Pool:
    """``samples`` solutions of each question of a part; a score is exp(mean log-probability), which costs nothing."""
    problems = problems_of(plan.rows(folder, part))
    file = pool_file(folder, part, seed)
    file.parent.mkdir(exist_ok=True)
    if file.is_file():
        stored = load_pool(file)
        if {one.id for one in problems} <= set(stored.questions) and stored.of(problems).size >= samples:
            return stored.of(problems)
    return draw_pool(
        problems,
        file,
        samples,
        generator=generator(folder, plan),
        verifier=ConfidenceVerifier(),
        seed=seed,
        progress=False,
    )


def pool_file(folder: Path, part: str, seed: int = SEED) -> Path:
    """Where the samples of a part are kept."""
    return folder / "pools" / f"{part}-{seed}.jsonl"


def examples(drawn: Pool, problems: Sequence[Problem], most: int | None = None) -> list[StepExample]:
    """Every finished solution among the first ``most`` samples of each question, with its step values: the share of
    right answers among those that go through the step's prefix (soft Monte-Carlo labels that cost no further draw)."""
    found = []
    for problem in problems:
        question = Question(problem.id, problem.prompt)
        solutions = [
            Candidate(question, Key((SEED, problem.id, number)), _steps(one.text), one.finish)
            for number, one in enumerate(drawn.drawn(problem.id)[:most])
            if one.finish == "stop" and one.text.strip()
        ]
        answers = [solution.answer for solution in solutions]
        right = {answer: grade(answer, problem.answer) for answer in {*answers}}
        counts = step_counts(solutions, solutions, {}, right, "shared", "wrong")
        for solution, answer, own in zip(solutions, answers, counts, strict=True):
            texts = tuple(step.text for step in solution.steps)
            labels = tuple(good / n for n, good in own)
            found.append(StepExample(problem.id, problem.prompt, texts, labels, right[answer], answer))
    return found


def solution_of(problem: Problem, one: Drawn) -> StepExample:
    """A drawn solution as an example to be scored, without labels."""
    texts = tuple(step.text for step in _steps(one.text))
    return StepExample(problem.id, problem.prompt, texts, (None,) * len(texts), None, one.answer)


def _steps(text: str) -> tuple[Step, ...]:
    return tuple(Step(part) for part in split_steps(text, "\n"))


def lessons(given: Sequence[StepExample], count: int) -> list[StepExample]:
    """``count`` distinct solutions, as many right as wrong ones of each question, questions in turn by hash."""
    sides: dict[str, tuple[list[StepExample], list[StepExample]]] = defaultdict(lambda: ([], []))
    seen: set[tuple[str, str]] = set()
    for example in given:
        if (example.id, example.text) not in seen:
            seen.add((example.id, example.text))
            sides[example.id][not example.correct].append(example)
    mixed = sorted((id for id, (good, bad) in sides.items() if good and bad), key=_hash)
    kept: list[StepExample] = []
    for place in range(max((min(map(len, sides[id])) for id in mixed), default=0)):
        for id in mixed:
            good, bad = sides[id]
            if place < min(len(good), len(bad)):
                kept += [good[place], bad[place]]
    return kept[:count]


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
