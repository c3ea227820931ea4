"""The waves strategies are made of: draw, judge, and several searches side by side.

A strategy composes these with ``yield from``. They know requests and candidates, nothing of who answers.
"""

from __future__ import annotations

from collections.abc import Generator as PyGenerator
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from ttscale.core.protocols import Strategy, needs_of
from ttscale.core.requests import Completion, Reply, Request, Sample, Score, Search, Verdict
from ttscale.core.selection import Aggregate, aggregate
from ttscale.core.types import Candidate, Key, Outcome

T = TypeVar("T")


def draw(
    prefixes: Sequence[Candidate],
    keys: Sequence[Key],
    max_steps: int | None = None,
    temperature: float | None = None,
    window: int | None = None,
    stop_below: float | None = None,
) -> Search[list[Candidate]]:
    """Continue each prefix once, under the key beside it."""
    settings = (max_steps, temperature, window, stop_below)
    replies = yield [Sample(p, k, *settings) for p, k in zip(prefixes, keys, strict=True)]
    completions = cast(Sequence[Completion], replies)
    return [p.extend(k, r.steps, r.finish) for p, k, r in zip(prefixes, keys, completions, strict=True)]


def draw_whole(root: Candidate, n: int) -> Search[list[Candidate]]:
    """``n`` independent whole solutions."""
    return (yield from draw([root] * n, [root.key.child(i) for i in range(n)]))


def judge(candidates: Sequence[Candidate], how: Aggregate) -> Search[list[float | None]]:
    """A score for each candidate that has steps and was not cut off; None for the others, which cost nothing, and
    for one that the verifier left unscored."""
    asked = [i for i, candidate in enumerate(candidates) if candidate.steps and candidate.finish != "length"]
    scores: list[float | None] = [None] * len(candidates)
    if asked:
        verdicts = cast(Sequence[Verdict], (yield [Score(candidates[i]) for i in asked]))
        for i, verdict in zip(asked, verdicts, strict=True):
            scores[i] = aggregate(verdict.step_scores, how) if verdict.unscored is None else None
    return scores


def scores_of_outcome(strategy: Strategy, outcome: Outcome, how: Aggregate) -> Search[tuple[float | None, ...]]:
    """The verifier's scores of what a strategy found, where its own are shares of a vote that asked no verifier."""
    if "verifier" in needs_of(strategy, ("verifier",)):
        return outcome.scores
    return tuple((yield from judge(outcome.candidates, how)))


def lockstep(searches: Sequence[Search[T]]) -> Search[list[T]]:
    """Run independent searches side by side: their waves are joined into one until the last has returned."""
    running: dict[int, tuple[PyGenerator[Any, Any, T], Sequence[Request]]] = {}
    results: dict[int, T] = {}

    def advance(i: int, search: Search[T], replies: Sequence[Reply] | None) -> None:
        try:
            running[i] = (search, next(search) if replies is None else search.send(replies))
        except StopIteration as stop:
            results[i] = stop.value
            running.pop(i, None)

    for i, search in enumerate(searches):
        advance(i, search, None)
    while running:
        wave = [(i, search, len(requests)) for i, (search, requests) in running.items()]
        replies = yield [request for _, requests in running.values() for request in requests]
        start = 0
        for i, search, n in wave:
            advance(i, search, replies[start : start + n])
            start += n
    return [results[i] for i in range(len(searches))]
