"""Training documents for the generator: questions with one or several of the student's attempts.

Knows: the domain and the layout. Must not know: models, schedules.
A chunk of documents is a pure function of (kind, seed, index), so a resumed training sees what it would have seen.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from tools.reference_models import student as _student
from tools.reference_models.tokenizer import pieces, vocabulary

from ttscale.reference.expressions import MAX_VALUE, apply, read, show
from ttscale.reference.layout import answer_of, prompt
from ttscale.reference.problems import Problem, stream

IDS = {token: i for i, token in enumerate(vocabulary())}
EOS_ID = IDS["<eos>"]
LONGEST = 640
"""Characters of attempts after which a document gets no further attempt; bounds the cost of attention."""


class Document(NamedTuple):
    """Token ids, per token whether predicting it counts in the loss, and what else a loss needs to know of it."""

    ids: list[int]
    counts: list[bool]
    values: list[tuple[float, ...]] | None = None


def encode(text: str) -> list[int]:
    return [IDS[piece] for piece in pieces(text)]


@dataclass(frozen=True)
class Mix:
    """What documents are made of: attempts per document, and whether wrong solutions are left out."""

    several: float = 0.5
    only_correct: bool = False
    seed: int = 0
    drills: float = 0.0
    """Documents of bare arithmetic per document with a question. Most tokens of a solution only copy the line above;
    drills put the arithmetic where the gradient is."""


def problems(index: int, count: int, seed: int) -> list[Problem]:
    """Training problems of all levels, different in every chunk (up to rare repeats among the easiest)."""
    streams = [stream("train", level, seed * 100_000 + index) for level in (1, 2, 3, 4, 5)]
    return [next(streams[i % 5]) for i in range(count)]


def chunk(mix: Mix, index: int, count: int = 2000) -> list[Document]:
    """``count`` documents."""
    rng = random.Random(f"documents/{mix.seed}/{index}")
    documents = []
    for problem in problems(index, count, mix.seed):
        items = read(problem.prompt)
        attempts = 2 + int(rng.random() * 4) if rng.random() < mix.several else 1
        texts: list[str] = []
        for _ in range(attempts):
            text = _student.attempt(rng, items)
            for _ in range(60):  # rejection, as from outcome labels; never by looking inside a solution
                if not mix.only_correct or answer_of(text) == problem.answer:
                    break
                text = _student.attempt(rng, items)
            else:
                continue
            texts.append(text)
            if sum(map(len, texts)) > LONGEST:
                break
        if texts:
            documents.append(solution_document(problem.prompt, texts))
    documents += [drill(rng, slips=not mix.only_correct) for _ in range(int(count * mix.drills))]
    return documents


def drill(rng: random.Random, slips: bool, lines: int = 16, negative: float = 0.06) -> Document:
    """Single operations and their results, one per line; the loss is on the results."""
    ids, counts = [IDS["<bos>"]], [False]
    for _ in range(lines):
        symbol = "+-*"[int(rng.random() * 3)]
        while True:
            if symbol == "*":
                left = int(rng.random() ** 2 * 100)
                right = int(rng.random() ** 2 * 100)
            else:
                left, right = int(rng.random() * 200), int(rng.random() * (100 if rng.random() < 0.8 else 200))
                if symbol == "-" and left < right and rng.random() < 0.7:
                    left, right = right, left
            if rng.random() < negative:
                left = -left
            if rng.random() < negative / 2:
                right = -right
            if abs(apply(left, symbol, right)) <= MAX_VALUE:
                break
        question = encode(f"{left} {symbol} {right}\n")
        result = [*encode(show(_student.step(rng, [left, symbol, right], slips))), IDS["\n"]]
        ids += question + result
        counts += [False] * len(question) + [True] * len(result)
    return Document(ids, counts)


def solution_document(question: str, attempts: list[str], counted: list[bool] | None = None) -> Document:
    """The prompt and the attempts; the loss is on the attempts (on those ``counted``, if given)."""
    ids = encode(prompt(question))
    counts = [False] * len(ids)
    for i, attempt in enumerate(attempts):
        tokens = [*encode(attempt), EOS_ID]
        ids += tokens
        counts += [counted is None or counted[i]] * len(tokens)
    return Document(ids, counts)
