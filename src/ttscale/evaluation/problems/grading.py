"""Whether an answer is right: one rule, the same one that groups answers for a vote.

Knows reference answers, which exist in ``ttscale.evaluation`` only. Must not know models or strategies. An answer is
right when it is equivalent to the reference (docs/answers.md), so answers of one class are right or wrong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ttscale.answers import MATHEMATICS, AnswerRule, answer_classes, equal, extract_answer, why_unreadable


def grade(answer: str | None, reference: str, rule: AnswerRule = MATHEMATICS) -> bool:
    """Whether ``answer`` is equivalent to ``reference``; no answer (None or empty) is wrong.

    Both are final answers, compared by ``rule``. ``ValueError`` for a reference that ``check_reference`` refuses.
    """
    return equal(answer, check_reference(reference) if rule == MATHEMATICS else reference, rule)


def grade_text(text: str, reference: str, rule: AnswerRule = MATHEMATICS) -> bool:
    """Whether the final answer that a solution states is right; a solution that states none is wrong."""
    return grade(rule.extract(text), reference, rule)


def graded(
    answers: Sequence[str | None], reference: str, rule: AnswerRule = MATHEMATICS
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each of K answers its class [K] (-1: no answer, it never votes) and whether it is right [K].

    The reference is classed together with the answers, so that answers of one class are right or wrong together.
    """
    first, *classes = answer_classes([reference, *answers], rule)
    numbers = np.array([-1 if number is None else number for number in classes], dtype=np.int64)
    return numbers, (numbers == first) & (numbers >= 0)


def right_answers(
    answers: Iterable[str | None], reference: str, rule: AnswerRule = MATHEMATICS
) -> dict[str | None, bool]:
    """For each distinct answer whether it is right; None (no answer) is wrong."""
    distinct = list(dict.fromkeys(answers))
    return {None: False} | dict(zip(distinct, graded(distinct, reference, rule)[1].tolist(), strict=True))


def check_reference(reference: str) -> str:
    """``reference``, if answers can be compared with it.

    ``ValueError`` if it is empty, too long, broken LaTeX, or marks an answer that is not there.
    """
    if not isinstance(reference, str):
        raise ValueError(f"a reference answer must be a text, got {reference!r}")
    problem = why_unreadable(reference)
    if not problem and extract_answer(reference) is None and extract_answer(f"{reference.rstrip()} 7") == "7":
        problem = "it marks an answer and holds none"  # "####" or "Answer:"
    if problem:
        shown = reference if len(reference) <= 80 else reference[:77] + "..."
        raise ValueError(f"the reference answer {shown!r} cannot be read: {problem}")
    return reference


def final_answer(solution: str) -> str | None:
    """The reference answer in a reference solution: what it states (\\boxed{}, ####, ...), or all of a single line."""
    stated = extract_answer(solution)
    return stated if stated or "\n" in solution.strip() else solution.strip() or None
