"""The answer to one question and everything that led to it, with the ways to look at it and keep it."""

from __future__ import annotations

import json
import re
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from ttscale.answers import answer_classes
from ttscale.core.cost import Cost
from ttscale.core.selection import Vote, tally
from ttscale.core.trace import Trace
from ttscale.core.types import Candidate, Question

_POLICY = re.compile(r"\bPolicy\((?:[^()]|\([^()]*\))*\)")
"""A policy in the name of a strategy: too long for a line, and ``strategy`` has it in full."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one question, and everything that led to it.

    ``print(result)`` shows it in three lines; a notebook shows the votes.

    ``question``: what was asked.
    ``answer``: the final answer of the winning candidate, beside an ``error`` that of the best so far; None when
    nothing was finished, or what won states no answer.
    ``text``: the winning candidate's whole text; empty when there is none.
    ``score``: the winner's own score: the verifier's, or for a majority vote the share of the votes.
    ``candidates``, ``scores``: everything that competed, and a score for each; None where none was asked for.
    ``strategy``: the strategy with its settings, and what it decided on the way.
    ``cost``: what was spent, verifier included.
    ``trace``: every request and reply, which a viewer shows and ``resume=`` goes on from.
    ``error``: why the search failed, or None. With an error the other fields hold what was there when it happened.
    ``stopped_by``: "tokens", "flops", "seconds" or "dollars" when that limit ended the search, "total_tokens",
    "total_flops" or "total_dollars" when the one over the batch did, "interrupt" for Ctrl-C, else None.
    ``weights``: what the candidates' votes weighed, None for one that had no vote; None where that is the scores.

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
    weights: tuple[float | None, ...] | None = None

    def __str__(self) -> str:
        return f"{_answer_line(self)}\nstrategy  {without_policies(self.strategy)}\ncost      {self.cost}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer, or the text or error in its place, the votes, the cost."""
        rows = "".join(
            f"<tr><td>{escape(vote.answer)}</td><td>{vote.count}</td><td>{vote.share:.0%}</td></tr>"
            for vote in self.votes()
        )
        head = "<tr><th>answer</th><th>solutions</th><th>share</th></tr>"
        table = f"<table>{head}{rows}</table>" if rows else ""
        said = f"<p><b>{escape(self.answer or 'no answer')}</b></p>"
        if self.error is not None or self.stopped_by or self.answer is None:
            said += f"<p>{escape(_answer_line(self).removeprefix('answer').strip())}</p>"
        if self.answer is None and self.text:
            said += f'<pre style="white-space: pre-wrap">{escape(self.text)}</pre>'
        strategy = escape(without_policies(self.strategy))
        return f"{said}{table}<p>{strategy}<br>{escape(str(self.cost))}</p>"

    def votes(self) -> list[Vote]:
        """The answers with their votes, heaviest first: weighted by scores where there are any.

        Those that the strategy did not let vote (``ConfidenceVote`` keeps the surest) are not counted.
        """
        return tally(self.candidates, self.scores if self.weights is None else self.weights)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the trace, as plain JSON data."""
        return {
            "id": self.question.id,
            "question": self.question.prompt,
            "answer": self.answer,
            "text": self.text,
            "score": self.score,
            "votes": [{"answer": v.answer, "count": v.count, "share": v.share} for v in self.votes()],
            "strategy": self.strategy,
            "stopped_by": self.stopped_by,
            "error": None if self.error is None else f"{type(self.error).__name__}: {self.error}",
            "cost": self.cost.to_dict(),
            "candidates": [
                {"text": candidate.text, "answer": candidate.answer, "finish": candidate.finish, "score": score}
                for candidate, score in zip(self.candidates, self.scores, strict=True)
            ],
        }

    def save(self, path: str | Path) -> Path:
        """Write ``to_dict`` as JSON; for a name in ``.jsonl`` the trace, in ``.html`` the page of ``show``."""
        path = Path(path)
        if path.suffix == ".jsonl":
            self.trace.save(path)
        elif path.suffix == ".html":
            from ttscale import viz

            path.write_text(viz.html(viz.tree(self.trace)), encoding="utf-8", errors="replace")
        else:
            path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return path

    def show(self) -> Path:
        """Open the search as a page in the browser; returns the page's path."""
        page = self.save(Path(mkdtemp(prefix="ttscale-")) / "search.html")
        webbrowser.open(page.as_uri())
        return page


def not_begun(question: Question, error: Exception | None = None, stopped_by: str | None = None) -> Result:
    """The result of a question of which nothing was drawn, and why."""
    return Result(question, None, "", None, (), (), "", Cost(), Trace(question), error, stopped_by)


def without_policies(strategy: str) -> str:
    """How a strategy is shown to people, who do not read what tells one policy from another."""
    return _POLICY.sub("Policy(...)", strategy)


def vote_for_answer(result: Result, votes: Sequence[Vote]) -> Vote | None:
    """The vote that the answer of a result got, whichever way it was spelled."""
    if result.answer is None:
        return None
    rule = result.question.answers
    return next((vote for vote in votes if len(set(answer_classes([vote.answer, result.answer], rule))) == 1), None)


def _answer_line(result: Result) -> str:
    if result.error is not None:
        best = "none" if result.answer is None else f"{result.answer}, the best so far"
        return f"answer    {best}: {type(result.error).__name__}: {' '.join(str(result.error).split())}"
    score = "" if result.score is None else f"score {result.score:.3f}, "
    cap = (result.stopped_by or "").replace("_", " ")
    stopped = cap and f", stopped by {'Ctrl-C' if cap == 'interrupt' else f'the limit on {cap}'}"
    if result.answer is None:
        finished = sum(candidate.done for candidate in result.candidates)
        done = f"{finished} of {len(result.candidates)} solutions were finished{stopped}"
        return f"answer    none stated; see result.text  ({score}{done})" if result.text else f"answer    none: {done}"
    votes = result.votes()
    vote = vote_for_answer(result, votes)
    count = 1 if vote is None else vote.count
    silent = len(result.candidates) - sum(vote.count for vote in votes)
    what = "an answer" if result.weights is None else "a vote"
    without = f", {silent} without {what}" if silent and votes else ""
    return f"answer    {result.answer}  ({score}{count} of {len(result.candidates)} solutions{without}{stopped})"
