"""Cuts the answer out of what follows its marker: a formula, a number with its unit, a choice, a few words.

Text in, text out. Knows sentences, formulas in dollars, bold spans and lists; not what an answer means.
"""

from __future__ import annotations

import re

from ttscale.answers.markers import ABBREVIATIONS, SHORT_UNITS
from ttscale.answers.wrappers import MAX_ANSWER, closing_brace, unwrap

BOLD_SPAN = re.compile(r"(\*\*|__)(?=\S)(.+?)\1")
SPAN = re.compile(r"\$\$.+?\$\$|\$(?:[^$\\]|\\.)+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
JOIN = re.compile(r"[ \t]*(?:,[ \t]*and|,[ \t]*or|,|;|and|or)[ \t]*(?=\$|\\\()")
_MONEY = re.compile(r"\$ ?[0-9][^$]*[a-z]{3,} [^$]*\$")
_LEAD = re.compile(
    r"(?:given by|equal to|found to be|simply|therefore|thus|indeed|just|hence|then|now|also|clearly|exactly|for sure|"
    r"approximately|about|around|option|choice|:|：|=|\*\*|__)(?![A-Za-z])[ \t,:]*",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"(?<!\\)(?P<dot>[.?]|!(?!\s*[-+*/=^)]))(?=[\s*\"')]|$)|(?P<hard>[。！？])"
    r"|[ \t](?:because|since|where|so that|I hope)\b|[ \t][\])}][ \t]"
    r"|(?<=[\u3040-\u30ff\u4e00-\u9fff])[ \t]+(?=[\u4e00-\u9fff0-9])"
    r"|[,;][ \t]*(?:which|because|since|so|as|not|but)\b|[ \t]\((?=(?:because|since|as|so)\b)"
    r"|;[ \t]*(?:[Tt]his|[Tt]hat|[Ii]t|[Tt]he|[Ff]or|[Tt]hus|[Hh]ence|[Tt]herefore)\b"
)
_GOES_ON = re.compile(r"(?:[0-9]\.[0-9]+|,\s?)\.{3}$")
_INITIAL = re.compile(r"(?:[A-Z]\.[ ]?)*[A-Z]$")
_SENTENCES_BEGIN = """
Because The This That So Since It We As Then There Therefore Thus If In By For And But Not Using Each To A An I
"""
_OPENERS = frozenset(_SENTENCES_BEGIN.split())
"""Words that begin a sentence after "B.", where a name would follow in "J. Smith"."""
_HEAD = re.compile(
    r"(\(?[A-J]\)?|-?[0-9][0-9.,/]*[0-9]|[0-9]|\$[^$]+\$)"
    r"(?:,[ \t]*(?=[a-z]+[a-z'])|;[ \t]*(?=[A-Za-z]+ [a-z])|[ \t][-–—][ \t]+(?=[a-z]{2,} [a-z]{2,}))"
    r"(?!and\b|or\b)[^0-9$\\]*$",
    re.DOTALL,
)
FORMULA = re.compile(r"[-+±(\[{|$€£¥\\√.]|[0-9]|[A-Za-z](?![A-Za-z])|(?:yes|no|true|false)\b", re.IGNORECASE)
_ITEM = re.compile(r"(?:[-*•]|[0-9]{1,2}[.)])[ \t]+(?=\S)")

_REMARKS = re.compile(
    r"(?:as|at|by|of|to the|chance|probability|possible|times|"
    r"for|from|when|if|after|using|via|with(?! (?:a )?remainder)|in(?! base)|on|where|while|under|per|each|"
    r"is|are|was|were|will|would|has|have|that|this|which|we|it|the|total|because|since|so|hence|thus|not|but|only|"
    r"exactly|again|too|also|respectively|left|altogether|overall|instead|rather|"
    r"and (?:so|thus|hence|not)|or(?! more| less| fewer| above))"
    r"(?![A-Za-z])|\((?!mod|\\p?mod)|[^\w\\(:+/]",
    re.IGNORECASE,
)
"""How a remark on a formula begins, which says no other value."""
SCALED = (
    r"(?:(?:million|billion|trillion|thousand|hundred|dozen)(?: [a-z]+){0,2}|(?:percent )?(?:increase|decrease)"
    r"|[ap]\.?m\.?|noon|midnight|or (?:more|less|fewer)|(?:even|odd|prime)(?! [a-z])|squared|cubed|factorial"
    r"|halves|thirds|fourths|(?:fif|six|seven|eigh|nin|ten|hundred|thousand)ths)(?![A-Za-z])"
)
"""Words behind a number that make it another one, or a time."""
_PARTS = re.compile(r"^\s*\([a-z]\) +\S", re.MULTILINE)
"""(a) 7 and (b) 8, the parts of one answer."""
_TICKS = re.compile("[\\s\u2713\u2714\u2705\u2611\U0001f300-\U0001faff]+$")


def statement(text: str) -> str:
    """The answer ``text`` starts with: a formula between dollars, else all up to the sentence's end."""
    text = text.strip().lstrip(",")[: MAX_ANSWER + 1].strip()
    bold = BOLD_SPAN.match(text)
    text = bold[2] if bold else text
    while lead := _LEAD.match(text):
        text = text[lead.end() :].lstrip()
    span = SPAN.match(text)
    if not span or _MONEY.match(text):
        return _until_stop(text)
    stop = span.end()
    while join := JOIN.match(text, stop):
        more = SPAN.match(text, join.end())
        if not more:
            break
        stop = more.end()
    unit = re.match(r"[ \t]*(?:%|percent|degrees|°)", text[stop:])
    stop += unit.end() if unit else 0
    tail = _until_stop(text[stop:].split("\n", 1)[0]) if text[stop : stop + 1] in (" ", ":") else ""
    return _bare(text[:stop] + tail) if changes(tail) else text[:stop]


def changes(tail: str) -> bool:
    """Whether the words behind a formula say another thing than the formula: million, PM, hours and 20 minutes."""
    bare = _bare(tail).strip(" *_")
    if not bare or len(bare.split()) > 5 or _REMARKS.match(bare) or re.search(r"[=,;]", bare):
        return False
    return bool(re.match(SCALED, bare, re.IGNORECASE) or re.search(r"[0-9\\]", bare) or SPAN.search(tail))


def _bare(text: str) -> str:
    """``text`` with its formulas out of their dollars."""
    return SPAN.sub(lambda span: span[0].strip("$").removeprefix("\\(").removesuffix("\\)").strip(), text)


def _until_stop(text: str) -> str:
    """``text`` up to the end of its first sentence, or to where it goes on to explain."""
    for stop in _STOP.finditer(text):
        if _GOES_ON.search(text[: stop.end()]):
            continue  # 0.333...
        if stop["dot"] == "!" and re.search(r"[=+*/^\\]", text[: stop.start()]):
            continue  # 120 = 5!
        if stop["dot"] != "." or _ends(text, stop.start()):
            text = text[: stop.start()]
            break
    head = _HEAD.match(text)
    return head[1] if head else text


def _ends(text: str, dot: int) -> bool:
    """Whether the full stop at ``dot`` ends a sentence."""
    before = re.search(r"[\w.]*$", text[max(0, dot - 12) : dot])
    word = before[0] if before else ""
    following = text[dot + 1 :].lstrip(" ")
    if word in SHORT_UNITS and following[:1].isdigit():
        return False
    if word in ABBREVIATIONS and following:
        return word in ("No", "Co", "Inc", "Ltd", "etc") and not following[0].isdigit()
    if word.isdigit() and dot <= 3 and re.match(r"[a-zA-Z][a-z]?[0-9]", following):
        return False  # 1. e4
    if _INITIAL.fullmatch(word) and re.match(r"[A-Za-z]", following):
        opener = re.match(r"[A-Za-z']+", following)
        return not opener or opener[0] in _OPENERS or not _name_follows(following)
    return True


def _name_follows(text: str) -> bool:
    """Whether a name or a single word is all that is left of the sentence: J. Smith, U.S. Steel, E. coli."""
    return bool(re.match(r"(?:[A-Z]\.|[A-Za-z][\w'-]+)(?: (?:[A-Z]\.|[A-Z][\w'-]+)){0,2}(?=[.\s]*(?:$|\n|\*))", text))


def items(text: str) -> str | None:
    """The entries of a list that ``text`` begins with, one a line, joined by commas: "- 5", "1. 7"."""
    found: list[str] = []
    parts = len(_PARTS.findall(text[:MAX_ANSWER])) > 1
    for line in text.split("\n", 12):
        line = line.strip()
        mark = _ITEM.match(line)
        if not mark and not (parts and _PARTS.match(line)):
            break
        found.append(statement(line[mark.end() if mark else 0 :]))
    return ", ".join(part for part in found if part) or None


def tidy(answer: str) -> str | None:
    """The answer without its wrappers; None if nothing is left or it is too long to be one."""
    answer = unwrap(answer[: MAX_ANSWER + 1]) if len(answer) <= MAX_ANSWER else ""
    if answer.startswith(r"\text{") and closing_brace(answer, 5) == len(answer) - 1:
        answer = answer[6:-1].strip()
    answer = _TICKS.sub("", answer)
    if answer.endswith("}") and answer.count("}") == answer.count("{") + 1:  # \\textbf{Answer: 12}
        answer = answer[:-1].rstrip(" .")
    mark = re.search(r"(?:\*{1,3}|__)$", answer)  # of "**Answer: 5**" the opening half stands before the marker
    if mark and answer.count(mark[0]) == 1:
        answer = answer[: mark.start()].rstrip(" .")
    return answer or None
