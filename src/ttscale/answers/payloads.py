"""What stands behind a marker: the rest of its line, what is below it, or what a reasoning that follows it ends in.

Text in, text out; knows lines, fences, quotes and lists. Where markers stand is ``extraction.py``'s business.
"""

from __future__ import annotations

import re

from ttscale.answers.conclusions import closing_value, concluded
from ttscale.answers.statements import FORMULA, items, statement
from ttscale.answers.values import from_sentence
from ttscale.answers.wrappers import MAX_ANSWER

_CLOSING = re.compile(r"^(?:\*{1,3}|__?)(?=\s|$)")
"""The end of *Answer:* after its colon."""
_TAG_END = re.compile(r"(?:</(?:final_?)?answer>|\[/answer\]).*", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*(?:\n|$)", re.MULTILINE)
_QUOTE = re.compile(r"^[ \t]*(?:>[ \t]+)+", re.MULTILINE)
_EXPLAINS = re.compile(
    r"\W*(?:(?:this|that|it|which) (?:is|was|follows|comes)|because|since|as|for|explanation|reason\w*|note|here|proof|"
    r"to (?:see|check|verify)|justification|solution|steps?)\b",
    re.IGNORECASE,
)
"""What follows an answer that was given first."""
_LETTER_HEAD = re.compile(
    r"(\(?[A-J]\)?)(?::[ \t]+|[ \t]+\()(?=[A-Za-z]{2}|[Aa] )(?!.*(?<![A-Za-z])[A-J][:)])[^0-9$\\]*$", re.DOTALL
)
"""D: the moon, and D (the moon)."""
_NEXT_LETTER = re.compile(r"\n\s*[-*]?\s*\(?[A-J][:)]")
_SETS_OUT = re.compile(
    r"\W*(?:let(?:'s|’s)?|see|as follows|below|first|we|to|here|step|suppose|assume|given|consider|start|begin|note|if)"
    r"(?!\w)",
    re.IGNORECASE,
)
"""How a reasoning begins: a sentence that is no answer."""
_WORD = r"[A-ZÀ-ÖØ-Þ][\w'’-]*"
_PROPER = re.compile(
    rf"(?!.*(?:Solution|Explanation|Reason|Calculation|Proof|Step|Work))(?:The )?{_WORD}"
    rf"(?:(?:,? (?:and|or|&) |, | (?:of |of the |de |von |van )?){_WORD}){{0,9}}"
)
"""Names, which begin no reasoning: Tom and Mary, New York City."""
_PLACE = re.compile(r"(?:first|to|here|below)(?: [^\W\d_]+){1,3}", re.IGNORECASE)
"""First quadrant, to the left: with nothing behind them they are answers."""


def line(text: str, start: int) -> str:
    """The rest of the line from ``start``; beyond it, if a displayed formula is all that it holds or that follows."""
    stop = text.find("\n", start)
    stop = len(text) if stop < 0 else stop
    found = _TAG_END.sub("", text[start:stop]).strip()
    if found in ("$$", r"\[", "", "**"):
        more = text[stop : stop + MAX_ANSWER].lstrip()
        if found in ("$$", r"\[") or more.startswith(("$$", r"\[")):
            return found.strip("*") + more
    return found


def behind(text: str, start: int) -> str:
    """The rest of the marker's line, without the closing half of its bold sign."""
    return _CLOSING.sub("", line(text, start))


def below(text: str, start: int) -> tuple[str, bool]:
    """What stands under a marker that ends its line, without fences and quotes, and whether it is a whole list."""
    rest = _CLOSING.sub("", text[start : start + 2 * MAX_ANSWER].lstrip(": \t"))
    rest = _QUOTE.sub("", _FENCE.sub("", rest.lstrip("}) \t\n"))).lstrip("}) \t\n")
    listed = items(rest)
    return (listed, True) if listed else (line(rest.lstrip("*_}): \t\n"), 0), False)


def value_or_end(payload: str, rest: str) -> str | None:
    """The value of the first sentence of ``payload``, or what the reasoning that begins there, ``rest``, ends in."""
    first = statement(payload)
    head = _LETTER_HEAD.match(first)
    if head and not _NEXT_LETTER.search(rest):
        return head[1]
    value = from_sentence(first)
    if len(re.findall(r"[^\W\d_]{2,}", first)) < 2 or FORMULA.match(first):
        return value
    sets_out = value == first and _SETS_OUT.match(first)
    more = _after(payload, first) or (_after(rest, first) if sets_out else "")
    if not more or _EXPLAINS.match(more):
        return None if sets_out and (more or not _PLACE.fullmatch(first)) else value
    end = concluded(rest) or closing_value(rest)
    reasons = re.search("[0-9]", more) and not _PROPER.fullmatch(first)
    return end or (None if sets_out or reasons else value)


def _after(text: str, first: str) -> str:
    """What follows the sentence ``first`` in ``text``; nothing where it was taken out of its dollars."""
    return text.partition(first)[2].strip(" \t\n.?!*_")
