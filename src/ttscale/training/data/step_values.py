"""From sampled solutions and the endings of their prefixes to (n_rollouts, n_correct) for every step.

Pure functions over candidates and answers: which prefixes are distinct, and how to count. Must not know generators or
files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from ttscale.core.types import Candidate, Step

Estimate: TypeAlias = Literal["rollouts", "shared", "outcome"]
"""How a step's value is estimated. "rollouts" draws fresh continuations of the prefix, as the paper does. "shared"
takes the sampled solutions that share the prefix, without further draws. "outcome" gives every step the outcome of its
solution."""
Unparsable: TypeAlias = Literal["drop", "wrong"]
Texts: TypeAlias = tuple[str, ...]
RightOf: TypeAlias = tuple[int, int]
"""(n_rollouts, n_correct)"""


def fold(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with any that is only white space joined to its neighbour: there is nothing in it to judge."""
    folded: list[Step] = []
    for step in steps:
        if folded and not (step.text.strip() and folded[-1].text.strip()):
            folded[-1] = Step(folded[-1].text + step.text, folded[-1].tokens + step.tokens)
        else:
            folded.append(step)
    return tuple(folded) if any(step.text.strip() for step in folded) else ()


def proper_prefixes(solution: Candidate) -> Iterator[Texts]:
    """The step texts before each step but the first: what can be continued."""
    texts = tuple(step.text for step in solution.steps)
    return (texts[:length] for length in range(1, len(texts)))


def distinct_prefixes(solutions: Sequence[Candidate]) -> dict[Texts, Candidate]:
    """Text of each distinct proper prefix -> the open candidate to continue, from the first solution that has it."""
    found: dict[Texts, Candidate] = {}
    for solution in solutions:
        for texts in proper_prefixes(solution):
            if texts not in found:
                t = len(texts)
                found[texts] = Candidate(solution.question, solution.key.child("step", t), solution.steps[:t])
    return found


def step_counts(
    solutions: Sequence[Candidate],
    drawn: Sequence[Candidate],
    endings: Mapping[Texts, Sequence[str | None]],
    right: Mapping[str | None, bool],
    estimate: Estimate,
    unparsable_rollouts: Unparsable,
) -> list[list[RightOf]]:
    """(n_rollouts, n_correct) of every step of every solution; the last step's is the solution's own outcome.

    ``drawn``: all that were sampled, those without an answer too; ``endings``: the final answers of each prefix's
    continuations; ``right``: which answers are.
    """
    if estimate == "shared":
        endings = _passing(drawn)
    counts = {texts: _count(answers, right, unparsable_rollouts) for texts, answers in endings.items()}
    table = []
    for solution in solutions:
        own = (1, int(right[solution.answer]))
        table.append([own if estimate == "outcome" else counts[texts] for texts in proper_prefixes(solution)] + [own])
    return table


def _passing(solutions: Sequence[Candidate]) -> dict[Texts, list[str | None]]:
    """For each proper prefix the answers of the solutions that go through it."""
    answers: dict[Texts, list[str | None]] = defaultdict(list)
    for solution in solutions:
        for texts in proper_prefixes(solution):
            answers[texts].append(solution.answer)
    return answers


def _count(answers: Sequence[str | None], right: Mapping[str | None, bool], unparsable: Unparsable) -> RightOf:
    counted = [answer for answer in answers if answer is not None or unparsable == "wrong"]
    return len(counted), sum(right[answer] for answer in counted)
