"""Cuts a text at signs that stand outside brackets. Knows brackets and nothing else; one pass, linear time."""

from __future__ import annotations

import re

OPENING = frozenset(("(", "[", "{", r"\{"))
CLOSING = frozenset((")", "]", "}", r"\}"))
_PIECE = re.compile(r"\\(?:begin|end)\{[A-Za-z]+\*?\}|\\text\{[^{}]*\}|\\[A-Za-z]+|\\.|[A-Za-z]+|.", re.DOTALL)


def pieces(text: str) -> list[str]:
    """Commands, runs of letters and single characters; ``\\text{...}`` is one piece."""
    return _PIECE.findall(text)


def split(text: str, separators: frozenset[str]) -> tuple[list[str], list[str]]:
    """The parts between the separators outside brackets, and the separators: n + 1 parts for n separators."""
    parts: list[list[str]] = [[]]
    found: list[str] = []
    depth = 0
    for piece in pieces(text):
        depth += step(piece)
        if depth == 0 and piece in separators:
            found.append(piece)
            parts.append([])
        else:
            parts[-1].append(piece)
    return ["".join(part).strip() for part in parts], found


def step(piece: str) -> int:
    """+1 for what opens a group, -1 for what closes one. Kinds need not match: (3,4] is an interval."""
    if piece in OPENING or piece.startswith(r"\begin{"):
        return 1
    return -1 if piece in CLOSING or piece.startswith(r"\end{") else 0


def depth(text: str) -> int:
    """How deep the brackets of ``text`` nest."""
    level = deepest = 0
    for piece in pieces(text):
        level += step(piece)
        deepest = max(deepest, level)
    return deepest


def balanced(text: str) -> bool:
    """Whether every brace that is opened is closed, and the other way round."""
    level = 0
    for piece in pieces(text):
        level += (piece == "{" or piece.startswith(r"\begin{")) - (piece == "}" or piece.startswith(r"\end{"))
        if level < 0:
            return False
    return level == 0


def enclosed(text: str) -> tuple[str, str, str] | None:
    """(opening, inside, closing) if one pair of brackets holds the whole text."""
    found = pieces(text)
    if len(found) < 3 or found[0] not in OPENING or found[-1] not in CLOSING:
        return None
    level = 0
    for piece in found[:-1]:
        level += step(piece)
        if level == 0:
            return None
    return found[0], "".join(found[1:-1]), found[-1]
