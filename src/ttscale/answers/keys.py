"""From an answer's text to its key: what kind of thing it is, and which values are in it.

Two answers are equivalent exactly when their keys are equal, so equivalence is an equivalence relation by construction.
Knows lists, sets, tuples, intervals, unions, matrices and plus-minus; what is written without a formula is read by
``literals.py``, equations and inequalities by ``relations.py``, formulas by ``parse.py`` and ``evaluate.py``. The
rules, with their reasons and examples, are in docs/answers.md.
"""

from __future__ import annotations

import re

from ttscale.answers import brackets as _scan
from ttscale.answers import relations as _relation
from ttscale.answers.evaluate import Key, scalar_key
from ttscale.answers.literals import literal, number, unmarked
from ttscale.answers.normalize import MAX_ANSWER, clean
from ttscale.answers.parse import MAX_DEPTH, Unreadable, read

_LIST = frozenset((",", ";", "and", "or"))
_UNION = frozenset((*_LIST, r"\cup", r"\lor", r"\vee"))
_MATRIX = re.compile(
    r"\\begin\{((?:[pbB]|small)?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}", re.DOTALL
)  # vmatrix is a number: the determinant
_RULES = re.compile(r"\\hline|(?<=\\\\)\s*\[[0-9.]+ ?[a-z]{2}\]")
_BUILDER = re.compile(r"\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\s*\{?R\}?\s*)?(?:\||:|\\colon)(.*)", re.DOTALL)
_MEMBER = re.compile(r"(?:[A-Za-z](?:_\{?\w+\}?)?|\([A-Za-z ,]*\))\s*\\in(?![A-Za-z])(.*)", re.DOTALL)
_TEXT = re.compile(r"\\text\{[^{}]*\}")
_INEQUALITY = re.compile(r"[<>]|\\[lg]e(?![A-Za-z])")
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
_IN = re.compile(r"\\in(?![A-Za-z])")
_NAMED = re.compile(r"([A-Za-z])\s*=\s*([^=]+)")


def key_of(answer: str) -> Key:
    """The key of an answer of at most ``MAX_ANSWER`` characters. An unreadable answer is its own text.

    Raises nothing: models write the input, and a mistake of ours in reading it must not end a search.
    The tests hold ``value_key`` to ``Unreadable`` alone.
    """
    plain = number(answer)
    if plain:
        return plain
    text = clean(answer)
    try:
        return value_key(text)
    except Exception:
        return as_text(text or answer)


def value_key(text: str) -> Key:
    """The key of a text that went through ``clean``. Raises ``Unreadable`` if it has none."""
    if len(text) > 2 * MAX_ANSWER or _scan.depth(text) > MAX_DEPTH:
        raise Unreadable("too long or nested too deeply")
    return _whole(text)


def as_text(text: str) -> Key:
    """The key of what cannot be read: the text without its spaces, in one case unless it is LaTeX."""
    bare = re.sub(r"\s+", "", unmarked(text))
    return ("text", bare if "\\" in bare else bare.casefold())


def _whole(text: str) -> Key:
    """The key of a whole answer, or of one element of it."""
    text = text.strip()
    if not text:
        raise Unreadable("nothing there")
    key = literal(text)
    if key:
        return key
    parts = _elements(text, _UNION)
    if parts != [text]:
        if _INEQUALITY.search(text) and len(set(_LETTER.findall(text))) > 1:
            raise Unreadable("inequalities of several variables")
        return _set(parts)
    if _TEXT.fullmatch(text):
        return _whole(text[6:-1])
    member = _MEMBER.fullmatch(text)
    if member and not _IN.search(member[1]):
        return _whole(member[1])
    if re.search(r"\\(?:pm|mp)(?![A-Za-z])", text):
        return _set([_signed(text, "+", "-"), _signed(text, "-", "+")])
    relation = _relation.reduce(text)
    if relation is not None:
        return _whole(relation) if isinstance(relation, str) else relation
    return _bracketed(text) or _formula(text)


def _elements(text: str, separators: frozenset[str]) -> list[str]:
    """The elements of a list; "x = 2, y = 3" is the one element (2, 3), in the order of the names."""
    parts = [part for part in _scan.split(text, separators)[0] if part]
    found = [_NAMED.fullmatch(part) for part in parts]
    if len(parts) > 1 and all(found) and len({match[1] for match in found if match}) == len(parts):
        return [f"({','.join(value for _, value in sorted(match.groups() for match in found if match))})"]
    return parts or [text]


def _set(elements: list[str]) -> Key:
    """A set: without order or repetition; sets in it are merged, and a set of one element is that element."""
    keys = {key for element in elements for key in _members(_part(element))}
    return next(iter(keys)) if len(keys) == 1 else ("set", *sorted(keys, key=repr))


def _part(text: str) -> Key:
    """The key of an element among others, where a lone small letter is a variable and no choice."""
    return _formula(text) if re.fullmatch("[a-d]", text) else _whole(text)


def _members(key: Key) -> tuple[Key, ...]:
    return key[1:] if key[0] == "set" else (key,)


def _signed(text: str, plus: str, minus: str) -> str:
    return re.sub(r"\\mp(?![A-Za-z])", minus, re.sub(r"\\pm(?![A-Za-z])", plus, text))


def _bracketed(text: str) -> Key | None:
    """A tuple, an interval, a set or a matrix, if its brackets enclose the whole text."""
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        rows = [row for row in _scan.split(_RULES.sub("", matrix[2]), frozenset((r"\\", r"\cr")))[0] if row]
        return ("matrix", *(tuple(map(_part, _scan.split(row, frozenset("&"))[0])) for row in rows))
    found = _scan.enclosed(text)
    if not found:
        return None
    opening, inside, closing = found
    if opening in ("{", r"\{"):
        builder = _BUILDER.fullmatch(inside)
        return _whole(builder[2]) if builder else _set(_elements(inside, _LIST))
    parts = _scan.split(inside, frozenset(",;"))[0]
    nested = (opening, closing) == ("[", "]") and all(part.startswith("[") for part in parts)
    if len(parts) == 1 and not nested:
        return _whole(inside)
    keys = tuple(map(_part, parts))
    if nested:
        return ("matrix", *(key[2:] if key[0] == "interval" else key[1:] for key in keys))
    return _relation.interval(opening, closing, *keys) if len(keys) == 2 else ("tuple", *keys)


def _formula(text: str) -> Key:
    """The key of a formula."""
    return scalar_key(read(text))
