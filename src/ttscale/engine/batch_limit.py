"""One limit for all searches of a run: what they have spent together, what is out, and whether more may go.

Knows costs and counts. Must not know searches, queues or the clock.
"""

from __future__ import annotations

import math
from typing import Literal

from ttscale.core.cost import FREE, Cost
from ttscale.core.limit import Limit

RAMP = 2
"""Requests that may be out for each one that has come back, so that the costliest so far means something."""
MARGIN = 4
"""The greatest of n + 1 uniform draws is over that of n by one n-th in the mean; four are seldom passed."""
KNOWN = 16
"""From so many ended searches on their mean predicts the next; before, it is its budget at the costliest draw."""
Amounts = dict[str, float]


class BatchLimit:
    """A request goes out only if the rest covers it and all that are out, each at the costliest so far of its kind.

    Those that are out are taken for costlier still, by ``MARGIN`` n-ths after n replies. So only requests that are
    costlier than that can overshoot, each by its excess. ``limit`` may cap tokens, FLOPs and dollars; seconds are the
    business of each question.
    """

    def __init__(self, limit: Limit) -> None:
        caps = {"tokens": limit.tokens, "flops": limit.flops, "dollars": limit.dollars}
        self._caps: Amounts = {name: cap for name, cap in caps.items() if cap is not None}
        if limit.seconds is not None or not self._caps:
            raise ValueError(f"a total limit caps tokens, flops or dollars, and nothing else; got {limit!r}")
        self._spent, self._of_ended = self._amounts(FREE), self._amounts(FREE)
        self._out = {True: 0, False: 0}
        self._came = {True: 0, False: 0}
        self._costliest = {True: self._amounts(FREE), False: self._amounts(FREE)}
        self._ended = 0
        self.reached: str | None = None
        """The cap that is used up."""

    def _amounts(self, cost: Cost) -> Amounts:
        every = {"tokens": float(cost.sampled_tokens), "flops": cost.flops, "dollars": cost.dollars}
        return {name: every[name] for name in self._caps}

    def verdict(self, drawing: bool) -> Literal["go", "wait", "reached"]:
        """What to do with the next request, which samples (``drawing``) or judges; judging is free of the token cap."""
        short = [name for name, cap in self._caps.items() if self._due(name, drawing) > cap]
        if not drawing:
            short = [name for name in short if name != "tokens"]
        out = sum(self._out.values())
        if short and (not out or any(self._spent[name] >= self._caps[name] for name in short)):
            self.reached = self.reached or short[0]
        if self.reached and (drawing or self.reached != "tokens"):
            return "reached"
        return "wait" if short or (out and self._out[drawing] >= RAMP * self._came[drawing]) else "go"

    def _due(self, name: str, drawing: bool) -> float:
        """What will be spent if the next request goes out, by what is known."""
        out = sum(
            count * self._costliest[kind][name] * (1 + MARGIN / max(self._came[kind], 1))
            for kind, count in self._out.items()
        )
        least = 1.0 if name == "tokens" else math.ulp(self._caps[name])  # at a cap that is used up nothing goes
        return self._spent[name] + out + max(self._costliest[drawing][name], least)

    def sent(self, drawing: bool) -> None:
        """A request has gone out."""
        self._out[drawing] += 1

    def dropped(self, drawing: bool) -> None:
        """One that was out will bring no reply."""
        self._out[drawing] -= 1

    def replied(self, drawing: bool, cost: Cost) -> None:
        """One that was out has come back."""
        self._out[drawing] -= 1
        self._came[drawing] += 1
        for name, amount in self._amounts(cost).items():
            self._spent[name] += amount
            self._costliest[drawing][name] = max(self._costliest[drawing][name], amount)

    def ended(self, cost: Cost) -> None:
        """A search has ended that spent this."""
        self._ended += 1
        for name, amount in self._amounts(cost).items():
            self._of_ended[name] += amount

    def room_for(self, active: int, budget: int | None) -> bool:
        """Whether another search should begin beside ``active`` others: one that could not end would be for nothing."""
        if self.reached or not active:
            return not self.reached
        if not self._came[True]:
            return False
        for name, cap in self._caps.items():
            each = (budget or 1) * self._costliest[True][name]
            if self._ended >= KNOWN:
                each = self._of_ended[name] / self._ended
            if self._of_ended[name] + each * (active + 1) > cap:
                return False
        return True
