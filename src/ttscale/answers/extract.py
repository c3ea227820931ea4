"""Finds the final answer in what a model wrote.

Text in, text out; knows where answers stand, not what they mean. In this order, and the last one of its kind:

1. ``\\boxed{...}``, ``\\fbox{...}`` that is closed and not empty;
2. a marked answer: ``<answer>...</answer>``, ``Answer: ...`` (``**Final Answer**: ...``, also on the next line),
   ``#### ...``, a line ``A: ...``;
3. a sentence: "the (final, correct) answer is ...", "the correct option is ...".

Thinking (``<think>...</think>`` and its relatives) is cut out first; after a thinking block that never closes there is
no answer. Linear time: every pattern is bounded or anchored, and only the last ``MAX_TEXT`` characters are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ttscale.answers.normalize import MAX_ANSWER, closing_brace, unwrap

MAX_TEXT = 200_000
"""Characters read from the end of a text. A final answer stands at the end; 200,000 are some 50,000 tokens."""
_TRIES = 50
"""Markers looked at from the end before giving up: what precedes fifty empty ones is no final answer."""

_THINK = re.compile(r"[<\[◁](/?)(?:think|thinking|thought|reasoning|seed:think)[>\]▷]", re.IGNORECASE)
_BRACES = re.compile(r"(?<!\\)\\++(?:boxed|fbox)\s*(\{)?|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"\s*([^\s{}$\\]+|\\[A-Za-z]+(?:\{[^{}]*\}|[0-9])*)")
_EOS = re.compile(r"(?:<\|[^<>|]{1,40}\|>|</s>|<eos>|<end_of_turn>|<[｜|][^<>]{1,40}[｜|]>)$")
_GAP = r"[ \t]{0,9}"
_BOLD = r"(?:\*\*|__)?"
_MARK = re.compile(
    r"<answer>(?P<tag>(?:(?!<answer>).){0,1000}?)</answer>"
    rf"|(?<![A-Za-z])answer{_GAP}(?:\([^()\n]{{0,40}}\))?{_GAP}{_BOLD}{_GAP}[:：](?P<answer>)"
    rf"|^[ \t>#*_]{{0,9}}(?:the{_GAP})?(?:final{_GAP})?answer{_GAP}{_BOLD}{_GAP}$(?P<heading>)"
    rf"|^{_GAP}####(?!#)(?P<hashes>)"
    rf"|^{_GAP}{_BOLD}A:{_BOLD}(?P<line>)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_SENTENCE = re.compile(
    r"(?<![A-Za-z])(?:answers?|(solutions?)|(?:correct|right|best) (?:option|choice)|final (?:result|value))"
    r"(?![A-Za-z])"
    r"[^\n.:=]{0,80}?(?<![A-Za-z])(?:is|are|equals|would be|must be|should be|will be|=)(?![A-Za-z])"
    rf"{_GAP}:?",
    re.IGNORECASE,
)
_BOLD_SPAN = re.compile(r"(\*\*|__)(?=\S)(.+?)\1")
_SPAN = re.compile(r"\$\$.+?\$\$|\$(?:[^$\\]|\\.)+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_JOIN = re.compile(r"[ \t]*(?:,[ \t]*and|,[ \t]*or|,|;|and|or)[ \t]*(?=\$|\\\()")
_MONEY = re.compile(r"\$ ?[0-9][^$]*[a-z]{3,} [^$]*\$")
_LEAD = re.compile(
    r"(?:given by|equal to|found to be|simply|therefore|thus|indeed|just|hence|then|now|also|clearly|exactly|"
    r"approximately|about|around|option|choice|:|=|\*\*|__)(?![A-Za-z])[ \t,:]*",
    re.IGNORECASE,
)
_END = re.compile(
    r"(?<!\\)(?:[.?]|!(?!\s*[-+*/=^)]))(?=[\s*\"')]|$)(?<!\b[ap]\.m\.)"
    r"(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)(?<!\bMt\.)(?<!\bFt\.)(?<!\bJr\.)(?<!\bSr\.)(?<!\bProf\.)"
    r"(?<!\b[A-Z]\.[A-Z]\.)(?<!\b[A-Z]\.[ ][A-Z]\.)(?!(?<=\b[A-Z]\.)[ ][A-Z]\.)(?!(?<=\bNo\.)[ ][0-9])"
    r"|[ \t](?:because|since|where|so that|I hope)\b"
    r"|,[ \t]*(?:which|because|since|so|as|not|but)\b"
)
_FORMULA = re.compile(r"[-+±(\[{|$€£¥\\√.]|[0-9]|[A-Za-z](?![A-Za-z])|(?:yes|no|true|false)\b", re.IGNORECASE)
_REFUSED = re.compile(
    r"(?:not|that|whether|unknown|unclear|wrong|incorrect|correct|right|clear|simple|obvious|as|to|in|obtained|found|given|"
    r"also|still|the same)(?![A-Za-z])",
    re.IGNORECASE,
)
_MAX_WORDS = 5
"""A sentence that goes on in more words than this, without a digit or a formula, explains and does not answer."""


def extract_answer(text: str) -> str | None:
    """The final answer stated in ``text``, without its marker, or None if it states none.

    ``text`` is one solution; of a long one the last ``MAX_TEXT`` characters are read. An answer is at most
    ``MAX_ANSWER`` characters long. The precedence of markers is in the head of this file and in docs/answers.md.
    """
    spoken = _EOS.sub("", without_thinking(text)[-MAX_TEXT:].rstrip())
    for answers in (_boxes(spoken), _marked(spoken), _sentences(spoken)):
        for answer in answers:
            tidy = _tidy(answer)
            if tidy:
                return tidy
    return None


def without_thinking(text: str) -> str:
    """``text`` without thinking blocks: from an opening tag to the next closing one, to the end if there is none.

    A closing tag alone ends a block that the prompt opened: what stands before it was thought, not said.
    """
    kept: list[str] = []
    start, thinking = 0, False
    for tag in _THINK.finditer(text):
        if tag[1]:
            kept = kept if thinking else []
            start, thinking = tag.end(), False
        elif not thinking:
            kept.append(text[start : tag.start()])
            thinking = True
    return "".join(kept) + ("" if thinking else text[start:])


def _boxes(text: str) -> list[str]:
    """The last closed box (of nested ones the outermost), and those before it while it is empty."""
    opened: list[int] = []  # where each open brace's content starts; negative for a brace that is not a box
    found: list[str] = []
    inside = 0
    for brace in _BRACES.finditer(text):
        token = brace.group()
        if token == "}":
            start = opened.pop() if opened else -1
            if start >= 0:
                inside -= 1
                if not inside:
                    found.append(text[start : brace.start()])
        elif token == "{":
            opened.append(-1)
        elif brace[1]:
            opened.append(brace.end())
            inside += 1
        elif "box" in token:
            bare = _BARE_BOX.match(text, brace.end())
            if bare:
                found.append(bare[1])
    return found[: -_TRIES - 1 : -1]


def _marked(text: str) -> Iterator[str]:
    """What stands after the markers, the last marker first."""
    marks = list(_MARK.finditer(text))
    for mark in marks[: -_TRIES - 1 : -1]:
        kind = str(mark.lastgroup)
        payload = mark["tag"] if kind == "tag" else _line(text, mark.end())
        if kind in ("answer", "heading") and not payload.strip("*_ \t"):
            rest = text[mark.end() : mark.end() + 2 * MAX_ANSWER].lstrip("*_ \t\n")
            payload = _line(rest, 0)
        if kind in ("hashes", "line") and not _FORMULA.match(payload) and text[mark.end() :].strip() != payload:
            continue  # a heading of level 4, or an option of a list
        sentence = _SENTENCE.search(payload, 0, MAX_ANSWER)  # "Final Answer: The final answer is 5."
        yield _statement(payload[sentence.end() :] if sentence and sentence.start() < 20 else payload)


def _sentences(text: str) -> Iterator[str]:
    """What the sentences that give an answer give, the last sentence first."""
    found = list(_SENTENCE.finditer(text))
    for sentence in found[: -_TRIES - 1 : -1]:
        statement = _statement(_line(text, sentence.end()))
        wordy = len(statement.split()) > _MAX_WORDS and not re.search(r"[0-9$\\=]", statement)
        method = sentence[1] and (
            not _FORMULA.match(statement) or statement.startswith("a ")
        )  # "The solution is to ..."
        if not (wordy or method or _REFUSED.match(statement)):
            yield statement


def _line(text: str, start: int) -> str:
    """The rest of the line from ``start``; beyond it, if a displayed formula is all that it holds or that follows."""
    stop = text.find("\n", start)
    stop = len(text) if stop < 0 else stop
    line = text[start:stop].strip()
    if line in ("$$", r"\[", "", "**"):
        more = text[stop : stop + MAX_ANSWER].lstrip()
        if line in ("$$", r"\[") or more.startswith(("$$", r"\[")):
            return line.strip("*") + more
    return line


def _statement(text: str) -> str:
    """The answer ``text`` starts with: a formula between dollars, else all up to the sentence's end."""
    text = text.strip()[: MAX_ANSWER + 1]
    bold = _BOLD_SPAN.match(text)
    text = bold[2] if bold else text
    while lead := _LEAD.match(text):
        text = text[lead.end() :].lstrip()
    span = _SPAN.match(text)
    if not span or _MONEY.match(text):
        end = _END.search(text)
        return text[: end.start()] if end else text
    stop = span.end()
    while join := _JOIN.match(text, stop):
        more = _SPAN.match(text, join.end())
        if not more:
            break
        stop = more.end()
    unit = re.match(r"[ \t]*(?:%|percent|degrees|°)", text[stop:])
    return text[: stop + (unit.end() if unit else 0)]


def _tidy(answer: str) -> str | None:
    """The answer without its wrappers; None if nothing is left or it is too long to be one."""
    answer = unwrap(answer[: MAX_ANSWER + 1]) if len(answer) <= MAX_ANSWER else ""
    if answer.startswith(r"\text{") and closing_brace(answer, 5) == len(answer) - 1:
        answer = answer[6:-1].strip()
    mark = re.search(r"(?:\*{1,3}|__)$", answer)  # of "**Answer: 5**" the opening half stands before the marker
    if mark and answer.count(mark[0]) == 1:
        answer = answer[: mark.start()].rstrip(" .")
    return answer or None
