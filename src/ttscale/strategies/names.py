"""The one table of strategies: their names, and strategies as text and as JSON data.

A new strategy becomes ``solve(strategy="its_name")``, an arm of a sweep and an entry of a policy by one line here.
Modules are named, not imported, since those that read policies are in the table too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any

from ttscale.core.protocols import Strategy

STRATEGIES = {
    "majority_vote": "best_of_n.MajorityVote",
    "best_of_n": "best_of_n.BestOfN",
    "weighted_best_of_n": "best_of_n.WeightedBestOfN",
    "beam": "beam.Beam",
    "dvts": "beam.DVTS",
    "lookahead": "beam.Lookahead",
    "rebase": "rebase.Rebase",
    "sequential_revision": "revision.SequentialRevision",
    "particle_filter": "particle_filter.ParticleFilter",
    "particle_gibbs": "particle_gibbs.ParticleGibbs",
    "mcts": "mcts.MCTS",
    "ab_mcts": "abmcts.ABMCTS",
    "tournament": "tournament.Tournament",
    "gen_select": "gen_select.GenSelect",
    "first_finished": "first_finished.FirstFinished",
    "confidence_vote": "confidence_vote.ConfidenceVote",
    "thinking_budget": "thinking_budget.ThinkingBudget",
    "mixture": "mixture.Mixture",
    "recursive_aggregation": "recursive_aggregation.RecursiveAggregation",
    "best_of_n_stopping": "best_of_n_stopping.BestOfNStopping",
    "adaptive_consistency": "adaptive.AdaptiveConsistency",
    "compute_optimal": "compute_optimal.ComputeOptimalScheduler",
    "adaptive_scheduler": "adaptive.AdaptiveScheduler",
}
"""By name the class, as module and class of this package."""

WITH_POLICY = ("compute_optimal", "adaptive_scheduler")
"""These choose by a policy, so a policy cannot name them."""
IN_POLICY = tuple(name for name in STRATEGIES if name not in WITH_POLICY)


OTHER_NAMES = {
    "self_consistency": "majority_vote",
    "majority": "majority_vote",
    "vote": "majority_vote",
    "bon": "best_of_n",
    "bestofn": "best_of_n",
    "rerank": "best_of_n",
    "weighted": "weighted_best_of_n",
    "weighted_vote": "weighted_best_of_n",
    "beam_search": "beam",
    "tree_search": "beam",
    "diverse_verifier_tree_search": "dvts",
    "lookahead_search": "lookahead",
    "revision": "sequential_revision",
    "revise": "sequential_revision",
    "self_refine": "sequential_revision",
    "auto": "compute_optimal",
    "adaptive": "adaptive_consistency",
}
"""What others call a strategy of ours; messages name ours."""


def strategy_class(name: str) -> Any:
    """The class of a name in the table."""
    module, _, of_class = STRATEGIES[name].partition(".")
    return getattr(import_module(f"ttscale.strategies.{module}"), of_class)


def strategy_named(name: str) -> Strategy:
    """The strategy of a name such as "beam", with its default settings; ``ValueError`` with the near matches."""
    plain = plain_name(name)
    if plain not in STRATEGIES:
        near = difflib.get_close_matches(plain, STRATEGIES, n=2, cutoff=0.5)
        near = [OTHER_NAMES[plain]] if plain in OTHER_NAMES else near
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ValueError(f"unknown strategy {name!r}{hint} Known: {', '.join(sorted(STRATEGIES))}")
    strategy: Strategy = strategy_class(plain)()
    return strategy


def plain_name(name: str) -> str:
    """A name as the table spells it."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def strategy_from_text(text: str, others: Mapping[str, Any] | None = None) -> Any:
    """The strategy of a name with settings, such as "beam:width=sqrt,merge=true" or "compute_optimal:policy=FILE".

    ``others`` are classes by name that the caller knows beside those of the table. Raises ``ValueError`` for an unknown
    name or setting, and for a value that does not fit.
    """
    name, colon, rest = text.partition(":")
    other = (others or {}).get(plain_name(name))
    plain: Any = other() if other else strategy_named(name)
    known = {field.name for field in fields(plain)}
    settings: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if not equals or key not in known:
            raise ValueError(
                f"{text!r}: {part!r} is no setting of {plain_name(name)}; write name:key=value,key=value with "
                f"{', '.join(sorted(known)) or 'no settings'}"
            )
        settings[key] = plain.load(value).policy if key == "policy" else _value(value)
    try:
        return type(plain)(**settings) if settings else plain
    except TypeError as error:
        raise ValueError(f"{text!r}: the settings do not fit, {error}") from error


def _value(text: str) -> int | float | bool | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def to_spec(strategy: Strategy) -> dict[str, Any]:
    """A strategy as JSON data: its name and its settings. ``ValueError`` for one that a policy cannot hold."""
    for name in IN_POLICY:
        if type(strategy) is strategy_class(name):
            return {"name": name} | {f.name: getattr(strategy, f.name) for f in fields(strategy_class(name))}
    raise ValueError(f"{strategy!r} cannot be saved in a policy; those that can: {', '.join(IN_POLICY)}")


def from_spec(spec: Any) -> Strategy:
    """The strategy that JSON data describes; ``ValueError`` says what does not fit."""
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str) or spec["name"] not in IN_POLICY:
        raise ValueError(f'a strategy is an object with a "name", one of {", ".join(IN_POLICY)}; got {spec!r:.80}')
    cls = strategy_class(spec["name"])
    settings = {key: value for key, value in spec.items() if key != "name"}
    defaults = {f.name: None if f.default is MISSING else f.default for f in fields(cls)}
    if unknown := settings.keys() - defaults:
        raise ValueError(f"{spec['name']} has no setting {', '.join(sorted(unknown))}; it has {', '.join(defaults)}")
    try:
        for key, value in settings.items():
            if isinstance(value, bool) and not isinstance(defaults[key], bool):
                raise ValueError(f"{key} must be a number or a name; got {value!r}")
        strategy: Strategy = cls(**settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the settings of {spec['name']} do not fit: {error}") from error
    return strategy
