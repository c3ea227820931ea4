"""Questions with their reference answers: from a JSONL file, from the Hugging Face hub, from the reference benchmark.

Knows file formats and reference answers. Must not know models or strategies: what is searched with is
``Problem.question``, which holds no answer. Each row is read by its field names, so MATH, GSM8K and plain files of
questions and answers need no setting; a row that cannot be used is an error that says where it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttscale.core.checks import is_finite
from ttscale.core.types import Question
from ttscale.evaluation.problems.grading import check_reference, final_answer

QUESTION_FIELDS = ("problem", "question", "prompt")
ANSWER_FIELDS = ("answer", "final_answer", "ground_truth", "solution")
ID_FIELDS = ("id", "unique_id")
HUB = {"math-500": ("HuggingFaceH4/MATH-500", None), "gsm8k": ("openai/gsm8k", "main")}
"""Short names of data sets on the hub: id and configuration. Both have a split "test"."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and the right answer to it. (``ttscale.Question`` holds no answer, so that a strategy cannot peek.)"""

    id: str
    prompt: str
    answer: str
    """A final answer, not a solution: "18", "\\frac{1}{2}"."""
    level: int | None = None
    """The difficulty its source gives it, 1 (easy) to 5."""
    subject: str | None = None

    @property
    def question(self) -> Question:
        """What models and strategies may see."""
        return Question(self.id, self.prompt)


def load(source: str | Path, *, limit: int | None = None) -> list[Problem]:
    """Problems by name: "reference", "math-500", "gsm8k", a JSONL file, or the id of a data set on the hub."""
    name = str(source)
    if name == "reference":
        return from_reference(500 if limit is None else _checked(limit))
    if Path(source).is_file():
        return from_jsonl(source, limit=limit)
    hub_id, configuration = HUB.get(name, (name, None))
    if name not in HUB and (name.count("/") != 1 or name.endswith((".jsonl", ".json")) or name[0] in "./~"):
        raise ValueError(
            f"there is no file {name!r} and no such data set; give a JSONL file, the id of a data set on the hub "
            f"(owner/name), or one of: reference, {', '.join(HUB)}"
        )
    return from_hub(hub_id, configuration=configuration, limit=limit)


def from_jsonl(path: str | Path, *, limit: int | None = None) -> list[Problem]:
    """Problems from a file of one JSON object per line, in UTF-8; empty lines are skipped.

    The question is in ``problem``, ``question`` or ``prompt``; the reference in ``answer``, ``final_answer``,
    ``ground_truth`` or ``solution``, as a final answer or as a solution that ends in one (GSM8K's ``#### 18``, MATH's
    ``\\boxed{18}``); ``id`` (or ``unique_id``), ``level`` and ``subject`` are optional. Without an id, the id is a hash
    of the question. ``ValueError``, with file and line, for what is not JSON, a missing field, a reference that cannot
    be read, and an id or question that comes twice. ``limit`` reads the first so many problems only.
    """
    return problems(_json_lines(Path(path)), limit=limit, source=str(path))


def from_hub(
    hub_id: str, *, split: str = "test", configuration: str | None = None, limit: int | None = None
) -> list[Problem]:
    """Problems from a data set on the Hugging Face hub, by the package ``datasets``; fields as in ``from_jsonl``."""
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f"loading {hub_id!r} from the hub needs the package datasets: pip install 'ttscale[train]'; or give a "
            "local JSONL file"
        ) from error
    try:
        rows = datasets.load_dataset(hub_id, configuration, split=split)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"could not load the data set {hub_id!r} (split {split!r}): {error}. Check its id and the network, or give "
            "a local JSONL file"
        ) from error
    numbered = ((f"{hub_id}, row {number}", row) for number, row in enumerate(rows, start=1))
    return problems(numbered, limit=limit, source=hub_id)


def from_reference(n: int = 500, *, split: str = "test", level: int | None = None, seed: int = 0) -> list[Problem]:
    """``n`` problems of the benchmark that ships with the library, levels 1 to 5 in turn unless ``level`` is given."""
    from ttscale import reference

    return [Problem(p.id, p.prompt, p.answer, p.level) for p in reference.questions(n, split, level, seed)]


def problems(
    rows: Iterable[tuple[str, Mapping[str, Any]]], *, limit: int | None = None, source: str = "the data set"
) -> list[Problem]:
    """Problems from (place, row) pairs; ``place`` says in errors where the row stands. Fields as in ``from_jsonl``."""
    most = None if limit is None else _checked(limit)
    found: dict[str, Problem] = {}
    places: dict[str, str] = {}
    for place, row in rows:
        problem = _problem(place, row)
        if problem.id in found:
            same = problem.prompt == found[problem.id].prompt
            raise ValueError(
                f"{place}: {'this question' if same else f'the id {problem.id!r}'} stands in {places[problem.id]} "
                "already; every problem needs an id of its own, and no question may count twice"
            )
        found[problem.id], places[problem.id] = problem, place
        if len(found) == most:
            break
    if not found:
        raise ValueError(f"there are no problems: {source} is empty")
    return list(found.values())


def _problem(place: str, row: Mapping[str, Any]) -> Problem:
    prompt = _text(place, row, QUESTION_FIELDS, "a question")
    solution = _text(place, row, ANSWER_FIELDS, "a reference answer")
    answer = final_answer(solution)
    if answer is None:
        raise ValueError(
            f"{place}: the reference {_short(solution)!r} is a text of several lines that states no final answer; give "
            "the answer alone, or mark it as \\boxed{...}, 'Answer: ...' or '#### ...'"
        )
    try:
        check_reference(answer)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    ids = [row[name] for name in ID_FIELDS if row.get(name) is not None]
    if ids and (isinstance(ids[0], bool) or not isinstance(ids[0], str | int) or ids[0] == ""):
        raise ValueError(f"{place}: an id must be a text or an integer, got {ids[0]!r}")
    id_ = _whole(place, "id", str(ids[0])) if ids else Question.of(prompt).id
    subject = row.get("subject")
    return Problem(id_, prompt, answer, _level(row.get("level")), None if subject is None else str(subject))


def _text(place: str, row: Mapping[str, Any], names: tuple[str, ...], what: str) -> str:
    """The first of the fields ``names`` that is there, as text."""
    present = [name for name in names if row.get(name) is not None]
    if not present:
        raise ValueError(
            f"{place}: {what} is missing; expected a field named {' or '.join(names)}, found {', '.join(row) or 'none'}"
        )
    value = row[present[0]]
    text = str(value) if is_finite(value) and names is ANSWER_FIELDS else value
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{place}: the field {present[0]!r} must hold {what}, got {_short(repr(value))}")
    return _whole(place, present[0], text)


def _whole(place: str, name: str, text: str) -> str:
    """``text``, unless it holds half a character (JSON can say "\\ud800"), which cannot be hashed, sent or stored."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{place}: the field {name!r} is no text: {text[error.start]!r} is half a character"
        ) from error
    return text


def _level(value: object) -> int | None:
    """5 from 5 and from MATH's "Level 5"; None for what gives no number ("Level ?")."""
    digits = re.search(r"[0-9]{1,9}", str(value))
    return int(digits[0]) if digits and not isinstance(value, bool) else None


def _json_lines(path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:  # JSON, UTF-8 and numbers too long are all the first
                raise ValueError(f"{place} is not JSON that can be read: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{place}: expected an object with a question and an answer, got {_short(repr(row))}")
            yield place, row


def _checked(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ValueError(f"limit must be an integer of at least 1, got {limit!r}")
    return limit


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
