"""Train what the paper trains: process and outcome verifiers from rollouts, and revision models; and measure them.

Names load on first use: rollouts, readers, revision data and the quality report need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscale.training._quality_text import plot_reliability
    from ttscale.training._run import TrainingResult, check_untrained, read_result
    from ttscale.training.calibration import Calibration, calibrate
    from ttscale.training.chains import ChainSummary, collect_chains
    from ttscale.training.examples import (
        StepExample,
        consensus_filter,
        hard_labels,
        last_step_labels,
        outcome_labels,
        relabel,
        write_examples,
    )
    from ttscale.training.implicit import train_implicit_prm
    from ttscale.training.prm import train_orm, train_prm
    from ttscale.training.problems import Problem, as_problems, check_disjoint, load_problems, split_questions
    from ttscale.training.quality import Judged, QualityReport, quality_report
    from ttscale.training.readers import (
        Read,
        read_math_shepherd,
        read_omegaprm,
        read_prm800k,
        read_rlhflow,
        read_rollouts,
        read_trl,
        write_trl,
    )
    from ttscale.training.recipe import IMPLICIT_RECIPE, PRM_RECIPE, REVISION_RECIPE, Recipe
    from ttscale.training.reviser import train_reviser
    from ttscale.training.revision_data import (
        RevisionExample,
        build_revision_data,
        read_revision_data,
        write_revision_data,
    )
    from ttscale.training.rollouts import RolloutSummary, collect_rollouts
    from ttscale.training.scoring import judge, verifier_scores

__all__ = [
    "IMPLICIT_RECIPE",
    "PRM_RECIPE",
    "REVISION_RECIPE",
    "Calibration",
    "ChainSummary",
    "Judged",
    "Problem",
    "QualityReport",
    "Read",
    "Recipe",
    "RevisionExample",
    "RolloutSummary",
    "StepExample",
    "TrainingResult",
    "as_problems",
    "build_revision_data",
    "calibrate",
    "check_disjoint",
    "check_untrained",
    "collect_chains",
    "collect_rollouts",
    "consensus_filter",
    "hard_labels",
    "judge",
    "last_step_labels",
    "load_problems",
    "outcome_labels",
    "plot_reliability",
    "quality_report",
    "read_math_shepherd",
    "read_omegaprm",
    "read_prm800k",
    "read_result",
    "read_revision_data",
    "read_rlhflow",
    "read_rollouts",
    "read_trl",
    "relabel",
    "split_questions",
    "train_implicit_prm",
    "train_orm",
    "train_prm",
    "train_reviser",
    "verifier_scores",
    "write_examples",
    "write_revision_data",
    "write_trl",
]

_HOME = {
    "Calibration": "calibration",
    "ChainSummary": "chains",
    "IMPLICIT_RECIPE": "recipe",
    "Judged": "quality",
    "PRM_RECIPE": "recipe",
    "Problem": "problems",
    "QualityReport": "quality",
    "REVISION_RECIPE": "recipe",
    "Read": "readers",
    "Recipe": "recipe",
    "RevisionExample": "revision_data",
    "RolloutSummary": "rollouts",
    "StepExample": "examples",
    "TrainingResult": "_run",
    "as_problems": "problems",
    "build_revision_data": "revision_data",
    "calibrate": "calibration",
    "check_disjoint": "problems",
    "check_untrained": "_run",
    "collect_chains": "chains",
    "collect_rollouts": "rollouts",
    "consensus_filter": "examples",
    "hard_labels": "examples",
    "judge": "scoring",
    "last_step_labels": "examples",
    "load_problems": "problems",
    "outcome_labels": "examples",
    "plot_reliability": "_quality_text",
    "quality_report": "quality",
    "read_math_shepherd": "readers",
    "read_omegaprm": "readers",
    "read_prm800k": "readers",
    "read_result": "_run",
    "read_revision_data": "revision_data",
    "read_rlhflow": "readers",
    "read_rollouts": "readers",
    "read_trl": "readers",
    "relabel": "examples",
    "split_questions": "problems",
    "train_implicit_prm": "implicit",
    "train_orm": "prm",
    "train_prm": "prm",
    "train_reviser": "reviser",
    "verifier_scores": "scoring",
    "write_examples": "examples",
    "write_revision_data": "revision_data",
    "write_trl": "readers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
