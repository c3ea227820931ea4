"""Final answers: where they stand in a text, and which of them are the same."""

from __future__ import annotations

import re

_LINE = re.compile(r"(?:^|\n)\s*(?:Answer:|####)\s*(.+?)\s*(?:\n|$)")


def extract_answer(text: str) -> str | None:
    """The final answer in ``text``, or None."""
    found = _LINE.findall(text)
    return found[-1] if found else None


def answer_classes(answers: list[str | None]) -> list[int | None]:
    """The class of each answer: equal numbers mean equivalent answers; None has no class."""
    seen: dict[str, int] = {}
    return [None if answer is None else seen.setdefault(answer, len(seen)) for answer in answers]
