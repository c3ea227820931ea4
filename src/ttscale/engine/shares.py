"""How a limit on tokens reaches into draws: each is given its share of what is left, in its request.

Knows one search's ledger and requests. Must not know who answers or when: a share depends on the settled draws alone.
"""

from __future__ import annotations

from dataclasses import replace

from ttscale.core.requests import Completion, Race, Reply, Request, Revise, Sample
from ttscale.engine.races import bound
from ttscale.engine.search_state import Active, Recall, draws, room_of


def share_out(active: Active, request: Request) -> Request:
    """The request with the tokens that a limit leaves it, and a note of them; to be called for each that goes out.

    In a race a draw that is longer than the winners settled so far has lost and needs no more than they.
    """
    if active.limit is None or active.limit.tokens is None:
        return request
    share = 0
    if isinstance(request, (Sample, Revise)) and not active.stopped_by:
        room = room_of(active)
        if active.shared_at == active.settled:
            share = min(active.shares[-1], room)
        else:
            left = sum(draws(one) for one in active.wave[active.let_out :])
            share = active.limit.share(room, active.costliest[True].sampled_tokens, left)
        active.shared_at = active.settled
        if type(active.wave) is Race:
            lost = bound(active.wave, active.replies[: active.settled])
            share = share if lost is None else min(share, lost)
        request = replace(request, max_tokens=share)
    active.shares.append(share)
    return request


def remembered(request: Request, race: str | None, reply: Reply) -> Request:
    """The request as it is remembered.

    A draw that its share did not cut off would have been the same without one. One that was cut off in a race may have
    been stopped for losing it, and whoever asks for the same draw outside of that race wants it whole.
    """
    if race is not None and isinstance(request, (Sample, Revise)) and _cut(reply):
        return replace(request, race=race)
    if isinstance(request, (Sample, Revise)) and request.max_tokens is not None and _fits(request.max_tokens, reply):
        return replace(request, max_tokens=None)
    return request


def recalled(recall: Recall, race: str | None, request: Request) -> Reply | None:
    """The reply that a trace holds; one without a share serves a request with one, if it is no longer.

    In a race it is asked for the draw as that race left it. Whoever recalls may answer with the whole draw.
    """
    if race is not None and isinstance(request, (Sample, Revise)):
        return recall(replace(request, race=race))
    reply = recall(request)
    if reply is None and isinstance(request, (Sample, Revise)) and request.max_tokens is not None:
        reply = recall(replace(request, max_tokens=None))
        reply = reply if reply is not None and _fits(request.max_tokens, reply) else None
    return reply


def _fits(share: int, reply: Reply) -> bool:
    """Whether a draw ended before it had used up its share, or with its last token."""
    sampled = reply.cost.sampled_tokens
    return sampled < share or (sampled == share and isinstance(reply, Completion) and not _cut(reply))


def _cut(reply: Reply) -> bool:
    return isinstance(reply, Completion) and reply.finish == "length"


def stoppable_race(active: Active) -> Race | None:
    """The race whose losers may be stopped in the middle; None where there is none.

    Under a limit on tokens, FLOPs or dollars nobody is: what a loser has cost by then decides what the limit lets out
    next, and it must not depend on the batch.
    """
    counts = active.limit is not None and active.limit.counts
    return active.wave if type(active.wave) is Race and not counts else None
