"""Budget forcing: thinking that is too long is closed, thinking that is too short goes on (s1, arXiv 2501.19393).

Knows where thinking ends and how many tokens it took; what is said in between is the generator's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast

from ttscale.core.checks import check_count
from ttscale.core.protocols import Role
from ttscale.core.requests import Completion, Sample, Search
from ttscale.core.selection import majority_vote, vote_shares
from ttscale.core.types import Candidate, Outcome, Step, tokens_drawn


@dataclass(frozen=True, slots=True)
class ThinkingBudget:
    """N solutions whose thinking takes about ``tokens`` tokens; a majority vote over their answers.

    Everything up to ``close`` is thinking. Once it has taken ``tokens`` it is closed in the model's place, and the
    answer is drawn. ``then`` says what happens where the model closes it earlier: "answer" lets it (a cap), "wait"
    takes the close back and writes ``wait`` instead, until the tokens are used. A step is drawn at a time, so the last
    one may go beyond. Needs a generator that goes on with begun solutions. Scores are shares of the votes.
    """

    tokens: int = 4096
    then: Literal["wait", "answer"] = "answer"
    close: str = "</think>"
    wait: str = "\nWait,"
    needs: ClassVar[frozenset[Role]] = frozenset({"generator"})
    grows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("tokens", self.tokens)
        if self.then not in ("wait", "answer"):
            raise ValueError(f'then must be "wait" or "answer"; got {self.then!r}')
        for name in ("close", "wait"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ValueError(f"{name} must be a text; got {getattr(self, name)!r}")

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        candidates = [root] * budget
        used, thinking = [0] * budget, [True] * budget
        number = 0
        while going := [i for i, candidate in enumerate(candidates) if candidate.finish == "open"]:
            keys = [root.key.child(i, number) for i in going]
            wave = [Sample(candidates[i], k, 1 if thinking[i] else None) for i, k in zip(going, keys, strict=True)]
            for i, key, reply in zip(going, keys, cast(Sequence[Completion], (yield wave)), strict=True):
                drawn = tokens_drawn(reply.steps)
                used[i] += drawn
                candidates[i] = candidates[i].extend(key, reply.steps, reply.finish)
                spent = used[i] if drawn else self.tokens
                if candidates[i].finish == "open" or (thinking[i] and self._too_early(candidates[i], spent)):
                    candidates[i], thinking[i] = self.forced(candidates[i], spent)
            number += 1
        return Outcome(tuple(candidates), vote_shares(candidates), majority_vote(candidates))

    def forced(self, candidate: Candidate, used: int) -> tuple[Candidate, bool]:
        """The solution with what is written in the model's place, and whether it still thinks."""
        *before, last = candidate.steps
        said, closed, _ = last.text.partition(self.close)
        if self._too_early(candidate, used):
            kept = (*before, Step(said)) if said else tuple(before)
            return replace(candidate, steps=(*kept, Step(self.wait)), finish="open"), True
        if closed:
            return candidate, False
        if used >= self.tokens:
            return replace(candidate, steps=(*candidate.steps, Step(f"\n{self.close}\n\n"))), False
        return candidate, True

    def _too_early(self, candidate: Candidate, used: int) -> bool:
        """Whether thinking is closed in the last step and has to go on, though the answer may stand there too."""
        ended = candidate.finish != "length"
        return ended and self.then == "wait" and used < self.tokens and self.close in candidate.steps[-1].text
