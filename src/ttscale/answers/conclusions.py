"""The answer of a text that has no marker: all of it, its last line, or what its last sentence concludes with.

Text in, text out; knows sentences and single values, not where markers stand.
"""

from __future__ import annotations

import re

from ttscale.answers.markers import CONCLUDING
from ttscale.answers.statements import SPAN, statement, tidy
from ttscale.answers.values import ONLY_FORMULA, SUM_OF_MONEY, last_value, value_in
from ttscale.answers.wrappers import MAX_ANSWER, unwrap

_ONLY_LETTER = re.compile(r"\W{0,4}([A-Ja-j])\W{0,4}")
_LETTER_FIRST = re.compile(
    r"\*{0,2}\(?([A-J])\)?\*{0,2}(?:[.,。，][ \t]*(?=[a-z]|[^\x00-\x7f])|(?=[^\x00-\x7f。，])| is (?:correct|right)\b)"
)
_ONLY_VALUE = re.compile(r"[-+±]?\s*[$€£]?\s*\.?[0-9][0-9.,/ ]*\s*(?:%|[$€£]|[a-z]{1,12})?\.?", re.IGNORECASE)
_ONLY_CHOICE = re.compile(r"\([A-J]\)(?: \w+)?|[A-J]\) [^\n.]{1,80}|yes|no|true|false", re.IGNORECASE)
_LABELLED_MONEY = re.compile(rf"[^\W\d][^\d\n:.?!]{{0,40}}[:：]\s?({SUM_OF_MONEY.pattern})(?=[\s.]|$)")
"""Total : 2,74 €"""
_REMAINS = re.compile(r"(?<!\w)(?:now|left|remain(?:s|ing)?|still|then|finally|over)(?!\w)", re.IGNORECASE)
"""Words of a last step that has no "so" or "therefore"."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])|(?<=[。！？।])\s*|\n")


def concluded(text: str) -> str | None:
    """The answer of a text that has no marker: all of it, its last line, or what its last sentence concludes with."""
    text = text[-4 * MAX_ANSWER :].strip()
    if "####" in text or "\\boxed" in text:
        return None  # it uses a marker, and has nothing in it
    letter = _ONLY_LETTER.fullmatch(text) or _LETTER_FIRST.match(text) or _LABELLED_MONEY.match(text)
    if letter:
        return letter[1]
    last = text.rpartition("\n")[2].strip()
    display = re.search(r"(\$\$(?:(?!\$\$).)+\$\$|\\\[(?:(?!\\\[).)+\\\])\s*$", text[-MAX_ANSWER:], re.DOTALL)
    first = statement(text) if last == text else ""
    for whole in (text, display[1] if display else "", last, first if text.startswith(first) else ""):
        if only(whole):
            return tidy(whole)
    found = sentences(text)
    if not found or found[-1].endswith("?"):
        return None
    closing = found[-1]
    if re.search(r"(?<![A-Za-z])(?:not|cannot|can't|unknown|step)(?![A-Za-z])", SPAN.sub("", closing), re.IGNORECASE):
        value = _at_the_end(closing)  # "it is not 5, it is 6"
        return tidy(value) if value else None
    concludes = CONCLUDING.search(closing) or (len(found) == 1 and SPAN.search(closing))
    value = (value_in(closing) or last_value(closing)) if concludes else _at_the_end(closing)
    return tidy(value) if value else None


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line ends one."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def closing_value(text: str) -> str | None:
    """The one value of the last sentence of a reasoning: "He has 3 left.", "Then double it: 14."."""
    closing = sentences(text)[-1]
    value = value_in(closing)
    if not value:
        return None
    ends = closing.rstrip(" .。").endswith(f": {value}".rstrip(" .。"))
    return tidy(value) if ends or _REMAINS.search(closing) else None


def only(text: str) -> bool:
    """Whether ``text`` is nothing but a number, a formula or a choice."""
    bare = unwrap(text)
    if not bare or len(text) > MAX_ANSWER or "\n\n" in text:
        return False
    if SPAN.fullmatch(text) or _ONLY_VALUE.fullmatch(bare) or _ONLY_CHOICE.fullmatch(bare):
        return True
    return bool(re.search(r"[0-9\\=]", bare)) and bool(ONLY_FORMULA.fullmatch(bare))


def _at_the_end(sentence: str) -> str | None:
    """What the last words of a sentence give: "my reply is 0.75", "... = 70"."""
    value = value_in(sentence)
    if value and sentence.rstrip(" .。").endswith(value.rstrip(" .。")) and not _bare_number(sentence, value):
        return value
    return None


def _bare_number(sentence: str, value: str) -> bool:
    """Whether ``value`` merely comes last, without an "is" or "=" before it."""
    before = sentence.rstrip(" .。")[: -len(value.rstrip(" .。"))].rstrip()
    return not re.search(r"(?:\b(?:is|are|es|est|ist)|'s|=|[是为為]|de)\s*[$(]?$", before)
