"""Finds the boxed answers of a text: \\boxed{...}, \\fbox{...}, \\boxed 5. One pass over the braces."""

from __future__ import annotations

import re
from typing import NamedTuple

from ttscale.answers.statements import SCALED
from ttscale.answers.units import is_measure

_BRACES = re.compile(r"(?<!\\)\\++(?:boxed|fbox|beginboxed)\s*(\{)?|\\.|[{}]", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox|beginboxed)")
_MOST = 50
"""Boxes read, the last ones: a text with more repeats itself."""
_BARE_BOX = re.compile(r"\s*([^\s{}$\\]+|\\[A-Za-z]+(?:\{[^{}]*\}|[0-9])*)")
_JOINED = re.compile(r"[a-z()]*(?: [a-z()]+){0,5}", re.IGNORECASE)
_AND = re.compile(r"(?<!\w)(?:and|or|und|et|y|и|和|或)(?!\w)", re.IGNORECASE)
_APART = re.compile(
    r"\b(?:then|thus|but|so|hence|therefore|instead|not|now|wait|also|is|are|was|from|because)\b", re.IGNORECASE
)
_LABEL = re.compile(r"(?<![A-Za-z\\}])[A-Za-z](?:_\{?\w\}?)?\s*=\s*$")

_PART = re.compile(r"(?:^|(?<=[\s(*]))(?:part\s*)?\(([a-h])\)[\s:*$(\\]*$", re.IGNORECASE)
_TAIL = re.compile(rf"[ \t$]*(?:\\\))?[ \t]*(?:\\text\{{\s*)?({SCALED})\}}?[$ ]*(?=[.,!?\n]|$)", re.IGNORECASE)
_RATIO = re.compile(r"to|:|R|(?:with )?(?:an? )?remainder(?: of)?", re.IGNORECASE)
_MIXED = re.compile(r"([a-z]+),?(?: and)?", re.IGNORECASE)
_SIGNS = re.compile(r"\\(?:q?quad|[()\[\],;:! ])|\$+")


class Box(NamedTuple):
    """What a box holds, and where it begins and ends in the text."""

    content: str
    start: int
    end: int


def boxes(text: str) -> list[Box]:
    """The closed boxes in their order; of nested ones the outermost."""
    if "box" not in text:
        return []
    opened: list[tuple[int, int]] = []  # where each open brace's content and its box start; negative: no box
    found: list[Box] = []
    inside = 0
    starts = [box.start() for box in _BOX.finditer(text)]
    for brace in _BRACES.finditer(text, starts[-_MOST] if len(starts) > _MOST else 0):
        token = brace.group()
        if token == "}":
            content, start = opened.pop() if opened else (-1, -1)
            if content >= 0:
                inside -= 1
                if not inside:
                    found.append(Box(text[content : brace.start()], start, brace.end()))
        elif token == "{":
            opened.append((-1, -1))
        elif brace[1]:
            opened.append((brace.end(), brace.start()))
            inside += 1
        elif "box" in token:
            bare = _BARE_BOX.match(text, brace.end())
            if bare:
                found.append(Box(bare[1], brace.start(), bare.end()))
    return found


def one_answer(text: str, found: list[Box]) -> str:
    """The last box, with those before it that are part of the same answer: \\boxed{1} and \\boxed{2}."""
    whole = _phrase(text, found) or _parts(text, found)
    if whole:
        return whole
    parts, used = [found[-1].content], [found[-1]]
    for earlier, later in zip(found[-2::-1], found[:0:-1], strict=False):
        between = text[earlier.end : later.start]
        if len(parts) > 12 or not _belongs(between) or earlier.content.strip() in ("", parts[0].strip()):
            break
        parts.insert(0, earlier.content)
        used.insert(0, earlier)
    names = [_LABEL.search(text[max(0, box.start - 30) : box.start]) for box in used]
    if len({name[0] for name in names if name}) == len(parts) > 1:  # x = \\boxed{1}, y = \\boxed{2}
        return ", ".join(f"{name[0].strip()} {part.strip()}" for name, part in zip(names, parts, strict=True) if name)
    either = len(parts) == 2 and re.search(r"(?<![A-Za-z])or(?![A-Za-z])", text[found[-2].end : found[-1].start])
    return (" or " if either else ", ").join(part.strip() for part in parts)


def _phrase(text: str, found: list[Box]) -> str | None:
    """3 to 1, 12 R 1, 3 hours and 20 minutes, 5 million: boxes, or one, with the words that belong to them."""
    last = found[-1]
    tail = _TAIL.match(text, last.end)
    if tail:
        return f"{last.content} {tail[1]}"
    before = found[-2] if len(found) > 1 else None
    between = _words(text[before.end : last.start]) if before and last.start - before.end < 60 else ""
    if before and _RATIO.fullmatch(between):
        return f"{before.content} {between} {last.content}"
    first, second = _MIXED.fullmatch(between), re.match(r"[ \t]*([A-Za-z]+)", _words(text[last.end : last.end + 40]))
    if before and first and second and is_measure(first[1]) and is_measure(second[1]) and first[1] != second[1]:
        return f"{before.content} {first[1]} and {last.content} {second[1]}"
    return None


def _parts(text: str, found: list[Box]) -> str | None:
    """(a) 1, (b) 2 where the last boxes stand behind labels that begin with (a) and follow each other."""
    labels: list[str] = []
    for box in found[::-1]:
        label = _PART.search(text[max(0, box.start - 30) : box.start])
        if not label or (labels and ord(label[1].lower()) != ord(labels[0]) - 1):
            break
        labels.insert(0, label[1].lower())
    if len(labels) < 2 or labels[0] != "a":
        return None
    return ", ".join(
        f"({label}) {box.content.strip()}" for label, box in zip(labels, found[-len(labels) :], strict=True)
    )


def _words(text: str) -> str:
    """``text`` without signs of mathematics and \\text."""
    return " ".join(_SIGNS.sub(" ", re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)).split())


def _belongs(between: str) -> bool:
    """Whether what stands between two boxes makes them one answer: a comma, "and", a few words, a name."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", between[:120])
    plain = _LABEL.sub("", re.sub(r"\\(?:q?quad|[()\[\],;:! ])|\$+", " ", plain).rstrip()) if plain else ""
    words = re.sub(r"[\s,;&]+", " ", plain).strip()
    if len(between) > 120 or _APART.search(words):
        return False
    return bool(_JOINED.fullmatch(words)) if _AND.search(words) else not words and not between.isspace()
