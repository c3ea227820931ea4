"""The value that a sentence gives: "The total is 34.", "So she has 18 eggs.", "Thus $x = 3$ and $y = 4$."

Text in, text out. Knows formulas in dollars, numbers, times, mixed measures and the verbs before a value.
A sentence that may give several values gives none.
"""

from __future__ import annotations

import itertools
import re

from ttscale.answers.markers import COPULA
from ttscale.answers.statements import BOLD_SPAN, FORMULA, JOIN, SPAN, statement
from ttscale.answers.units import is_measure

_DIGITS = r"(?>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)"
"""A number and no part of one: of 12.5km it is not 12."""
_WHOLE = re.compile(
    r"(?<![\w.:])(?<![0-9],)"
    rf"(?:(?P<bound>(?:at (?:least|most)|(?:more|less|fewer) than|up to) [$€£]?{_DIGITS}%?(?![\w]))"
    rf"|(?P<change>(?:in|de)creased? (?:by |of )?[$€£]?{_DIGITS}%?(?![\w])|{_DIGITS}%? (?:in|de)crease(?![a-z]))"
    rf"|(?P<time>[0-9]{{1,2}}(?::[0-9]{{2}})? ?[ap]\.?m(?:\.|(?![a-z]))|(?<![-0-9/])[0-9]{{1,2}}:[0-9]{{2}}(?![\d:]))"
    r"|(?P<date>(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.? [0-9]{1,2}(?:, [0-9]{4})?(?![\w])|[0-9]+ (?:AD|BCE?|CE)(?![A-Za-z]))"
    rf"|(?P<of>{_DIGITS} out of {_DIGITS}(?![\w%])|{_DIGITS} ?: ?{_DIGITS}(?![\w:]))"
    rf"|(?P<measures>{_DIGITS} ?(?P<one>[A-Za-z]+)\.?,?(?: and)? {_DIGITS} ?(?P<two>[A-Za-z]+)(?![A-Za-z])))",
    re.IGNORECASE,
)
"""Several words that are one value: at least 5, increased by 20%, 3:30 PM, 3 out of 5, 1 hour 30 minutes."""
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.,/_^-])(?<![0-9]:)(?<![A-Za-z)] [-+*/] )[-$€£]?\$?"
    rf"{_DIGITS}(?:/[0-9]+)?%?(?![0-9A-Za-z]|:[0-9])"
)
SUM_OF_MONEY = re.compile(r"\\?[$€£] ?[0-9][0-9.,]*[0-9]|\\?[$€£] ?[0-9]|(?<![0-9])(?<![0-9][.,])[0-9][0-9.,]*+ ?[$€£]")
_PROSE = re.compile(r"\$[?!,;:.]|\$[^$\\]*[a-z]{2,} [a-z]{2,} [a-z]{2,}")
"""Between two dollars that are sums of money or stray: "how many $? just about 1$"."""
_HAN = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{2}")
_COPULAS = 20
"""Of a sentence, the last ones looked at."""
_EQUATION = r"(?<![\w^])[A-Za-z](?:\w|\([a-z]\))?\s?=\s?[^\s=,$][^=,$]*?"
_EQUATIONS = re.compile(rf"{_EQUATION}(?:(?:,| and| or|, and|, or) {_EQUATION}){{1,50}}(?=[\s.]*$)")
_VERB = re.compile(
    r"(?:=|(?<![^\W_])(?:is|are|was|were|be|has|have|had|makes?|made|gets?|got|needs?|pays?|paid|spends?|spent|earns?|earned|"
    r"costs?|takes?|took|leaves?|left|equals?|total(?:s|ed)?|sells?|sold|receives?|uses?|used|gives?|gave|remains?|weighs?|"
    r"eats?|ate|buys?|bought|saves?|saved|reads?|runs?|walks?|drives?|lost|loses?|(?:in|de)creases?|a|ont|hat|haben|tiene|hay|tem|"
    r"est|sont|ist|sind|es|son|é|è)(?![^\W_]))(?: ?[^\W\d_][\w'-]*){0,3}[\s$(]*$",
    re.IGNORECASE,
)
"""What says that the number behind it is the one."""
SIGNS = r"(?:[^\w\\]|[\d_]|\\[^A-Za-z])*+"
ONLY_FORMULA = re.compile(
    rf"{SIGNS}(?:(?:\\(?:begin|end)\{{[a-z]++\}}|\\[A-Za-z]++|(?<![A-Za-z])(?:(?:sqrt|pi|sin|cos|tan|log|ln)(?![A-Za-z])|(?:or|and)(?![a-z]))"
    rf"|[A-Za-z](?![a-z])){SIGNS})*+"
)


def from_sentence(text: str) -> str:
    """The value a whole sentence gives, "The total is 34." or "She sells 18 apples."; else the sentence."""
    words = re.findall(r"[^\W\d_]{2,}", SPAN.sub(" ", text))
    if (len(words) < 3 and not _HAN.search(text)) or FORMULA.match(text) or re.search(r"\b(?:not|cannot|no)\b", text):
        return text
    return value_in(text) or text


def value_in(text: str) -> str | None:
    """The one value in a sentence: its last bold span, what follows its last "is", its only formula or number."""
    bold = [span[2] for span in BOLD_SPAN.finditer(text) if re.search(r"[0-9$\\]|^\(?[A-J]\)?$", span[2])]
    if bold:
        return statement(from_sentence(bold[-1]))
    equations = _EQUATIONS.search(text)
    if equations:
        return equations[0]
    whole = _wholes(text)
    covered = [range(*span.span()) for span in [*SPAN.finditer(text), *whole]]
    for copula in list(COPULA.finditer(text))[: -_COPULAS - 1 : -1]:
        value = statement(text[copula.end() :])
        if _is_value(value) and not any(copula.start() in span for span in covered):
            return value
    spans = [span for span in SPAN.findall(text) if not _PROSE.match(span)]
    if spans:
        return _linked(text) if len(spans) > 1 else str(spans[-1])
    if whole:
        return whole[0][0] if len(whole) == 1 and not _NUMBER.search(text.replace(whole[0][0], " ")) else None
    for pattern in (SUM_OF_MONEY, _NUMBER):
        numbers = pattern.findall(text)
        if len(numbers) == 1:
            return str(numbers[0])
    return None


def last_value(text: str) -> str | None:
    """The last formula or number of a sentence that concludes, where something says that it is the one."""
    whole = _wholes(text)
    inside = [range(*found.span()) for found in whole]
    found = [*SPAN.finditer(text), *whole]
    found += [match for match in _NUMBER.finditer(text) if not any(match.start() in span for span in inside)]
    if not found:
        return None
    last = max(found, key=lambda match: match.start())
    said = len(found) == 1 or last.re is SPAN or _VERB.search(text[: last.start()])
    return last[0] if said else None


def _wholes(text: str) -> list[re.Match[str]]:
    """The values of several words in a sentence."""
    return [
        found
        for found in _WHOLE.finditer(text)
        if not found["measures"] or (is_measure(found["one"]) and is_measure(found["two"]))
    ]


def _linked(text: str) -> str | None:
    """The formulas of a sentence that "and", "or" or a comma joins to one answer, if there are no others."""
    spans = list(SPAN.finditer(text))
    joined = all(
        (join := JOIN.match(text, one.end())) and join.end() == other.start()
        for one, other in itertools.pairwise(spans)
    )
    return text[spans[0].start() : spans[-1].end()] if joined else None


def _is_value(text: str) -> bool:
    """Whether ``text`` is a formula, a number with a unit, or a choice."""
    if SPAN.fullmatch(text) or re.fullmatch(r"\(?[A-J]\)?", text):
        return True
    if re.search(r"[0-9\\^]", text) and re.search(r"[-+*/^=]", text) and ONLY_FORMULA.fullmatch(text):
        return True
    return bool(re.match(r"[-+$€£(]?\s?\\?\$?[0-9\\]", text)) and len(re.findall(r"[^\W\d_]{2,}", text)) <= 4
