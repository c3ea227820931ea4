"""Seeds that siblings count up, for engines that draw several children of one prefix in one request.

vLLM and the llama.cpp server give the n draws of a request the seeds s, s + 1 and so on. A key whose last part is a
child's number has the seed of its parent plus that number, so that siblings draw the same together or one by one.
"""

from __future__ import annotations

from ttscale.core.types import Key

COUNTED = 2**20
"""Child numbers below this are counted up from the parent's seed."""


def child_number(key: Key) -> int | None:
    """The last part of a key, where it is a child's number."""
    last = key.path[-1] if len(key.path) > 1 else None
    return last if isinstance(last, int) and not isinstance(last, bool) and 0 <= last < COUNTED else None


def counted_seed(key: Key, bits: int = 63) -> int:
    """The seed of a key in ``bits`` bits: its parent's plus its number where it has one, else its own."""
    number = child_number(key)
    if number is None:
        return key.seed >> (63 - bits)
    return (Key(key.path[:-1]).seed >> (64 - bits)) + number
