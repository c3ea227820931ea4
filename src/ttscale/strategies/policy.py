"""The compute-optimal policy as data: (difficulty, budget) -> strategy (Snell et al., sections 3.2 and 5.3).

A policy is JSON, fitted by ``ttscale.evaluation`` and loaded by users; this file reads, writes and looks up.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ttscale.core.protocols import Role, Strategy, joined_needs
from ttscale.core.selection import Aggregate
from ttscale.strategies.beam import DVTS, Beam
from ttscale.strategies.best_of_n import WeightedBestOfN
from ttscale.strategies.names import from_spec, to_spec
from ttscale.strategies.revision import SequentialRevision

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """Which strategy to go on with, by difficulty and budget.

    ``thresholds`` are ascending difficulties (1 - mean verifier score of the probe) that separate the bins, easiest
    first. ``budgets`` are ascending N. ``strategies[bin][i]`` serves ``budgets[i]`` and what lies below the next one.
    ``probe`` is the number of solutions the difficulty was estimated from when the policy was fitted, or None.
    ``provenance`` says where it came from: models, data, seed, versions.
    """

    thresholds: tuple[float, ...]
    budgets: tuple[int, ...]
    strategies: tuple[tuple[Strategy, ...], ...]
    probe: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if list(self.thresholds) != sorted(set(self.thresholds)) or not all(0 < t < 1 for t in self.thresholds):
            raise ValueError(f"policy thresholds must ascend between 0 and 1; got {self.thresholds}")
        if not self.budgets or list(self.budgets) != sorted(set(self.budgets)) or self.budgets[0] < 1:
            raise ValueError(f"policy budgets must be ascending positive integers; got {self.budgets}")
        bins, columns = len(self.thresholds) + 1, len(self.budgets)
        if len(self.strategies) != bins or any(len(row) != columns for row in self.strategies):
            raise ValueError(
                f"a policy with {len(self.thresholds)} thresholds and {columns} budgets needs {bins} rows of {columns} "
                f"strategies; got rows of {[len(row) for row in self.strategies]}"
            )
        if self.probe is not None and self.probe < 1:
            raise ValueError(f"policy probe must be a positive integer or None; got {self.probe!r}")

    def __repr__(self) -> str:
        """What tells policies apart, in a line: a hash stands for the strategies, and provenance is left out."""
        return (
            f"Policy(thresholds={self.thresholds!r}, budgets={self.budgets!r}, strategies={self._strategies_hash()}, "
            f"probe={self.probe!r})"
        )

    def _strategies_hash(self) -> str:
        return hashlib.blake2b(repr(self.strategies).encode(), digest_size=4).hexdigest()

    def bin(self, difficulty: float) -> int:
        """The bin of a difficulty: a difficulty equal to a threshold belongs to the harder side."""
        return bisect_right(self.thresholds, difficulty)

    def lookup(self, difficulty: float, budget: int) -> Strategy:
        """The strategy for a question of this difficulty under this budget N."""
        column = max(0, bisect_right(self.budgets, budget) - 1)
        return self.strategies[self.bin(difficulty)][column]

    def fixed_strategy(self, budget: int) -> Strategy | None:
        """The strategy that every question gets under this budget; None where it depends on the difficulty."""
        first = self.lookup(0.0, budget)
        column = max(0, bisect_right(self.budgets, budget) - 1)
        return first if all(row[column] == first for row in self.strategies) else None

    @property
    def constant(self) -> Strategy | None:
        """The one strategy in every cell; None where strategies differ between difficulties or budgets."""
        first = self.strategies[0][0]
        return first if all(strategy == first for row in self.strategies for strategy in row) else None

    @property
    def needs(self) -> frozenset[Role] | None:
        """The roles that its strategies ask for; None if one of them does not say, and may ask any."""
        return joined_needs(strategy for row in self.strategies for strategy in row)

    def to_json(self) -> dict[str, Any]:
        """The policy as JSON data."""
        return {
            "format": "ttscale-policy",
            "schema": SCHEMA,
            "thresholds": list(self.thresholds),
            "budgets": list(self.budgets),
            "strategies": [[to_spec(strategy) for strategy in row] for row in self.strategies],
            "probe": self.probe,
            "provenance": dict(self.provenance),
        }

    @staticmethod
    def from_json(data: Any) -> Policy:
        """The policy in JSON data; ``ValueError`` says what is wrong with it."""
        if not isinstance(data, dict) or data.get("format") != "ttscale-policy":
            raise ValueError('not a ttscale policy: the JSON must be an object with "format": "ttscale-policy"')
        if data.get("schema") != SCHEMA:
            raise ValueError(
                f"policy schema {data.get('schema')!r}; this version of ttscale reads {SCHEMA}: fit it anew"
            )
        for name, (fits, wanted) in _FIELDS.items():
            if name not in data and name not in ("probe", "provenance"):
                raise ValueError(f"the policy lacks the field {name!r}; write {wanted}")
            if not fits(data.get(name)):
                raise ValueError(f"the policy's {name} must be {wanted}; got {data[name]!r:.80}")
        provenance = dict(data.get("provenance") or {})
        if not isinstance(provenance.get("models", {}), dict):
            raise ValueError(
                f"the policy's provenance.models must be an object of roles and names; got {provenance['models']!r:.80}"
            )
        return Policy(
            tuple(float(t) for t in data["thresholds"]),
            tuple(data["budgets"]),
            tuple(tuple(from_spec(spec) for spec in row) for row in data["strategies"]),
            data.get("probe"),
            provenance,
        )

    def save(self, path: str | Path) -> None:
        """Write the policy as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> Policy:
        """Read a policy; ``ValueError`` names the file and what is wrong with it."""
        try:
            return Policy.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: {error}") from error


def policy_of(strategy: object) -> Policy | None:
    """The policy that a strategy chooses by, in its attribute ``policy``; None for strategies without one."""
    policy = getattr(strategy, "policy", None)
    return policy if isinstance(policy, Policy) else None


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _fraction(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < 1


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "thresholds": (_list_of(_fraction), "a list of ascending numbers between 0 and 1, such as [0.3, 0.7]"),
    "budgets": (_list_of(_integer), "a list of ascending positive integers, such as [4, 16, 64]"),
    "strategies": (_list_of(lambda row: isinstance(row, list)), "a list of one list of strategies per difficulty bin"),
    "probe": (lambda value: value is None or _integer(value), "a positive integer, or null"),
    "provenance": (lambda value: value is None or isinstance(value, dict), "an object, or null"),
}
"""What each field of a policy's JSON must be: a test, and words."""


def default_policy(roles: frozenset[Role], aggregate: Aggregate = "last", whole: bool = False) -> Policy:
    """A policy from the paper's findings, for models nobody has fitted one for (Snell et al., sections 5.3 and 6.2).

    Easy questions: beam search degrades with budget there, so revise in one chain where there is a reviser, else vote
    with weights. Medium and hard: beam search is ahead of best-of-N at every budget; at the highest ones its subtrees
    are kept apart (DVTS), which keeps answers diverse where the verifier is exploited. ``whole``: the generator cannot
    continue a begun solution, so instead of step search there are revisions with as many chains as steps, or votes.
    """
    easy: Strategy = WeightedBestOfN(aggregate)
    if "reviser" in roles:
        easy = SequentialRevision(ratio=16.0, aggregate=aggregate)
    beam: Strategy = Beam(4, aggregate=aggregate)
    trees: Strategy = DVTS(4, aggregate=aggregate)
    if whole:
        balanced = SequentialRevision(ratio=1.0, aggregate=aggregate)
        beam = trees = balanced if "reviser" in roles else WeightedBestOfN(aggregate)
    return Policy(
        thresholds=(1 / 3, 2 / 3),
        budgets=(1, 16, 256),
        strategies=((easy, easy, easy), (beam, beam, trees), (beam, beam, trees)),
        provenance={"source": "arXiv 2408.03314, sections 5.3 and 6.2; not fitted to any model"},
    )
