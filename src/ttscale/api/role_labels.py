"""The labels of models in stored results, policies and traces, which must tell different models apart.

Knows role objects and a few bytes of weights in a local folder. Must not know what they are for.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttscale.core.protocols import members_of, name_of, sampling_of, weights_of
from ttscale.strategies.policy import policy_of

READ = 1 << 20
"""Bytes read at each end of a weights file to tell two checkpoints at one path apart: the header and the last layer."""


def label(obj: Any) -> str:
    """What a role is called in stored results: its ``name`` with what tells it apart from others of that name. That is
    a hash of those of its ``weights`` that are local folders, the labels of its ``members``, and its ``sampling``, the
    settings that are not its usual ones.

    The folder of the bundled models is named as such, so that stored results do not depend on where ttscale lies.
    """
    name = name_of(obj)
    home = Path(__file__).parent.parent / "reference" / "models"
    hashes = []
    for folder in weights_of(obj):
        if not Path(folder).is_dir():
            continue
        hashes.append(_fingerprint(Path(folder)))
        if Path(folder).resolve().parent == home.resolve():
            name = name.replace(folder, f"ttscale.reference/{Path(folder).name}")
    name = "@".join([name, "-".join(hashes)]) if hashes else name
    members = members_of(obj)
    if (labels := [label(one) for one in members]) != [name_of(one) for one in members]:
        name = f"{name} of {', '.join(labels)}"
    sampling = sampling_of(obj)
    if not sampling:
        return name
    return f"{name} ({', '.join(f'{key}={_short(value)}' for key, value in sorted(sampling.items()))})"


def warn_other_models(strategy: object, labels: Mapping[str, str]) -> None:
    """Warn where a strategy brings a policy that was fitted for other models than these.

    Only what its provenance names is compared; a policy that says nothing about models (the default one) is silent.
    """
    policy = policy_of(strategy)
    fitted = policy.provenance.get("models") if policy else None
    if not isinstance(fitted, Mapping):
        return
    other = [role for role, name in labels.items() if fitted.get(role) not in (None, name)]
    if other:
        warnings.warn(
            "this policy was fitted for other models: "
            + ", ".join(f"{role} {fitted[role]!r}, not {labels[role]!r}" for role in other)
            + ". Its difficulties and strategies may not fit yours; fit one with `ttscale fit-policy`",
            stacklevel=2,
        )


def _short(value: Any) -> str:
    """The value as text, or a hash of it where that is long or may hold a secret."""
    if value is None or isinstance(value, int | float):
        return repr(value)
    return hashlib.blake2b(repr(value).encode(), digest_size=4).hexdigest()


def _fingerprint(folder: Path) -> str:
    found = hashlib.blake2b(digest_size=4)
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        found.update(f"{file.name}:{size}".encode())
        with open(file, "rb") as weights:
            found.update(weights.read(READ))
            weights.seek(max(0, size - READ), os.SEEK_SET)
            found.update(weights.read(READ))
    return found.hexdigest()
