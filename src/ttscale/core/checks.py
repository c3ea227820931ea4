"""Checks of plain numbers and settings that users and files hand in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether this is an ordinary number: no bool, NaN or infinity, however many digits an integer has."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -math.inf < value < math.inf


def check_choice(name: str, given: object, choices: Sequence[str]) -> None:
    """``ValueError`` unless it is one of the choices."""
    if given not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {given!r}")


def check_count(name: str, given: Any, least: int = 1, *, none: bool = False) -> None:
    """``ValueError`` unless it is an integer of at least ``least``, or None where that is allowed."""
    if (given is None and none) or (isinstance(given, int) and not isinstance(given, bool) and given >= least):
        return
    wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
    raise ValueError(f"{name} must be {wanted}{' or None' * none}; got {given!r}")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What an error says of each setting of ``now`` that was another one before."""
    return [f"{key}: {before.get(key)!r} there, {now[key]!r} now" for key in now if before.get(key) != now[key]]


def check_seed(given: Any) -> None:
    """``ValueError`` unless it is a Python integer, which the keys in a file can hold."""
    if isinstance(given, bool) or not isinstance(given, int):
        raise ValueError(f"seed must be a Python integer, got {given!r}")
