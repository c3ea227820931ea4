"""Solutions sampled from a model, graded by their outcome: what verifiers and revisers learn from.

Knows: problems, sampling, the right final answers. Must not know: what is inside a solution.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.reference_models.documents import encode
from tools.reference_models.sampler import Sampler
from tools.reference_models.student import attempt
from tools.reference_models.tokenizer import vocabulary

from ttscale.reference.expressions import read
from ttscale.reference.layout import answer_of, prompt
from ttscale.reference.problems import Problem

VOCABULARY = vocabulary()


def decode(tokens: Sequence[int]) -> str:
    return "".join(VOCABULARY[token] for token in tokens)


@dataclass(frozen=True)
class Sampled:
    """The distinct solutions sampled for one problem: text, how often, and whether the answer is right."""

    prompt: str
    answer: str
    level: int
    solutions: list[tuple[str, int, bool]]


def sample(
    sampler: Sampler, problems: Sequence[Problem], count: int, seed: int, temperature: float = 1.0
) -> list[Sampled]:
    """``count`` samples of each problem; those without an answer are dropped, as in the paper."""
    prompts = [encode(prompt(problem.prompt)) for problem in problems]
    out = []
    for problem, counter in zip(problems, sampler.sample(prompts, count, seed, temperature), strict=True):
        solutions = []
        for tokens, times in counter.items():
            text = decode(tokens)
            answer = answer_of(text)
            if answer is not None:
                solutions.append((text, times, answer == problem.answer))
        out.append(Sampled(problem.prompt, problem.answer, problem.level, solutions))
    return out


def taught(problems: Sequence[Problem], count: int, seed: int) -> list[Sampled]:
    """The same, from the student instead of a model: what the generator imitates, for the price of a random number."""
    rng = random.Random(f"taught/{seed}")
    out = []
    for problem in problems:
        items = read(problem.prompt)
        counter = Counter(attempt(rng, items) for _ in range(count))
        solutions = [(text, times, answer_of(text) == problem.answer) for text, times in counter.items()]
        out.append(Sampled(problem.prompt, problem.answer, problem.level, solutions))
    return out


def write(path: Path, rows: Sequence[Sampled]) -> None:
    """Append to a JSONL file."""
    with path.open("a") as file:
        for row in rows:
            file.write(json.dumps(asdict(row)) + "\n")


def read_rows(path: Path) -> Iterator[Sampled]:
    """What ``write`` wrote."""
    with path.open() as file:
        for line in file:
            row = json.loads(line)
            row["solutions"] = [(text, times, right) for text, times, right in row["solutions"]]
            yield Sampled(**row)
