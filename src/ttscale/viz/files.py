"""The searches in a trace file, one tree per question."""

from __future__ import annotations

from pathlib import Path

from ttscale.core.trace import Event, read_events
from ttscale.viz.tree import Tree, tree


def trees(path: str | Path, question: str | None = None) -> list[Tree]:
    """A tree for each question in a trace file (``resume=``, ``Trace.save``), in the order they were begun.

    ``question`` keeps those whose id is this text or whose prompt holds it. Raises ``FileNotFoundError`` for a missing
    file and ``ValueError`` for one that is no trace, or that holds no such question.
    """
    events: dict[str, list[Event]] = {}
    for event in read_events(path):
        if "question" in event:
            events.setdefault(event["question"], []).append(event)
    found = [tree(own) for own in events.values() if any(event["event"] == "start" for event in own)]
    kept = [one for one in found if question is None or question == one.question or question in one.prompt]
    if not kept:
        what = f"none of its {len(found)} questions matches {question!r}" if found else "no question was begun in it"
        raise ValueError(f"{path}: nothing to show, {what}")
    return kept
