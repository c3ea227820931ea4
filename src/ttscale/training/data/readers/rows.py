"""What every reader shares: rows in, examples out, and an account of what was left out. Nothing is ever guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ttscale.core.types import Question
from ttscale.evaluation.problems.jsonl import parsed
from ttscale.training.data.examples import StepExample

Source: TypeAlias = str | Path | Iterable[Mapping[str, Any]]
"""A JSONL file (or a JSON file that holds a list), or rows already loaded, such as a ``datasets.Dataset``."""
SHOWN = 5
"""How many row numbers a report names per reason."""


class MalformedRow(ValueError):
    """A row that does not follow its format; the text is the reason it is counted under."""


class LeftOut(ValueError):
    """A well-formed row that is left out on purpose; the text is the reason it is counted under."""


@dataclass(frozen=True, slots=True)
class RowCount:
    """How many rows, and the numbers of the first of them (1 is the first row of the source)."""

    rows: int
    first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """What a reader found: the examples, and every row that gave none, by reason."""

    examples: list[StepExample]
    rows: int
    malformed: dict[str, RowCount]
    left_out: dict[str, RowCount]

    def __str__(self) -> str:
        lines = [f"{len(self.examples)} examples from {self.rows} rows"]
        for kind, counts in (("malformed", self.malformed), ("left out", self.left_out)):
            for reason, count in counts.items():
                rows = ", ".join(map(str, count.first)) + (", ..." if count.rows > len(count.first) else "")
                lines.append(f"{kind}: {count.rows} ({reason}; rows {rows})")
        return "\n".join(lines)


def read(source: Source, convert: Callable[[Mapping[str, Any]], list[StepExample] | None]) -> Read:
    """Convert every row; a ``MalformedRow`` or ``LeftOut`` raised by ``convert`` is counted, anything else is a bug.

    None from ``convert`` says that the line is no data at all, such as a header.
    """
    examples: list[StepExample] = []
    malformed: dict[str, list[int]] = {}
    left_out: dict[str, list[int]] = {}
    rows = 0
    for number, row in enumerate(_rows(source), start=1):
        try:
            if not isinstance(row, Mapping):
                raise MalformedRow("not JSON" if row is None else "not an object")
            converted = convert(row)
            if converted is None:
                continue
            examples += converted
        except MalformedRow as error:
            malformed.setdefault(str(error), []).append(number)
        except LeftOut as error:
            left_out.setdefault(str(error), []).append(number)
        rows += 1
    return Read(examples, rows, _counts(malformed), _counts(left_out))


def text_of(row: Mapping[str, Any], name: str) -> str:
    """A text field that is not blank."""
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise MalformedRow(f"no text in {name!r}")
    return value


def list_of(row: Mapping[str, Any], name: str) -> list[Any]:
    """A list field that is not empty."""
    value = row.get(name)
    if not isinstance(value, list | tuple) or not value:
        raise MalformedRow(f"no list in {name!r}")
    return list(value)


def cut_question(texts: Sequence[str], boundary: str, where: str) -> tuple[str, list[str]]:
    """The question and the steps: the first text holds the question and, from ``boundary`` on, the first step."""
    start = texts[0].find(boundary)
    if start < 0:
        raise MalformedRow(f"no {boundary!r} {where}, so the question's end is not known")
    prompt, steps = texts[0][:start].strip(), [step.strip() for step in (texts[0][start:], *texts[1:])]
    if not prompt:
        raise MalformedRow("no question before the first step")
    if not all(steps):
        raise MalformedRow("an empty step")
    return prompt, steps


def labelled(
    prompt: str, steps: Sequence[str], labels: Iterable[float | None], separator: str, correct: bool | None = None
) -> StepExample:
    """The example of a question and its steps; each step but the last ends in the separator, as in a solution."""
    ended = (step if step.endswith(separator) else step + separator for step in steps[:-1])
    return StepExample(Question.of(prompt).id, prompt, (*ended, steps[-1]), tuple(labels), correct)


def _rows(source: Source) -> Iterator[Any]:
    """The rows of the source; None for a line that is not JSON."""
    if not isinstance(source, str | Path):
        yield from source
        return
    path = Path(source)
    if path.suffix == ".json":
        try:
            content = parsed(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}; for one row per line name it .jsonl") from error
        if not isinstance(content, list):
            raise ValueError(f"{path} must hold a list of rows; for one row per line name it .jsonl")
        yield from content
        return
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return parsed(line)
    except ValueError:
        return None


def _counts(rows: Mapping[str, list[int]]) -> dict[str, RowCount]:
    return {reason: RowCount(len(numbers), tuple(numbers[:SHOWN])) for reason, numbers in rows.items()}
