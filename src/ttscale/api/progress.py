"""What a person sees while a call runs: questions, solutions, tokens, tokens a second, time left.

A bar stands where a person looks (a terminal, a notebook) from the first second on; ``logging`` gets the same facts
under the name "ttscale". Knows counts only.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from typing import Any, Self

from ttscale.core.cost import Cost
from ttscale.core.protocols import live_tokens
from ttscale.core.requests import Completion, Reply, Verdict
from ttscale.core.types import Question

LOGGER = logging.getLogger("ttscale")
EVERY = 1.0
"""Seconds between two looks at the clock, so that a bar moves while a long solution is being written."""
LOG_EVERY = 10.0
"""Seconds between two lines in the log."""


class Progress:
    """Counts replies and ended questions. Use as a context manager.

    ``questions`` is how many there will be; None where nobody knows. ``bar`` False hides the bar; without a terminal or
    notebook it is hidden too. The log is written where the logger
    "ttscale" lets INFO through.
    """

    def __init__(self, questions: int | None, budget: int, what: str, bar: bool) -> None:
        self._questions, self._budget, self._what, self._wanted = questions, budget, what, bar
        self._ended = self._tokens = self._solutions = self._verdicts = 0
        self._drawn: dict[str, int] = {}
        self._bar: Any = None
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None
        self.roles: Sequence[object] = ()
        """Their tokens count while a draw is still on its way."""

    def __enter__(self) -> Self:
        self._began = self._logged = time.monotonic()
        count = {None: "a stream of questions", 1: "1 question"}.get(self._questions, f"{self._questions} questions")
        LOGGER.info("solving %s, %s", count, self._what)
        if self._wanted and _somebody_looks():
            self._bar = _bar(None if self._questions is None else self._questions * self._budget)
        if self._bar is not None or LOGGER.isEnabledFor(logging.INFO):
            self._ticker = threading.Thread(target=self._tick, name="ttscale-progress", daemon=True)
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()  # a thread that is left when the process ends can abort it
        if self._bar is not None:
            self._bar.close()
        LOGGER.info("done: %s", self._facts())

    def reply(self, question: Question, reply: Reply) -> None:
        """Count one reply."""
        self._tokens += reply.cost.sampled_tokens
        self._verdicts += isinstance(reply, Verdict)
        if isinstance(reply, Completion) and reply.finish != "open":
            drawn = self._drawn.get(question.id, 0)
            self._drawn[question.id] = drawn + 1
            self._solutions += 1
            if self._bar is not None and drawn < self._budget:
                self._bar.update()

    def solved(self, question: Question, cost: Cost) -> None:
        """Count a question that was solved elsewhere, with all it drew."""
        self._tokens += cost.sampled_tokens
        self._solutions += cost.generations
        self.end(question)

    def end(self, question: Question) -> None:
        """Count one question; what it did not draw of its budget is done too."""
        self._ended += 1
        left = self._budget - min(self._budget, self._drawn.pop(question.id, 0))
        if self._bar is not None:
            self._bar.update(left)

    def _tick(self) -> None:
        while not self._over.wait(EVERY):
            if self._bar is not None:
                self._bar.set_postfix_str(self._facts())
            if time.monotonic() - self._logged >= LOG_EVERY:
                self._logged = time.monotonic()
                LOGGER.info("%s", self._facts())

    def _facts(self) -> str:
        tokens = self._tokens + live_tokens(self.roles)
        rate = tokens / max(1e-9, time.monotonic() - self._began)
        of = "" if self._questions is None else f"/{self._questions}"
        questions = "" if self._questions == 1 else f"{self._ended}{of} questions, "
        verdicts = f"{self._verdicts} verdicts, " if self._verdicts else ""
        return f"{questions}{self._solutions} solutions, {verdicts}{tokens:,} tokens, {rate:,.0f} tokens/s"


def _somebody_looks() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


def _bar(total: int | None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets gets a plain bar
        from tqdm.auto import tqdm

    form = "{elapsed}{postfix}" if total is None else "{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    bar = tqdm(total=total, unit="solution", leave=False, bar_format=form)
    bar.set_postfix_str("starting")
    return bar
