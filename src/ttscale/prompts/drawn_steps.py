"""The steps that tokens drawn in this process spell, with what each keeps of their draws.

Knows: ``StepText``, places in a list of tokens. Must not know: models, engines, requests. Where steps end is in
``steps.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ttscale.core.confidence import with_confidence
from ttscale.core.types import Step
from ttscale.prompts.steps import StepText


@dataclass(slots=True, kw_only=True, eq=False)
class Drawn:
    """What was drawn after a context: the tokens, and for each of them what its draw says, as far as it is known."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    certainties: list[float] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    """Where a window asks for them."""


class _Piece(NamedTuple):
    """A step to be: the places of its tokens, and its text."""

    begin: int
    end: int
    words: str
    whole: bool = True
    """Whether the tokens spell the text, and not more."""

    def step(self, drawn: Drawn) -> Step:
        """The step, with what its tokens' draws say."""
        count = self.end - self.begin
        certainties = drawn.certainties[self.begin : self.end]
        return Step(
            self.words,
            tuple(drawn.tokens[self.begin : self.end]) if self.whole else (),
            sum(drawn.logprobs[self.begin : self.end]),
            sum(certainties) / max(1, count) if drawn.certainties else None,
            drawn=None if self.whole else count,
        )


def drawn_steps(
    text: StepText, context: Sequence[int], drawn: Drawn, ends: Sequence[int], cut: int | None, window: int | None
) -> tuple[Step, ...]:
    """The steps of what was drawn after ``context``: those that end before the tokens ``ends``, and the rest.

    A blank rest goes with the step before it. ``cut``: how many characters to keep, where a stop string ended the
    solution; None keeps all. ``window`` asks for the steps' confidence.
    """
    pieces: list[_Piece] = []
    begin = 0
    for end in [*ends, len(drawn.tokens)]:
        if end > begin:
            words = text.text(text.before(context, drawn.tokens, begin), drawn.tokens[begin:end])
            pieces.append(_Piece(begin, end, words))
        begin = end
    if cut is not None:
        pieces = _cut(text, context, drawn.tokens, pieces, cut)
    if pieces and not pieces[-1].words.strip():
        rest = pieces.pop()
        if pieces:
            last = pieces[-1]
            pieces[-1] = _Piece(last.begin, rest.end, last.words + rest.words, last.whole and rest.whole)
    steps = [piece.step(drawn) for piece in pieces]
    if window is not None:
        steps = with_confidence(steps, drawn.confidences, [piece.end for piece in pieces], window)
    return tuple(steps)


def _cut(
    text: StepText, context: Sequence[int], tokens: Sequence[int], pieces: Sequence[_Piece], keep: int
) -> list[_Piece]:
    """The first ``keep`` characters; a step cut inside a token keeps its text and what its tokens' draws say, and loses
    the tokens, which spell more."""
    kept: list[_Piece] = []
    for piece in pieces:
        if keep <= 0:
            break
        if len(piece.words) > keep:
            begin, words = piece.begin, piece.words[:keep]
            before = text.before(context, tokens, begin)
            found = {n: text.text(before, tokens[begin:n]) for n in range(begin, piece.end + 1)}
            spelled = [n for n, said in found.items() if said == words]
            covering = next((n for n, said in found.items() if said.startswith(words)), piece.end)
            piece = _Piece(begin, spelled[-1] if spelled else covering, words, bool(spelled))
        kept.append(piece)
        keep -= len(piece.words)
    return kept
