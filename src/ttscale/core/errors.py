"""The errors ttscale raises, split by whose fault it is.

Bad arguments raise ``ValueError`` (``BudgetError`` for budgets). A strategy that breaks the protocol raises
``StrategyError``; a role (generator, verifier, reviser, comparator) that does raises ``RoleError``. Every message names
what happened, for which question and key, and what to do. Any other exception that escapes is a bug in ttscale.
"""

from __future__ import annotations

from typing import Any


class TtscaleError(Exception):
    """Anything ttscale raises on purpose, other than for a bad argument."""

    result: Any = None
    """The ``ttscale.Result`` of what was found before the search failed, where ``solve`` raised this; else None."""


class StrategyError(TtscaleError):
    """A strategy broke the protocol: a key asked for twice, an empty wave, an outcome that does not fit."""


class MissingRoleError(StrategyError, ValueError):
    """A strategy needs a role (a verifier, say) that was not given. Raised before any token is spent."""


class RoleError(TtscaleError):
    """A generator, verifier, reviser or comparator broke its promise: wrong length, a bad score, an exception."""


class TooLongError(RoleError):
    """A candidate is longer than its verifier reads. By default that candidate competes without a score."""


class BudgetError(ValueError):
    """The budget is not an integer between 1 and ``ttscale.MAX_BUDGET``."""


class AnswerWarning(UserWarning):
    """Solutions were cut off or state no answer, so the votes of a call have less to count; says what to change."""
