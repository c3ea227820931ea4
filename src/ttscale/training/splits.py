"""Questions with their reference answers, the split of them into training and held-out, and grading.

Knows questions, reference answers and which answers are the same. Must not know models. A reference that cannot be
read, a question asked twice with two answers, or a question on both sides of a split is an error before any token is
spent.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from ttscale.answers import answer_classes, extract_answer
from ttscale.core.types import Question
from ttscale.evaluation.problems.jsonl import parsed
from ttscale.prompts.layouts import whole_characters


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and its right answer. (``ttscale.Question`` holds no answer, so that a strategy cannot peek.)"""

    id: str
    prompt: str
    answer: str


_NO_ANSWER = re.compile(
    r"\\boxed\{\s*\}|#+|nan|none|null|n/a|\?+|[+-]?inf(?:inity)?|(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*:?",
    re.IGNORECASE,
)
"""What stands where an answer was left out."""


class ProblemLike(Protocol):
    """Anything with the three fields, such as the problems of ``ttscale.reference``."""

    @property
    def id(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def answer(self) -> str: ...


AnyProblem: TypeAlias = ProblemLike | tuple[str, str] | Mapping[str, Any]

_PROMPT_NAMES = ("prompt", "question", "problem")
_ANSWER_NAMES = ("answer", "final_answer", "ground_truth_answer")
_ID_NAMES = ("id", "unique_id")


def as_problems(rows: Iterable[AnyProblem], *, bad_references: Literal["raise", "skip"] = "raise") -> list[Problem]:
    """Problems from objects with ``id``, ``prompt`` and ``answer``, from (prompt, answer) pairs, or from rows (dicts).

    A row's question is its ``prompt``, ``question`` or ``problem``; a reference that is a worked solution (GSM8K's
    ``... #### 18``) is cut down to its final answer. Without an id, the id is a hash of the prompt. A reference that is
    empty, or a text of several lines without a final answer, is refused, or left out with ``"skip"``. The same question
    twice counts once; with two different answers it is refused.
    """
    problems: dict[str, Problem] = {}
    texts: dict[str, Problem] = {}
    bad: list[str] = []
    for number, row in enumerate(rows, start=1):
        id, prompt, answer = _fields(row, number)
        reference = _reference(answer)
        if reference is None:
            bad.append(f"{id!r} (row {number}: {_short(str(answer))!r})")
            continue
        known = problems.get(id)
        if known is not None and (known.prompt != prompt or not _same(known.answer, reference)):
            raise ValueError(
                f"Question id {id!r} comes twice (again in row {number}) with a different text or answer: "
                f"{_short(known.prompt)!r} -> {known.answer!r} and {_short(prompt)!r} -> {reference!r}. "
                "Give every question an id of its own and one answer."
            )
        problem = problems.setdefault(id, Problem(id, prompt, reference))
        twin = texts.setdefault(_normal(prompt), problem)
        if not _same(twin.answer, reference):
            raise ValueError(
                f"The question {_short(prompt)!r} comes twice, as {twin.id!r} and as {id!r} (row {number}), with two "
                f"answers: {twin.answer!r} and {reference!r}. Give it one."
            )
    if bad and bad_references == "raise":
        raise ValueError(
            f"{len(bad)} reference answer(s) cannot be read: {', '.join(bad[:5])}{' ...' if len(bad) > 5 else ''}. "
            "Give a final answer, or a solution that ends in one (\\boxed{...}, 'Answer: ...', '#### ...'); "
            'or pass bad_references="skip" to leave these questions out.'
        )
    if not problems:
        raise ValueError("There are no questions: the list is empty" + (" after bad references." if bad else "."))
    return list(problems.values())


def load_problems(path: str | Path, *, bad_references: Literal["raise", "skip"] = "raise") -> list[Problem]:
    """Problems from a JSONL file, one row per line; see ``as_problems`` for the fields."""
    rows = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = parsed(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}, is not JSON in UTF-8: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: expected an object with a question and an answer.")
            rows.append(row)
    try:
        return as_problems(rows, bad_references=bad_references)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def question_of(problem: ProblemLike) -> Question:
    """The question without its answer, as models may see it."""
    return Question(problem.id, problem.prompt)


def grade(answers: Iterable[str | None], reference: str) -> dict[str | None, bool]:
    """For each distinct answer whether it is equivalent to the reference; None (no answer) is wrong."""
    distinct = list(dict.fromkeys(answer for answer in answers if answer is not None))
    first, *classes = answer_classes([reference, *distinct])
    return {None: False} | {a: c is not None and c == first for a, c in zip(distinct, classes, strict=True)}


class WithQuestion(Protocol):
    """An example of a question: the part of it that splits look at."""

    @property
    def id(self) -> str: ...
    @property
    def prompt(self) -> str: ...


E = TypeVar("E", bound=WithQuestion)


def split_questions(examples: Sequence[E], held_out: float = 0.1, seed: int = 0) -> tuple[list[E], list[E]]:
    """(training, held-out) examples, split by *question*: all solutions of a question stay together.

    The held-out questions are the ``held_out`` share (at least one) with the lowest seeded hash of their text, so the
    choice does not depend on the order of the file, and the same text under two ids stays on one side.
    """
    if not 0.0 < held_out < 1.0:
        raise ValueError(f"held_out must be a share between 0 and 1, got {held_out}.")
    first: dict[str, str] = {}  # the questions of an id are one, whatever their text
    same: dict[str, str] = {}
    for example in examples:
        text = _normal(example.prompt)
        a, b = _root(same, text), _root(same, first.setdefault(example.id, text))
        same[max(a, b)] = min(a, b)
    group = {text: _root(same, text) for text in same}
    texts = sorted(set(group.values()), key=lambda text: _digest(f"{seed}/{text}"))
    if len(texts) < 2:
        raise ValueError(
            f"Cannot hold out questions: the examples have {len(texts)} distinct question(s), and at least 2 are "
            "needed (1 to train on, 1 to validate on). Pass a validation set of your own, or more questions."
        )
    chosen = set(texts[: min(max(1, round(held_out * len(texts))), len(texts) - 1)])
    training = [e for e in examples if group[_normal(e.prompt)] not in chosen]
    return training, [e for e in examples if group[_normal(e.prompt)] in chosen]


def _root(same: dict[str, str], text: str) -> str:
    while same.setdefault(text, text) != text:
        text = same[text]
    return text


def sides(
    examples: Sequence[E], validation: Iterable[E] | None, test: Iterable[WithQuestion], held_out: float, seed: int
) -> tuple[list[E], list[E]]:
    """(training, held-out) examples with no question on both sides, nor in ``test``."""
    if not examples:
        raise ValueError("There is nothing to train on: the examples are empty.")
    measured = list(test)
    check_disjoint(examples, measured)
    if validation is None:
        return split_questions(examples, held_out, seed)
    training, validated = list(examples), list(validation)
    if not validated:
        raise ValueError("The validation set is empty. Leave it out to hold out a share of the questions.")
    check_disjoint(training, validated, "validation")
    check_disjoint(validated, measured, side="validation")
    return training, validated


def check_disjoint(
    training: Iterable[WithQuestion], other: Iterable[WithQuestion], name: str = "test", *, side: str = "training"
) -> None:
    """Refuse a question (by id or by text, white space aside) that is in the training data and in ``other``."""
    ids, texts = set(), set()
    for example in training:
        ids.add(example.id)
        texts.add(_normal(example.prompt))
    shared = sorted({e.id for e in other if e.id in ids or _normal(e.prompt) in texts})
    if shared:
        raise ValueError(
            f"{len(shared)} question(s) are in the {side} data and in the {name} data: "
            f"{', '.join(map(repr, shared[:5]))}{' ...' if len(shared) > 5 else ''}. "
            "Numbers measured on them would mean nothing: take them out of one side."
        )


def fingerprints(examples: Iterable[WithQuestion]) -> list[str]:
    """Sorted hashes of the distinct question texts: what a checkpoint remembers of its training questions."""
    return sorted({_digest(_normal(e.prompt)) for e in examples})


def _fields(row: AnyProblem, number: int) -> tuple[str, str, Any]:
    prompt: Any
    answer: Any
    id: Any
    if isinstance(row, tuple):
        if len(row) != 2:
            raise ValueError(f"Row {number}: expected a (prompt, answer) pair, got {len(row)} values.")
        prompt, answer, id = row[0], row[1], None
    elif isinstance(row, Mapping):
        prompt, answer, id = (
            next((row[name] for name in names if row.get(name) is not None), None)
            for names in (_PROMPT_NAMES, _ANSWER_NAMES, _ID_NAMES)
        )
    elif all(hasattr(row, name) for name in ("prompt", "answer", "id")):
        prompt, answer, id = row.prompt, row.answer, row.id
    else:
        raise ValueError(
            f"Row {number} is no question with its answer: {_short(repr(row))}. Give a (prompt, answer) pair, a row "
            "(dict), or an object with id, prompt and answer; load_problems(path) reads a file."
        )
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"Row {number} has no question: give it a text under one of {', '.join(_PROMPT_NAMES)}.")
    prompt = whole_characters(prompt)
    return (Question.of(prompt).id if id is None else whole_characters(str(id))), prompt, answer


def _same(answer: str, other: str) -> bool:
    return answer == other or grade([other], answer)[other]


def _reference(answer: Any) -> str | None:
    if isinstance(answer, bool) or not isinstance(answer, str | Real):
        return None
    if isinstance(answer, Real) and not math.isfinite(answer):
        return None
    text = whole_characters(str(answer)).strip()
    if _NO_ANSWER.fullmatch(text):
        return None
    found = extract_answer(text)
    if found is not None:
        return None if _NO_ANSWER.fullmatch(found.strip()) else found
    return text if text and "\n" not in text else None


def _normal(prompt: str) -> str:
    return " ".join(prompt.split())


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
