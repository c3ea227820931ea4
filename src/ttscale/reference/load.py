"""The bundled models as roles, each loaded once per process, and the scheduler fitted for them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any

from ttscale.core.protocols import Role
from ttscale.strategies import ComputeOptimalScheduler

ROLES: tuple[Role, ...] = ("generator", "verifier", "reviser")
_loading = RLock()


def load(role: Role, *, device: str | None = None, dtype: str | None = None, **sampling: Any) -> Any:
    """The bundled generator, verifier or reviser; ``sampling`` are settings of the generator, such as temperature.

    What is loaded is kept by its settings, so they must be hashable; ``ValueError`` names one that is not, and a role
    that none of the bundled models has.
    """
    if role not in ROLES:
        raise ValueError(f"there is no bundled {role!r}; choose one of {', '.join(ROLES)}")
    for name, value in {"device": device, "dtype": dtype, **sampling}.items():
        try:
            hash(value)
        except TypeError:
            raise ValueError(
                f"{name}={value!r:.200} is no setting of a bundled model, which is kept by its settings: give a "
                f"number, a text or another hashable value, not a {type(value).__name__}"
            ) from None
    with _loading:  # a cache alone would let every thread load
        return _load(role, device, dtype, tuple(sorted(sampling.items())))


@cache
def _load(role: Role, device: str | None, dtype: str | None, sampling: tuple[tuple[str, Any], ...]) -> Any:
    from ttscale.hf import HFGenerator, HFReviser, ImplicitVerifier

    if role == "verifier":
        return ImplicitVerifier(_model("verifier", device, dtype), _model("generator", device, dtype))
    if role == "generator":
        return HFGenerator(_model("generator", device, dtype), **dict(sampling))
    return HFReviser(_model("reviser", device, dtype))


@cache
def _model(name: str, device: str | None, dtype: str | None) -> Any:
    from transformers.utils import logging

    from ttscale.hf import HFModel
    from ttscale.reference import path

    # These load in a moment; transformers' progress bars would be most of what a first user sees.
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return HFModel(str(path(name)), device=device, dtype=dtype)
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def scheduler() -> ComputeOptimalScheduler:
    """The compute-optimal scheduler with the policy fitted for the bundled models, or the paper's where none is."""
    policy = Path(__file__).parent / "policy.json"
    return ComputeOptimalScheduler.load(policy) if policy.is_file() else ComputeOptimalScheduler()
