"""The questions of the study and their split, by hash alone: word problems people wrote, templated ones for spread.

Knows files of questions and hashes. Must not know models. A question lands in the same part whatever else is in the
file, and no question is in two parts.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PARTS = ("sft", "train", "validation", "test", "worked")
NATURAL = {"test": 360, "validation": 180, "sft": 1600}
"""How many natural questions each part holds; the rest are ``train``."""
TEMPLATED = {"test": 60, "validation": 30, "sft": 100, "train": 75, "worked": 250}
"""How many templated questions of each number of steps (1 to 4) each part holds."""
STEPS = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Row:
    """A question, its worked solution (a step a line, the answer last), its answer, and where it comes from."""

    id: str
    question: str
    solution: str
    answer: str
    kind: str
    """``natural``, or ``templated-N`` with N operations."""


def split(natural_file: Path) -> dict[str, list[Row]]:
    """The four parts, disjoint by text; the order in each part is that of the hashes."""
    natural = sorted(_natural(natural_file), key=lambda row: _hash(row.question))
    parts: dict[str, list[Row]] = {}
    start = 0
    for part, count in NATURAL.items():
        parts[part] = natural[start : start + count]
        start += count
    parts |= {"train": natural[start:], "worked": []}
    for steps in STEPS:
        made = _templated(steps, sum(TEMPLATED.values()))
        for part, count in TEMPLATED.items():
            parts[part] += [next(made) for _ in range(count)]
    return {part: sorted(parts[part], key=lambda row: _hash(row.question)) for part in PARTS}


def _natural(file: Path) -> Iterator[Row]:
    """The distinct questions; one that comes twice with two answers is left out."""
    found: dict[str, Row] = {}
    bad: set[str] = set()
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            given = json.loads(line)
            text = " ".join(given["question"].split())
            row = Row(f"n-{_hash(text)}", text, given["solution"], given["answer"], "natural")
            if found.setdefault(row.id, row).answer != row.answer:
                bad.add(row.id)
    return (row for row in found.values() if row.id not in bad)


# fmt: off
_NAMES = (
    "Ana", "Ben", "Carla", "Dev", "Ema", "Finn", "Gita", "Hugo", "Iris", "Jon", "Kim",
    "Leo", "Mia", "Nils", "Olga", "Pia", "Raj", "Sara", "Tom", "Uma", "Vera", "Will",
)
_THINGS = (
    "apples", "marbles", "stickers", "books", "coins", "shells",
    "cards", "pencils", "cookies", "stamps", "buttons", "beads",
)
# fmt: on
_TIMES = {2: "twice", 3: "three times", 4: "four times"}
_GAINS = (
    "{name} buys {n} more {things}.",
    "{other} gives {name} {n} {things}.",
    "{name} finds {n} {things} at home.",
    "Then {name} wins {n} {things}.",
)
_LOSSES = (
    "{name} gives {n} {things} to {other}.",
    "{name} loses {n} {things}.",
    "{other} takes {n} of them.",
    "Then {name} sells {n} {things}.",
)


def _templated(steps: int, count: int) -> Iterator[Row]:
    """``count`` distinct questions of ``steps`` operations, the same every time."""
    rng = random.Random(f"templated/{steps}")
    seen: set[str] = set()
    while len(seen) < count:
        question, lines, answer = _tale(rng, steps)
        if question not in seen:
            seen.add(question)
            solution = "\n".join([*lines, f"Answer: {answer}"])
            yield Row(f"t{steps}-{_hash(question)}", question, solution, str(answer), f"templated-{steps}")


def _tale(rng: random.Random, steps: int) -> tuple[str, list[str], int]:
    name, other = rng.sample(_NAMES, 2)
    things = rng.choice(_THINGS)
    words = {"name": name, "other": other, "things": things}
    have = rng.randint(3, 30)
    sentences, lines = [f"{name} has {have} {things}."], []
    for _ in range(steps):
        kind = rng.choice("++--*" if 2 <= have <= 60 else "-" if have > 60 else "+")
        if kind == "*":
            n = rng.choice(list(_TIMES))
            sentences.append(f"{other} has {_TIMES[n]} as many and swaps with {name}.")
        else:
            n = rng.randint(2, 30) if kind == "+" else rng.randint(1, have - 1)
            sentences.append(rng.choice(_GAINS if kind == "+" else _LOSSES).format(n=n, **words))
        after = {"+": have + n, "-": have - n, "*": have * n}[kind]
        lines.append(f"{have} {kind} {n} = {after}")
        have = after
    return " ".join([*sentences, f"How many {things} does {name} have now?"]), lines, have


def write(parts: dict[str, list[Row]], folder: Path) -> None:
    """One JSONL file a part."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in parts.items():
        text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{part}.jsonl").write_text(text, encoding="utf-8")


def read(folder: Path, part: str) -> list[Row]:
    """The rows of a part that ``write`` wrote."""
    with open(folder / f"{part}.jsonl", encoding="utf-8") as lines:
        return [Row(**json.loads(line)) for line in lines]


def of_each_kind(rows: Iterable[Row], natural: int, templated: int) -> list[Row]:
    """The first ``natural`` natural rows and the first ``templated`` of each number of steps, in the order given."""
    left = {"natural": natural} | {f"templated-{steps}": templated for steps in STEPS}
    kept = []
    for row in rows:
        if left[row.kind]:
            left[row.kind] -= 1
            kept.append(row)
    return kept


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
