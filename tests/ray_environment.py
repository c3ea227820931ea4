"""What the workers of a local Ray cluster need to find these tests.

They inherit it: a job with an environment of its own starts every worker anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def inherited_by_workers() -> Iterator[None]:
    """While Ray is being started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
