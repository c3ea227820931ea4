"""Who gets children: from the scores of the open prefixes and the free slots to a number of children for each.

A new way to share out children (REBASE, say) is a file beside this one with an ``Allocation``, and a strategy that
gives it to ``step_search``. The paper (Snell et al., section 5.2) does not say what happens where M does not divide N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

Width = int | Literal["sqrt"]
"""A beam width: a number, or the square root of the budget."""


class Allocation(Protocol):
    """Shares out children among the open prefixes of a step search. A plain function is enough."""

    def __call__(self, scores: Sequence[float], slots: int, /) -> list[int]:
        """The number of children of each prefix; they add up to ``slots``, so that a search never loses width.

        ``scores`` are those of the verifier in [0, 1], one per prefix; -1 where a rollout was cut off. ``slots`` is at
        least 1.
        """


def check_width(width: Width) -> None:
    """Raise ``ValueError`` unless ``width`` is a positive integer or "sqrt"."""
    if width != "sqrt" and (not isinstance(width, int) or isinstance(width, bool) or width < 1):
        raise ValueError(f'width must be a positive integer or "sqrt"; got {width!r}')


def branching(width: Width, beams: int) -> int:
    """The number M of children per survivor for ``beams`` beams; "sqrt" is the paper's M = sqrt(N)."""
    return max(1, round(math.sqrt(beams))) if width == "sqrt" else width


def top_share(scores: Sequence[float], slots: int, width: int) -> list[int]:
    """The best ``slots // width`` prefixes (at least one) share ``slots`` children; the remainder goes to the best."""
    survivors = min(max(1, slots // width), len(scores))
    each, extra = divmod(slots, survivors)
    ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    children = [0] * len(scores)
    for rank, i in enumerate(ranked[:survivors]):
        children[i] = each + (rank < extra)
    return children
