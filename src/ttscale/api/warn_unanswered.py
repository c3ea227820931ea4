"""One warning a call where votes had nothing to count: no solution states an answer, or most were cut off."""

from __future__ import annotations

import warnings

from ttscale.core.errors import AnswerWarning
from ttscale.core.types import Candidate


class Unanswered:
    """Counts the questions of a call of which no vote could be made; ``warn`` says so, once."""

    def __init__(self) -> None:
        self.asked = self.silent = self.cut_off = 0

    def add(self, candidates: tuple[Candidate, ...]) -> None:
        """Take in the candidates of a question that has ended."""
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
                f"of {self.cut_off} of {self.asked} questions most solutions were cut off at the length limit, and "
                "what is cut off never votes: raise max_new_tokens of the generator"
            )
        if self.silent:
            said.append(
                f"of {self.silent} of {self.asked} questions no solution states an answer, so the votes had nothing to "
                'count: ask for one in the prompt (PromptFormat(system=...), such as "end with Answer: ..."), or say '
                'what an answer is with answers=, such as answers="choice"'
            )
        if said:
            warnings.warn("; ".join(said), AnswerWarning, stacklevel=4)
