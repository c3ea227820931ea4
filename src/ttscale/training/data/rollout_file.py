"""The file that rollouts are written to: JSON lines, a whole question at a time.

Knows lines and offsets. Must not know generators, nor how a line survives a kill (``core/record_file.py``). Layout: a
header line with the settings; then for every question one line per kept solution, followed by a line ``{"done": id,
...}``. What stands before the last ``done`` is complete. Whatever follows it (a torn line, half a question) is cut off
on the next start and drawn again. The draws come out the same, because their keys are their seeds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ttscale.answers import MATHEMATICS, name_of_rule
from ttscale.core.checks import differences
from ttscale.core.idioms import Closing
from ttscale.core.record_file import RecordFile
from ttscale.evaluation.problems.jsonl import encoded, stored
from ttscale.evaluation.problems.problem import Problem

FORMAT = "rollouts/1"


class RolloutFile(Closing):
    """An open rollout file; ``done`` maps each finished question's id to its closing line."""

    def __init__(self, path: str | Path, settings: Mapping[str, Any]) -> None:
        """Open or create ``path``. Other settings than those in its header are refused."""
        self.path = Path(path)
        self.done: dict[str, dict[str, Any]] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = RecordFile(self.path, alone=True, sync=True)
        try:
            self._file.cut(self._read(settings))
            if self._file.size == 0:
                self._file.append(encoded({"ttscale": FORMAT, "settings": dict(settings)}))
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def has(self, problem: Problem) -> bool:
        """Whether a question is finished; one that is there with another text, reference or answer rule is refused."""
        closing = self.done.get(problem.id)
        asked = {"prompt": problem.prompt, "answers": None} | graded_by(problem)
        if closing is not None and any(closing.get(name) != value for name, value in asked.items()):
            raise ValueError(
                f"question {problem.id!r} in {self.path} has another text or reference answer, or another answer rule, "
                "than the one given now; use the same questions to go on, or another file"
            )
        return closing is not None

    def append(self, problem: Problem, rows: Sequence[Mapping[str, Any]], closing: Mapping[str, Any]) -> None:
        """Write one whole question and what is known of it; after this returns it is on the disk."""
        last = {"done": problem.id, "prompt": problem.prompt, **graded_by(problem), **closing}
        self._file.append(b"".join(map(encoded, [*rows, last])))
        self.done[problem.id] = last

    def _read(self, settings: Mapping[str, Any]) -> int:
        """Fill ``done``; return the offset after the last complete question (or header)."""
        end = 0
        offset = 0
        for number, line in enumerate(self._file.lines(), start=1):
            offset += len(line)
            if not line.strip():
                continue
            record = stored(line, f"{self.path}, line {number}")
            if end == 0:
                _check_header(record, settings, self.path)
                end = offset
            elif "done" in record:
                self.done[record["done"]] = record
                end = offset
        if end == 0 and self._file.size > 0:
            start = self._file.read(0, 64)
            header = json.dumps({"ttscale": FORMAT}).encode()[:-1]
            if not header.startswith(start[: len(header)]):
                raise ValueError(
                    f"{self.path} is not a rollout file (it starts with {start[:40]!r}); it is left as it is"
                )
        return end


def graded_by(problem: Problem) -> dict[str, str]:
    """The fields that say what solutions are graded by: the reference, and the rule where it is not the usual one."""
    rule = {} if problem.answers == MATHEMATICS else {"answers": name_of_rule(problem.answers)}
    return {"reference": problem.answer} | rule


def _check_header(record: Mapping[str, Any], settings: Mapping[str, Any], path: Path) -> None:
    if record.get("ttscale") != FORMAT:
        raise ValueError(
            f"{path} is not a rollout file (its first line has no 'ttscale': {FORMAT!r}); it is left as it is"
        )
    before = record.get("settings", {})
    if changed := differences(before, dict.fromkeys(before) | dict(settings)):
        raise ValueError(
            f"{path} was begun with other settings ({', '.join(changed)}). Use the same settings to go on, or another "
            "file."
        )
