"""Who does the work of a sweep: this process, or the workers of a Ray cluster (``ray_executor.py``).

Knows loaded models and the runner. Must not know what is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from ttscale.api.load_roles import Models
from ttscale.core.protocols import aggregate_of
from ttscale.evaluation.collect.result_store import Store
from ttscale.evaluation.collect.runner import MOST_TOGETHER, Turn, Work, run_claimed


class RunningExecutor(Protocol):
    """Models at work somewhere."""

    @property
    def labels(self) -> Mapping[str, str]:
        """What the models are called, by role."""

    @property
    def aggregate(self) -> Any:
        """How the verifier wants its step scores aggregated, or None."""

    def work(self, store: Store[Any], turn: Turn, share: bool) -> Work:
        """What runs pieces and stores the records that ``turn`` makes of them."""


class LocalExecutor:
    """The models in this process."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self.labels = models.labels
        self.aggregate: Any = aggregate_of(models.roles.get("verifier"))

    def work(self, store: Store[Any], turn: Turn, share: bool) -> Work:
        return partial(run_claimed, self._models, store, turn, share, MOST_TOGETHER)
