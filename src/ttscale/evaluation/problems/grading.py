"""Whether an answer is right: one rule, the same one that groups answers for a vote.

Knows reference answers, which exist in ``ttscale.evaluation`` only. Must not know models or strategies. An answer is
right when it is equivalent to the reference (docs/answers.md), so answers of one class are right or wrong together.
"""

from __future__ import annotations

from ttscale.answers import equivalent, extract_answer, why_unreadable


def grade(answer: str | None, reference: str) -> bool:
    """Whether ``answer`` is equivalent to ``reference``; no answer (None or empty) is wrong.

    Both are final answers. ``ValueError`` for a reference that ``check_reference`` refuses.
    """
    return equivalent(answer, check_reference(reference))


def grade_text(text: str, reference: str) -> bool:
    """Whether the final answer that a solution states is right; a solution that states none is wrong."""
    return grade(extract_answer(text), reference)


def check_reference(reference: str) -> str:
    """``reference``, if answers can be compared with it.

    ``ValueError`` if it is empty, too long, broken LaTeX, or marks an answer that is not there.
    """
    if not isinstance(reference, str):
        raise ValueError(f"a reference answer must be a text, got {reference!r}")
    problem = why_unreadable(reference) or _only_marks(reference)
    if problem:
        shown = reference if len(reference) <= 80 else reference[:77] + "..."
        raise ValueError(f"the reference answer {shown!r} cannot be read: {problem}")
    return reference


def _only_marks(reference: str) -> str | None:
    """What is wrong with "####" and "Answer:", texts that state an answer as soon as one is put after them."""
    marks = extract_answer(reference) is None and extract_answer(f"{reference.rstrip()} 7") == "7"
    return "it marks an answer and holds none" if marks else None


def final_answer(solution: str) -> str | None:
    """The reference answer in a reference solution: what it states (\\boxed{}, ####, ...), or all of a single line."""
    stated = extract_answer(solution)
    return stated if stated or "\n" in solution.strip() else solution.strip() or None
