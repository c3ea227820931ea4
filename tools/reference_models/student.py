"""The slipping student, whose solutions the reference generator learns to imitate.

Knows: which mistakes are made, how often, and where. Must not know: models, tokens, splits.

The student can do arithmetic but slips, in two ways. *Sloppy* slips happen anywhere, rarely, and differ from attempt
to attempt; voting averages them out. *Misconceptions* strike in certain contexts, more often than not, and always the
same way, so that in those contexts the most frequent answer is wrong, voting does not help, and a verifier is needed.
This is a model of a domain, made up for this benchmark on purpose and stated on the model card.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ttscale.reference.expressions import Expression, Item, apply, ready, replace, show

SLOPPY = 0.065
"""Chance of a sloppy slip in a step that no misconception applies to."""
MISCONCEIVED = 0.6
"""Chance that a misconception strikes where it applies."""
_BAD_PRODUCTS = {
    (3, 7): 24, (3, 8): 21, (3, 9): 28, (4, 6): 28, (4, 7): 24, (4, 8): 36, (4, 9): 32, (5, 9): 40, (6, 6): 32,
    (6, 7): 48, (6, 8): 42, (6, 9): 56, (7, 7): 47, (7, 8): 54, (7, 9): 56, (8, 8): 62, (8, 9): 74, (9, 9): 72,
    (7, 11): 79, (8, 12): 92, (6, 12): 66,
}  # fmt: skip


def misconception(left: int, symbol: str, right: int) -> int | None:
    """What the student wrongly but firmly believes this operation gives; ``None`` where they know better."""
    exact = apply(left, symbol, right)
    if symbol == "*":
        wrong = _BAD_PRODUCTS.get((min(left, right), max(left, right)))
        if wrong is None and 0 in (left, right):
            wrong = left + right  # "times nothing changes nothing"
        if wrong is None and min(left, right) >= 2 and exact > 20 and exact % 9 == 4:
            wrong = exact - 10  # the carried ten is forgotten
        return wrong if wrong != exact else None
    if left < 0 or right < 0:
        if exact % 5 == 1:
            return -exact  # the sign is lost
        return None
    if symbol == "+":
        carries = left % 10 + right % 10 >= 10
        return exact - 10 if carries and exact % 9 in (2, 5) else None
    if left < right:
        return right - left if exact % 4 == 0 else None  # always the larger minus the smaller
    borrows = left % 10 < right % 10
    if borrows and exact % 9 in (1, 4):
        return (left // 10 - right // 10) * 10 + (right % 10 - left % 10)  # smaller digit from larger digit
    return None


def _sloppy(rng: random.Random, left: int, symbol: str, right: int) -> int:
    exact = apply(left, symbol, right)
    mark = rng.random()
    if mark < 0.45:
        return exact + (1 if rng.random() < 0.5 else -1)
    if mark < 0.75:
        return exact + (10 if rng.random() < 0.5 else -10)
    if mark < 0.88 and symbol != "+":
        return left + right  # reads the wrong sign
    return exact + (2 if rng.random() < 0.5 else -2)


def step(rng: random.Random, items: Sequence[Item], slips: bool = True) -> Expression:
    """The next line: one operation carried out, rightly or not."""
    at = ready(items)[0]
    left, symbol, right = items[at - 1], items[at], items[at + 1]
    assert isinstance(left, int)
    assert isinstance(symbol, str)
    assert isinstance(right, int)
    result = apply(left, symbol, right)
    copied: Sequence[Item] = items
    if slips:
        believed = misconception(left, symbol, right)
        if believed is not None:
            result = believed if rng.random() < MISCONCEIVED else result
        elif rng.random() < SLOPPY:
            others = [i for i, item in enumerate(items) if isinstance(item, int) and abs(i - at) > 1 and item > 9]
            if others and rng.random() < 0.2:  # another number is copied wrongly
                which = others[int(rng.random() * len(others))]
                number = items[which]
                assert isinstance(number, int)
                copied = [*items[:which], number + (1 if rng.random() < 0.5 else -1), *items[which + 1 :]]
            else:
                result = _sloppy(rng, left, symbol, right)
    return replace(copied, at, result)


def attempt(rng: random.Random, items: Sequence[Item], slips: bool = True) -> str:
    """A whole solution: one line per operation, then ``Answer: n``. No newline at the end."""
    while True:
        lines: list[str] = []
        current = list(items)
        while len(current) > 1:
            current = step(rng, current, slips)
            lines.append(show(current))
        # A slip early on can make later products explode; such a solution is torn up and begun again.
        if all(
            abs(int(n)) <= 999
            for line in lines
            for n in line.replace("(", " ").replace(")", " ").split()
            if n not in "+-*"
        ):
            return "\n".join([*lines, f"Answer: {lines[-1]}"])
