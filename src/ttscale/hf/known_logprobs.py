"""Log-probabilities of steps that are known already, by the token ids they depend on.

A generator notes what it drew, so that a verifier that reads the same model need not run it again. Must not know:
models' modules, text.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

from ttscale.hf.model import HFModel

Span: TypeAlias = tuple[int, int]
"""Where a step begins and ends in token ids."""

REMEMBERED = 200_000
"""Log-probabilities kept for one model at most, and scores for one verifier, about 150 bytes each."""

_KNOWN: WeakKeyDictionary[HFModel, OrderedDict[bytes, float]] = WeakKeyDictionary()


def known(model: HFModel) -> OrderedDict[bytes, float]:
    """The model's log-probabilities (natural logarithms) by ``step_names``; from now on generators note theirs."""
    return _KNOWN.setdefault(model, OrderedDict())


def note(model: HFModel, ids: Sequence[int], spans: Sequence[Span], logprobs: Iterable[float]) -> None:
    """Keep the log-probability of each span of these token ids, where anything has asked for this model's."""
    table = _KNOWN.get(model)
    if table is None or not spans:
        return
    table.update(zip(step_names(ids, spans), logprobs, strict=True))
    trim(table)


def trim(table: OrderedDict[bytes, float]) -> None:
    """Forget the least recently used beyond ``REMEMBERED``."""
    while len(table) > REMEMBERED:
        table.popitem(last=False)


def forget(model: HFModel) -> None:
    """The model's weights were changed: nothing that was known of it counts."""
    if model in _KNOWN:
        _KNOWN[model].clear()


def step_names(ids: Sequence[int], spans: Sequence[Span]) -> list[bytes]:
    """A name for each span's log-probability: it depends on where the span begins and on the ids up to its end."""
    if not spans:
        return []
    digest = hashlib.blake2b(array("q", ids[: spans[0][0]]).tobytes(), digest_size=16)
    names = []
    for begin, end in spans:
        digest.update(array("q", ids[begin:end]).tobytes())
        names.append(digest.digest() + begin.to_bytes(4, "little"))
    return names
