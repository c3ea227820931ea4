"""Students that run on Ray workers. A worker imports this module and what it imports: no pytest, no Ray at its top."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from evaluation.worlds import Student
from ttscale.core.requests import Completion, Sample


class Mortal(Student):
    """Notes which process loads it; the process that first draws for ``victim`` is killed, the next ones are not."""

    def __init__(self, folder: Path, victim: str = "", lives: int = 1) -> None:
        super().__init__(cut=0.1)
        self._folder, self._victim, self._lives = folder, victim, lives
        (folder / f"loaded-{os.getpid()}-{id(self)}").touch()

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        if any(request.question.id == self._victim for request in requests):
            for life in range(self._lives):
                try:
                    (self._folder / f"died-{life}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(requests)


class Silent(Student):
    """Fails on one question."""

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        if any(request.question.id == "q3" for request in requests):
            raise RuntimeError("not today")
        return super().sample(requests)


def unloadable() -> Student:
    raise OSError("no such weights")
