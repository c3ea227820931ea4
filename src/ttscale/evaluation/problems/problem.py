"""A question with its reference answer, and the one reader of such pairs.

``as_problems`` takes what evaluation and training are given: objects, (prompt, answer) pairs, rows of a file. It reads
every row by its field names, checks that the reference can be graded against, and says where a bad row stands.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from os import PathLike
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from ttscale.answers import MATHEMATICS, AnswerRule, name_of_rule, rule_named
from ttscale.answers.rules import Choice, Number, rule_of_row
from ttscale.core.checks import check_choice, check_count
from ttscale.core.types import Question
from ttscale.evaluation.problems.grading import check_reference, final_answer, grade
from ttscale.prompts.layouts import whole_characters

QUESTION_FIELDS = ("problem", "question", "prompt")
ANSWER_FIELDS = ("answer", "final_answer", "ground_truth", "ground_truth_answer", "solution")
ID_FIELDS = ("id", "unique_id")
BadReferences = Literal["raise", "skip"]
_LEFT_OUT = re.compile(r"nan|none|null|n/a|\?+|[+-]?inf(?:inity)?", re.IGNORECASE)
"""What stands where an answer was left out."""


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
    answers: AnswerRule = field(default=MATHEMATICS, compare=False, repr=False)
    """What counts as an answer, and as the right one: a rule of ``ttscale.answers`` or the name of one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", rule_named(self.answers))

    @property
    def question(self) -> Question:
        """What models and strategies may see."""
        return Question(self.id, self.prompt, self.answers)

    @property
    def digest(self) -> str:
        """A hash of prompt, answer and rule: tells a question from another one that has its id."""
        rule = "" if self.answers == MATHEMATICS else f"\x00{name_of_rule(self.answers)}"
        return hashlib.blake2b(f"{self.prompt}\x00{self.answer}{rule}".encode(), digest_size=6).hexdigest()


class WithQuestion(Protocol):
    """Anything with the id and the text of a question: what splits look at."""

    @property
    def id(self) -> str: ...
    @property
    def prompt(self) -> str: ...


@runtime_checkable
class ProblemLike(WithQuestion, Protocol):
    """Anything with its answer too, such as a problem of ``ttscale.reference``."""

    @property
    def answer(self) -> str: ...


AnyProblem: TypeAlias = ProblemLike | tuple[str, str] | Mapping[str, Any]


def as_problems(
    rows: Iterable[AnyProblem], *, bad_references: BadReferences = "raise", limit: int | None = None
) -> list[Problem]:
    """Problems from objects with ``id``, ``prompt`` and ``answer``, (prompt, answer) pairs, or rows (mappings).

    In a row, the question is in ``problem``, ``question`` or ``prompt``; the reference in ``answer``, ``final_answer``,
    ``ground_truth``, ``ground_truth_answer`` or ``solution``, as a final answer or as a solution that ends in one
    (GSM8K's ``#### 18``, MATH's ``\\boxed{18}``); ``id`` (or ``unique_id``), ``level``, ``subject`` and ``answers``
    (an answer rule or its name; what is nothing like one is passed over) are optional. A field that holds null counts
    as absent. Without an id, the id is a hash of the question. Half a character (a lone surrogate) becomes "\\ufffd". A
    question that comes twice under one id, with one answer, counts once. ``limit`` stops after so many problems.

    ``ValueError`` names the row that lacks a field, an id that two questions share, a question with two answers, and a
    reference that cannot be graded against. ``bad_references="skip"`` leaves out the question of such a reference,
    and one with two answers.
    """
    if isinstance(rows, str | PathLike):
        raise ValueError(f"problems must be a list, not the path {rows!r}: read it, evaluation.load(path)")
    if not isinstance(rows, Iterable):
        raise ValueError(f"problems must be a list of problems; got {rows!r}")
    placed = ((f"problem {number}", row) for number, row in enumerate(rows, start=1))
    return read_problems(placed, "the list", bad_references=bad_references, limit=limit)


def read_problems(
    placed: Iterable[tuple[str, AnyProblem]],
    source: str,
    *,
    bad_references: BadReferences = "raise",
    limit: int | None = None,
) -> list[Problem]:
    """``as_problems`` of (place, row) pairs. ``place`` and ``source`` say in errors where a row stands."""
    check_choice("bad_references", bad_references, get_args(BadReferences))
    check_count("limit", limit, none=True)
    problems: dict[str, Problem] = {}
    places: dict[str, str] = {}
    ids: dict[str, list[str]] = {}  # of each text
    bad: list[str] = []
    torn: set[str] = set()  # texts of questions with several answers
    for place, row in placed:
        fields = _fields(place, row)
        try:
            answer = _reference(fields["answer"], fields["answers"])
        except ValueError as error:
            named = "" if fields["id"] is None else f" (id {fields['id']!r})"
            bad.append(f"{place}{named}: {error}")
            continue
        id_, prompt = _id(place, fields["id"], fields["prompt"]), fields["prompt"]
        subject = None if fields["subject"] is None else str(fields["subject"])
        problem = Problem(id_, prompt, answer, _level(fields["level"]), subject, fields["answers"])
        text = plain(prompt)
        known = [other for other in (id_, *ids.get(text, [])[:1]) if other in problems]
        said = (_contradiction(place, problem, places[other], problems[other]) for other in known)
        if contradicts := next(filter(None, said), None):
            bad.append(contradicts)
            torn.add(text)
            for other in ids.pop(text):
                del problems[other]
        if id_ not in problems and text not in torn:
            problems[id_], places[id_] = problem, place
            ids.setdefault(text, []).append(id_)
        if len(problems) == limit:
            break
    if bad and bad_references == "raise":
        raise ValueError(_bad(bad))
    if not problems:
        left_out = f": all {len(bad)} references cannot be read" if bad else " is empty"
        raise ValueError(f"there are no problems: {source}{left_out}")
    return list(problems.values())


def problems_digest(problems: Iterable[Problem]) -> str:
    """A hash of a set of problems, whatever their order: says in a policy what it was fitted on."""
    return hashlib.blake2b("".join(sorted(p.digest for p in problems)).encode(), digest_size=6).hexdigest()


def plain(prompt: str) -> str:
    """The text of a question with single spaces: two questions with equal plain texts are one."""
    return " ".join(prompt.split())


def short(text: str) -> str:
    """A text for an error message, at most 80 characters long."""
    return text if len(text) <= 80 else text[:77] + "..."


def _fields(place: str, row: AnyProblem) -> dict[str, Any]:
    """id, prompt, answer, level, subject and answer rule of a row, unchecked but for prompt and rule."""
    if isinstance(row, Mapping):
        prompt = _first(place, row, QUESTION_FIELDS, "a question")
        found = {
            "answer": _first(place, row, ANSWER_FIELDS, "a reference answer"),
            "id": next((row[name] for name in ID_FIELDS if row.get(name) is not None), None),
            "level": row.get("level"),
            "subject": row.get("subject"),
            "answers": row.get("answers"),
        }
    elif isinstance(row, tuple):
        if len(row) != 2:
            raise ValueError(f"{place}: expected a (prompt, answer) pair; got {len(row)} values")
        prompt, found = row[0], {"answer": row[1], "id": None, "level": None, "subject": None, "answers": None}
    elif isinstance(row, ProblemLike):
        found = {name: getattr(row, name, None) for name in ("answer", "id", "level", "subject", "answers")}
        prompt = row.prompt
    else:
        raise ValueError(
            f"{place} is no question with its answer: {short(repr(row))}; give a (prompt, answer) pair, a mapping, or "
            "an object with id, prompt and answer"
        )
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"{place} has no question: expected a text, got {short(repr(prompt))}")
    rule = rule_of_row(found["answers"], place, found["answer"])
    return found | {"prompt": whole_characters(prompt), "answers": rule}


def _first(place: str, row: Mapping[str, Any], names: tuple[str, ...], what: str) -> Any:
    """The first of the fields ``names`` that holds something."""
    for name in names:
        if row.get(name) is not None:
            return row[name]
    found = ", ".join(map(str, row)) or "none"
    raise ValueError(f"{place}: {what} is missing; expected a field named {' or '.join(names)}, found {found}")


def _reference(answer: Any, rule: AnswerRule) -> str:
    """The final answer in a reference; ``ValueError`` for one that cannot be graded against."""
    if _is_number(answer):
        answer = str(answer)
    if not isinstance(answer, str):
        raise ValueError(f"the reference answer {short(repr(answer))} is neither a text nor a number")
    if rule != MATHEMATICS and answer.strip():
        stated = rule.extract(whole_characters(answer))
        if stated is None and isinstance(rule, Choice | Number):
            raise ValueError(
                f"the reference answer {short(repr(answer))} cannot be read: the rule {rule.name} finds no answer in it"
            )
        return stated or whole_characters(answer)
    final = final_answer(whole_characters(answer))
    stated = final or ""
    if final is None and answer.strip():
        raise ValueError(
            f"the reference {short(repr(answer))} is a text of several lines that states no final answer; give the "
            "answer alone, or mark it as \\boxed{...}, 'Answer: ...' or '#### ...'"
        )
    if _LEFT_OUT.fullmatch(stated.strip()):
        raise ValueError(f"the reference answer {short(repr(answer))} cannot be read: the answer was left out")
    return check_reference(stated)


def _is_number(value: Any) -> bool:
    """Whether it is a finite real number of any library, however large."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    number: Any = value
    return bool(-math.inf < number < math.inf)


def _id(place: str, given: Any, prompt: str) -> str:
    if given is None:
        return Question.of(prompt).id
    if isinstance(given, bool) or not isinstance(given, str | Integral) or given == "":
        raise ValueError(f"{place}: an id must be a text or an integer, got {given!r}")
    return whole_characters(str(given))


def _level(value: object) -> int | None:
    """5 from 5 and from MATH's "Level 5"; None for what gives no number ("Level ?")."""
    digits = re.search(r"[0-9]{1,9}", str(value))
    return int(digits[0]) if digits and not isinstance(value, bool) else None


def _contradiction(place: str, problem: Problem, other_place: str, other: Problem) -> str | None:
    """Says that one question has two answers. ``ValueError`` for two questions under one id."""
    if plain(problem.prompt) != plain(other.prompt):
        raise ValueError(
            f"{place}: the id {problem.id!r} stands in {other_place} already, with another question; give every "
            "question an id of its own"
        )
    if problem.answer == other.answer or grade(problem.answer, other.answer, problem.answers):
        return None
    return (
        f"{place}: the question {short(problem.prompt)!r} stands in {other_place} already, with another answer "
        f"({other.answer!r} there, {problem.answer!r} here); give it one"
    )


def _bad(bad: list[str]) -> str:
    if len(bad) == 1:
        return bad[0]
    listed = "; ".join(bad[:5]) + ("; ..." if len(bad) > 5 else "")
    return f'{len(bad)} reference answers cannot be read; bad_references="skip" leaves these questions out. {listed}'
