"""Training documents for the generator: questions with one or several of the student's attempts.

Knows: the domain and the layout. Must not know: models, schedules.
A chunk of documents is a pure function of (kind, seed, index), so a resumed training sees what it would have seen.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from ttscale.reference import _student
from ttscale.reference._expressions import read
from ttscale.reference._format import answer_of, pieces, prompt
from ttscale.reference._problems import Problem, stream
from ttscale.reference.build.tokenizer import vocabulary

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
    return documents


def solution_document(question: str, attempts: list[str], counted: list[bool] | None = None) -> Document:
    """The prompt and the attempts; the loss is on the attempts (on those ``counted``, if given)."""
    ids = encode(prompt(question))
    counts = [False] * len(ids)
    for i, attempt in enumerate(attempts):
        tokens = [*encode(attempt), EOS_ID]
        ids += tokens
        counts += [counted is None or counted[i]] * len(tokens)
    return Document(ids, counts)
