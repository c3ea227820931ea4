"""What users pass in, checked and turned into what the engine needs: questions, budget, strategy, roles.

Everything that can be wrong is said here, before a model is loaded or a token spent.
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ttscale.core.chat import Chat, identity_of
from ttscale.core.errors import BudgetError, MissingRoleError
from ttscale.core.protocols import (
    METHOD_OF,
    Role,
    Strategy,
    aggregate_of,
    continues,
    fitted_to,
    max_batch_of,
    needs_of,
    whole_only,
)
from ttscale.core.selection import Aggregate
from ttscale.core.types import Question
from ttscale.strategies.adaptive import AdaptiveScheduler
from ttscale.strategies.best_of_n import MajorityVote
from ttscale.strategies.compute_optimal import ComputeOptimalScheduler
from ttscale.strategies.names import strategy_from_text
from ttscale.strategies.policy import Policy, default_policy, policy_of
from ttscale.strategies.revision import SequentialRevision

MAX_BUDGET = 65_536
"""The largest budget: far beyond where the paper's curves flatten (256), small enough to catch a slip of the hand."""


def check_questions(questions: Iterable[Any]) -> list[Question]:
    """The questions as ``Question`` objects; ``ValueError`` for one that is empty or no text."""
    check_many(questions)
    if not isinstance(questions, Iterable):
        raise ValueError(f"questions must be a list of questions; got {questions!r}{_reader_of(questions)}")
    checked = []
    prompts: dict[str, str] = {}
    for position, given in enumerate(questions):
        question = check_question(given, position)
        other = prompts.setdefault(question.id, question.prompt)
        if other is not question.prompt and identity_of(other) != identity_of(question.prompt):
            raise ValueError(f"two different questions have the id {question.id!r}; ids must be unique")
        checked.append(question)
    return checked


def check_many(questions: Any) -> None:
    """``ValueError`` for what can be gone through and is no list of questions: a text, a dict, a table."""
    if isinstance(questions, (str, Question)):
        raise ValueError("questions must be a list of questions; for a single one call ttscale.solve")
    if isinstance(questions, Mapping) or hasattr(questions, "columns"):  # pandas, polars, pyarrow
        kind = type(questions).__name__
        raise ValueError(f"questions must be a list of questions; of a {kind} pass the texts: list(rows['question'])")


def check_question(given: Any, position: int) -> Question:
    """One question as a ``Question``; ``ValueError`` that names its position if it is empty or no text."""
    if isinstance(given, list | tuple) and given and all(isinstance(message, Mapping) for message in given):
        given = Chat(given)
    question = Question.of(given) if isinstance(given, str) else given
    prompt = question.prompt if isinstance(question, Question) else None
    shows = isinstance(prompt, Chat) and prompt.has_media
    if not isinstance(question, Question) or not isinstance(prompt, str) or not (prompt.strip() or shows):
        raise ValueError(
            f"question {position} must be a non-empty string or a ttscale.Question; got {given!r}{_text_of(given)}"
        )
    if not isinstance(question.id, str):
        raise ValueError(f"the id of question {position} must be a string; got {question.id!r}")
    return question


def _reader_of(questions: Any) -> str:
    return "; ttscale.asolve_stream reads one that is asynchronous" if isinstance(questions, AsyncIterable) else ""


def _text_of(given: Any) -> str:
    """How to ask what is often passed in the place of a question."""
    if isinstance(given, list | tuple):
        return "; for many questions call ttscale.solve_all"
    if isinstance(given, Mapping):
        chat = "; a chat is a list of messages, and many chats are a list of such lists"
        return chat if "role" in given else "; of a row pass its text, or ttscale.Question(id, text)"
    missing = given is None or isinstance(given, float) or type(given).__name__ in ("NAType", "NaTType")
    return "; leave out rows without a question" if missing else ""


def check_budget(budget: int) -> int:
    """The budget; ``BudgetError`` unless it is an integer from 1 to ``MAX_BUDGET``."""
    number = _integer(budget)
    if number is None or not 1 <= number <= MAX_BUDGET:
        raise BudgetError(f"budget must be an integer from 1 to {MAX_BUDGET} (whole solutions); got {budget!r}")
    return number


def as_seed(seed: int) -> int:
    """The seed; ``ValueError`` unless it is an integer."""
    number = _integer(seed)
    if number is None:
        raise ValueError(f"seed must be an integer; got {seed!r}")
    return number


def choose_strategy(given: Strategy | str | None, roles: Mapping[Role, Any], bundled: bool) -> Strategy:
    """The strategy to run with the roles at hand, or an error that says which role it lacks.

    ``roles`` may hold ids and paths beside objects: nothing is loaded. ``bundled`` says that the generator is the model
    that ships with the library, which has a fitted policy.
    """
    at_hand = frozenset(roles)
    if isinstance(given, str):
        strategy: Strategy = strategy_from_text(given)
    elif given is None:
        strategy = _default_strategy(at_hand)
    elif hasattr(given, "search") and not isinstance(given, type):
        strategy = given
    else:
        made = f". That is the class: make an object of it, {given.__name__}()" if isinstance(given, type) else ""
        raise ValueError(f"strategy must be a name or an object with a search method; got {given!r}{made}")
    if isinstance(strategy, ComputeOptimalScheduler | AdaptiveScheduler) and strategy.policy is None:
        strategy = replace(strategy, policy=_default_policy(strategy.aggregate, roles, bundled))
    if getattr(strategy, "generators", None) == ():
        from ttscale.strategies.mixture import Mixture  # most calls need no mixture

        if isinstance(strategy, Mixture):
            strategy = replace(strategy, generators=_names_of(roles.get("generator")))
    strategy = fitted_to(suited(strategy, given, aggregate_of(roles.get("verifier"))), at_hand)
    for role in sorted(needs_of(strategy, at_hand) - at_hand):
        raise MissingRoleError(
            f"{strategy!r} needs a {role} and none was given; pass {role}=... or choose another strategy"
        )
    return strategy


def suited(strategy: Strategy, given: object, how: Aggregate | None) -> Strategy:
    """The strategy with the aggregation that suits the verifier, where the user named it and left that open.

    Likewise every strategy of its policy. One that the user made, or whose text sets ``aggregate`` or a ``policy``, is
    left as it is.
    """
    open_ = given is None or (isinstance(given, str) and not re.search(r"\b(aggregate|policy)=", given))
    return _aggregating(strategy, how) if open_ and how is not None else strategy


def check_role(role: Role, given: Any) -> None:
    """``ValueError`` unless ``given`` is None, a path or Hugging Face id, or an object with the role's method."""
    method = METHOD_OF[role]
    if isinstance(given, str):
        check_name(role, given)
    if given is None or isinstance(given, os.PathLike) or (isinstance(given, str) and given.strip()):
        return
    if isinstance(given, (str, type)) or not callable(getattr(given, method, None)):
        raise ValueError(
            f"{role} must be an object with a method {method}(requests), a Hugging Face id or a path; "
            f"got {given!r}{_way_out(role, given)}"
        )
    most = max_batch_of(given)
    if most is not None and (_integer(most) is None or most < 1):
        raise ValueError(f"max_batch of the {role} must be a positive integer or None; got {most!r}")


def is_factory(role: Role, given: Any) -> bool:
    """Whether this is a function that makes a role, rather than a role."""
    return callable(given) and not isinstance(given, type) and not hasattr(given, METHOD_OF[role])


def check_name(role: Role, name: str) -> None:
    """``ValueError`` for a name that can be neither a Hugging Face id nor a folder; looks at the disk alone."""
    if re.match(r"[a-z]+://", name.strip(), re.IGNORECASE):
        kind = {"verifier": "OpenAIVerifier", "reviser": "OpenAIReviser"}.get(role, "OpenAIGenerator")
        makes = f"ttscale.openai.{kind}(model, {name.strip()!r})"
        makes = f"ttscale.verifiers.PromptedComparator({makes})" if role == "comparator" else makes
        raise ValueError(
            f"{role} {name!r} is a URL: pass {role}={makes}, with the name that the server knows the model by"
        )
    if name.strip() == "judge" and role in ("verifier", "comparator") and not os.path.exists("judge"):
        made = "JudgeVerifier" if role == "verifier" else "PromptedComparator"
        raise ValueError(f"no {role} is called 'judge': pass {role}=ttscale.verifiers.{made}(generator)")
    looks_like_a_path = name.startswith((".", "~", os.sep)) or name.count("/") > 1 or (os.sep != "/" and os.sep in name)
    if looks_like_a_path and not os.path.exists(os.path.expanduser(name)):
        raise ValueError(f"{role} {name!r}: there is no such folder")


def _way_out(role: Role, given: Any) -> str:
    """What to pass instead of something that is often passed by mistake."""
    if isinstance(given, type) and callable(getattr(given, METHOD_OF[role], None)):
        return f". That is the class: make an object of it, {given.__name__}(...)"
    if role == "verifier" and callable(given) and not isinstance(given, type):
        return ". A function becomes a verifier as ttscale.verifiers.FunctionVerifier(function)"
    if role == "verifier" and callable(getattr(given, "sample", None)):
        return ". A generator judges as ttscale.verifiers.JudgeVerifier(generator)"
    if role == "reviser" and callable(getattr(given, "sample", None)):
        return ". A generator revises as ttscale.revisers.PromptedReviser(generator)"
    if callable(getattr(given, "generate", None)):
        return ". A transformers model becomes a generator as HFGenerator(HFModel(model, tokenizer))"
    if role == "generator" and callable(given) and not isinstance(given, type):
        return ". Give it that method, which makes a list of Completion of a list of requests: docs/write-a-backend.md"
    return ""


def _integer(value: Any) -> int | None:
    """An integer of any kind (numpy's as well) as Python's own, which keys and traces hold; None for all else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _aggregating(strategy: Any, how: Aggregate) -> Any:
    """The strategy with this aggregation, as far as it has one, and the strategies of its policy likewise."""
    changes: dict[str, Any] = {"aggregate": how} if hasattr(strategy, "aggregate") else {}
    if policy := policy_of(strategy):
        rows = [tuple(_aggregating(one, how) for one in row) for row in policy.strategies]
        changes["policy"] = replace(policy, strategies=tuple(rows))
    return replace(strategy, **changes) if changes else strategy


def _default_policy(aggregate: Aggregate, roles: Mapping[Role, Any], bundled: bool) -> Policy:
    """The policy fitted for the bundled models, else the one from the paper that fits the roles."""
    if not bundled:
        whole = not continues(roles.get("generator")) or whole_only(roles.get("verifier"))
        return default_policy(frozenset(roles), aggregate, whole=whole)
    from ttscale import reference

    policy = reference.scheduler().policy
    assert policy is not None
    return policy


def _names_of(generator: Any) -> tuple[str, ...]:
    """The names of the generators that a mixture draws from."""
    names = getattr(generator, "names", None)
    if not names:
        raise ValueError(
            "mixture draws from several generators: pass generator=ttscale.verifiers.MixedGenerator({'a': one, 'b': "
            f"other}}); got {generator!r}"
        )
    return tuple(names)


def _default_strategy(roles: frozenset[Role]) -> Strategy:
    if not roles & {"generator", "reviser"}:
        raise MissingRoleError("nothing to draw solutions from; pass generator=... or reviser=...")
    if {"generator", "verifier"} <= roles:
        return ComputeOptimalScheduler()
    return SequentialRevision() if "reviser" in roles else MajorityVote()
