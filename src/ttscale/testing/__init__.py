"""For those who build on ttscale: scripted roles, a toy world with known chances, and suites to be held to.

Fakes and toys need nothing but ttscale. The suites (``GeneratorTests``, ``VerifierTests``, ``ReviserTests``,
``StrategyTests``) are pytest classes to subclass; pytest is loaded when one of them is asked for, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ttscale.core.idioms import needed
from ttscale.testing.async_and_session import as_async, as_session
from ttscale.testing.fakes import FakeComparator, FakeGenerator, FakeReviser, FakeVerifier, completion_of, steps_of
from ttscale.testing.laws import check_laws, deliver, toy_roles, waves
from ttscale.testing.toys import ToyComparator, ToyLM, ToyReviser, ToyVerifier, ToyWorld

if TYPE_CHECKING:
    from ttscale.testing.role_suites import GeneratorTests, ReviserTests, VerifierTests
    from ttscale.testing.strategy_suite import StrategyTests

_SUITES = dict.fromkeys(("GeneratorTests", "ReviserTests", "VerifierTests"), "ttscale.testing.role_suites") | {
    "StrategyTests": "ttscale.testing.strategy_suite"
}

__all__ = [
    "FakeComparator",
    "FakeGenerator",
    "FakeReviser",
    "FakeVerifier",
    "GeneratorTests",
    "ReviserTests",
    "StrategyTests",
    "ToyComparator",
    "ToyLM",
    "ToyReviser",
    "ToyVerifier",
    "ToyWorld",
    "VerifierTests",
    "as_async",
    "as_session",
    "check_laws",
    "completion_of",
    "deliver",
    "steps_of",
    "toy_roles",
    "waves",
]


def __getattr__(name: str) -> Any:
    """The suites, on first use."""
    if name not in _SUITES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needed(f"ttscale.testing.{name} is a pytest class and pytest is not installed; pip install 'ttscale[test]'"):
        import pytest
    pytest.register_assert_rewrite(_SUITES[name])
    return getattr(import_module(_SUITES[name]), name)
