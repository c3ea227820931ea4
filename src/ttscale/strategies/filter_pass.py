"""One pass of a particle filter over steps (arXiv 2502.01618, algorithm 1): propagate, weigh, resample.

A finished particle keeps its place and its weight; open ones are resampled among themselves and get their mean weight.
So the weights are unbiased for the posterior of ``particles.py`` whatever the lengths, and no more than N solutions are
made. its_hub lets finished particles compete, be copied and be replaced. Where all solutions have the same number of
steps, both are the same filter up to the last step. After that, ours does not resample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ttscale.core.requests import Search
from ttscale.core.selection import Aggregate
from ttscale.core.types import Candidate, Key
from ttscale.strategies.chance import softmax
from ttscale.strategies.particles import Particle
from ttscale.strategies.resampling import Resample, effective_size, resampled
from ttscale.strategies.waves import draw, judge


def run_filter(
    root: Candidate, n: int, resample: Resample, ess: float, rounds: int, how: Aggregate, kept: Particle | None = None
) -> Search[list[Particle]]:
    """``n`` particles after at most ``rounds`` steps; behind them ``kept``, which stays (a conditional filter).

    Open particles are resampled where their effective number is at most ``ess`` times their number.
    """
    pool = [Particle(((root, None),))] * (n if kept is None else n + 1)
    for number in range(rounds):
        moving = [i for i, particle in enumerate(pool) if particle.candidate.finish == "open"]
        if not moving:
            break
        free = [i for i in moving if i < n]
        if free:
            keys = [root.key.child(number, i) for i in free]
            drawn = yield from draw([pool[i].candidate for i in free], keys, max_steps=1)
            scores = yield from judge(drawn, how)
            for i, candidate, score in zip(free, drawn, scores, strict=True):
                pool[i] = pool[i].moved(candidate, score)
        if kept is not None and n in moving:
            pool[n] = pool[n].moved(*kept.path[number + 1])
        if number < rounds - 1:
            resample_open(pool, n, resample, ess, root.key.child("resample", number))
    return pool


def resample_open(pool: list[Particle], n: int, resample: Resample, ess: float, key: Key) -> None:
    """Put open particles in the place of open particles; those from ``n`` on are never replaced."""
    open_ = [i for i, particle in enumerate(pool) if particle.candidate.finish == "open"]
    if not open_:
        return
    logs = [pool[i].log_weight for i in open_]
    weights = softmax(logs)
    if effective_size(weights) > ess * len(open_) + 1e-9:
        return
    free = [i for i in open_ if i < n]
    parents = [pool[open_[a]] for a in resampled(weights, len(free), resample, key)]
    for i, parent in zip(open_, [*parents, *(pool[i] for i in open_ if i >= n)], strict=True):
        pool[i] = replace(parent, log_weight=log_mean_exp(logs))


def log_mean_exp(logs: Sequence[float]) -> float:
    """The logarithm of the mean of the numbers with these logarithms."""
    top = max(logs)
    return top if top == -math.inf else top + math.log(math.fsum(math.exp(log - top) for log in logs) / len(logs))
