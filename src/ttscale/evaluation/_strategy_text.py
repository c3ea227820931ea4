"""Strategies written as words on a command line: ``beam``, ``beam:width=sqrt``, ``compute_optimal:policy=mine.json``.

Knows names and settings. Must not know what strategies do.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ttscale._arguments import strategy_named
from ttscale._roles import Strategy
from ttscale.evaluation.batch import BatchAllocation
from ttscale.evaluation.sweeps import Arm
from ttscale.strategies import Policy

BATCH = "batch_allocation"


def arm_of(text: str) -> Arm:
    """The arm that a text describes; it is called by that text."""
    name, colon, rest = text.partition(":")
    made: Any = BatchAllocation() if _plain(name) == BATCH else strategy_named(name)
    known = {field.name for field in fields(made)}
    settings: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if not equals or key not in known:
            raise ValueError(
                f"{text!r}: {part!r} is no setting of {_plain(name)}; write name:key=value,key=value with "
                f"{', '.join(sorted(known)) or 'no settings'}"
            )
        settings[key] = Policy.load(value) if key == "policy" else _value(value)
    try:
        return Arm(text, type(made)(**settings) if settings else made)
    except TypeError as error:
        raise ValueError(f"{text!r}: the settings do not fit, {error}") from error


def arms_of(texts: str) -> list[Arm]:
    """The arms in a list separated by spaces or semicolons (commas separate settings) or, without settings, commas."""
    separated = texts.replace(";", " ")
    if ":" not in separated:
        separated = separated.replace(",", " ")
    return [arm_of(text) for text in separated.split()]


def strategy_of(text: str) -> Strategy | BatchAllocation:
    """The strategy that a text describes."""
    strategy = arm_of(text).strategy
    assert not isinstance(strategy, str)
    return strategy


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
