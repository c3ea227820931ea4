"""What callers hand to training, looked at before anything is read or loaded: examples, numbers, a checkpoint's name.

Knows types only. Whoever passes a path where examples belong, or a model where its folder does, is told what to do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from ttscale.prompts.layouts import check_prompt
from ttscale.training.fit.recipe import Recipe

T = TypeVar("T")

_MADE_BY = {"StepExample": "read_rollouts(path).examples", "RevisionExample": "build_revision_data(...)"}


def examples_of(given: Iterable[T], kind: type[T], name: str = "examples") -> list[T]:
    """The examples as a list; ``TypeError`` unless they are of this kind."""
    made = _MADE_BY[kind.__name__]
    if hasattr(given, "examples"):
        raise TypeError(f"{name} must be a list of {kind.__name__}, not a {type(given).__name__}: pass its .examples")
    found = _listed(given, name, kind.__name__, made)
    for index, example in enumerate(found):
        if not isinstance(example, kind):
            raise TypeError(f"{name}[{index}] is a {type(example).__name__}, not a {kind.__name__}; {made} gives them")
    return found


def sides_of(examples: Iterable[T], validation: Iterable[T] | None, kind: type[T]) -> tuple[list[T], list[T] | None]:
    """Both sides as ``examples_of`` gives them; None where no validation set was given."""
    held = None if validation is None else examples_of(validation, kind, "validation")
    return examples_of(examples, kind), held


def questions_of(test: Iterable[T]) -> list[T]:
    """The test questions as a list; ``TypeError`` unless each has ``id`` and ``prompt``."""
    found = _listed(test, "test", "questions", "load_problems(path)")
    for index, question in enumerate(found):
        if not (hasattr(question, "id") and hasattr(question, "prompt")):
            raise TypeError(
                f"test[{index}] is a {type(question).__name__} without id and prompt; as_problems(rows) makes "
                "questions of pairs and dicts"
            )
    return found


def check_call(base: Any, out: Any, recipe: Any, prompt: Any) -> None:
    """``TypeError`` unless base and out are names and the recipe is one; ``ValueError`` where ``out`` cannot be a
    folder, or the prompt is no format."""
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, not a {type(recipe).__name__}: Recipe(batch=..., epochs=...)")
    if prompt is not None:
        check_prompt(prompt)
    for name, given in (("base", base), ("out", out)):
        if not isinstance(given, str | os.PathLike):
            what = "a folder or Hugging Face id" if name == "base" else "a folder"
            raise TypeError(f"{name} must be {what}, not a {type(given).__name__}")
    if Path(out).exists() and not Path(out).is_dir():
        raise ValueError(f"out is the file {os.fspath(out)!r}; name a folder for the trained model")


def _listed(given: Iterable[T], name: str, what: str, reader: str) -> list[T]:
    if isinstance(given, str | bytes | os.PathLike):
        raise TypeError(f"{name} must be a list of {what}, not the path {given!r}: read it first, {reader}")
    if not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a list, not a {type(given).__name__}")
    return list(given)
