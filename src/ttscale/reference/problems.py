"""The benchmark: seeded problems in five levels, and three splits that cannot overlap.

Knows: how problems are drawn, which split a question belongs to, and the right answers. Must not know: models.
A question's split is a hash of its canonical text, so no seed, level or later version of the generator can move a
test question into the training data.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from ttscale.reference.expressions import MAX_VALUE, PREFIX, SyntaxTree, exact, flatten, read, show, value

LEVELS: dict[int, tuple[int, ...]] = {1: (2,), 2: (3,), 3: (4, 5), 4: (6, 7), 5: (8, 9)}
"""Level -> the numbers of operations it holds."""
SPLITS = {"train": range(80), "validation": range(80, 90), "test": range(90, 100)}
"""Split -> the hash buckets (of 100) it owns."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One benchmark question with its right answer.

    Not a ``ttscale.Question`` on purpose: that one reaches strategies, which must not see an answer.
    """

    id: str
    prompt: str
    answer: str
    level: int


def split_of(prompt: str) -> str:
    """The split that a question belongs to, whoever asks it, from a hash of its canonical text."""
    text = PREFIX + show(read(prompt))
    bucket = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % 100
    return next(name for name, buckets in SPLITS.items() if bucket in buckets)


def stream(split: str, level: int, seed: int) -> Iterator[Problem]:
    """An endless stream of distinct problems of one split and level."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; choose one of {', '.join(map(str, LEVELS))}")
    rng = random.Random(f"ttscale-reference-1/{split}/{level}/{seed}")
    seen: set[str] = set()
    while True:
        operations = LEVELS[level][int(rng.random() * len(LEVELS[level]))]
        tree = _draw(rng, operations)
        if tree is None:
            continue
        items = flatten(tree)
        prompt = PREFIX + show(items)
        if prompt in seen or split_of(prompt) != split:
            continue
        seen.add(prompt)
        yield Problem(f"{split}-{level}-{seed}-{len(seen) - 1}", prompt, str(exact(items)[-1][0]), level)


def questions(n: int, split: str = "test", level: int | None = None, seed: int = 0) -> list[Problem]:
    """``n`` distinct problems; levels 1 to 5 in turn unless ``level`` is given. Same arguments, same problems."""
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    levels = sorted(LEVELS) if level is None else [level]
    streams = [stream(split, each, seed) for each in levels]
    return [next(streams[i % len(streams)]) for i in range(n)]


def _pick(rng: random.Random, weights: dict[str, float]) -> str:
    mark = rng.random() * sum(weights.values())
    for name, weight in weights.items():
        mark -= weight
        if mark < 0:
            return name
    return name


def _draw(rng: random.Random, operations: int) -> SyntaxTree | None:
    """A random tree whose every value is small; ``None`` when this attempt did not find one."""
    if operations == 0:
        return 1 + int(rng.random() * 12) if rng.random() < 0.5 else 10 + int(rng.random() * 90)
    symbol = _pick(rng, {"+": 0.36, "-": 0.34, "*": 0.30})
    # Mostly chains to the left, as people write them; otherwise any shape.
    left_operations = operations - 1 if rng.random() < 0.45 else int(rng.random() * operations)
    for _ in range(12):
        left, right = _draw(rng, left_operations), _draw(rng, operations - 1 - left_operations)
        if left is None or right is None:
            continue
        tree: SyntaxTree = (symbol, left, right)
        result = value(tree)
        # Negative values are in the domain but rare, as in a school book.
        if abs(result) <= MAX_VALUE and (result >= 0 or rng.random() < 0.12):
            return tree
    return None
