"""The answer to one question and everything that led to it. This file knows data only."""

from __future__ import annotations

from dataclasses import dataclass, field

from ttscale.core.cost import Cost
from ttscale.core.trace import Trace
from ttscale.core.types import Candidate, Question


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one question, and everything that led to it.

    Two results are equal when the same candidates, scores and answer came out, whatever they cost and however long
    they took.
    """

    question: Question
    answer: str | None
    """The final answer of the winning candidate; None when nothing was finished or the search failed."""
    text: str
    """The winning candidate's whole text; empty when there is none."""
    score: float | None
    """The winner's own score: the verifier's, or for a majority vote the share of the votes."""
    candidates: tuple[Candidate, ...]
    scores: tuple[float | None, ...]
    strategy: str
    cost: Cost = field(compare=False)
    trace: Trace = field(compare=False, repr=False)
    error: Exception | None = field(default=None, compare=False)
    """Why the search failed, or None. With an error the other fields hold what was there when it happened."""
    stopped_by: str | None = None
    """"tokens", "flops" or "seconds" when that limit ended the search, "interrupt" for Ctrl-C, else None."""
