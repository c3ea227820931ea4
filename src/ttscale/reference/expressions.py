"""Expressions of the reference domain: reading them, checking them, and reducing them one operation at a time.

Knows: integers, ``+ - *``, parentheses, and the order in which a careful person works. Must not know: slips, models,
tokens, splits. An expression is a flat list of integers and symbols: ``["(", 17, "+", 5, ")", "*", 3]``. Every line of
a solution is such a list with one operation fewer, and a flat list prints as it is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_OPERAND = 99
"""The largest number that may be typed. Larger ones never occur in the models' training data."""
MAX_VALUE = 199
"""The largest absolute value of any exact intermediate result."""
MIN_OPERATIONS = 1
MAX_OPERATIONS = 9
PREFIX = "Compute "

Item = int | str
Expression = list[Item]

_TOKEN = re.compile(r"\s*([0-9]+|[-+*()])")

HELP = (
    f"The bundled reference model only solves questions of the form 'Compute <expression>' with {MIN_OPERATIONS} to "
    f"{MAX_OPERATIONS} operations + - *, parentheses, whole numbers from 0 to {MAX_OPERAND}, and every intermediate "
    f"value between -{MAX_VALUE} and {MAX_VALUE}, for example 'Compute (17 + 5) * 3 - 48'. "
    "For anything else give your own model: ttscale.solve(question, generator='<Hugging Face id or local path>'), or "
    "--generator in the shell."
)


class OutOfDomainError(ValueError):
    """The question is not one that the bundled reference models can answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}. {HELP}")
        self.reason = reason


def read(prompt: str) -> Expression:
    """The expression asked for by a prompt; ``OutOfDomainError`` if the models were not made for it."""
    if not isinstance(prompt, str):
        raise OutOfDomainError(f"the question must be a string, not {type(prompt).__name__}")
    text = prompt.strip()
    if not re.match(rf"{PREFIX.strip()}\b", text) or len(text) > 400:
        raise OutOfDomainError(f"this question is outside the reference domain: {text[:60]!r}")
    body = text[len(PREFIX.strip()) :]
    items: Expression = []
    position = 0
    while position < len(body):
        match = _TOKEN.match(body, position)
        if match is None:
            raise OutOfDomainError(f"cannot read {body[position:].strip()[:20]!r} in the expression")
        word = match.group(1)
        items.append(int(word) if word.isdigit() else word)
        position = match.end()
    tree, end = _sum(items, 0)
    if end != len(items):
        raise OutOfDomainError(f"unexpected {items[end]!r} in the expression")
    operations = _check(tree)
    if not MIN_OPERATIONS <= operations <= MAX_OPERATIONS:
        raise OutOfDomainError(f"the expression has {operations} operation{'s' if operations != 1 else ''}")
    return flatten(tree)


SyntaxTree = int | tuple[str, "SyntaxTree", "SyntaxTree"]


def _sum(items: Expression, at: int) -> tuple[SyntaxTree, int]:
    tree, at = _product(items, at)
    while at < len(items) and items[at] in ("+", "-"):
        symbol = str(items[at])
        right, at = _product(items, at + 1)
        tree = (symbol, tree, right)
    return tree, at


def _product(items: Expression, at: int) -> tuple[SyntaxTree, int]:
    tree, at = _atom(items, at)
    while at < len(items) and items[at] == "*":
        right, at = _atom(items, at + 1)
        tree = ("*", tree, right)
    return tree, at


def _atom(items: Expression, at: int) -> tuple[SyntaxTree, int]:
    if at >= len(items):
        raise OutOfDomainError("the expression ends too early")
    item = items[at]
    if isinstance(item, int):
        return item, at + 1
    if item != "(":
        raise OutOfDomainError(f"unexpected {item!r} in the expression")
    tree, at = _sum(items, at + 1)
    if at >= len(items) or items[at] != ")":
        raise OutOfDomainError("a parenthesis is not closed")
    return tree, at + 1


def apply(left: int, symbol: str, right: int) -> int:
    """The exact value of one operation."""
    return left + right if symbol == "+" else left - right if symbol == "-" else left * right


def value(tree: SyntaxTree) -> int:
    """The exact value of a tree."""
    return tree if isinstance(tree, int) else apply(value(tree[1]), tree[0], value(tree[2]))


def _check(tree: SyntaxTree) -> int:
    """The number of operations; refuses numbers and intermediate values outside the domain."""
    if isinstance(tree, int):
        if tree > MAX_OPERAND:
            raise OutOfDomainError(f"the number {tree} is larger than {MAX_OPERAND}")
        return 0
    operations = 1 + _check(tree[1]) + _check(tree[2])
    if abs(value(tree)) > MAX_VALUE:
        raise OutOfDomainError(f"an intermediate value is {value(tree)}")
    return operations


def flatten(tree: SyntaxTree) -> Expression:
    """The tree as a flat list with no more parentheses than it needs."""
    if isinstance(tree, int):
        return [tree]
    symbol, left, right = tree
    first, second = flatten(left), flatten(right)
    if symbol == "*" and not isinstance(left, int) and left[0] != "*":
        first = ["(", *first, ")"]
    if not isinstance(right, int) and (symbol == "*" or (symbol == "-" and right[0] != "*") or right[0] in "+-"):
        second = ["(", *second, ")"]
    return [*first, symbol, *second]


def show(items: Sequence[Item]) -> str:
    """The expression as text: one space around operations, none inside parentheses."""
    parts: list[str] = []
    for item in items:
        parts.append(f" {item} " if isinstance(item, str) and item in "+-*" else str(item))
    return "".join(parts)


def ready(items: Sequence[Item]) -> list[int]:
    """Positions of the operations that may be carried out now without changing the value, left to right."""
    found = []
    for at in range(1, len(items) - 1):
        symbol = items[at]
        if symbol not in ("+", "-", "*") or not (isinstance(items[at - 1], int) and isinstance(items[at + 1], int)):
            continue
        before = items[at - 2] if at >= 2 else None
        after = items[at + 2] if at + 2 < len(items) else None
        if before == "*" or (symbol != "*" and (before in ("+", "-") or after == "*")):
            continue
        found.append(at)
    return found


def replace(items: Sequence[Item], at: int, result: int) -> Expression:
    """The expression with the operation at ``at`` replaced by ``result``; parentheses around one number go."""
    low, high = at - 1, at + 2
    if low >= 1 and items[low - 1] == "(" and items[high] == ")":
        low, high = low - 1, high + 1
    return [*items[:low], result, *items[high:]]


def exact(items: Sequence[Item]) -> list[Expression]:
    """Every line of the careful solution, the last one a single number."""
    lines: list[Expression] = []
    current = list(items)
    while len(current) > 1:
        at = ready(current)[0]
        left, symbol, right = current[at - 1], current[at], current[at + 1]
        assert isinstance(left, int)
        assert isinstance(symbol, str)
        assert isinstance(right, int)
        current = replace(current, at, apply(left, symbol, right))
        lines.append(current)
    return lines
