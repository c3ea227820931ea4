"""One search in progress and its ledger: what it asked for, what came back, what that cost, what its limit allows.

It knows waves, replies and limits. It does not know queues, tickets or other searches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ttscale.core.cost import FREE, Cost
from ttscale.core.limit import SLACK, Limit
from ttscale.core.requests import Compare, Completion, Race, Reply, Request, Revise, Sample, Score, Search, Verdict
from ttscale.core.selection import Aggregate, aggregate
from ttscale.core.types import Candidate, Outcome
from ttscale.engine.batch_limit import BatchLimit

CUT = Completion((), "length")
"""The reply to a draw past the token cap, which is never made. Compared by identity."""

CUTTING = ("tokens", "total_tokens")
"""Caps at which draws are answered with a cut-off, and judging goes on."""
ENDING = ("flops", "dollars", "total_flops", "total_dollars")
"""Caps at which nothing more is asked."""

Recall = Callable[[Request], Reply | None]


@dataclass(slots=True, eq=False)
class Active:
    """One search in progress."""

    root: Candidate
    search: Search[Outcome]
    limit: Limit | None
    recall: Recall | None
    budget: int | None
    aggregate: Aggregate = "last"
    """How step scores become the score of a finished candidate."""
    begun: int = 0
    """Solutions asked for."""
    wave: Sequence[Request] = ()
    race: str | None = None
    """The name of the wave's race, where its losers may be stopped in the middle."""
    replies: list[Reply | None] = field(default_factory=list)
    missing: int = 0
    """Requests of the wave without a reply."""
    let_out: int = 0
    """Requests of the wave, from the first on, that the limit has let out."""
    settled: int = 0
    """Replies of the wave, from the first on, that are in the ledger."""
    shares: list[int] = field(default_factory=list)
    """Of each request let out, the tokens that it was given under a limit on tokens."""
    shared_at: int | None = None
    """``settled`` when the last share was given: what goes out together gets the same, and may share a request."""
    keys: set[tuple[str | int, ...]] = field(default_factory=set)
    """Paths of the keys asked for."""
    generations: int = 0
    steps: int = 0
    verifier_calls: int = 0
    spent: Cost = FREE
    """The costs that the replies report. The three counts above replace theirs (law 5)."""
    costliest: dict[bool, Cost] = field(default_factory=lambda: {True: FREE, False: FREE})
    """The largest number of tokens and of FLOPs of a draw (True) and of a verdict (False) so far."""
    finished: dict[tuple[str | int, ...], tuple[Candidate, float | None]] = field(default_factory=dict)
    """By the path of its key, each finished candidate and its last score."""
    stopped_by: str | None = None
    cut_waves: int = 0

    @property
    def cost(self) -> Cost:
        """What is in the ledger."""
        return self.spent.counted(self.generations, self.steps, self.verifier_calls)


def may_go(active: Active, shared: BatchLimit | None) -> bool:
    """Whether the limits let the next request of the wave go out now, or be answered with a cut-off."""
    if active.stopped_by in ENDING:
        return False
    drawing = draws(active.wave[active.let_out])
    if active.stopped_by in CUTTING and drawing:
        return True
    if not _own_limit_lets(active, drawing):
        return False
    if shared is None or (drawing and active.stopped_by in CUTTING):
        return True
    verdict = shared.verdict(drawing)
    if verdict == "reached":
        active.stopped_by = f"total_{shared.reached}"
        return active.stopped_by in CUTTING
    return verdict == "go"


def _own_limit_lets(active: Active, drawing: bool) -> bool:
    """``may_go`` by the question's own limit alone; notes a cap that is reached."""
    limit, out = active.limit, active.let_out - active.settled
    if limit is None:
        return True
    costliest = active.costliest[drawing]
    reached = limit.reached(active.cost, FREE if out else costliest, drawing)
    if reached:
        active.stopped_by = reached
        return reached == "tokens"
    if drawing and limit.tokens is not None and out and room_of(active) < SLACK * max(1, costliest.sampled_tokens):
        return False
    return out < limit.affordable(active.cost, costliest)


def room_of(active: Active) -> int:
    """The tokens of the limit that are neither spent nor given to a draw that is out."""
    assert active.limit is not None
    assert active.limit.tokens is not None
    return active.limit.tokens - active.spent.sampled_tokens - sum(active.shares[active.settled :])


def enter_ledger(active: Active, place: int) -> None:
    """Put the reply at this place of the wave in the ledger."""
    request, reply = active.wave[place], active.replies[place]
    assert reply is not None
    if reply is CUT:
        return
    if reply.cost is not FREE:
        active.spent += reply.cost
        if active.limit:
            drawing = draws(request)
            active.costliest[drawing] = _larger(active.costliest[drawing], reply.cost)
    if not isinstance(reply, Completion):
        active.verifier_calls += 1
        path = request.key.path
        if path in active.finished and isinstance(reply, Verdict) and reply.unscored is None:
            active.finished[path] = (active.finished[path][0], aggregate(reply.step_scores, active.aggregate))
        return
    active.generations += begins(request)
    active.steps += len(reply.steps)
    if reply.finish == "stop" and type(active.wave) is not Race:
        keep_finished(active, request, reply)


def keep_finished(active: Active, request: Request, reply: Reply) -> None:
    """Remember what a draw has finished, for a search that is cut short."""
    if isinstance(reply, Completion) and reply.finish == "stop":
        candidate = _candidate(request, reply)
        if candidate.steps:
            active.finished.setdefault(candidate.key.path, (candidate, None))


def draws(request: Request) -> bool:
    """Whether the request samples, rather than judging what is there."""
    return not isinstance(request, (Score, Compare))


def begins(request: Request) -> bool:
    """Whether the request begins a solution, rather than going on with one or judging it."""
    return not request.prefix.steps if isinstance(request, Sample) else isinstance(request, Revise)


def _larger(a: Cost, b: Cost) -> Cost:
    return Cost(
        sampled_tokens=max(a.sampled_tokens, b.sampled_tokens),
        flops=max(a.flops, b.flops),
        dollars=max(a.dollars, b.dollars),
    )


def _candidate(request: Request, reply: Completion) -> Candidate:
    if isinstance(request, Sample):
        return request.prefix.extend(request.key, reply.steps, reply.finish)
    assert isinstance(request, Revise)
    seen = tuple(attempt for attempt in request.attempts if attempt.steps)
    return Candidate(request.question, request.key, tuple(reply.steps), reply.finish, seen)
