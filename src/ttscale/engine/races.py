"""Who wins a race: the draws of a wave that finish with the fewest sampled tokens, never those that end first.

Knows replies and their lengths. Must not know the clock, queues or who answered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from ttscale.core.requests import LOST, Completion, Race, Reply, length_of
from ttscale.core.trace import address
from ttscale.core.types import Key


def length(reply: Reply | None) -> int | None:
    """The tokens of a draw that has finished; None for any other reply, and for none yet."""
    return length_of(reply) if isinstance(reply, Completion) and reply.finish == "stop" else None


def bound(race: Race, replies: Sequence[Reply | None]) -> int | None:
    """The tokens beyond which a draw that has not finished has lost; None while too few have finished."""
    return _bound(race.first, [found for reply in replies if (found := length(reply)) is not None])


def _bound(first: int, lengths: Sequence[int]) -> int | None:
    return sorted(lengths)[first - 1] if len(lengths) >= first else None


def race_name(race: Race) -> str:
    """What a race is told apart by: who loses depends on how many win and on every draw of it."""
    text = json.dumps([race.first, [address(draw) for draw in race.draws]], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


class TicketRace:
    """A race for a role that runs several of its draws in one call: see ``FinishLine``."""

    def __init__(self, race: Race, replies: Sequence[Reply | None]) -> None:
        self._first = race.first
        self._lengths = [found for reply in replies if (found := length(reply)) is not None]

    def finished(self, reply: Completion) -> None:
        """Note the end of a draw."""
        found = length(reply)
        if found is not None:
            self._lengths.append(found)

    def lost(self, tokens: int) -> bool:
        """Whether a draw that has sampled so many tokens, and not ended, has lost."""
        most = _bound(self._first, self._lengths)
        return most is not None and tokens > most


def _in_order(key: Key) -> list[tuple[bool, str | int]]:
    """Keys as they are ordered: numbers by size and before texts."""
    return [(isinstance(part, str), part) for part in key.path]


def after_race(race: Race, replies: Sequence[Reply]) -> list[Reply]:
    """The replies as the search sees them: those of the first to finish, and ``LOST`` for all others.

    A draw that was cut off before the race was decided, and so was not stopped for it, has lost too. Where fewer
    finished than could win, none was stopped, and all are seen as they are.
    """
    finished = [(found, i) for i, reply in enumerate(replies) if (found := length(reply)) is not None]
    if len(finished) < race.first:
        return list(replies)
    ranked = sorted(finished, key=lambda one: (one[0], _in_order(race[one[1]].key)))
    winners = {i for _, i in ranked[: race.first]}
    return [reply if i in winners else LOST for i, reply in enumerate(replies)]
