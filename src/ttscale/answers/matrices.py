"""Matrices: their entries, and what sums, differences, products and transposes of them are.

Knows rows and columns; an entry is a text whose key the caller makes, or in an expression a formula.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from ttscale.answers.brackets import split
from ttscale.answers.evaluate import AnswerKey, scalar_key
from ttscale.answers.parse import read
from ttscale.answers.tree import Formula, Unreadable, negative, nodes, product

_MATRIX = re.compile(
    r"\\begin\{((?:[pbB]|small)?matrix|array)\}(?:\{[lcr| ]*\})?((?:(?!\\begin).)*?)\\end\{\1\}", re.DOTALL
)
"""Not vmatrix, which is a number: the determinant."""
_RULES = re.compile(r"\\hline|(?<=\\\\)\s*\[[0-9.]+ ?[a-z]{2}\]")
_TRANSPOSED = re.compile(r"\s*\^\s*(?:\{\s*(?:T|\\top|\\text\{T\})\s*\}|T|\\top)")
_TIMES = re.compile(r"\s*\\(?:cdot|times)(?![A-Za-z])\s*|\s*\*\s*")
MAX_ENTRIES = 36
"""Of a matrix that is multiplied or added; more is compared entry by entry only."""

MAX_NODES = 3_000
"""Of all entries of a product together: each factor doubles them, or more."""

Entries = list[list[Formula]]


def matrix_key(text: str, entry: Callable[[str], AnswerKey]) -> AnswerKey | None:
    """The key of a text that is a matrix or an expression of matrices; None if it is neither."""
    if not _MATRIX.search(text):
        return None
    whole = _MATRIX.fullmatch(text)
    if whole:
        return ("matrix", *(tuple(map(entry, row)) for row in _rows(whole[2])))
    parts, signs = split(text, frozenset("+-"))
    if not parts[0]:
        parts = parts[1:]
    else:
        signs = ["+", *signs]
    total: Entries | None = None
    for part, sign in zip(parts, signs, strict=True):
        term = _term(part)
        if total and [len(row) for row in total] != [len(row) for row in term]:
            raise Unreadable("a sum of matrices of different shapes")
        if sign == "-":
            term = [[negative(each) for each in row] for row in term]
        total = (
            [[Formula("add", pair) for pair in zip(*both, strict=True)] for both in zip(total, term, strict=True)]
            if total
            else term
        )
    return ("matrix", *(tuple(map(scalar_key, row)) for row in total or ()))


def _rows(inside: str) -> list[list[str]]:
    rows = [row for row in split(_RULES.sub("", inside), frozenset((r"\\", r"\cr")))[0] if row]
    return [split(row, frozenset("&"))[0] for row in rows]


def _term(text: str) -> Entries:
    """A product of numbers and matrices, from left to right."""
    factor: Formula | None = None
    found: Entries | None = None
    at = 0
    for matrix in _MATRIX.finditer(text):
        before = _TIMES.sub(" ", text[at : matrix.start()]).strip()
        if before:
            factor = product([read(before), *([factor] if factor else [])])
        rows = [[read(each) for each in row] for row in _rows(matrix[2])]
        if len({len(row) for row in rows}) != 1 or sum(map(len, rows)) > MAX_ENTRIES:
            raise Unreadable("a matrix with rows of different lengths, or a large one")
        at = matrix.end()
        turned = _TRANSPOSED.match(text, at)
        if turned:
            rows, at = [list(column) for column in zip(*rows, strict=True)], turned.end()
        found = _times(found, rows) if found else rows
    if not found or text[at:].strip():
        raise Unreadable("a term that is no matrix")
    return [[product([factor, each]) for each in row] for row in found] if factor else found


def _times(left: Entries, right: Entries) -> Entries:
    if len(left[0]) != len(right):
        raise Unreadable("a product of matrices that do not fit")
    columns = list(zip(*right, strict=True))
    sizes = [sum(map(nodes, itertools.chain(*entries))) for entries in (left, right)]
    if len(columns) * sizes[0] + len(left) * sizes[1] > MAX_NODES:
        raise Unreadable("a product of too many matrices")
    return [
        [Formula("add", tuple(product(list(pair)) for pair in zip(row, column, strict=True))) for column in columns]
        for row in left
    ]
