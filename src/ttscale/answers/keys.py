"""From an answer's text to its key: what kind of thing it is, and which values are in it.

Two answers are equivalent exactly when their keys are equal, so equivalence is an equivalence relation by construction.
Knows lists, sets, tuples, intervals, unions, matrices and plus-minus; what is written without a formula is read by
``literals.py``, equations and inequalities by ``relations.py``, formulas by ``parse.py`` and ``evaluate.py``. The
rules, with their reasons and examples, are in docs/answers.md.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from functools import lru_cache

from ttscale.answers import brackets as _scan
from ttscale.answers import relations as _relation
from ttscale.answers.evaluate import AnswerKey, budget, scalar_key
from ttscale.answers.literals import literal, number, unmarked
from ttscale.answers.matrices import matrix_key
from ttscale.answers.normalize import clean
from ttscale.answers.parse import MAX_DEPTH, read
from ttscale.answers.phrases import labelled, parts_of
from ttscale.answers.tree import Unreadable
from ttscale.answers.wrappers import MAX_ANSWER

_LIST = frozenset((",", ";", "and", "or"))
_JOINED = frozenset((r"\cup", r"\lor", r"\vee"))
_UNION = _LIST | _JOINED
_BUILDER = re.compile(r"\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\s*\{?R\}?\s*)?(?:\||:|\\colon)(.*)", re.DOTALL)
_MEMBER = re.compile(r"(?:[A-Za-z](?:_\{?\w+\}?)?|\([A-Za-z ,]*\))\s*\\in(?![A-Za-z])(.*)", re.DOTALL)
_TEXT = re.compile(r"\\text\{[^{}]*\}")
_INEQUALITY = re.compile(r"[<>]|\\[lg]e(?![A-Za-z])")
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
_IN = re.compile(r"\\in(?![A-Za-z])")
_NAMED = re.compile(r"([^=<>]+?)\s*=\s*([^=<>]+)")
_TUPLE_NAMES = re.compile(r"\(\s*([A-Za-z](?:\s*,\s*[A-Za-z])+)\s*\)\s*=\s*\((.*)\)")
_BETWEEN = re.compile(
    r"(?<=[A-Za-z0-9)}] )(?:to|by|per|is|of|in|at|if|for|from|vs|not|than|as|on|no|it|was|are|has|out)"
    r"(?= [A-Za-z0-9(\\])"
)
_PM = re.compile(r"\\pm(?![A-Za-z])")
_MP = re.compile(r"\\mp(?![A-Za-z])")
_LOOSE_CHOICE = re.compile(r"(?<![(\w])([A-J])\)")


def key_of(answer: str) -> AnswerKey:
    """The key of an answer of at most ``MAX_ANSWER`` characters. An unreadable answer is its own text.

    Raises nothing: models write the input, and a mistake of ours in reading it must not end a search.
    The tests hold ``value_key`` to ``Unreadable`` alone.
    """
    try:
        plain = number(answer)
        if plain:
            return plain
    except Exception:
        return ("text", answer)
    text = clean(answer)
    return _key_of_clean(text) if text else as_text(answer)


@lru_cache(10_000)  # the spellings of one formula become one text
def _key_of_clean(text: str) -> AnswerKey:
    try:
        return value_key(text)
    except Exception:
        return as_text(text)


def remembered_key(answer: str) -> AnswerKey:
    """``key_of``, of a long text its hash; the keys of the last answers are remembered."""
    if len(answer) > MAX_ANSWER:
        return ("long", hashlib.blake2b(answer.encode(errors="surrogatepass")).digest())
    return _remembered(answer)


@lru_cache(10_000)  # a key takes about a kilobyte
def _remembered(answer: str) -> AnswerKey:
    return key_of(answer)


def value_key(text: str) -> AnswerKey:
    """The key of a text that went through ``clean``. Raises ``Unreadable`` if it has none."""
    if len(text) > 2 * MAX_ANSWER or _scan.depth(text) > MAX_DEPTH:
        raise Unreadable("too long or nested too deeply")
    with budget():
        return _whole(text)


def as_text(text: str) -> AnswerKey:
    """The key of what cannot be read: the text without the spaces that separate nothing, words in small letters."""
    bare = re.sub(r"\s+", " ", re.sub(r"(\\[A-Za-z]+)\s+", r"\1", unmarked(text)))
    bare = re.sub(r"(?<=[0-9]) (?![0-9])|(?<=[A-Za-z]) (?![A-Za-z])|(?<![0-9A-Za-z]) ", "", bare)
    bare = re.sub(r"\{(\w)\}", r"\1", bare)
    return ("text", bare.casefold() if re.search(r"[a-z]{4}", bare) and "\\" not in bare else bare)


def _whole(text: str) -> AnswerKey:
    """The key of a whole answer, or of one element of it."""
    text = text.strip()
    if not text:
        raise Unreadable("nothing there")
    named_parts = parts_of(text)
    if named_parts:
        return ("labelled", *sorted((name, _part(value)) for name, value in named_parts))
    key = literal(text)
    if key:
        return key
    if text.count("(") < text.count(")"):
        text = _LOOSE_CHOICE.sub(r"(\1)", text)
    parts, signs = _scan.split(text, _UNION)
    if {",", ";"} == {*signs} and not re.search(r"[=<>]|\\(?:[lg]e|in)(?![A-Za-z])", text):
        groups = [group for group in _scan.split(text, frozenset(";"))[0] if group]
        if len(groups) > 1:
            return _several([_group(group) for group in groups], {";"})
    if len([part for part in parts if part]) > 1:
        return _list([part for part in parts if part], set(signs))
    if parts != [text] and signs:
        return _whole("".join(parts))
    if _TEXT.fullmatch(text):
        return _whole(text[6:-1])
    member = _MEMBER.fullmatch(text)
    if member and not _IN.search(member[1]):
        return _whole(member[1])
    if re.search(r"\\(?:pm|mp)(?![A-Za-z])", text):
        return _several([member for signed in _signed(text) for member in _members(_whole(signed))], set())
    names = _TUPLE_NAMES.fullmatch(text)
    if names:
        named = dict(zip(names[1].replace(" ", "").split(","), _scan.split(names[2], _LIST)[0], strict=False))
        return _named([*named.items()]) if len(named) > 1 else _whole(names[2])
    relation = _relation.reduce(text)
    if isinstance(relation, str):
        try:
            return _whole(relation)
        except Unreadable:
            return as_text(relation)
    if relation:
        return relation
    return _bracketed(text) or _formula(text)


def _list(parts: list[str], signs: set[str]) -> AnswerKey:
    """Answers beside each other: named values, inequalities that hold together, a union of sets, or a list."""
    if len(_members_of(parts)) > 1 or (signs & (_JOINED | {"or"}) and _unlike(parts)):
        raise Unreadable("alternatives for several names")
    if signs & _JOINED:
        if signs - _JOINED:
            raise Unreadable("a union in a list")
        return _several([key for part in parts for key in _members(_whole(part))], set())
    if any(_INEQUALITY.search(part) for part in parts):
        return _inequalities(parts, signs)
    pairs = labelled(parts)
    if pairs:
        return ("labelled", *sorted((name, _part(value)) for name, value in pairs))
    found = [_NAMED.fullmatch(part) for part in parts]
    if all(found):
        pairs = [(match[1].strip(), match[2]) for match in found if match]
        names = [name for name, _ in pairs]
        period = len(dict.fromkeys(names))
        if period > 1:
            if names != names[:period] * (len(names) // period):
                raise Unreadable("names that come in no order")
            rows = [_named(pairs[at : at + period]) for at in range(0, len(pairs), period)]
            return rows[0] if len(rows) == 1 else _several(rows, signs)
    elif any(found[1:]):
        raise Unreadable("some values have a name and others none")
    return _several([key for part in parts for key in _flat(_part(part), part)], signs)


def _members_of(parts: list[str]) -> set[str]:
    """The names that the parts say to lie in a set."""
    return {part[: found.start(1)] for part in parts if (found := _MEMBER.fullmatch(part))}


def _unlike(parts: list[str]) -> bool:
    """Whether the parts give values to different names, or some to none: x = 1 or y = 2."""
    named = [_NAMED.fullmatch(part) for part in parts]
    names = [match[1] for match in named if match]
    if len(names) == len(parts):
        period = len(dict.fromkeys(names))
        return period > 1 and len(names) == period
    return len({name for part in parts if _INEQUALITY.search(part) for name in _LETTER.findall(part)}) > 1


def _named(pairs: list[tuple[str, str]]) -> AnswerKey:
    """x = 2, y = 3 is the tuple (2, 3) in the order of its letters; longer names keep their values: AB = 3, BC = 4."""
    if not all(_relation.LABEL.fullmatch(name) for name, _ in pairs):
        raise Unreadable("equations of several quantities")
    values = sorted((name, _part(value)) for name, value in pairs)
    if all(len(name) == 1 for name, _ in pairs):
        keys = [key for _, key in values]
        return _relation.interval("(", ")", *keys) if len(keys) == 2 else ("tuple", *keys)
    return ("named", *((re.sub(r"\\text(?![A-Za-z])|[\s{}]", "", name), key) for name, key in values))


def _inequalities(parts: list[str], signs: set[str]) -> AnswerKey:
    """ "or" unites, "and" intersects; what a comma between inequalities does is not said, so they stay as they are."""
    if len({name for part in parts for name in _LETTER.findall(part)}) > 1:
        raise Unreadable("inequalities of several variables")
    keys = [_whole(part) for part in parts]
    if signs <= {"or"}:
        return _several([member for key in keys for member in _members(key)], set())
    if signs == {"and"}:
        both = _relation.intersection(keys)
        if both:
            return both
    return ("inequalities", *sorted(keys, key=repr))


def _several(keys: list[AnswerKey], signs: set[str]) -> AnswerKey:
    """Values without order. A list of numbers may hold one twice (6, 6, 5), nothing else may."""
    if "or" in signs and all(key[0] == "choice" for key in keys):
        return ("either", *sorted(set(keys)))
    listed = signs and "or" not in signs and any(key[0] == "n" for key in keys)
    chosen = sorted(keys if listed else set(keys), key=repr)
    return chosen[0] if len(chosen) == 1 else ("set", *chosen)


def _part(text: str) -> AnswerKey:
    """The key of an element among others, where a lone small letter is a variable and no choice, and {1} is not 1."""
    if re.fullmatch("[a-d]", text):
        return _formula(text)
    key = _whole(text)
    around = _scan.enclosed(text)
    return ("set", key) if around and around[0] == r"\{" and key[0] != "set" else key


def _group(text: str) -> AnswerKey:
    """The key of a list within a list: 1, 2 of 1, 2; 3, 4."""
    key = _part(text)
    return key if key[0] == "set" else ("set", key)


def _flat(key: AnswerKey, text: str) -> tuple[AnswerKey, ...]:
    """The values that one element of a list stands for: two for plus-minus, one for a set in braces."""
    return _members(key) if "\\pm" in text or "\\mp" in text else (key,)


def _members(key: AnswerKey) -> tuple[AnswerKey, ...]:
    return key[1:] if key[0] == "set" else (key,)


def _signed(text: str) -> list[str]:
    """What plus-minus stands for: all choices of signs, or the upper and the lower ones where there is a minus-plus."""
    if re.search(r"\\mp(?![A-Za-z])", text):
        plus, minus = (re.sub(_PM, sign, text) for sign in "+-")
        return [re.sub(_MP, "-", plus), re.sub(_MP, "+", minus)]
    parts = _PM.split(text)
    if len(parts) > 5:
        raise Unreadable("too many plus-minus signs")
    choices = itertools.product("+-", repeat=len(parts) - 1)
    return ["".join(itertools.chain(*zip(parts, signs, strict=False), parts[-1:])) for signs in choices]


def _bracketed(text: str) -> AnswerKey | None:
    """A tuple, an interval, a set or a matrix, if its brackets enclose the whole text."""
    found = _scan.enclosed(text)
    if not found:
        return matrix_key(text, _part)
    opening, inside, closing = found
    if opening in ("{", r"\{"):
        builder = _BUILDER.fullmatch(inside)
        if builder:
            try:
                return _whole(builder[2])
            except Unreadable:
                return as_text(builder[2])
        parts = [part for part in _scan.split(inside, _LIST)[0] if part]
        if len(parts) > 1 and any("=" in part for part in parts):
            return _list(parts, {","})
        found_keys = [key for part in parts for key in _flat(_part(part), part)]
        if opening == r"\{" and len(found_keys) == 1 and found_keys[0][0] == "set":
            return ("set", found_keys[0])  # a set of one set
        return _several(found_keys, set())
    parts = _scan.split(inside, frozenset(",;"))[0]
    nested = (opening, closing) == ("[", "]") and all(part.startswith("[") for part in parts)
    if len(parts) == 1 and not nested:
        return _whole(inside)
    keys = tuple(map(_part, parts))
    if nested:
        return ("matrix", *(key[2:] if key[0] == "interval" else key[1:] for key in keys))
    return _relation.interval(opening, closing, *keys) if len(keys) == 2 else ("tuple", *keys)


def _formula(text: str) -> AnswerKey:
    """The key of a formula."""
    if _BETWEEN.search(text):
        raise Unreadable("words between values: x to y, 3 by 4")
    return scalar_key(read(text))
