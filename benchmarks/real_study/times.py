"""What each stage took: a line for each time that it ran to its end.

Knows files and clocks. A stage that was stopped has only its finished starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import process_time, time


def timed(folder: Path, stage: str, work: Callable[[], None]) -> str:
    """Do the work and note what it took; says it in words."""
    began, cpu = time(), process_time()
    work()
    row = {"stage": stage, "began": began, "ended": time(), "cpu": process_time() - cpu}
    with open(folder / "times.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    return f"{stage}: {row['cpu']:.0f} CPU seconds, {row['ended'] - row['began']:.0f} s"


def rows(folder: Path) -> list[dict[str, float]]:
    """The lines, in the order in which they were written."""
    file = folder / "times.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def cpu_seconds(folder: Path) -> dict[str, int]:
    """Of each stage, over all its starts."""
    found: dict[str, float] = {}
    for row in rows(folder):
        found[str(row["stage"])] = found.get(str(row["stage"]), 0.0) + row["cpu"]
    return {stage: round(seconds) for stage, seconds in found.items()}


def elapsed(folder: Path) -> int:
    """Seconds in which some stage ran; stages that ran at the same time count once."""
    total = reached = 0.0
    for began, ended in sorted((row["began"], row["ended"]) for row in rows(folder)):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return round(total)
