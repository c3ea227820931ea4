"""What may follow a number without changing it: units, counted things, an ordinal's ending. A table and one question.

"18 dollars per day", "5 cm^2" and "12 apples" are 18, 5 and 12. A word that is not known to be harmless is not: "20
increase", "12 noon", "3 halves" and "n even" keep their words.
"""

from __future__ import annotations

import re

_UNITS = """
degree degrees deg radian radians rad percent percentage pct point points dollar dollars cent cents usd eur gbp euro
euros pound pounds rupee rupees yen yuan peso pesos unit units square inch inches in foot feet ft yard yards yd yds
mile miles mi centimeter centimeters centimetre centimetres cm millimeter millimeters millimetre millimetres mm
kilometer kilometers
kilometre kilometres km meter meters metre metres nm kg kilogram kilograms gram grams mg lb lbs ounce ounces oz ton tons
tonne tonnes liter liters litre litres ml gallon gallons gal quart quarts pint pints cup cups second seconds sec secs
minute minutes min mins hour hours hr hrs day days week weeks month months year years yr yrs decade decades century
centuries mph kph km/h km/hr kmh m/s mi/h mi/hr ft/s hz hertz joule joules kj newton newtons watt watts kw kwh volt
volts amp amps ampere amperes ohm ohms mol mole moles kelvin celsius fahrenheit pa kpa atm bar acre acres
hectare hectares people persons person children men women mice geese sheep fish deer oxen teeth dice students way ways
"""
_NAMED = frozenset(_UNITS.split())
_LETTERS = frozenset("mglshLNJWVAKCFd")
"""Units of one letter, which count only where they are marked as text: 5 \\text{ m}. Plain 5 m is a product."""
_POWER = frozenset(("square", "cubic", "sq", "sq.", "cu", "cu."))
_NO_THINGS = """
halves thirds fourths quarters fifths sixths sevenths eighths ninths tenths elevenths twelfths hundredths thousandths
tens dozens hundreds thousands millions billions trillions minus plus times less always is was has as us this its his
whereas towards upwards downwards backwards forwards afterwards besides perhaps unless versus twos threes
factorials squares cubes roots losses negatives positives odds evens bps
"""
_CHANGING = frozenset(_NO_THINGS.split())
"""Words that end in s and are no counted things."""
_TAIL = re.compile(
    r"(?:per|of|a|an|each|every|/) [a-z -]{2,40}|each|in total|total|altogether|in all|in length|long|tall"
)
_ORDINAL = frozenset(("st", "nd", "rd", "th"))
_COMPOUND = re.compile(r"[a-z]{1,3}(?:\^?[23])?(?:[ /.*][a-z]{1,3}(?:\^?-?[1-3])?){1,3}")


def is_unit(words: str, marked: bool = False) -> bool:
    """Whether ``words`` only say what a number before them counts or measures; ``marked`` where they are \\text."""
    plain = re.sub(r"\s+", " ", words).strip().rstrip(".").strip()
    plain = re.sub(r"^of (?:an?|the) ", "", plain)  # 3/4 of a mile
    if marked and (plain in _LETTERS or plain in _ORDINAL or _compound(plain)):
        return True
    plain = re.sub(r"\^?\{?[23]\}?$", "", plain.lower()).strip()
    first, _, rest = plain.partition(" ")
    if first in _POWER and rest:
        first, _, rest = rest.partition(" ")
    if "-" in first or not re.fullmatch(r"[a-z/.'°]+", first):
        return False
    if first in ("°c", "°f"):
        return not rest
    return (first.strip(".") in _NAMED or _counted(first)) and _harmless(rest)


def is_measure(word: str) -> bool:
    """Whether ``word`` is the name of a unit, and no plural of any thing."""
    return word.lower() in _NAMED


def _harmless(rest: str) -> bool:
    """Whether what follows a unit adds nothing: "per day", "of milk", a second noun ("square miles" came before)."""
    if not rest or _TAIL.fullmatch(rest):
        return True
    first, _, more = rest.partition(" ")
    return (first.strip(".") in _NAMED or _counted(first)) and _harmless(more)


def _counted(word: str) -> bool:
    """Whether ``word`` is a plural."""
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "wards")) and word not in _CHANGING


def _compound(text: str) -> bool:
    """km/h, kg m/s^2: of units only."""
    if not _COMPOUND.fullmatch(text):
        return False
    names = re.findall(r"[A-Za-z]+", text)
    return all(name in _LETTERS or name in _NAMED for name in names)
