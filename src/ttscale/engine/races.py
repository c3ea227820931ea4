"""Who wins a race: the draws of a wave that finish with the fewest sampled tokens, never those that end first.

Knows replies and their lengths. Must not know the clock, queues or who answered.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.core.requests import LOST, Completion, Race, Reply
from ttscale.core.types import Key, tokens_drawn


def length(reply: Reply | None) -> int | None:
    """The tokens of a draw that has finished; None for any other reply, and for none yet."""
    return tokens_drawn(reply.steps) if isinstance(reply, Completion) and reply.finish == "stop" else None


def bound(race: Race, replies: Sequence[Reply | None]) -> int | None:
    """The tokens beyond which a draw that has not finished has lost; None while too few have finished."""
    lengths = sorted(found for reply in replies if (found := length(reply)) is not None)
    return lengths[race.first - 1] if len(lengths) >= race.first else None


def _in_order(key: Key) -> list[tuple[bool, str | int]]:
    """Keys as they are ordered: numbers by size and before texts."""
    return [(isinstance(part, str), part) for part in key.path]


def after_race(race: Race, replies: Sequence[Reply]) -> list[Reply]:
    """The replies as the search sees them: those of the first to finish, and ``LOST`` for all others.

    A draw that was cut off before the race was decided, and so was not stopped for it, has lost too.
    """
    finished = [(found, i) for i, reply in enumerate(replies) if (found := length(reply)) is not None]
    ranked = sorted(finished, key=lambda one: (one[0], _in_order(race[one[1]].key)))
    winners = {i for _, i in ranked[: race.first]}
    return [reply if i in winners else LOST for i, reply in enumerate(replies)]
