"""Several verifiers as one: harder to please by accident than each of them (arXiv 2310.02743)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.protocols import aggregate_of, is_async, name_of
from ttscale.core.requests import Score, Verdict
from ttscale.core.selection import Aggregate, aggregate
from ttscale.core.unscored import OnError, check_on_error, in_place
from ttscale.verifiers.replies import received
from ttscale.verifiers.sync_or_async import Ask, Plan, common_worker, relay

Combine = Literal["mean", "min"]


class EnsembleVerifier:
    """Scores each step by the mean of its members' scores, weighted by ``weights``, or by the least of them ("min").

    Members that all give one score per step, or all one for the whole, are combined number by number. Where they differ
    for a candidate, each is first aggregated to one score (its own ``aggregate``, else the last step's), and the
    ensemble gives one score. A member that fails is an error of the ensemble. With ``on_error="unscored"`` the
    candidate is left without a score instead, as it is where a member gives none. Members may be synchronous or not;
    the ensemble is asynchronous if any of them is. Synchronous members are called one after the other: keep them on one
    device, since an ensemble has one worker.
    """

    def __init__(
        self,
        members: Sequence[Any],
        *,
        weights: Sequence[float] | None = None,
        combine: Combine = "mean",
        on_error: OnError | None = None,
    ) -> None:
        self.on_error = check_on_error(on_error)
        weights = None if weights is None else [float(weight) for weight in weights]
        some = isinstance(members, Sequence) and bool(members)
        if not some or not all(hasattr(member, "score") for member in members):
            raise ValueError(f"an ensemble needs verifiers in a list, objects with score(); got {members!r}")
        if combine not in ("mean", "min"):
            raise ValueError(f'combine must be "mean" or "min"; got {combine!r}')
        if weights is not None and combine == "min":
            raise ValueError(f'weights need combine="mean"; got {weights!r} with "min"')
        if weights is not None and len(weights) != len(members):
            raise ValueError(f"weights must be one number for each of {len(members)} members; got {weights!r}")
        if weights is not None and not (all(w >= 0 for w in weights) and 0 < sum(weights) < math.inf):
            raise ValueError(f"weights must be at least 0 and not all 0; got {weights!r}")
        self.members = tuple(members)
        self.sampling = {"weights": weights} if weights else {}
        self._weights = [w / sum(weights) for w in weights] if weights else [1 / len(members)] * len(members)
        self._combine = combine
        self.name = f"{combine}({', '.join(map(name_of, members))})"
        self.worker = common_worker(members)
        self._hows: list[Aggregate] = [aggregate_of(member) or "last" for member in members]
        self.aggregate: Aggregate = self._hows[0] if len(set(self._hows)) == 1 else "last"
        self.score: Callable[[Sequence[Score]], Any] = relay(self._plan, is_async(*[m.score for m in members]))

    def __repr__(self) -> str:
        return f"EnsembleVerifier({list(self.members)!r}, combine={self._combine!r})"

    def _plan(self, requests: Sequence[Score]) -> Plan[list[Verdict | Exception]]:
        replies = yield from self._joined(requests)
        return in_place(replies, self.on_error)

    def _joined(self, requests: Sequence[Score]) -> Plan[list[Verdict | Exception]]:
        columns: list[Sequence[Verdict | Exception]] = []
        for member in self.members:
            verdicts = yield Ask(member.score, (requests,))
            if len(verdicts) != len(requests):
                raise RoleError(f"{member!r} of an ensemble gave {len(verdicts)} verdicts for {len(requests)} requests")
            columns.append(verdicts)
        return [self._join(request, [column[i] for column in columns]) for i, request in enumerate(requests)]

    def _join(self, request: Score, replies: Sequence[Verdict | Exception]) -> Verdict | Exception:
        verdicts = received(replies, Verdict, f"a member of {self!r}")
        if isinstance(verdicts, Exception):
            return verdicts
        cost = Cost()
        for verdict in verdicts:
            cost += verdict.cost
        unscored = next((verdict.unscored for verdict in verdicts if verdict.unscored is not None), None)
        if unscored is not None:
            return Verdict((), cost, unscored)
        rows = [verdict.step_scores for verdict in verdicts]
        steps = len(request.candidate.steps)
        for number, row in enumerate(rows, 1):  # here, since a mean, a minimum or an aggregation would hide it
            wrong = [f"the score {score!r}" for score in row if not _fine(score)] or ["no score"] * (not row)
            wrong += [f"{len(row)} scores for {steps} steps"] * (len(row) not in (1, steps))
            if wrong:
                raise RoleError(
                    f"member {number} of an ensemble ({self.members[number - 1]!r}) gave {wrong[0]} "
                    f"(question {request.question.label}, candidate {request.candidate.key}); scores are "
                    "Python numbers in [0, 1]"
                )
        if len({len(row) for row in rows}) > 1:
            rows = [(aggregate(row, how),) for row, how in zip(rows, self._hows, strict=True)]
        return Verdict(tuple(self._one(scores) for scores in zip(*rows, strict=True)), cost)

    def _one(self, scores: Sequence[float]) -> float:
        if self._combine == "min":
            return min(scores)
        mean = math.fsum(w * s for w, s in zip(self._weights, scores, strict=True))
        return min(max(mean, min(scores)), max(scores))  # rounding must not leave [0, 1]


def _fine(score: Any) -> bool:
    return isinstance(score, (int, float)) and 0 <= score <= 1
