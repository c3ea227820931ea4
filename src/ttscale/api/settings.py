"""What one call of ``solve`` or its siblings was asked to do: everything but the questions, checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ttscale.answers import AnswerRule, rule_named
from ttscale.api.arguments import as_seed, check_budget, check_role, is_factory
from ttscale.core.checks import check_count
from ttscale.core.limit import Limit
from ttscale.core.protocols import METHOD_OF, AnyComparator, AnyGenerator, AnyReviser, AnyVerifier, Strategy
from ttscale.core.trace import Event
from ttscale.engine.batch_limit import BatchLimit

Observe: TypeAlias = Callable[[Event], object]
Executor: TypeAlias = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class CallSettings:
    """The arguments of ``solve_all``; ``solve`` explains them. Making one checks it and loads nothing.

    Raises ``ValueError`` (``BudgetError`` for the budget, ``FileNotFoundError`` for a folder that is not there) that
    names the argument at fault.
    """

    budget: int = 64
    generator: AnyGenerator | str | Path | None = None
    verifier: AnyVerifier | str | Path | None = None
    reviser: AnyReviser | str | Path | None = None
    strategy: Strategy | str | None = None
    seed: int = 0
    limit: Limit | None = None
    observe: Observe | None = None
    progress: bool = False
    resume: str | Path | None = None
    comparator: AnyComparator | str | Path | None = None
    answers: AnswerRule | str | None = None
    total_limit: Limit | None = None
    executor: Executor = "local"
    workers: int = 2
    ray_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        # An integer of numpy's becomes Python's own, which keys and traces can hold.
        object.__setattr__(self, "budget", check_budget(self.budget))
        object.__setattr__(self, "seed", as_seed(self.seed))
        if self.resume is not None:
            _check_file("resume", self.resume)
        if self.observe is not None and not callable(self.observe):
            raise ValueError(f"observe must be a function of an event; got {self.observe!r}")
        if self.limit is not None and not isinstance(self.limit, Limit):
            raise ValueError(f"limit must be a ttscale.Limit; got {self.limit!r}")
        if self.total_limit is not None:
            if not isinstance(self.total_limit, Limit):
                raise ValueError(f"total_limit must be a ttscale.Limit; got {self.total_limit!r}")
            BatchLimit(self.total_limit)
        if self.answers is not None:
            object.__setattr__(self, "answers", rule_named(self.answers))
        if self.executor not in ("local", "ray"):
            raise ValueError(f'executor must be "local" or "ray"; got {self.executor!r}')
        check_count("workers", self.workers)
        if self.executor == "ray":
            for name in ("observe", "resume", "total_limit"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} does not go with executor='ray': each worker knows its own shards only")
        elif self.ray_options is not None:
            raise ValueError("ray_options need executor='ray'")
        factories = self.executor == "ray"
        for role in METHOD_OF:
            if not (factories and is_factory(role, getattr(self, role))):
                check_role(role, getattr(self, role))


def _check_file(name: str, given: Any) -> None:
    if not isinstance(given, str | os.PathLike):
        raise ValueError(f"{name} must be the path of a file; got {given!r}")
    path = Path(given)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name}={str(given)!r}: there is no folder {path.parent}; make it")
    if path.is_dir():
        raise ValueError(f"{name}={str(given)!r} is a folder: name a file in it, such as {path / 'run.jsonl'}")
