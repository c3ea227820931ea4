"""How a judge's replies are read: a Yes or No, or a grade; from probabilities of the first word, or from votes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ttscale.answers.thoughts import without_thoughts
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion, Score, Verdict, where
from ttscale.verifiers.replies import as_verifier, received, text_of

_VERDICT = re.compile(r"\b(yes|no)\b(?=[^\w\n.,;:!})\]*—–]*(?:\Z|[\n.,;:!})\]*—–]))", re.IGNORECASE)
"""A Yes or No that stands alone: "no error" and "no mistakes" are no verdicts."""
_OPENING = re.compile(r"\W*(yes|no(?=\s+(?:because|since|as|the|it|this|that)\b))\b", re.IGNORECASE)
"""A verdict at the beginning of a reply, used where none stands alone."""
_AROUND = " \n\t*_#>\"'([{$"
"""What may stand before the first word of a reply."""
_OUT_OF = re.compile(r"(?:/|\bout of\b|\bof\b)\s*\d+", re.IGNORECASE)
"""The scale behind a grade, as in "4/5"."""
_NUMBER = re.compile(r"(?<![\w.,/-])(\d+)(?![\w%]|[.,]\d)")


class Scale:
    """What a judge may say, and what each of its words is worth in [0, 1]."""

    def __init__(self, grades: tuple[int, int] | None) -> None:
        fine = grades is None or (
            isinstance(grades, Sequence)
            and len(grades) == 2
            and all(isinstance(g, int) and not isinstance(g, bool) for g in grades)
            and 0 <= grades[0] < grades[1] <= 9  # one digit each, so that the first token tells them apart
        )
        if not fine:
            raise ValueError(f"grades must be the lowest and the highest digit, (1, 5) say; got {grades!r}")
        low, high = grades or (0, 0)
        self.graded = grades is not None
        self.words: tuple[str, ...] = ("Yes", "No") if not grades else tuple(map(str, range(low, high + 1)))
        self.values = (1.0, 0.0) if not grades else tuple((g - low) / (high - low) for g in range(low, high + 1))

    def read(self, reply: Completion) -> float | None:
        """What a reply says in [0, 1], or None where it is no verdict."""
        text = without_thoughts(text_of(reply))
        word = self._grade(text, reply) if self.graded else _yes_or_no(text, reply)
        return None if word is None else self.values[self.words.index(word)]

    def _grade(self, text: str, reply: Completion) -> str | None:
        """The last number of the scale that stands alone; in a reply that was cut off, only one at its beginning."""
        text = _OUT_OF.sub("", text)
        found = [match for match in _NUMBER.finditer(text) if match[1] in self.words]
        if reply.finish != "stop":
            found = [match for match in found if not text[: match.start()].strip(_AROUND)]
        return found[-1][1] if found else None


def from_odds(scale: Scale, odds: Sequence[float], cost: Cost) -> Verdict:
    """The expectation over the words of the scale, from the probability of each as the first word."""
    total = sum(odds)
    mean = sum(p * value for p, value in zip(odds, scale.values, strict=True)) / total
    return Verdict((min(1.0, max(0.0, mean)),), as_verifier(cost))


def from_votes(
    scale: Scale, request: Score, replies: Sequence[Completion | Exception], before: Cost | None
) -> Verdict | Exception:
    """The mean of what the replies say; those that say nothing do not count. ``before``: spent on this already."""
    given = received(replies, Completion, "the judge's generator")
    if isinstance(given, Exception):
        return given
    said = [value for value in map(scale.read, given) if value is not None]
    if not said:
        words = "neither Yes nor No" if not scale.graded else f"no grade from {scale.words[0]} to {scale.words[-1]}"
        return RoleError(
            f"the judge said {words} in {len(replies)} replies ({where(request)}); the first was "
            f"{text_of(given[0])[:200]!r}; give it room to finish (max_new_tokens) or another prompt"
        )
    cost = before or Cost()
    for reply in given:
        cost += reply.cost
    return Verdict((sum(said) / len(said),), as_verifier(cost))


def _yes_or_no(text: str, reply: Completion) -> str | None:
    """ "Yes", "No", or None where the reply is neither."""
    if reply.finish == "stop" and (found := _VERDICT.findall(text)):
        return str(found[-1]).capitalize()
    opening = _OPENING.match(text) or _VERDICT.match(text, len(text) - len(text.lstrip(_AROUND)))
    return opening[1].capitalize() if opening else None
