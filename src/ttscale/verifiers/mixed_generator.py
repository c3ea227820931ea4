"""Several generators as one: a draw goes to the generator that its key names.

Knows keys and generators; nothing of how draws are shared out (``ttscale.strategies.Mixture`` does that).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ttscale.core.errors import RoleError
from ttscale.core.protocols import is_async, name_of
from ttscale.core.requests import Completion, Sample
from ttscale.verifiers.sync_or_async import Ask, Plan, common_worker, relay


class MixedGenerator:
    """Brings every draw to the generator whose name follows "model" in its key.

    ``generators`` are generators by name; awaited if one of them is. A draw whose key names none is an error: only a
    strategy that mixes may ask.
    """

    def __init__(self, generators: Mapping[str, Any]) -> None:
        if not isinstance(generators, Mapping) or not generators:
            raise ValueError(f"MixedGenerator needs generators by name, a dict; got {generators!r}")
        for name, generator in generators.items():
            if not isinstance(name, str) or not hasattr(generator, "sample"):
                raise ValueError(
                    f"{name!r} must be a name, and its generator an object with sample(); got {generator!r}"
                )
        self._generators = dict(generators)
        self.members, self.names = tuple(generators.values()), tuple(generators)
        self.name = f"mixed({', '.join(f'{name}: {name_of(one)}' for name, one in generators.items())})"
        self.worker = common_worker(self.members)
        awaited = is_async(*(generator.sample for generator in self.members))
        self.sample: Callable[[Sequence[Sample]], Any] = relay(self._plan, awaited)

    def __repr__(self) -> str:
        return f"MixedGenerator({self._generators!r})"

    def _plan(self, requests: Sequence[Sample]) -> Plan[list[Completion | Exception]]:
        replies: dict[int, Completion | Exception] = {}
        asked: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            path = request.key.path
            named = next((str(b) for a, b in pairwise(path) if a == "model" and b in self._generators), None)
            if named is None:
                replies[i] = RoleError(
                    f"the key {request.key} names none of the generators {', '.join(self._generators)}; "
                    "use strategy=ttscale.strategies.Mixture with these names"
                )
            else:
                asked.setdefault(named, []).append(i)
        for name, places in asked.items():
            said = yield Ask(self._generators[name].sample, ([requests[i] for i in places],))
            if len(said) != len(places):
                raise RoleError(f"the generator {name!r} gave {len(said)} replies to {len(places)} requests")
            replies |= zip(places, said, strict=True)
        return [replies[i] for i in range(len(requests))]
