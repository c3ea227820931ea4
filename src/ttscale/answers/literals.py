"""Answers that are read without a formula: numbers, choices, words, numerals in another base, counted things.

Everything here is exact; ``literal`` returns None for what is not of these kinds.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ttscale.answers.dates import date_or_time
from ttscale.answers.evaluate import AnswerKey
from ttscale.answers.number_words import value_of_words
from ttscale.answers.phrases import phrase
from ttscale.answers.rounded import printed
from ttscale.answers.units import is_unit

MAX_DIGITS = 3_000
"""Python refuses to convert more than 4,300 digits, and ``arithmetic.MAX_BITS`` stops at 3,600."""

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_RATIO = re.compile(r"([+-]?)\s*(?:([0-9]+)\s+)?([0-9]+)\s*/\s*([0-9]+)")
_POWER_OF_TEN = re.compile(
    r"([+-]?[0-9]+\.?[0-9]*)(?:[eE]|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*)\{?\s*([+-]?[0-9]{1,3})\s*\}?"
)
_REPEATING = re.compile(r"([+-]?)([0-9]*)\.([0-9]*)(?:\\(?:overline|bar|dot)\s*\{?([0-9]+)\}?|\(([0-9]+)\))")
_GOES_ON = re.compile(r"([+-]?)([0-9]*)\.([0-9]*?)(([0-9])\5\5|([0-9]{2,9}?)\6)(?:\4|\5|\6)*\s*\\l?dots")
_CHOICE = re.compile(r"\(\s*([A-Ja-h])\s*\)|([A-J])|([a-d])|([A-J])\)|([a-d])\)")
_CHOICE_AND_TEXT = re.compile(
    r"(?:\(([A-J])\)|([A-J])\)|([A-J])\.(?=\s+[-0-9$\\]))\s+(?!and\b|or\b)(?!.*\b[A-J](?:\)|\.\s))[^\s+\-*/=^<>),].*",
    re.DOTALL,
)
_NUMERAL = re.compile(
    r"\(?([0-9A-F]+)\)?(?:\s*_\s*\{?\s*(?:base\s*)?|\s+\(?(?:in )?base\s*)([0-9]{1,3}|[a-z]+)\s*[})]?",
    re.IGNORECASE,
)
_BASES = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "sixteen": 16,
}  # fmt: skip
_TWICE = re.compile(r"([^()]+?)\s*\((?:or |= ?|i\.e\.,? ?)?([^()]+)\)")
"""3/4 (or 0.75), 5 (five)"""
_PREFIXED = re.compile(r"0([xbo])([0-9a-f]+)", re.IGNORECASE)
_PREFIXES = {"x": 16, "b": 2, "o": 8}
_SCALED = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+|\s*/\s*[0-9]+)?)\s+([a-z]+)", re.IGNORECASE)
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ROMAN = re.compile(r"\(?(?=[ivx]{2})(x{0,3}(?:ix|iv|v?i{0,3}))\)?")
_WORDS = re.compile(r"[A-Za-z][A-Za-z .'\"&?!-]+")
_COMMON = """
yes no odd one two six ten all any red dne ace act add age ago aid aim air arc arm art ash ask ate awe bad bag ban bar
bat bay bed bee beg bet big bin bit bow box boy bud bug bus but buy cab can cap car cat cow cry cup cut dam day den
dew did die dig dim dip dog dot dry due dye ear eat egg ego elf elm end era eve eye fan far fat fee few fig fin fir
fit fix fly fog for fox fun fur gap gas gel gem get gin god got gum gun gut guy had ham has hat hay hen her hid him
hip his hit hot how hub hut ice icy ill ink inn ion its ivy jam jar jaw jet job joy key kid kit lab lap law lay led
leg let lid lie lip lit log lot low mad man map mat may men met mix mob mud mug nap net new nil nor not now nun nut
oak oar off oil old our out owl own pan pat paw pay pea pen pet pie pig pin pit pop pot put ram ran rat raw ray rib
rid rim rip rob rod rot row rub rug run rye sad sat saw say sea see set sew she shy sin sip sir sit ski sky son sow
soy spa spy sum sun tab tan tap tar tax tea tie tin tip toe ton too top toy try tub use van vet via war was wax way
web wet who why wig win wit wok won yet you zoo at he if in is it me my of on or so to up us we
"""
_SHORT = frozenset(_COMMON.split())
"""Words of two or three letters, in small letters; others are products."""
_RANGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*-\s*([0-9]+(?:\.[0-9]+)?)")
_MARKED_OFF = re.compile(r"[0-9]+(?:-[0-9]+)+|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}")
"""Ranges, dates and telephone numbers, which are no differences or quotients."""
_REALS: AnswerKey = ("tuple", ("n", "-inf"), ("n", "inf"))


def literal(text: str) -> AnswerKey | None:
    """The key of ``text``, which went through ``clean``, if it is no formula and no list."""
    calendar = date_or_time(unmarked(text))
    if calendar:
        return calendar
    roman = _ROMAN.fullmatch(unmarked(text))
    if roman:
        return ("words", roman[1])
    span = _RANGE.fullmatch(text)
    if _MARKED_OFF.fullmatch(text) or (span and Fraction(span[1]) < Fraction(span[2])):
        return ("words", text.replace(" ", ""))
    twice = _TWICE.fullmatch(unmarked(text))
    if twice:
        first, second = (number(part) or _scaled(part) for part in twice.groups())
        if first and first == second:
            return first
    plain = number(text) or _choice(text) or _named(text) or _numeral(text) or _scaled(text)
    return plain or phrase(unmarked(text)) or _words(text)


def number(text: str) -> AnswerKey | None:
    """("n", fraction) of an integer, decimal, ratio, mixed number, power of ten or repeating decimal."""
    if len(text) > MAX_DIGITS:
        return None
    if _INTEGER.fullmatch(text):
        return ("n", Fraction(int(text)))
    if _DECIMAL.fullmatch(text):
        exact = printed(text.lstrip("+-"))
        return ("n", Fraction(text)) if exact is None else ("n", _negative(exact) if text[0] == "-" else exact)
    found = _RATIO.fullmatch(text)
    if found and int(found[4]):
        value = Fraction(int(found[3]), int(found[4])) + int(found[2] or 0)
        return ("n", -value if found[1] == "-" else value)
    found = _POWER_OF_TEN.fullmatch(text)
    if found:
        return ("n", Fraction(found[1]) * Fraction(10) ** int(found[2]))
    found = _REPEATING.fullmatch(text) or _GOES_ON.fullmatch(text)
    if found:
        sign, whole, fixed, *periods = found.groups()
        period = next(part for part in reversed(periods) if part)
        value = (int("0" + whole + fixed) + Fraction(int(period), 10 ** len(period) - 1)) / 10 ** len(fixed)
        return ("n", -value if sign == "-" else value)
    return None


def _negative(value: Fraction | str) -> Fraction | str:
    return f"-{value}" if isinstance(value, str) else -value


def _choice(text: str) -> AnswerKey | None:
    """(A), A), A. and A are the choice A; in lower case where it is no formula: (a) to (h), a to d."""
    plain = unmarked(text)
    found = _CHOICE.fullmatch(plain) or _CHOICE_AND_TEXT.fullmatch(plain)
    return ("choice", next(letter for letter in found.groups() if letter).upper()) if found else None


def _named(text: str) -> AnswerKey | None:
    bare = text.replace(" ", "")
    if bare in (r"\infty", r"+\infty", r"-\infty"):
        return ("n", "-inf" if bare[0] == "-" else "inf")
    if bare in (r"\emptyset", r"\{\}", "{}"):
        return ("set",)
    reals = bare in (r"\mathbb{R}", r"\mathbbR", r"\R") or re.fullmatch(
        "(?:all|the|any) ?real(?: ?number)?s?", unmarked(text)
    )
    return _REALS if reals else None


def _numeral(text: str) -> AnswerKey | None:
    """52_8 stands for the digits 52 in base 8, which is neither 52 nor the way to write 42."""
    plain = unmarked(text)
    prefixed = _PREFIXED.fullmatch(plain)
    if prefixed:
        return ("numeral", prefixed[2].upper().lstrip("0") or "0", _PREFIXES[prefixed[1].lower()])
    found = _NUMERAL.fullmatch(plain)
    if not found:
        return None
    base = int(found[2]) if found[2].isdigit() else _BASES.get(found[2].lower())
    if not re.search("[0-9]", found[1]) and base not in (12, 16):
        return None  # AB_2 is a product
    return ("numeral", found[1].upper().lstrip("0") or "0", base) if base else None


def _scaled(text: str) -> AnswerKey | None:
    """5 million, five dollars, one hundred and one, two thirds."""
    plain = unmarked(text).lower()
    spelled = value_of_words(plain)
    first, _, rest = plain.partition(" ")
    if spelled is None and is_unit(rest):
        spelled = value_of_words(first)
    if spelled is not None:
        return ("n", spelled)
    found = _SCALED.fullmatch(plain)
    key = number(found[1]) if found and found[2] in _SCALES else None
    return ("n", key[1] * _SCALES[found[2]]) if found and key else None


def _words(text: str) -> AnswerKey | None:
    """Words in any case, without a leading article. Two or three letters are a product (ab), unless marked as text."""
    plain = unmarked(text).strip()
    folded = re.sub(r"^(?:the|an?) (?=\w)", "", re.sub(r"\s+", " ", plain.casefold())).strip(" .!?\"'")
    if not _WORDS.fullmatch(plain) or re.search(r"\b(?:and|or)\b", folded):
        return None
    if re.fullmatch(r"[A-Za-z]*[A-Z][A-Za-z]*", plain) and len(plain) < 4 and folded not in _SHORT:
        return ("words", plain)  # CO and Co, DNA, HCl
    marked = text.startswith(r"\text{") or re.fullmatch(r"[A-Z][a-z]+", plain)
    marked = marked or re.search(r"[a-z]{4}", folded)
    return ("words", folded) if marked or folded in _SHORT else None


def unmarked(text: str) -> str:
    """``text`` with \\text{...} replaced by what stands in it."""
    return re.sub(r"\s+", " ", re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text)).strip() if "\\text{" in text else text
