"""What the events of a trace look like: a file may come from anywhere, and what reads it may rely on this.

It knows field names and JSON types; not what the events mean. Fields that are not named here are let through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ttscale.core.cost import Cost

Check = Callable[[Any], bool]

_COST = frozenset(field.name for field in fields(Cost))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _any_number(value: Any) -> bool:
    """A number or true or false, which Python counts among them; infinite and NaN as well."""
    return isinstance(value, (int, float))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int)


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _listed(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _path(value: Any) -> bool:
    return _listed(lambda part: _text(part) or _whole(part))(value)


def _step(value: Any) -> bool:
    """[text, tokens, log-probability, certainty, tokens drawn, confidences]; the last ones may be left out."""
    records: list[Check] = [_text, _listed(_whole), _optional(_any_number), _optional(_any_number), _optional(_whole)]
    records += [_optional(_any_number)] * 2
    if not isinstance(value, list) or not 2 <= len(value) <= len(records):
        return False
    return all(check(one) for check, one in zip(records, value, strict=False))


def _cost(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() <= _COST and all(_number(v) and v >= 0 for v in value.values())


def _scores(value: Any) -> bool:
    return isinstance(value, list) and all(_number(score) and 0 <= score <= 1 for score in value)


_SCORE: dict[str, Check] = {"scores": _scores}
_COMPLETION: dict[str, Check] = {"steps": _listed(_step), "finish": lambda value: value in ("open", "stop", "length")}
_OPS: dict[str, dict[str, Check]] = {
    "sample": {"prefix": _path, **_COMPLETION},
    "revise": {"attempts": _listed(_path), **_COMPLETION},
    "score": _SCORE,
    "compare": {"candidates": _listed(_path), "weights": _scores},
}
_REPLY: dict[str, Check] = {"question": _text, "op": _OPS.__contains__, "key": _path, "digest": _text, "cost": _cost}
_EVENTS: dict[str, dict[str, Check]] = {
    "run": {},
    "start": {"question": _text, "prompt": _text, "key": _path, "strategy": _text, "budget": _whole},
    "end": {
        "question": _text,
        "chosen": _optional(_path),
        "answer": _optional(_text),
        "score": _optional(_number),
        "strategy": _text,
        "stopped_by": _optional(_text),
        "error": _optional(_text),
    },
}


def is_event(event: Any) -> bool:
    """Whether this is an event that a trace of ours may hold."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return False
    if not isinstance(event.get("roles", {}), dict):
        return False
    if event["event"] == "reply":
        unscored = event.get("unscored")
        if not _optional(_text)(unscored) or (event.get("scores") == [] and unscored is None):
            return False
        return _holds(event, _REPLY) and _holds(event, _OPS[event["op"]])
    return event["event"] in _EVENTS and _holds(event, _EVENTS[event["event"]])


def _holds(event: Mapping[str, Any], checks: Mapping[str, Check]) -> bool:
    try:
        return all(name in event and check(event[name]) for name, check in checks.items())
    except TypeError:  # an unhashable where a name was expected
        return False
