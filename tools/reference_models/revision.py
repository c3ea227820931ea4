"""The reviser's data: right answers after earlier attempts (paper, section 6.1).

Knows: graded attempts and the layout of a chain. Must not know: what is inside a solution.

The paper's recipe: for a right solution draw n from 0 to 4 wrong ones as context, the last of them the nearest to it in
character edit distance. A reviser that has only seen wrong attempts turns right ones wrong (the paper's 38%), so later
rounds use contexts as chains really leave them: right and wrong attempts mixed, copies among them, in the last rounds
whole chains of the reviser. The model card has the numbers of each round, and of what did not help.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeAlias

from rapidfuzz.distance import Levenshtein
from tools.reference_models.collect import Sampled, decode
from tools.reference_models.documents import LONGEST, Document, encode, solution_document
from tools.reference_models.sampler import Sampler

from ttscale.reference.layout import MAX_ATTEMPTS, answer_of, revision_prompt
from ttscale.reference.problems import Problem

LONGEST_CHAIN = 1500
"""Tokens of a question, four attempts cut off at the sampler's limit, and one more."""
Chain: TypeAlias = list[tuple[str, bool]]
"""Attempts, and whether each is right."""
Own: TypeAlias = tuple[Sampled, Chain]
"""A question with graded solutions, and a chain the reviser wrote for it."""


def nearest(target: str, others: Sequence[str]) -> str:
    """The attempt with the smallest character edit distance to ``target``."""
    return min(others, key=lambda other: (Levenshtein.distance(target, other), other))


def pick(rng: random.Random, options: Sequence[tuple[str, int]]) -> str:
    """One text, in proportion to how often it was sampled."""
    mark = rng.random() * sum(times for _, times in options)
    for text, times in options:
        mark -= times
        if mark < 0:
            return text
    return options[-1][0]


def document(rng: random.Random, row: Sampled, again: float) -> Document | None:
    """A chain of wrong attempts and a right one; with chance ``again`` one more right one after it."""
    good = [(text, times) for text, times, right in row.solutions if right]
    bad = [(text, times) for text, times, right in row.solutions if not right]
    if not good:
        return None
    target = pick(rng, good)
    n = min(int(rng.random() * (MAX_ATTEMPTS + 1)), sum(times for _, times in bad))
    context = [pick(rng, bad) for _ in range(n)]
    if context:
        context[-1] = nearest(target, [text for text, _ in bad])
    targets = [target] * (1 + (rng.random() < again))
    return _chain(row.prompt, context, targets)


def mixed_document(rng: random.Random, row: Sampled, wrong: float, copied: float) -> Document | None:
    """A context as a chain really leaves it: zero to four attempts, each wrong with chance ``wrong`` and else right,
    sometimes a copy of the one before; then a right solution, on which alone the loss is. What is in the context tells
    nothing about how many attempts were right, so the model has to look."""
    good = [(text, times) for text, times, right in row.solutions if right]
    bad = [(text, times) for text, times, right in row.solutions if not right]
    if not good:
        return None
    context: list[str] = []
    for _ in range(int(rng.random() * (MAX_ATTEMPTS + 1))):
        if context and rng.random() < copied:
            context.append(context[-1])
        else:
            context.append(pick(rng, bad if bad and rng.random() < wrong else good))
    return _chain(row.prompt, context, [pick(rng, good)])


def own_document(rng: random.Random, own: Own) -> Document:
    """A chain of its own, up to any attempt: the loss is on every right one, and the last is made right."""
    row, chain = own
    some = _mended(chain[: 1 + int(rng.random() * (MAX_ATTEMPTS + 1))], right_of(own))
    while sum(len(text) for text, _ in some) > LONGEST:
        some = some[1:]
    return _graded(row.prompt, some, [right for _, right in some])


def later_document(rng: random.Random, own: Own, alone: float, apart: float) -> Document:
    """A chain whose first attempt the student wrote, which stays as it was: revisions are what is taught.

    With chance ``alone`` only a first attempt, right or wrong, as the generator would write it; with chance ``apart``
    attempts of the student that know nothing of each other, then a right one; else a chain of its own, the loss on
    every right revision, and the last made right.
    """
    row, chain = own
    kind = rng.random()
    if kind < alone:
        return solution_document(row.prompt, [first(rng, row)[0]])
    attempts = 1 + int(rng.random() * MAX_ATTEMPTS)
    if kind < alone + apart:
        context: Chain = []
        for _ in range(attempts):
            context.append(context[-1] if context and rng.random() < 0.3 else first(rng, row))
        target = _mended([*context, (context[-1][0], False)], right_of(own))[-1]
        return _graded(row.prompt, [*context, target], [False] * attempts + [True])
    some = chain[: attempts + 1] if attempts < len(chain) else [*chain, chain[-1]]
    some = _mended(some, right_of(own))
    return _graded(row.prompt, some, [False] + [right for _, right in some[1:]])


def first(rng: random.Random, row: Sampled) -> tuple[str, bool]:
    """One of the solutions, in proportion to how often it was sampled, and whether it is right."""
    text = pick(rng, [(text, times) for text, times, _ in row.solutions])
    return text, answer_of(text) == row.answer


def right_of(own: Own) -> list[str]:
    """The right solutions at hand."""
    row, chain = own
    return [text for text, _, right in row.solutions if right] + [text for text, right in chain if right]


def _mended(some: Sequence[tuple[str, bool]], good: Sequence[str]) -> list[tuple[str, bool]]:
    """In place of a last attempt that is wrong, the last right one before it, or else the nearest right one."""
    *before, (last, right) = some
    if right:
        return list(some)
    kept = [text for text, fine in before if fine]
    return [*before, (kept[-1] if kept else nearest(last, good), True)]


def _graded(question: str, attempts: Sequence[tuple[str, bool]], counted: Sequence[bool]) -> Document:
    return solution_document(question, [text for text, _ in attempts], list(counted))


def _chain(question: str, context: list[str], targets: list[str]) -> Document:
    """The loss is on the targets; the oldest attempts go where the context is long."""
    while sum(map(len, context)) > LONGEST:
        context = context[1:]
    return solution_document(question, [*context, *targets], [False] * len(context) + [True] * len(targets))


def chains(
    sampler: Sampler, problems: Sequence[Problem], length: int, seed: int, temperature: float = 1.0
) -> list[Chain]:
    """One chain per problem: each attempt sees the last four before it. Attempts without an answer count as wrong."""
    return continued(sampler, problems, [[] for _ in problems], length, seed, temperature)


def continued(
    sampler: Sampler,
    problems: Sequence[Problem],
    begun: Sequence[Chain],
    length: int,
    seed: int,
    temperature: float = 1.0,
) -> list[Chain]:
    """The chains with ``length`` attempts more."""
    out = [list(chain) for chain in begun]
    for turn in range(length):
        prompts = [
            encode(revision_prompt(problem.prompt, [text for text, _ in chain]))
            for problem, chain in zip(problems, out, strict=True)
        ]
        counters = sampler.sample(prompts, 1, seed * 1000 + turn, temperature)
        for problem, chain, counter in zip(problems, out, counters, strict=True):
            text = decode(next(iter(counter), ()))
            chain.append((text, answer_of(text) == problem.answer))
    return out
