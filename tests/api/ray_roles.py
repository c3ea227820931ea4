"""Roles that run on Ray workers. A worker imports this module and what it imports, so no torch at its top."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ttscale.core.requests import Sample
from ttscale.prompts.layouts import PromptFormat
from ttscale.testing import FakeGenerator


def say(request: Sample) -> str:
    return f"step {request.key.seed % 3}\nAnswer: {request.key.seed % 4}"


class Loaded(FakeGenerator):
    """Notes which process loads it. With pipes it says where it is asked, and waits until it is told to go on."""

    def __init__(self, folder: Path, pipes: bool = False) -> None:
        super().__init__(say)
        self._folder, self._pipes = folder, pipes
        (folder / f"loaded-{os.getpid()}-{id(self)}").touch()

    def sample(self, requests: Sequence[Sample], /) -> Any:
        if self._pipes:
            import ray

            with (self._folder / "arrived").open("a") as pipe:
                pipe.write(ray.get_runtime_context().get_node_id() + "\n")
            (self._folder / "go").open("rb").close()
        return super().sample(requests)


def unloadable() -> FakeGenerator:
    raise OSError("no such weights")


def failing(request: Sample) -> str:
    if request.question.id == "q3":
        raise RuntimeError("not today")
    return say(request)


def real_model(folder: Path) -> Any:
    from real_models import model_folder
    from ttscale.hf import HFGenerator

    form = PromptFormat(chat=False, template="Q: {question}\nA:")
    (folder / f"loaded-{os.getpid()}").touch(exist_ok=False)
    return HFGenerator(str(model_folder()), prompt=form, delimiter=None, temperature=0, max_new_tokens=4)
