"""What verifiers that are made of other roles get back from them.

Knows the protocol: any reply may be an exception in its place. Must not know what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion

T = TypeVar("T")


def received(replies: Sequence[Any], kind: type[T], who: str) -> list[T] | Exception:
    """Replies that are all of this kind, or the exception in the place of one; ``RoleError`` for anything else."""
    for reply in replies:
        if isinstance(reply, Exception):
            return reply
        if not isinstance(reply, kind):
            raise RoleError(f"{who} returned {type(reply).__name__} instead of a {kind.__name__}")
    return list(replies)


def text_of(reply: Completion) -> str:
    """The whole text of a model's reply."""
    return "".join(step.text for step in reply.steps)


def as_verifier(cost: Cost) -> Cost:
    """What a generator spent, as the verifier's spending."""
    return Cost(
        verifier_tokens=cost.sampled_tokens + cost.prompt_tokens,
        flops=cost.flops,
        requests=cost.requests,
        resent_tokens=cost.resent_tokens,
        dollars=cost.dollars,
        seconds=cost.seconds,
    )
