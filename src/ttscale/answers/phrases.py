"""Answers in a few words with numbers in them: mixed units, remainders, ratios, labelled values, chemical formulas.

Each has one key whatever its spelling, and keeps which number belongs to what. Knows no formulas.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ttscale.answers.evaluate import AnswerKey

_UNIT_NAMES = """
year years yr yrs|month months|week weeks wk wks|day days d|hour hours hr hrs h|minute minutes min mins m|
second seconds sec secs s|mile miles mi|yard yards yd yds|foot feet ft '|inch inches in "|kilometer kilometers kilometre
kilometres km|meter meters metre metres|centimeter centimeters centimetre centimetres cm|millimeter millimeters mm|
pound pounds lb lbs|ounce ounces oz|kilogram kilograms kg|gram grams g|gallon gallons gal|quart quarts qt|pint pints pt|
cup cups|liter liters litre litres l|milliliter milliliters ml|dollar dollars|cent cents|euro euros|degree degrees deg
\\degree
"""
_UNITS = {name: group.split()[0] for group in _UNIT_NAMES.split("|") for name in group.split()}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_MEASURE = re.compile(rf"\s*(?:,\s*)?(?:and\s+)?({_NUMBER})\s*(\\degree|[A-Za-z]+|['\"])\.?")
_REMAINDER = re.compile(
    r"(?:quotient\s*(?:is|of|:|=)?\s*)?(-?[0-9]+)\s*,?\s*\(?\s*(?:with\s+|and\s+)?(?:an?\s+)?(?:remainder|rem\.?|[Rr])"
    r"\s*(?:of|is|:|=)?\s*([0-9]+)\s*\)?"
)
_RATIO = re.compile(rf"({_NUMBER})\s*(?::|to)\s*({_NUMBER})(?:\s*(?::|to)\s*({_NUMBER}))?")
_LABELLED = re.compile(r"([A-Za-z][A-Za-z ]*?)\s*:\s*([^:=]+)")

_SYMBOLS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc
Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At
Rn Fr Ra Ac Th Pa U Np Pu
"""
_ELEMENT = "(?:" + "|".join(sorted(_SYMBOLS.split(), key=len, reverse=True)) + ")"
_COUNT = r"(?:_?\{?[0-9]+\}?)?"
_GROUP = rf"(?:{_ELEMENT}{_COUNT}|\((?:{_ELEMENT}{_COUNT})+\){_COUNT})"
_MOLECULE = re.compile(rf"([0-9]*)\s*({_GROUP}+)(?:\^?\{{?\(?([0-9]?[+-])\)?\}}?)?")


def phrase(text: str) -> AnswerKey | None:
    """The key of ``text``, which has no ``\\text`` around its words any more, if it is of these kinds."""
    text = re.sub(r"\\min(?![a-z]) ?", "min", text)
    found = _REMAINDER.fullmatch(text)
    if found:
        return ("remainder", int(found[1]), int(found[2]))
    found = _RATIO.fullmatch(text)
    if found:
        return ("ratio", *(Fraction(part) for part in found.groups() if part))
    return _measures(text) or _molecule(text)


def _measures(text: str) -> AnswerKey | None:
    """1 h 30 min, 5 feet 6 inches, 3 dollars and 50 cents: at least two numbers, each with its unit."""
    parts = list(_MEASURE.finditer(text))
    if len(parts) < 2 or "".join(part[0] for part in parts) != text:
        return None
    names = [part[2] if part[2] in _UNITS else part[2].lower() for part in parts]
    if names[:2] == ["m", "cm"]:
        names[0] = "meter"
    if not all(name in _UNITS for name in names) or len(set(names)) != len(names):
        return None
    if "'" in names and r"\degree" in names:  # minutes of arc
        return None
    return ("measures", *sorted((_UNITS[name], Fraction(part[1])) for name, part in zip(names, parts, strict=True)))


def _molecule(text: str) -> AnswerKey | None:
    """H2O, H_2O, C_6H_{12}O_6, NaOH, Fe^{3+}: symbols of elements in their order, of which something says chemistry."""
    found = _MOLECULE.fullmatch(text.replace(" ", "") if "_" in text else text)
    if not found:
        return None
    bare = re.sub(r"[_{}]", "", found[2])
    counts = re.findall(r"[0-9]+", bare)
    several = len(re.findall("[A-Z]", bare)) > 1
    chemical = (several and (re.search("[A-Z][a-z]", bare) or counts)) or (found[3] and re.search("[a-z]", bare))
    if not chemical or any(count[0] == "0" or count == "1" for count in counts):
        return None
    return ("molecule", int(found[1] or 1), bare, found[3] or "")


_PARTS = re.compile(r"(?:^|(?<=[\s,;]))(?:\(([A-Za-z]|[ivx]{2,4}|[0-9])\)|([A-Za-z]|[ivx]{2,4}|[0-9])[).](?=\s))\s*")
_ORDERS = (
    ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"],
    list("123456789"),
    list("abcdefghijklmnopqrstuvwxyz"),
    list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
)


def parts_of(text: str) -> list[tuple[str, str]] | None:
    """The names and values of "(a) 7 (b) 8", "A. 5, B. 6" or "1) 2 2) 6": labels that follow each other in their order.

    Options with words, "(A) Paris, (B) Rome", are choices and no parts.
    """
    text = re.sub(r"\\text\{\s*(\(\w+\))\s*\}", r" \1 ", text).strip() if r"\text{" in text else text
    marks = list(_PARTS.finditer(text))
    if len(marks) < 2 or marks[0].start():
        return None
    names = [mark[1] or mark[2] for mark in marks]
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    values = [text[mark.end() : end].strip(" ,;") for mark, end in zip(marks, ends, strict=True)]
    values = [re.sub(r"[\s,;]*(?<![A-Za-z])(?:and|or|&)$", "", value) for value in values]
    follows = any(names == order[at : at + len(names)] for order in _ORDERS for at in range(len(order)))
    stated = [re.search(r"[0-9\\]|^(?:yes|no|true|false)$", value, re.I) for value in values]
    if not follows or not all(values) or (names[0].isupper() and not all(stated)):
        return None
    return list(zip(names, values, strict=True))


def labelled(parts: list[str]) -> list[tuple[str, str]] | None:
    """The names and values of "A: 5, B: 6", if all parts have a name and no name comes twice."""
    found = [_LABELLED.fullmatch(part) for part in parts]
    pairs = [(match[1].casefold() if len(match[1]) > 1 else match[1], match[2]) for match in found if match]
    return pairs if len(pairs) == len(parts) == len({name for name, _ in pairs}) else None
