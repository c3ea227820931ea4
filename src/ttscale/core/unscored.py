"""What becomes of a candidate that its verifier cannot judge: an error of its question, or a verdict without a score.

Every verifier has the setting ``on_error`` and hands its replies through ``settle``. Knows: verdicts and errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, get_args

from ttscale.core.errors import RoleError, TooLongError
from ttscale.core.requests import Score, Verdict

OnError: TypeAlias = Literal["raise", "unscored"]


def check_on_error(given: OnError | None) -> OnError | None:
    """``on_error`` of a verifier; ``ValueError`` unless it is "raise", "unscored" or None."""
    if given is not None and given not in get_args(OnError):
        raise ValueError(f'on_error must be "raise", "unscored" or None (only what is too long); got {given!r}')
    return given


def settle(replies: Sequence[Verdict | Exception], on_error: OnError | None) -> list[Verdict]:
    """The verdicts: an error that ``on_error`` lets pass becomes a verdict without a score, the first other is raised.

    None lets pass a candidate that is too long, "unscored" everything that befalls one candidate, "raise" nothing.
    """
    verdicts = []
    for reply in in_place(replies, on_error):
        if isinstance(reply, Exception):
            raise reply
        verdicts.append(reply)
    return verdicts


def in_place(replies: Sequence[Verdict | Exception], on_error: OnError | None) -> list[Verdict | Exception]:
    """``settle``, with an error that is not let pass in the place of its reply: it ends only its own question."""
    return [_settled(reply, on_error) for reply in replies]


def _settled(reply: Verdict | Exception, on_error: OnError | None) -> Verdict | Exception:
    passes = on_error == "unscored" or (on_error is None and isinstance(reply, TooLongError))
    if isinstance(reply, Verdict) or not passes:
        return reply
    return Verdict((), unscored=str(reply) or type(reply).__name__)


def each(judge: Callable[[Score], Verdict], requests: Sequence[Score]) -> list[Verdict | Exception]:
    """One reply per request, the ``RoleError`` of a candidate in its place."""
    replies: list[Verdict | Exception] = []
    for request in requests:
        try:
            replies.append(judge(request))
        except RoleError as error:
            replies.append(error)
    return replies
