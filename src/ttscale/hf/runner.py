"""What the decode loop asks of a model: contexts run once, rows that start from them, one token for each row at a time.

Two classes keep this protocol: ``shared_kv.runner`` (rows share keys and values) and ``own_cache.runner`` (the model's
own cache). Must not know: text, sampling, requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from torch import Tensor


class Prefix:
    """A context on its way to being ready. Each runner has a class of its own for it."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self.tokens = tokens
        """All of the context's token ids."""
        self.ran = 0
        """Tokens run for this prefix and not yet charged to a row; the rest was found in a cache."""
        self.ran_flops = 0.0
        self.users = 0
        """Waiting rows that will start from it."""

    @property
    def ready(self) -> bool:
        """Whether all of it was run, so that rows can start."""
        raise NotImplementedError


P = TypeVar("P", bound=Prefix)


class Runner(Protocol[P]):
    """Prefixes, rows and forwards of one model. Rows are counted from 0 in the order in which they were admitted."""

    whole: bool
    """Whether every token runs its whole sequence again."""
    chunk: int
    """Prefix tokens run in one forward; the decode loop makes it smaller when memory runs out."""

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values held now."""

    def open(self, tokens: tuple[int, ...], /) -> P:
        """A handle on a context; ``advance`` makes it ready."""

    def release(self, prefix: P, /) -> None:
        """Let go of a handle; rows that were admitted from it keep what they need."""

    def advance(self, prefixes: Sequence[P], /) -> None:
        """Run one chunk of what these prefixes miss."""

    def admit(self, prefixes: Sequence[P], trunks: Sequence[int], /) -> Tensor:
        """One new row per entry, after its ready prefix: next-token logits [rows, vocabulary], fp32.

        ``trunks``: how many of its first tokens each shares with all that were admitted with it.
        """

    def forward(self, tokens: Tensor, /) -> Tensor:
        """Run one token per row, ``tokens`` [rows]: next-token logits [rows, vocabulary], fp32."""

    def store(self, row: int, tokens: Sequence[int], /) -> None:
        """Keep what a row has run, for prefixes that will continue it."""

    def keep(self, index: Sequence[int], /) -> None:
        """Only these rows go on, in this order; rows may only move towards the front."""

    def shrink(self) -> None:
        """Give back memory after an out-of-memory error: everything that nothing running needs."""

    def close(self) -> None:
        """Let go of all rows."""


AnyRunner: TypeAlias = Runner[Any]
"""A runner whose kind of prefix is its own affair: the loop only hands it back what ``open`` gave."""
