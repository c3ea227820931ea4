"""Problems as an evaluation takes them: a question with its reference answer, checked before anything is spent.

Knows questions, reference answers and which answers are the same. Must not know models or strategies. The reference
answer stays on this side: what is searched with is a ``ttscale.Question``, which has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ttscale.answers import answer_classes
from ttscale.core.types import Question
from ttscale.evaluation.problems.grading import check_reference, final_answer


@runtime_checkable
class ProblemLike(Protocol):
    """Anything with these three fields: rows of ``ttscale.evaluation`` data sets, ``ttscale.reference`` problems."""

    @property
    def id(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def answer(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Gold:
    """A question and the reference answer to it."""

    id: str
    prompt: str
    answer: str

    @property
    def digest(self) -> str:
        """A hash of prompt and answer: tells a question from another one that has its id."""
        return hashlib.blake2b(
            f"{self.prompt}\x00{self.answer}".encode("utf-8", "surrogatepass"), digest_size=6
        ).hexdigest()


AnyProblem = ProblemLike | tuple[str, str]


def check_problems(problems: Iterable[AnyProblem]) -> list[Gold]:
    """The problems with their reference answers reduced to what grading compares.

    Each is an object with ``id``, ``prompt`` and ``answer``, or a (prompt, answer) pair, whose id is a hash of its
    prompt. ``ValueError`` for an empty list, an id that comes twice, an empty prompt, and a reference answer that
    cannot be read: an empty one, or a text of several lines without a final answer.
    """
    if isinstance(problems, str | PathLike):
        raise ValueError(f"problems must be a list, not the path {problems!r}: read it, evaluation.load(path)")
    if not isinstance(problems, Iterable):
        raise ValueError(f"problems must be a list of problems; got {problems!r}")
    checked: dict[str, Gold] = {}
    for number, given in enumerate(problems, start=1):
        gold = _read(given, number)
        if gold.id in checked:
            raise ValueError(
                f"problem {number} has the id {gold.id!r}, which an earlier one has too; every problem needs an id of "
                "its own, or its records cannot be told apart"
            )
        checked[gold.id] = gold
    if not checked:
        raise ValueError("there are no problems to evaluate on: the list is empty")
    return list(checked.values())


def _read(given: AnyProblem, number: int) -> Gold:
    if isinstance(given, tuple):
        if len(given) != 2 or not isinstance(given[0], str):
            raise ValueError(f"problem {number}: expected a (prompt, answer) pair; got {given!r}")
        prompt, answer, id_ = given[0], given[1], Question.of(given[0]).id
    elif isinstance(given, ProblemLike):
        prompt, answer, id_ = given.prompt, given.answer, given.id
    else:
        raise ValueError(
            f"problem {number} must have the fields id, prompt and answer, or be a (prompt, answer) pair; got {given!r}"
        )
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"problem {number} (id {id_!r}) has no question: its prompt is {prompt!r}")
    try:
        final = final_answer(answer) if isinstance(answer, str) else check_reference(answer)
        if final is None:
            raise ValueError(
                f"the reference answer {answer!r} cannot be read: it states no final answer. Give the answer alone, or "
                "mark it as \\boxed{...}, 'Answer: ...' or '#### ...'"
            )
        check_reference(final)
    except ValueError as error:
        raise ValueError(f"problem {number} (id {id_!r}): {error}") from error
    return Gold(str(id_), prompt, final)


def graded(answers: Sequence[str | None], reference: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each answer its class (-1: no answer, it never votes) and whether it is the reference's.

    The reference is classed together with the answers, so that answers of one class are right or wrong together.
    """
    first, *classes = answer_classes([reference, *answers])
    numbers = np.array([-1 if number is None else number for number in classes], dtype=np.int64)
    return numbers, (numbers == first) & (numbers >= 0)


def shuffled(questions: Iterable[str], seed: int) -> list[str]:
    """Question ids in an order that depends on each id and the seed only, not on the order they come in."""
    return sorted(questions, key=lambda id_: hashlib.blake2b(f"{seed}/{id_}".encode(), digest_size=8).digest())


def problems_digest(golds: Iterable[Gold]) -> str:
    """A hash of a set of problems, whatever their order: says in a policy what it was fitted on."""
    return hashlib.blake2b("".join(sorted(gold.digest for gold in golds)).encode(), digest_size=6).hexdigest()
