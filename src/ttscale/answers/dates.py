"""Times of day and dates, in the spellings that can mean one thing only. 1/2/2020 and 10:30 are compared as written."""

from __future__ import annotations

import re

_TIME = re.compile(r"([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2}))?)?\s*([ap])\.?\s?m\.?", re.IGNORECASE)
_DAY_TIME = re.compile(r"(0[0-9]|1[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_WORDS = {"noon": 720, "12 noon": 720, "midnight": 0, "12 midnight": 0}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL = (
    "january|february|march|april|may|june|july|august|september|october|november|december|sept|"
    "jan|feb|mar|apr|jun|jul|aug|sep|oct|nov|dec"
)
_MONTH = rf"({_FULL})\.?"
_DAY = r"([0-9]{1,2})(?:st|nd|rd|th)?"
_DATES = (
    (re.compile(rf"{_MONTH} {_DAY}(?:(?:,| ) ?([0-9]{{4}}))?", re.IGNORECASE), (1, 2, 3)),
    (re.compile(rf"{_DAY} (?:of )?{_MONTH}(?:,? ([0-9]{{4}}))?", re.IGNORECASE), (2, 1, 3)),
    (re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})"), (2, 3, 1)),
)


def date_or_time(text: str) -> tuple[str, ...] | None:
    """("time", ...) of 3 PM, 3:00 p.m., 15:00, noon; ("date", ...) of July 4, 1776, 4 Jul 1776 and 1776-07-04."""
    folded = text.casefold().strip()
    if folded in _WORDS:
        return ("time", str(_WORDS[folded] * 60))
    found = _TIME.fullmatch(folded)
    minutes = int(found[2] or 0) if found else 0
    if found and 1 <= int(found[1]) <= 12 and minutes < 60:
        return _time(int(found[1]) % 12 + (12 if found[4] == "p" else 0), found[2], found[3])
    found = _DAY_TIME.fullmatch(folded)
    if found:
        hour = int(found[1])
        if hour == 0 or hour > 12:  # 08:30 may be in the evening
            return _time(hour, found[2], found[3])
    for pattern, (month, day, year) in _DATES:
        found = pattern.fullmatch(folded)
        if found and 1 <= int(found[day]) <= 31:
            number = int(found[month]) if found[month].isdigit() else _MONTHS.index(found[month][:3]) + 1
            return ("date", found[year] or "", str(number), str(int(found[day])))
    return None


def _time(hour: int, minute: str | None, second: str | None) -> tuple[str, ...]:
    return ("time", str(hour * 3600 + int(minute or 0) * 60 + int(second or 0)))
