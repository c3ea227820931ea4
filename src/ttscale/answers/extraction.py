"""Finds the final answer in what a model wrote.

Text in, text out; knows where answers stand, not what they mean. Thoughts are cut out first. Then, of these the last:

1. ``\\boxed{...}``, ``\\fbox{...}`` that is closed and not empty; boxes joined by "and" are one answer;
2. a marked answer: ``<answer>...</answer>``, ``Answer: ...`` in many languages (also on the next line, as a list, in a
   table or as JSON), ``#### ...``, a line ``A: ...``;
3. a sentence: "the (final, correct) answer is ...", "the correct option is ...".

A box gives way only to a later mark or sentence that holds a formula, a number or a choice. A text without any of these
states an answer if it, or its last line, is nothing but one, or if its last sentence concludes with one value.
Linear time: every pattern is bounded or anchored, and only the last ``MAX_TEXT`` characters are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from ttscale.answers.boxes import boxes, one_answer
from ttscale.answers.conclusions import concluded, only
from ttscale.answers.markers import APART, ASCII_STEMS, ENGLISH_NOUN, NOUN, REFUSED, SAYING, STEMS
from ttscale.answers.payloads import behind, below, line, value_or_end
from ttscale.answers.statements import FORMULA, statement, tidy
from ttscale.answers.thoughts import lowered, without_thoughts
from ttscale.answers.values import from_sentence
from ttscale.answers.wrappers import MAX_ANSWER

MAX_TEXT = 200_000
"""Characters read from the end of a text. A final answer stands at the end; 200,000 are some 50,000 tokens."""
_TRIES = 100
"""Markers looked at from the end before giving up: what precedes a hundred empty ones is no final answer."""

_HOPE = re.compile(r"I hope (?:it|this)[^.\n]{0,60}\.?\s*$")
_EOS = re.compile(
    r"(?:<\|im_start\|>(?:user|assistant)?|<\|[^<>|]{1,40}\|>|</s>|<eos>|<end_of_turn>|<[｜|][^<>]{1,40}[｜|]>)$"
)
_ENDS = 10
"""Marks of an end that are taken off, one by one."""
_MARK_LENGTH = 50
"""Characters that the longest mark of an end has, or more."""
_FRAME = re.compile(r"<\|(?:START|END)_RESPONSE\|>|<\|(?:begin|end)_of_solution\|>", re.IGNORECASE)
_GAP = r"[ \t]{0,9}"
_POINTS = r"(?:[:：](?!=)|→|=>|(?<=[ \t])[-–—](?=[ \t]+(?:[-$\\0-9]|\(?[A-J]\b))|(?<=ns\.)(?=[ \t]+[-$\\0-9(]))"
"""What stands between "Answer" and the answer."""
_BOLD = r"(?:\*\*|__|\*)?"
_MARK = re.compile(
    r"<(?P<name>(?:final_?)?answer)>(?P<tag>(?:(?!<(?:final_?)?answer>).){0,1000}?)</(?P=name)>"
    rf"|(?<![^\W_]){ENGLISH_NOUN}s?\.?{_GAP}(?:\([^()\n]{{0,40}}\))?{_GAP}{_BOLD}\}}?{_GAP}{_POINTS}(?P<answer>)"
    rf"|(?:\[(?:final )?answer\](?!\()|【(?:最终|最終)?(?:答案|解答)】){_GAP}[:：]?(?P<bracket>)"
    rf"|^[ \t>#*_]{{0,9}}(?:the{_GAP})?(?:final{_GAP})?(?:answer|答案|réponse|respuesta|antwort|ответ)"
    rf"{_GAP}{_BOLD}{_GAP}$(?P<heading>)"
    r"|(?<![#\w])####(?!#)(?P<hashes>)"
    rf"|^{_GAP}{_BOLD}A:{_BOLD}(?P<line>)"
    rf"|^{_GAP}\|{_GAP}{_BOLD}(?:final )?(?:answer|result){_BOLD}{_GAP}\|(?P<cell>[^|\n]{{1,200}})\|"
    r"|[\"'](?:final[_ ]?)?answer[\"']\s{0,9}:\s{0,9}"
    r"(?P<json>\"(?:[^\"\\\n]|\\.){1,1000}\"|-?[0-9.]+|true|false|\[[^\[\]\n]{0,400}\])",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_MARK_STEMS = (
    *("ans", "result", "option", "choice", "solution", "final value", "####", "a:"),
    *("答案", "解答", "réponse", "respuesta", "antwort", "ответ"),
)
"""A text has no mark before the first of these, less ``_BEFORE``, which is quicker to find out than to search."""
_NEXT_OPTION = re.compile(rf"^{_GAP}{_BOLD}B:", re.MULTILINE)
"""Under a line "A: ..." it says that both are options, or names for something."""
_SENTENCE = re.compile(
    r"(?<![A-Za-z])(?:answers?|(?P<method>solutions?)|(?P<choice>(?:correct|right|best) (?:option|choice|answer)s?)|"
    r"final (?:result|value))(?![A-Za-z])"
    r"[^\n.:=]{0,80}?(?<![A-Za-z])(?:is|are|equals|(?:would|must|should|will|might|may|could|has to|turns out to) be|"
    r"comes (?:out )?to|=)(?![A-Za-z])"
    rf"{_GAP}:?",
    re.IGNORECASE,
)
_SENTENCE_STEMS = ("answer", "solution", "option", "choice", "final result", "final value")
_PICKED = re.compile(
    r"(?<!not )(?<!n't )(?<!never )\b(?:choose|pick|select|go with) (?:option |choice |answer )?"
    r"\(?(?P<one>[A-J])\)?(?=[.,!\s]*$|[.,!])"
    r"|\b(?:option|choice|answer) \(?(?P<two>[A-J])\)? is (?:the )?(?:correct|right|best)\b"
    r"|(?<!\w)\(?(?P<three>[A-J])\)? is the (?:correct|right|best) (?:option|choice|answer|one)\b"
    r"|(?-i:(?<!\w)(?<!of )\(?(?P<four>[A-J])\)?) is the answer\b"
    r"|(?:hence|thus|therefore|so),? (?-i:\(?(?P<five>[A-J])\)?) is (?:correct|right)\b",
    re.IGNORECASE | re.MULTILINE,
)
"""A letter that is chosen in a sentence of its own."""
_PICKED_STEMS = (
    *("choose", "pick", "select", "go with", "is correct", "is right", "is best"),
    *("the correct", "the right", "the best", "is the answer"),
)
_BEFORE = 60
"""Characters that a mark or a sentence has before its stem, or more."""
_LETTERS = re.compile(r"\(?[A-J]\)?(?:(?:,| and| or| &|, and| y| et| und) ?\(?[A-J]\)?(?![\w']))+")
_THE_LETTER = re.compile(
    r"(?:(?:la|le|el|die|der|das|a|o|il|lo) |l['’])?(?:option|opción|letra|opção)? ?(?<=[\w'’] )\(?([A-J])\)?\W*",
    re.IGNORECASE,
)
"""la B, l'option B"""
_FOREIGN_MARK = re.compile(
    rf"{APART}{NOUN}{_GAP}(?:\([^()\n]{{0,40}}\))?{_GAP}{_BOLD}{_GAP}[:：](?!=)(?P<answer>)", re.IGNORECASE
)
_FOREIGN_SENTENCE = re.compile(rf"{APART}{SAYING}{_GAP}[:：]?(?P<method>)(?P<choice>)", re.I)
_WORDY = 5
"""A sentence that goes on in more words than this, without a digit or a formula, explains and does not answer."""
_LETTER = re.compile(r"\(?([A-J])\)?(?=$|[\s.,:;)。，、]|[^\x00-\x7f])")
_MAY_STATE = re.compile(r"[^\W\d_]|#")
"""What every mark and every sentence has in it."""
_PLAIN = re.compile(
    r"(?:#### ?|(?:the )?(?:final )?answer(?::| is:?) )(-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)\.?\Z", re.IGNORECASE
)
"""A last line that can be read but one way: no mark, sentence or box of a text comes after it."""


_Read: TypeAlias = Callable[[str, re.Match[str]], str | None]
_Found: TypeAlias = tuple[int, re.Match[str], _Read]


def extract_answer(text: str) -> str | None:
    """The final answer stated in ``text``, without its marker, or None if it states none.

    ``text`` is one solution; of a long one the last ``MAX_TEXT`` characters are read. An answer is at most
    ``MAX_ANSWER`` characters long. The precedence of markers is in the head of this file and in docs/answers.md.
    """
    spoken = _spoken(text)
    return _answer(spoken, words=False) or concluded(spoken)


def extract_words(text: str) -> str | None:
    """The answer stated in ``text`` in its own words: a marked sentence whole, or a reply of a few words."""
    spoken = _spoken(text)
    short = len(spoken.split()) <= _WORDY and "\n" not in spoken and not spoken.endswith("?")
    marked = _answer(spoken, words=True)
    return marked or (tidy(spoken) if short and not _MARK.search(spoken) else concluded(spoken))


def _spoken(text: str) -> str:
    """What is read of ``text``: no thoughts, no tokens that end it."""
    text = _FRAME.sub("", text) if "<|" in text else text
    spoken = without_thoughts(text)[-MAX_TEXT:].rstrip()
    for _ in range(_ENDS):
        ended = _EOS.search(spoken, max(0, len(spoken) - _MARK_LENGTH)) if "<" in spoken[-_MARK_LENGTH:] else None
        if not ended:
            break
        spoken = spoken[: ended.start()].rstrip()
    return _HOPE.sub("", spoken).rstrip() if "I hope" in spoken else spoken


def _answer(spoken: str, words: bool) -> str | None:
    """The answer that a box, a mark or a sentence gives; with ``words`` the whole sentence behind a mark."""
    plain = _PLAIN.match(spoken, spoken.rfind("\n") + 1)
    if plain and '"' not in spoken and len(plain[1]) <= MAX_ANSWER:
        return plain[1]
    found = boxes(spoken)
    while found and not tidy(found[-1].content):
        found.pop()
    boxed = tidy(one_answer(spoken, found)) if found else None
    if boxed and not _MAY_STATE.search(spoken, found[-1].end):
        return boxed
    for at, answer in _stated(spoken, words):
        tidied = tidy(answer)
        if boxed and (at < found[-1].end or (tidied and not _firm(tidied))):
            break
        if tidied:
            return tidied
    return boxed


def _firm(answer: str) -> bool:
    """Whether a later statement takes the place of a box: a number, a formula or a choice."""
    return bool(FORMULA.match(answer)) and len(answer.split()) <= _WORDY and "box" not in answer


def _stated(text: str, words: bool) -> Iterator[tuple[int, str]]:
    """What marks and sentences give and where, the last first; a mark before a sentence in its own line."""
    read_mark = partial(_marked, words=words)
    small = lowered(text)
    marks = _found(_MARK, text, _start(small, _MARK_STEMS), read_mark)
    fields = [mark for _, mark, _ in marks[-_TRIES:] if mark.lastgroup == "json"]
    said = _found(_SENTENCE, text, _start(small, _SENTENCE_STEMS), _said)
    said += _found(_PICKED, text, _start(small, _PICKED_STEMS), _picked)
    foreign = _start(small, ASCII_STEMS if small.isascii() else STEMS)
    marks += _found(_FOREIGN_MARK, text, foreign, read_mark)
    said += _found(_FOREIGN_SENTENCE, text, foreign, _said)
    for at, match, read in sorted(marks + said, key=lambda found: -found[0])[:_TRIES]:
        if any(_in_string(text, field.end(), at) for field in fields):
            continue
        answer = read(text, match)
        if answer:
            yield at, answer


def _start(small: str, stems: Sequence[str]) -> int | None:
    """Where to begin the search for what has one of ``stems`` in it; None if there is none in ``small``."""
    first = min([at for at in map(small.find, stems) if at >= 0], default=None)
    return None if first is None else max(0, first - _BEFORE)


def _found(pattern: re.Pattern[str], text: str, start: int | None, read: _Read) -> list[_Found]:
    return [] if start is None else [(match.start(), match, read) for match in pattern.finditer(text, start)]


def _in_string(text: str, field: int, at: int) -> bool:
    """Whether ``at`` is in a string of the same object as a field of JSON that ends at ``field``."""
    between = text[field:at] if at - field < MAX_ANSWER else "}"
    return "}" not in between and between.replace(r"\"", "").count('"') % 2 == 1


def _marked(text: str, mark: re.Match[str], words: bool) -> str | None:
    """What stands after a marker: a value, or all ``words`` of its sentence."""
    kind = mark.lastgroup or ""
    if kind == "tag":
        inside = re.sub(r"^\s*(?:final )?answer\s?:\s?", "", mark["tag"], flags=re.IGNORECASE).strip()
        return inside if words else from_sentence(inside)
    if kind in ("cell", "json"):
        return str(mark[kind]).strip(' "' if kind == "json" else " ")
    payload, rest = behind(text, mark.end()), text[mark.end() :]
    if kind == "answer" and mark.re is _MARK and mark["solution"] and not only(payload.strip("*_ ")):
        return None  # "Solution: first we add"
    if mark.re is _FOREIGN_MARK and mark[0].lower().startswith("soluci") and not only(payload):
        return None
    if kind in ("answer", "bracket", "heading") and not payload.strip("*_}) \t"):
        payload, listed = below(text, mark.end())
        if listed:
            return payload
    if kind == "hashes" and (re.match(r"[0-9]+[.)]\s+\S*[A-Za-z]{2}", payload) or not FORMULA.match(payload)):
        return payload if text[mark.end() :].strip() == payload and not re.match(r"[0-9]+[.)]\s", payload) else None
    if kind == "line" and (_NEXT_OPTION.search(rest) or not (FORMULA.match(payload) or "\n" not in rest.strip())):
        return None  # an option of a list
    payload = payload.removeprefix("}").lstrip()  # \textbf{Answer:} 12
    sentence = _SENTENCE.search(payload, 0, MAX_ANSWER)  # "Final Answer: The final answer is 5."
    if sentence and sentence.start() < 20:
        payload = payload[sentence.end() :]
    return statement(payload) if words else value_or_end(payload, rest[: 4 * MAX_ANSWER])


def _said(text: str, sentence: re.Match[str]) -> str | None:
    """What a sentence that gives an answer gives, on the next line if nothing follows it."""
    payload, listed = line(text, sentence.end()), False
    if not payload.strip("*_: \t"):
        payload, listed = below(text, sentence.end())
    answer = payload if listed else statement(payload)
    several, named = _LETTERS.match(answer), _THE_LETTER.fullmatch(answer)
    if several or named:
        return several[0] if several else named[1] if named else None
    letter = _LETTER.match(answer)
    alone = letter and not re.match(r"\(?[A-J]\)?\.? ?(?!non |not |nicht |pas |et non )[A-Za-z0-9=+*/^-]", answer)
    if letter and (sentence["choice"] or alone):
        return letter[0]
    wordy = len(answer.split()) > _WORDY and not re.search(r"[0-9$\\=]", answer)
    method = sentence["method"] and (not FORMULA.match(answer) or answer.startswith("a "))  # "The solution is to ..."
    return None if wordy or method or REFUSED.match(answer) else answer


def _picked(text: str, pick: re.Match[str]) -> str | None:
    """The letter that is chosen."""
    return next(letter.upper() for letter in pick.groups() if letter)
