"""Revision training data, as in Snell et al., section 6.1: wrong attempts in context, a right one to learn.

Knows sampled solutions and edit distance. Must not know models or prompts. Every random choice is a hash of (seed,
question, solution), so a question's data does not depend on the other questions.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from ttscale.core.checks import check_choice
from ttscale.core.idioms import needed
from ttscale.evaluation.problems.jsonl import parsed, write_rows
from ttscale.training.data.examples import StepExample, id_in

Last: TypeAlias = Literal["nearest", "random"]


@dataclass(frozen=True, slots=True)
class RevisionExample:
    """Attempts at a question, oldest first (there may be none), and the right solution to write after them."""

    id: str
    prompt: str
    attempts: tuple[str, ...]
    target: str


def build_revision_data(
    solutions: Iterable[StepExample],
    *,
    max_attempts: int = 4,
    last: Last = "nearest",
    keep: float = 0.0,
    seed: int = 0,
) -> list[RevisionExample]:
    """For each right solution n ~ U{0..``max_attempts``} wrong ones of the same question in front of it.

    The maximum is cut to the number of wrong solutions there are. If n > 0, the last one in context is the wrong
    solution nearest to the right one in character edit distance; of equally near ones the first. ``last="random"``
    takes any. The other n - 1 are drawn without replacement from the rest. Solutions without an answer are left out, as
    in the paper. A question without a right solution gives nothing.

    ``keep``: the share of right solutions that are put last into their own context, after the wrong ones, so that the
    reviser learns to keep what is right. Where ``max_attempts`` are there, the oldest makes room. 0 in the paper, whose
    reviser never sees a right attempt and turns 38% of them wrong.
    """
    if max_attempts < 0:
        raise ValueError(f"max_attempts must not be negative, got {max_attempts}")
    if not 0 <= keep <= 1:
        raise ValueError(f"keep must be a share between 0 and 1, got {keep}")
    if keep and not max_attempts:
        raise ValueError("keep needs max_attempts of at least 1: the attempt to keep stands in the context")
    check_choice("last", last, get_args(Last))
    groups: dict[tuple[str, str], list[StepExample]] = defaultdict(list)
    for solution in solutions:
        if solution.correct is None:
            raise ValueError(f"a solution of question {solution.id!r} does not say whether it is right; set correct")
        if solution.answer is not None:
            groups[solution.id, solution.prompt].append(solution)
    data = []
    for (id, prompt), group in groups.items():
        wrong = [s.text for s in group if not s.correct]
        for number, right in enumerate(s.text for s in group if s.correct):
            digest = hashlib.blake2b(f"{seed}/{id}/{number}".encode(), digest_size=8).digest()
            rng = random.Random(int.from_bytes(digest, "big"))
            attempts = _attempts(right, wrong, rng, max_attempts, last)
            if keep and rng.random() < keep:
                attempts = (*attempts[max(0, len(attempts) + 1 - max_attempts) :], right)
            data.append(RevisionExample(id, prompt, attempts, right))
    if not data:
        raise ValueError("none of the solutions is right (or there are none), so there is nothing to learn to write")
    return data


def _attempts(right: str, wrong: Sequence[str], rng: random.Random, most: int, last: Last) -> tuple[str, ...]:
    n = rng.randint(0, min(most, len(wrong)))
    if n == 0:
        return ()
    final = nearest(right, wrong) if last == "nearest" else rng.randrange(len(wrong))
    others = rng.sample([index for index in range(len(wrong)) if index != final], n - 1)
    return tuple(wrong[index] for index in [*others, final])


def nearest(right: str, wrong: Sequence[str]) -> int:
    """Index of the wrong text with the smallest character edit (Levenshtein) distance; of equal ones the first."""
    with needed("revision data needs rapidfuzz: pip install 'ttscale[train]'"):
        from rapidfuzz.distance import Levenshtein
    best, best_distance = 0, None
    for index, text in enumerate(wrong):
        distance = Levenshtein.distance(right, text, score_cutoff=best_distance)
        if best_distance is None or distance < best_distance:
            best, best_distance = index, distance
    return best


def write_revision_data(examples: Iterable[RevisionExample], path: str | Path) -> None:
    """Write revision examples as JSONL."""
    rows = ({"id": e.id, "prompt": e.prompt, "attempts": list(e.attempts), "target": e.target} for e in examples)
    write_rows(rows, path)


def read_revision_data(path: str | Path) -> list[RevisionExample]:
    """Revision examples from JSONL; a malformed line is a ``ValueError`` that names it."""
    examples = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                examples.append(_example(parsed(line)))
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {number}: not a revision example (id, prompt, attempts, target): {error}"
                ) from error
    if not examples:
        raise ValueError(f"{path} holds no revision examples")
    return examples


def _example(row: Any) -> RevisionExample:
    if not isinstance(row, dict):
        raise ValueError("it is not an object")
    for name in ("prompt", "target"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f"no text in {name!r}")
    attempts = row.get("attempts")
    if not isinstance(attempts, list) or not all(isinstance(attempt, str) for attempt in attempts):
        raise ValueError("attempts is not a list of texts")
    return RevisionExample(id_in(row, row["prompt"]), row["prompt"], tuple(attempts), row["target"])
