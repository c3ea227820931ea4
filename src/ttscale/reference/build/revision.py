"""The reviser's data: right answers after earlier attempts (paper 3.8).

Knows: graded attempts and the layout of a chain. Must not know: what is inside a solution.

The paper's recipe: for a right solution draw n from 0 to 4 wrong ones as context, the last of them the nearest to it in
character edit distance. Two departures, measured on the model card. Without context the target is any solution of the
generator's, not a right one: here training on right solutions alone removes nearly all slips, and a chain whose
first attempt is right 94% of the time has nothing to revise. And a reviser that saw only wrong attempts turns right
ones wrong (the paper's 38%) and repeats its own mistakes, so later rounds use contexts as its own chains leave them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeAlias

from rapidfuzz.distance import Levenshtein

from ttscale.reference._format import MAX_ATTEMPTS, answer_of, revision_prompt
from ttscale.reference._problems import Problem
from ttscale.reference.build.collect import Sampled, decode
from ttscale.reference.build.documents import LONGEST, Document, encode, solution_document
from ttscale.reference.build.sampler import Sampler

LONGEST_CHAIN = 1500
"""Tokens of a question, four attempts cut off at the sampler's limit, and one more."""
Own: TypeAlias = tuple[Sampled, list[tuple[str, bool]]]
"""A question with graded solutions, and a chain the reviser wrote for it: each attempt and whether it is right."""


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


def first(rng: random.Random, row: Sampled) -> Document:
    """A first attempt: the generator's, right or wrong."""
    return solution_document(row.prompt, [pick(rng, [(text, times) for text, times, _ in row.solutions])])


def document(rng: random.Random, row: Sampled, again: float) -> Document | None:
    """A chain of one to four wrong attempts and a right one; with chance ``again`` one more right one after it."""
    good = [(text, times) for text, times, right in row.solutions if right]
    bad = [(text, times) for text, times, right in row.solutions if not right]
    if not good or not bad:
        return None
    target = pick(rng, good)
    n = min(1 + int(rng.random() * MAX_ATTEMPTS), sum(times for _, times in bad))
    context = [pick(rng, bad) for _ in range(n - 1)] + [nearest(target, [text for text, _ in bad])]
    return _chain(row.prompt, context, [target] * (1 + (rng.random() < again)))


def mixed_document(rng: random.Random, row: Sampled, wrong: float, copied: float) -> Document | None:
    """One to four attempts as context, each wrong with chance ``wrong`` and else right, sometimes a copy of the one
    before; then a right solution. What is in the context tells nothing about how many attempts were right, so the
    model has to look."""
    good = [(text, times) for text, times, right in row.solutions if right]
    bad = [(text, times) for text, times, right in row.solutions if not right]
    if not good:
        return None
    context: list[str] = []
    for _ in range(1 + int(rng.random() * MAX_ATTEMPTS)):
        if context and rng.random() < copied:
            context.append(context[-1])
        else:
            context.append(pick(rng, bad if bad and rng.random() < wrong else good))
    return _chain(row.prompt, context, [pick(rng, good)])


def own_document(
    rng: random.Random, row: Sampled, chain: Sequence[tuple[str, bool]], after_wrong: float
) -> Document | None:
    """A window of a chain that the reviser wrote itself, and what should have come next: the last attempt again if it
    was right, else the right solution nearest to it. With chance ``after_wrong`` a place after a wrong attempt."""
    good = [text for text, _, right in row.solutions if right] + [text for text, right in chain if right]
    if not good:
        return None
    places = list(range(1, len(chain) + 1))
    if rng.random() < after_wrong:
        places = [place for place in places if not chain[place - 1][1]] or places
    place = places[int(rng.random() * len(places))]
    context = [text for text, _ in chain[max(0, place - MAX_ATTEMPTS) : place]]
    last, right = chain[place - 1]
    return _chain(row.prompt, context, [last if right else nearest(last, good)])


def _chain(question: str, context: list[str], targets: list[str]) -> Document:
    """The loss is on the targets; the oldest attempts go where the context is long."""
    while sum(map(len, context)) > LONGEST:
        context = context[1:]
    return solution_document(question, [*context, *targets], [False] * len(context) + [True] * len(targets))


def chains(sampler: Sampler, problems: Sequence[Problem], length: int, seed: int) -> list[list[tuple[str, bool]]]:
    """One chain per problem: each attempt sees the last four before it. Attempts without an answer count as wrong."""
    out: list[list[tuple[str, bool]]] = [[] for _ in problems]
    for turn in range(length):
        prompts = [
            encode(revision_prompt(problem.prompt, [text for text, _ in chain]))
            for problem, chain in zip(problems, out, strict=True)
        ]
        counters = sampler.sample(prompts, 1, seed * 1000 + turn)
        for problem, chain, counter in zip(problems, out, counters, strict=True):
            text = decode(next(iter(counter), ()))
            chain.append((text, answer_of(text) == problem.answer))
    return out
