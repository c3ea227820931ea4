"""Keywords that a call does not have: the error says where what they mean is set, or what was probably meant."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def helpful_keywords(instead: Mapping[str, str]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """The same function or ``__init__``; an unknown keyword raises a ``TypeError`` with what to do.

    ``instead`` has that by keyword, with {0} for the keyword itself. Others are told the nearest argument.
    """

    def helping(function: Callable[P, T]) -> Callable[P, T]:
        known = [name for name in inspect.signature(function).parameters if name != "self"]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs.keys() - known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = instead.get(name, f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(known))}")
                called = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
                raise TypeError(f"{called}() has no argument {name!r}; {hint.format(name)}")
            return function(*args, **kwargs)

        return checked

    return helping
