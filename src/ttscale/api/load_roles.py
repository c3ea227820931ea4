"""From what the user named to objects with a method: the bundled models, Hugging Face ids and local paths.

Backends load here, on first use, and only for roles that will be asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ttscale.api.arguments import check_role, is_factory
from ttscale.api.role_labels import label
from ttscale.core.protocols import METHOD_OF, ROLE_OF, Role
from ttscale.core.types import Question

BUNDLED = "bundled"


def is_bundled(generator: Any) -> bool:
    """Whether this is the bundled generator, as it is or with other settings."""
    return bool(generator == BUNDLED) or _adjusted(generator)


def _adjusted(generator: Any) -> bool:
    """Whether this is the bundled generator with other settings (its attribute ``bundled`` says so)."""
    return getattr(generator, "bundled", None) is True


def roles_at_hand(generator: Any, verifier: Any, reviser: Any, comparator: Any = None) -> dict[Role, Any]:
    """What there is for each role; with neither generator nor reviser given, the bundled models fill the gaps.

    They also do where the generator is the bundled one with other settings. None of them compares: a comparator is
    there where it is given.
    """
    given: dict[Role, Any] = {"generator": generator, "verifier": verifier, "reviser": reviser}
    if _adjusted(generator) or (generator is None and reviser is None):
        given = {role: BUNDLED if obj is None else obj for role, obj in given.items()}
    given["comparator"] = comparator
    return {role: obj for role, obj in given.items() if obj is not None}


def open_role(role: Role, given: Any) -> Any:
    """The role as an object, given as one or as a path or Hugging Face id; ``ValueError`` for anything else."""
    if given is None:
        raise ValueError(f"{role} is missing: give an object with a method {METHOD_OF[role]}(requests), or a path")
    check_role(role, given)
    return load_roles({role: given}, [role])[role]


def load_roles(roles: Mapping[Role, Any], wanted: Iterable[Role]) -> dict[Role, Any]:
    """The roles that are wanted, as objects; a path named twice is loaded once."""
    models: dict[str, Any] = {}
    return {role: _load(role, obj, models) for role, obj in roles.items() if role in wanted}


def load_named(role: Role, name: str, models: dict[str, Any], placed: Mapping[str, Any], **sampling: Any) -> Any:
    """The role that a path or Hugging Face id names; ``models`` keeps what is loaded, for roles of the same name.

    ``placed`` says on which device and with which dtype; ``sampling`` are settings of a generator or reviser.
    """
    from ttscale.hf import HFGenerator, HFModel, HFReviser, HFVerifier, ImplicitVerifier
    from ttscale.prompts.tokenize import read_settings

    if role == "verifier":
        implicit = read_settings(name, "ttscale_verifier.json").get("kind") == "implicit"
        return ImplicitVerifier(HFModel(name, **placed)) if implicit else HFVerifier(name, **placed)
    if name not in models:
        models[name] = HFModel(name, **placed)
    kind: Any = HFReviser if role == "reviser" else HFGenerator
    return kind(models[name], **sampling)


def _load(role: Role, obj: Any, models: dict[str, Any]) -> Any:
    if isinstance(obj, os.PathLike):
        obj = os.fspath(obj)
    if not isinstance(obj, str):
        return obj
    if obj == BUNDLED:
        from ttscale import reference

        return reference.load(role)
    loaded = load_named(role, obj, models, {})
    if role != "comparator":
        return loaded
    from ttscale.verifiers.comparator import PromptedComparator

    return PromptedComparator(loaded)


ModelSpec: TypeAlias = Any
"""A role object, a Hugging Face id or path, a function without arguments that makes a role, or None."""


@dataclass(frozen=True, slots=True)
class ModelSpecs:
    """What the user named for each role. Travels to other processes; ``load`` makes the models there."""

    generator: ModelSpec = None
    verifier: ModelSpec = None
    reviser: ModelSpec = None
    comparator: ModelSpec = None

    def check(self) -> ModelSpecs:
        """The same; ``ValueError`` for something that can be no role."""
        for role in METHOD_OF:
            spec = getattr(self, role)
            if not is_factory(role, spec):
                check_role(role, spec)
        return self

    @property
    def roles(self) -> frozenset[Role]:
        """The roles there will be."""
        return frozenset(roles_at_hand(self.generator, self.verifier, self.reviser, self.comparator))

    @property
    def bundled(self) -> bool:
        """Whether the generator is the bundled one, which answers questions of its domain only."""
        at_hand = roles_at_hand(self.generator, self.verifier, self.reviser, self.comparator)
        return is_bundled(at_hand.get("generator"))

    def load(self, wanted: Iterable[Role] | None = None) -> Models:
        """The models of these roles (None: of all there are)."""
        made: dict[Role, Any] = {}
        for role, spec in roles_at_hand(self.generator, self.verifier, self.reviser, self.comparator).items():
            made[role] = spec() if is_factory(role, spec) else spec
            if made[role] != BUNDLED:
                check_role(role, made[role])
        roles = load_roles(made, set(ROLE_OF.values()) if wanted is None else set(wanted))
        return Models(roles, {str(role): label(obj) for role, obj in roles.items()}, self.bundled)

    @property
    def given(self) -> dict[str, ModelSpec]:
        """The specs as keyword arguments, of those roles that every entry point takes."""
        return {"generator": self.generator, "verifier": self.verifier, "reviser": self.reviser}

    def opened(self) -> ModelSpecs:
        """The same with ids, paths and functions replaced by the models, so that they are loaded once for many uses."""
        roles = self.load([role for role in METHOD_OF if getattr(self, role) is not None]).roles
        return ModelSpecs(**{str(role): obj for role, obj in roles.items()})


@dataclass(frozen=True, slots=True)
class Models:
    """Loaded roles and their labels."""

    roles: Mapping[Role, Any]
    labels: Mapping[str, str]
    bundled: bool

    def question(self, id_: str, prompt: str) -> Question:
        """The question as the models are asked it; ``OutOfDomainError`` from the bundled ones for any other domain."""
        if not self.bundled:
            return Question(id_, prompt)
        from ttscale import reference

        return Question(id_, reference.check(prompt))


def check_labels(stored: Mapping[str, Any], now: Mapping[str, str], what: str) -> None:
    """``ValueError`` unless every role of this run is the one that ``what`` was made with, or new to it."""
    for role, name in now.items():
        if stored.get(role, name) != name:
            raise ValueError(
                f"{what} was made with the {role} {stored[role]!r}, and this run has {name!r}; results of different "
                "models must not be mixed: go on with the same models, or write to another file"
            )
