"""What users pass in, checked and turned into what the engine needs: questions, budget, strategy, roles.

Everything that can be wrong is said here, before a model is loaded or a token spent.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ttscale.core.errors import BudgetError, MissingRoleError
from ttscale.core.protocols import METHOD_OF, Role, Strategy
from ttscale.core.selection import Aggregate
from ttscale.core.types import Question
from ttscale.strategies.adaptive import AdaptiveScheduler
from ttscale.strategies.compute_optimal import ComputeOptimalScheduler
from ttscale.strategies.names import strategy_named
from ttscale.strategies.policy import Policy, default_policy

MAX_BUDGET = 65_536
"""The largest budget: far beyond where the paper's curves flatten (256), small enough to catch a slip of the hand."""


def check_questions(questions: Iterable[str | Question]) -> list[Question]:
    """The questions as ``Question`` objects; ``ValueError`` for one that is empty or no text."""
    if isinstance(questions, (str, Question)):
        raise ValueError("questions must be a list of questions; for a single one call ttscale.solve")
    if not isinstance(questions, Iterable):
        raise ValueError(f"questions must be a list of questions; got {questions!r}")
    checked = []
    prompts: dict[str, str] = {}
    for i, given in enumerate(questions):
        question = Question.of(given) if isinstance(given, str) else given
        if not isinstance(question, Question) or not isinstance(question.prompt, str) or not question.prompt.strip():
            raise ValueError(f"question {i} must be a non-empty string or a ttscale.Question; got {given!r}")
        if not isinstance(question.id, str):
            raise ValueError(f"the id of question {i} must be a string; got {question.id!r}")
        if prompts.setdefault(question.id, question.prompt) != question.prompt:
            raise ValueError(f"two different questions have the id {question.id!r}; ids must be unique")
        checked.append(question)
    return checked


def check_budget(budget: int) -> int:
    """The budget; ``BudgetError`` unless it is an integer from 1 to ``MAX_BUDGET``."""
    number = _integer(budget)
    if number is None or not 1 <= number <= MAX_BUDGET:
        raise BudgetError(f"budget must be an integer from 1 to {MAX_BUDGET} (whole solutions); got {budget!r}")
    return number


def check_seed(seed: int) -> int:
    """The seed; ``ValueError`` unless it is an integer."""
    number = _integer(seed)
    if number is None:
        raise ValueError(f"seed must be an integer; got {seed!r}")
    return number


def choose_strategy(given: Strategy | str | None, roles: Mapping[Role, Any], bundled: bool) -> Strategy:
    """The strategy to run with the roles at hand, or an error that says which role it lacks."""
    at_hand, named = frozenset(roles), given is None or isinstance(given, str)
    if isinstance(given, str):
        strategy = strategy_named(given)
    elif given is None:
        strategy = _default_strategy(at_hand)
    elif hasattr(given, "search") and not isinstance(given, type):
        strategy = given
    else:
        raise ValueError(f"strategy must be a name or an object with a search method; got {given!r}")
    if bundled:
        strategy = _with_fitted_policy(strategy)
    preferred = getattr(roles.get("verifier"), "aggregate", None)
    if named and preferred is not None:
        strategy = _aggregating(strategy, preferred)
    if hasattr(strategy, "for_roles"):
        if getattr(roles.get("generator"), "continues", True) is False and getattr(strategy, "policy", ...) is None:
            fitting = default_policy(at_hand, strategy.aggregate, whole=True)  # type: ignore[attr-defined]
            strategy = replace(strategy, policy=fitting)  # type: ignore[type-var]
        strategy = strategy.for_roles(at_hand)
    for role in sorted(getattr(strategy, "needs", frozenset()) - at_hand):
        raise MissingRoleError(
            f"{strategy!r} needs a {role} and none was given; pass {role}=... or choose another strategy"
        )
    return strategy


def check_role(role: Role, given: Any) -> None:
    """``ValueError`` unless ``given`` is None, a path or Hugging Face id, or an object with the role's method."""
    method = METHOD_OF[role]
    if given is None or isinstance(given, os.PathLike) or (isinstance(given, str) and given.strip()):
        return
    if isinstance(given, (str, type)) or not callable(getattr(given, method, None)):
        raise ValueError(
            f"{role} must be an object with a method {method}(requests), a Hugging Face id or a path; got {given!r}"
        )
    most = getattr(given, "max_batch", None)
    if most is not None and (_integer(most) is None or most < 1):
        raise ValueError(f"max_batch of the {role} must be a positive integer or None; got {most!r}")


def _integer(value: Any) -> int | None:
    """An integer of any kind (numpy's as well) as Python's own, which keys and traces hold; None for all else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _aggregating(strategy: Any, how: Aggregate) -> Any:
    """The strategy with this aggregation, as far as it has one, and the strategies of its policy likewise."""
    changes: dict[str, Any] = {"aggregate": how} if hasattr(strategy, "aggregate") else {}
    if isinstance(policy := getattr(strategy, "policy", None), Policy):
        rows = [tuple(_aggregating(one, how) for one in row) for row in policy.strategies]
        changes["policy"] = replace(policy, strategies=tuple(rows))
    return replace(strategy, **changes) if changes else strategy


def _with_fitted_policy(strategy: Strategy) -> Strategy:
    """A scheduler without a policy of its own with the one that was fitted for the bundled models."""
    if not isinstance(strategy, ComputeOptimalScheduler | AdaptiveScheduler) or strategy.policy is not None:
        return strategy
    from ttscale import reference

    return replace(strategy, policy=reference.scheduler().policy)


def _default_strategy(roles: frozenset[Role]) -> Strategy:
    if not roles & {"generator", "reviser"}:
        raise MissingRoleError("nothing to draw solutions from; pass generator=... or reviser=...")
    if {"generator", "verifier"} <= roles:
        return strategy_named("compute_optimal")
    return strategy_named("sequential_revision" if "reviser" in roles else "majority_vote")
