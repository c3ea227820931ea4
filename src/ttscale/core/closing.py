"""A context manager that closes itself at the end of its ``with`` block, written once for all that are."""

from __future__ import annotations

from typing import Self


class Closing:
    """Use as a context manager, or call ``close``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what it holds."""
        raise NotImplementedError
