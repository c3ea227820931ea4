"""Train what the paper trains: process and outcome verifiers from rollouts, and revision models; and measure them.

Names load on first use: rollouts, readers and the quality report need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Judged": "quality",
    "QualityReport": "quality",
    "quality_report": "quality",
    "plot_reliability": "_quality_text",
    "RolloutSummary": "rollouts",
    "collect_rollouts": "rollouts",
    "Problem": "problems",
    "as_problems": "problems",
    "load_problems": "problems",
}

__all__ = ["Judged", "QualityReport", "plot_reliability", "quality_report"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
