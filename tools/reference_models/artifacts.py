"""What the stages of the build leave for each other in OUT: weights, samples, chains.

Knows: the folders and files. Must not know: which stage wants what, or how training works.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from tools.reference_models import collect, prm, revision
from tools.reference_models.documents import Document
from tools.reference_models.model import Llama, Shape
from tools.reference_models.sampler import Sampler

from ttscale.reference.problems import questions

T = TypeVar("T")

SHAPE = Shape(width=160, layers=5, heads=4, hidden=416)
EXTRA = 3
"""Blocks on top of the trunk of a discriminative verifier."""


def weights(folder: Path, shape: Shape = SHAPE) -> Llama:
    """The model that a stage left in ``folder``, in full precision."""
    found = Llama(shape)
    found.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return found


def shipped(folder: Path) -> Llama:
    """The model that a stage left in ``folder``, rounded as it ships."""
    found = weights(folder)
    for parameter in found.parameters():
        parameter.data = parameter.data.bfloat16().float()
    return found


def classifier(folder: Path) -> prm.StepClassifier:
    """The step verifier that a stage left in ``folder``."""
    made = prm.StepClassifier(Llama(replace(SHAPE, layers=SHAPE.layers + EXTRA)))
    made.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return made


def finish(made: torch.nn.Module, folder: Path) -> None:
    torch.save(made.state_dict(), folder / "weights.tmp")
    (folder / "weights.tmp").replace(folder / "weights.pt")


def pool(out: Path, split: str, count: int, samples: int, seed: int) -> list[collect.Sampled]:
    """Samples of the generator on a split, drawn once."""
    file = out / "pools" / f"{split}-{count}-{samples}-{seed}.jsonl"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        sampler = Sampler(shipped(out / "generator"))
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        collect.write(part, collect.sample(sampler, questions(count, split, seed=seed), samples, seed))
        part.replace(file)
    return list(collect.read_rows(file))


def one_of(rng: random.Random, rows: Sequence[T]) -> T:
    """Any of them."""
    return rows[int(rng.random() * len(rows))]


def harder(chains: Sequence[revision.Own], begin: int, share: float) -> Callable[[random.Random], revision.Own]:
    """Draws any of the chains; with chance ``share`` one that has a wrong attempt, not counting the first ``begin``."""
    hard = [own for own in chains if not all(right for _, right in own[1][begin:])]
    return lambda rng: rng.choice(hard if rng.random() < share else chains)


def lots(
    name: str, one: Callable[[random.Random], Document | None], count: int = 1000
) -> Callable[[int], list[Document]]:
    """Lots of documents, the i-th a function of its index."""

    def chunk(index: int) -> list[Document]:
        rng = random.Random(f"{name}/{index}")
        return [made for made in (one(rng) for _ in range(count)) if made is not None]

    return chunk


def own_chains(file: Path, made: Llama, count: int, length: int, seed: int, split: str = "train") -> list[revision.Own]:
    """Chains of the model on questions of levels 2 to 5 with student solutions beside them; written once."""
    problems = [problem for level in (2, 3, 4, 5) for problem in questions(count // 4, split, level, seed)]
    chains = once(file, lambda: revision.chains(Sampler(made, 192, revision.LONGEST_CHAIN), problems, length, seed))
    return list(zip(collect.taught(problems, 16, seed), chains, strict=True))


def many_chains(file: Path, made: Llama, count: int, seed: int, student_first: bool) -> list[revision.Own]:
    """Chains of the model on training questions of all levels, those that have a right attempt; written once.

    Five attempts of its own, or one of the student and three of its own.
    """
    problems = [problem for level in (1, 2, 3, 4, 5) for problem in questions(count // 5, "train", level, seed)]
    taught = collect.taught(problems, 16, seed)
    rng = random.Random(f"first/{seed}")
    firsts = [[revision.first(rng, row)] if student_first else [] for row in taught]

    def write() -> Iterator[revision.Chain]:
        sampler = Sampler(made, 192, revision.LONGEST_CHAIN)
        part, length = (1000, 3) if student_first else (600, 5)
        for begin in range(0, count, part):
            some = slice(begin, begin + part)
            yield from revision.continued(sampler, problems[some], firsts[some], length, seed + begin)

    return [own for own in zip(taught, once(file, write), strict=True) if revision.right_of(own)]


def once(file: Path, write: Callable[[], Iterable[revision.Chain]]) -> list[revision.Chain]:
    """The chains in the file, which ``write`` makes where it is missing."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".part").write_text("".join(json.dumps(chain) + "\n" for chain in write()))
        file.with_suffix(".part").replace(file)
    return [[(text, right) for text, right in json.loads(line)] for line in file.read_text().splitlines()]


def solved(rows: list[collect.Sampled]) -> list[collect.Sampled]:
    """The questions that at least one solution answers rightly."""
    return [row for row in rows if any(right for _, _, right in row.solutions)]
