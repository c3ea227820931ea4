"""Hard caps on what one question may spend. This file knows arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ttscale.core.cost import Cost

SLACK = 2
"""Draws side by side get this many times the longest draw so far. A draw that runs alone gets all that is left."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Hard caps on one question: sampled tokens, FLOPs, wall-clock seconds, dollars. None is no cap.

    A cap ends the search with the best so far, and ``Result.stopped_by`` names it. A request is sent only if the rest
    of the cap covers the most expensive one so far. The cap on tokens also reaches into a draw: each gets its share of
    what is left (``Sample.max_tokens``) and is cut off there. A draw that runs alone gets all of it. A generator that
    does not look at its share may go beyond. What a draw is given depends on the draws before it in the search, never
    on the batch. At the token cap the finished candidates are still judged. At the caps on FLOPs and dollars the
    requests already sent are awaited, and the first one, or a costlier one, can overshoot. The cap on seconds ends
    everything at once. Seconds, FLOPs and dollars depend on what else was in the batch and the cache. So a search that
    one of these ends may end elsewhere the next time.
    """

    tokens: int | None = None
    flops: float | None = None
    seconds: float | None = None
    dollars: float | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "flops", "seconds", "dollars"):
            value: Any = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise ValueError(f"Limit({name}=...) must be positive and finite, or None for no cap; got {value!r}")
        if self.tokens is not None:
            whole = int(self.tokens)  # an integer of numpy's becomes Python's own, which traces can hold
            if whole != self.tokens:
                raise ValueError(f"Limit(tokens=...) must be a whole number of tokens; got {self.tokens!r}")
            object.__setattr__(self, "tokens", whole)

    @property
    def counts(self) -> bool:
        """Whether a cap goes by what replies cost."""
        return any(cap is not None for cap in (self.tokens, self.flops, self.dollars))

    def reached(self, spent: Cost, next_one: Cost, drawing: bool) -> str | None:
        """Which cap is used up or cannot pay for ``next_one``; None while there is room.

        ``drawing`` says whether the next request samples; judging is free of the token cap.
        """
        if drawing and self.tokens is not None and spent.sampled_tokens + max(1, next_one.sampled_tokens) > self.tokens:
            return "tokens"
        for name in ("flops", "dollars"):
            cap, had, more = getattr(self, name), getattr(spent, name), getattr(next_one, name)
            if cap is not None and (had >= cap or had + more > cap):
                return name
        return None

    def affordable(self, spent: Cost, costliest: Cost) -> float:
        """How many requests may be out at once without passing the caps on FLOPs and dollars, if each costs what the
        costliest so far did."""
        room = math.inf
        for name in ("flops", "dollars"):
            cap, most = getattr(self, name), getattr(costliest, name)
            if cap is not None:
                room = min(room, (cap - getattr(spent, name)) // most if most else 1)
        return max(1, room)

    def share(self, room: int, costliest: int, left: int) -> int:
        """The share of the next of ``left`` draws in ``room``, the tokens that no draw has yet.

        So many draws run side by side that each gets ``SLACK`` times the costliest so far. The first runs alone, since
        its cost is unknown.
        """
        return room // max(1, min(left, room // (SLACK * costliest) if costliest else 1))
