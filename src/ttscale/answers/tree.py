"""The tree of a formula, which ``parse.py`` makes of text and ``evaluate.py`` gives a value."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


class Unreadable(Exception):
    """This text is not a formula that can be given a value."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula: an operation on ``args``, or a leaf ("number", "symbol" or "constant") with its ``value``."""

    op: str
    args: tuple[Formula, ...] = ()
    value: Fraction | str = ""


def symbols(node: Formula) -> set[str]:
    """The names of the variables in a tree."""
    if node.op == "symbol":
        return {str(node.value)}
    if node.op in ("sum", "prod"):
        return (symbols(node.args[0]) - {str(node.value)}).union(*map(symbols, node.args[1:]))
    return {name for arg in node.args for name in symbols(arg)}


def operations(node: Formula) -> set[str]:
    """The names of the operations in a tree."""
    return {node.op}.union(*map(operations, node.args))


def nodes(node: Formula) -> int:
    """How many leaves and operations a tree has."""
    return 1 + sum(map(nodes, node.args))


def renamed(node: Formula, old: str, new: str) -> Formula:
    """The tree with another name for a variable."""
    value = new if node.op == "symbol" and node.value == old else node.value
    return Formula(node.op, tuple(renamed(arg, old, new) for arg in node.args), value)


def number(text: str) -> Formula:
    """A literal: "3", "0.25", ".5"."""
    return Formula("number", value=Fraction(text))


def negative(node: Formula) -> Formula:
    """Minus ``node``."""
    return Formula("neg", (node,))


def difference(left: Formula, right: Formula) -> Formula:
    """``left`` minus ``right``."""
    return Formula("add", (left, negative(right)))


def product(factors: list[Formula]) -> Formula:
    """The factors multiplied; of one factor the factor itself."""
    return factors[0] if len(factors) == 1 else Formula("mul", tuple(factors))


def fraction(upper: Formula, lower: Formula) -> Formula:
    """``upper`` over ``lower``."""
    return Formula("mul", (upper, Formula("inverse", (lower,))))
