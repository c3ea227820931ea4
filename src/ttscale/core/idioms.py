"""Idioms of Python that many modules need, written once. Knows nothing of ttscale."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Self


class Closing:
    """Closes itself at the end of its ``with`` block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what it holds."""
        raise NotImplementedError


@contextmanager
def needed(said: str) -> Iterator[None]:
    """Where an import in the block fails, the ``ImportError`` says this: who needs it, and how to install it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(said) from error


def lazy(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package whose names load on first use.

    ``modules`` has the names that each module holds, separated by spaces. A name that is called otherwise where it lies
    is written ``name=its_name_there``.
    """
    home = {name.partition("=")[0]: (module, name) for module, names in modules.items() for name in names.split()}

    def look_up(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, named = home[name]
        return getattr(import_module(module), named.rpartition("=")[2])

    return look_up
