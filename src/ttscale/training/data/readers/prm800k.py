"""PRM800K (openai/prm800k), phases 1 and 2: human ratings -1, 0, 1 of alternative completions of each step.

Left out, and counted: quality-control and screening rows, and problems marked bad. A step without a rating, a flagged
one, or one written by the labeler keeps its place and has no label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

from ttscale.core.checks import check_choice
from ttscale.training.data.examples import StepExample
from ttscale.training.data.readers.rows import LeftOut, MalformedRow, Read, Source, labelled, list_of, read, text_of

Neutral: TypeAlias = Literal["positive", "negative", "unlabelled"]


def read_prm800k(source: Source, *, neutral: Neutral, separator: str = "\n") -> Read:
    """Examples from rows of either phase: one for the chosen path, and one for each completion that was not chosen.

    ``neutral``: what a rating of 0 means. Lightman et al. and Qwen-PRM800K count it as positive, TRL's converter as
    negative; there is no default. A path that stops at an error (phase 2) ends with that step. An alternative carries
    the label of its own last step only: those before it are labelled on the path.
    """
    check_choice("neutral", neutral, get_args(Neutral))
    meaning = {-1: 0.0, 0: {"positive": 1.0, "negative": 0.0, "unlabelled": None}[neutral], 1: 1.0}
    return read(source, partial(_convert, meaning=meaning, separator=separator))


def _convert(row: Mapping[str, Any], meaning: Mapping[int, float | None], separator: str) -> list[StepExample]:
    if row.get("is_quality_control_question"):
        raise LeftOut("quality control")
    if row.get("is_initial_screening_question"):
        raise LeftOut("initial screening")
    question, label = row.get("question"), row.get("label")
    if not isinstance(question, Mapping) or not isinstance(label, Mapping):
        raise MalformedRow("no question or no label")
    if label.get("finish_reason") == "bad_problem":
        raise LeftOut("bad problem")
    prompt = text_of(question, "problem")
    path: list[str] = []
    path_labels: list[float | None] = []
    found: list[tuple[list[str], list[float | None]]] = []
    stopped = False
    for step in list_of(label, "steps"):
        if stopped:
            raise MalformedRow("steps after one of which nothing was chosen")
        completions, chosen, human = _step(step)
        rated = [(text, meaning.get(rating) if rating is not None else None) for text, rating in completions]
        stopped = chosen is None and human is None
        follow = 0 if stopped and rated else chosen  # a path that stops here ends with the first completion
        for index, (text, value) in enumerate(rated):
            if index != follow and value is not None:
                found.append(([*path, text], [None] * len(path) + [value]))
        if follow is not None:
            path, path_labels = [*path, rated[follow][0]], [*path_labels, rated[follow][1]]
        elif human is not None:
            path, path_labels = [*path, human], [*path_labels, None]
    if any(value is not None for value in path_labels):
        found.insert(0, (path, path_labels))
    if not found:
        raise LeftOut("no rated step")
    return [labelled(prompt, steps, labels, separator) for steps, labels in found]


def _step(step: Any) -> tuple[Sequence[tuple[str, int | None]], int | None, str | None]:
    """(completions with their ratings, index of the chosen one, the labeler's own text)."""
    if not isinstance(step, Mapping):
        raise MalformedRow("a step is not an object")
    given = step.get("completions")
    if given is not None and not isinstance(given, list | tuple):
        raise MalformedRow("completions is not a list")
    completions = []
    for completion in given or ():
        if not isinstance(completion, Mapping):
            raise MalformedRow("a completion is not an object")
        rating = completion.get("rating")
        if rating is not None and (isinstance(rating, bool) or rating not in (-1, 0, 1)):
            raise MalformedRow("a rating is not -1, 0, 1 or null")
        completions.append((text_of(completion, "text"), None if completion.get("flagged") else rating))
    chosen = step.get("chosen_completion")
    if chosen is not None and (type(chosen) is not int or not 0 <= chosen < len(completions)):
        raise MalformedRow("chosen_completion is not the index of a completion")
    human = step.get("human_completion")
    if isinstance(human, Mapping):
        human = text_of(human, "text")
    elif human is not None and (not isinstance(human, str) or not human.strip()):
        raise MalformedRow("human_completion is not a text")
    if chosen is None and human is None and not completions:
        raise MalformedRow("a step without any completion")
    return completions, chosen, human if chosen is None else None
