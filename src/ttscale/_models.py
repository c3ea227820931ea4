"""From what the user named to objects with a method: the bundled models, Hugging Face ids and local paths.

Backends load here, on first use, and only for roles that will be asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ttscale._arguments import check_role
from ttscale._roles import METHOD_OF, Role

if TYPE_CHECKING:
    from ttscale.hf import HFModel

BUNDLED = "bundled"


def roles_at_hand(generator: Any, verifier: Any, reviser: Any) -> dict[Role, Any]:
    """What there is for each role; with neither generator nor reviser given, the bundled models fill the gaps."""
    given: dict[Role, Any] = {"generator": generator, "verifier": verifier, "reviser": reviser}
    if generator is None and reviser is None:
        return {role: BUNDLED if obj is None else obj for role, obj in given.items()}
    return {role: obj for role, obj in given.items() if obj is not None}


def open_role(role: Role, given: Any) -> Any:
    """The role as an object, given as one or as a path or Hugging Face id; ``ValueError`` for anything else."""
    if given is None:
        raise ValueError(f"{role} is missing: give an object with a method {METHOD_OF[role]}(requests), or a path")
    check_role(role, given)
    return load_roles({role: given}, [role])[role]


def load_roles(roles: Mapping[Role, Any], wanted: Iterable[Role]) -> dict[Role, Any]:
    """The roles that are wanted, as objects; a path named twice is loaded once."""
    models: dict[str, HFModel] = {}
    return {role: _load(role, obj, models) for role, obj in roles.items() if role in wanted}


def _load(role: Role, obj: Any, models: dict[str, HFModel]) -> Any:
    if isinstance(obj, os.PathLike):
        obj = os.fspath(obj)
    if not isinstance(obj, str):
        return obj
    if obj == BUNDLED:
        from ttscale import reference

        return reference.load(role)
    from ttscale.hf import HFGenerator, HFModel, HFReviser, HFVerifier, ImplicitVerifier
    from ttscale.hf.prompts import read_settings

    if role == "verifier":
        implicit = read_settings(obj, "ttscale_verifier.json").get("kind") == "implicit"
        return ImplicitVerifier(obj) if implicit else HFVerifier(obj)
    if obj not in models:
        models[obj] = HFModel(obj)
    return HFGenerator(models[obj]) if role == "generator" else HFReviser(models[obj])
