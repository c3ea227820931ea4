"""Hard caps on what one question may spend. This file knows arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from ttscale.core.cost import Cost


@dataclass(frozen=True, slots=True)
class Limit:
    """Hard caps on one question: sampled tokens, FLOPs, wall-clock seconds. None is no cap.

    A cap ends the search with the best so far, and ``Result.stopped_by`` names it. A request is sent only if the rest
    of the cap covers the most expensive one so far, so only the first request, or a costlier one, can overshoot. At the
    token cap the finished candidates are still judged. At the cap on FLOPs the requests already sent are awaited. The
    cap on seconds ends everything at once. Seconds and FLOPs depend on what else was in the batch and the cache, so a
    search that one of these two has ended may end elsewhere the next time.
    """

    tokens: int | None = None
    flops: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "flops", "seconds"):
            value = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise ValueError(f"Limit({name}=...) must be positive and finite, or None for no cap; got {value!r}")

    def reached(self, spent: Cost, next_one: Cost, drawing: bool) -> str | None:
        """Which cap is used up or cannot pay for ``next_one``; None while there is room.

        ``drawing`` says whether the next request samples; judging is free of the token cap.
        """
        if drawing and self.tokens is not None and spent.sampled_tokens + max(1, next_one.sampled_tokens) > self.tokens:
            return "tokens"
        if self.flops is not None and (spent.flops >= self.flops or spent.flops + next_one.flops > self.flops):
            return "flops"
        return None

    def affordable(self, spent: Cost, costliest: Cost, drawing: bool) -> float:
        """How many requests may be out at once without passing a cap, if each costs what the costliest so far did."""
        room = math.inf
        if drawing and self.tokens is not None:
            room = (self.tokens - spent.sampled_tokens) // costliest.sampled_tokens if costliest.sampled_tokens else 1
        if self.flops is not None:
            room = min(room, (self.flops - spent.flops) // costliest.flops if costliest.flops else 1)
        return max(1, room)
