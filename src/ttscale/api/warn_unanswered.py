"""One warning a call where the choice is not what it seems: votes had nothing to count, or the best was passed over."""

from __future__ import annotations

import warnings

from ttscale.core.errors import AnswerWarning
from ttscale.core.types import Outcome


class Unanswered:
    """Counts the questions of a call that a missing answer decided; ``warn`` says so, once."""

    def __init__(self) -> None:
        self.asked = self.silent = self.cut_off = self.passed_over = 0

    def add_best(self, outcome: Outcome) -> None:
        """Take in a question whose best score was to win."""
        self.asked += 1
        chosen = None if outcome.chosen is None else outcome.scores[outcome.chosen]
        scored = zip(outcome.candidates, outcome.scores, strict=True)
        self.passed_over += chosen is not None and any(one.done and score and score > chosen for one, score in scored)

    def add_vote(self, outcome: Outcome) -> None:
        """Take in a question whose candidates voted. One without a step lost a race, and was not to be finished."""
        candidates = [candidate for candidate in outcome.candidates if candidate.steps or candidate.done]
        if len(candidates) < 2:
            return
        self.asked += 1
        if 2 * sum(candidate.finish == "length" for candidate in candidates) > len(candidates):
            self.cut_off += 1
        elif all(candidate.answer is None for candidate in candidates):
            self.silent += 1

    def warn(self) -> None:
        """Warn (``AnswerWarning``) with the setting to change."""
        said = []
        if self.cut_off:
            said.append(
                f"in {self.cut_off} of {self.asked} questions most solutions were cut off at the length limit, and "
                "what is cut off never votes: raise max_new_tokens of the generator; where prompt and solution fill "
                "all that the model reads, shorten the prompt or serve it with a longer context"
            )
        if self.silent:
            said.append(
                f"in {self.silent} of {self.asked} questions no solution states an answer, so the votes had nothing to "
                'count: ask for one in the prompt (PromptFormat(system=...), such as "end with Answer: ..."), or say '
                'what an answer is with answers=, such as answers="choice"'
            )
        if self.passed_over:
            said.append(
                f"in {self.passed_over} of {self.asked} questions the solution with the highest score states no "
                "answer, so one that states an answer was taken: where you ask for code or for a text, say so with "
                'answers="code", or answers=ttscale.answers.regex("(?s).+") for the whole text'
            )
        if said:
            warnings.warn("; ".join(said), AnswerWarning, stacklevel=4)
