"""Values of a parsed body, each of the type it must have. ``ApiError`` names the parameter and what it should be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ttscale.integrations.gateway.errors import refused


def text(body: Mapping[str, Any], name: str, required: bool = False) -> str | None:
    """A short text; None where it is absent."""
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or (required and not value) or len(value) > 500:
        raise refused(name, f"{name} must be a short text; got {json.dumps(value)[:80]}")
    return value


def flag(body: Mapping[str, Any], name: str) -> bool:
    """True or false; false where it is absent."""
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise refused(name, f"{name} must be true or false; got {json.dumps(value)[:80]}")
    return bool(value)


def integer(body: Mapping[str, Any], name: str, least: int) -> int | None:
    """A whole number of at least ``least``; None where it is absent."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise refused(name, f"{name} must be an integer of at least {least}; got {json.dumps(value)[:80]}")
    return value


def number(body: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    """A number from ``least`` to ``most``; None where it is absent."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise refused(name, f"{name} must be a number from {least} to {most}; got {json.dumps(value)[:80]}")
    return value
