"""The answer to one question and everything that led to it. This file knows data only."""

from __future__ import annotations

from dataclasses import dataclass, field

from ttscale.core.cost import Cost
from ttscale.core.trace import Trace
from ttscale.core.types import Candidate, Question


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one question, and everything that led to it.

    ``question``: what was asked.
    ``answer``: the final answer of the winning candidate; None when nothing was finished or the search failed.
    ``text``: the winning candidate's whole text; empty when there is none.
    ``score``: the winner's own score: the verifier's, or for a majority vote the share of the votes.
    ``candidates``, ``scores``: everything that competed, and a score for each; None where none was asked for.
    ``strategy``: the strategy with its settings, and what it decided on the way.
    ``cost``: what was spent.
    ``trace``: every request and reply, which a viewer shows and ``resume=`` goes on from.
    ``error``: why the search failed, or None. With an error the other fields hold what was there when it happened.
    ``stopped_by``: "tokens", "flops" or "seconds" when that limit ended the search, "interrupt" for Ctrl-C, else None.

    Two results are equal when the same candidates, scores and answer came out, whatever they cost and however long
    they took.
    """

    question: Question
    answer: str | None
    text: str
    score: float | None
    candidates: tuple[Candidate, ...]
    scores: tuple[float | None, ...]
    strategy: str
    cost: Cost = field(compare=False)
    trace: Trace = field(compare=False, repr=False)
    error: Exception | None = field(default=None, compare=False)
    stopped_by: str | None = None
