"""Who watches searches at work: nobody unless asked, and then for the price of a few calls a batch.

Knows what can be told. Must not know who listens (``integrations/otel.py``, the gateway) or how it is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ttscale.core.cost import Cost
from ttscale.core.requests import Reply
from ttscale.core.types import Question


class Watch:
    """What a watcher may override; each method is told of one kind of event, on whatever thread it happens."""

    def began(self, question: Question, strategy: str, budget: int) -> None:
        """A search begins."""

    def ended(self, question: Question, cost: Cost, stopped_by: str | None, error: Exception | None) -> None:
        """It has ended."""

    def asked(
        self, role: str, name: str, waits: Sequence[float], replies: Sequence[Reply | Exception], seconds: float
    ) -> None:
        """A role worked for ``seconds`` on a batch, or for a turn of its session, and gave ``replies``.

        ``waits`` has the seconds that each request it took in had been queued.
        """

    def recalled(self, role: str) -> None:
        """A request was answered from a trace."""

    def queued(self, endpoint: str, seconds: float) -> None:
        """A request waited so long for a place at a server."""

    def retried(self, endpoint: str, why: str) -> None:
        """An attempt at a server failed."""


WATCHES: list[Watch] = []
"""Everybody who watches. Read before anything is measured for them."""


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Meanwhile ``watch`` is told."""
    WATCHES.append(watch)
    try:
        yield
    finally:
        WATCHES.remove(watch)
