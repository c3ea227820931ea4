"""Train generators, process and outcome verifiers from rollouts, and revision models; and measure them.

Names load on first use: rollouts, readers, revision data and the quality report need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscale.evaluation.problems.datasets import from_jsonl as load_problems
    from ttscale.evaluation.problems.problem import Problem, as_problems
    from ttscale.evaluation.problems.splits import check_disjoint, split_questions
    from ttscale.evaluation.verifier_quality.markdown import plot_reliability, quality_markdown
    from ttscale.evaluation.verifier_quality.report import Judged, QualityReport, quality_report
    from ttscale.training.data.chains import ChainSummary, collect_chains
    from ttscale.training.data.examples import (
        StepExample,
        consensus_filter,
        hard_labels,
        last_step_labels,
        outcome_labels,
        relabel,
        write_examples,
    )
    from ttscale.training.data.readers import (
        Read,
        read_math_shepherd,
        read_omegaprm,
        read_prm800k,
        read_rlhflow,
        read_rollouts,
        read_trl,
        write_trl,
    )
    from ttscale.training.data.revision_data import (
        RevisionExample,
        build_revision_data,
        read_revision_data,
        write_revision_data,
    )
    from ttscale.training.data.rollouts import RolloutSummary, collect_rollouts
    from ttscale.training.fit.calibration import Calibration, calibrate
    from ttscale.training.fit.recipe import IMPLICIT_RECIPE, PRM_RECIPE, REVISION_RECIPE, SFT_RECIPE, Recipe
    from ttscale.training.fit.run import TrainingResult, check_untrained, read_result
    from ttscale.training.implicit import train_implicit_prm
    from ttscale.training.prm import train_orm, train_prm
    from ttscale.training.reviser import train_reviser
    from ttscale.training.score_examples import judge, verifier_scores
    from ttscale.training.sft import read_solutions, train_sft

__all__ = [
    "IMPLICIT_RECIPE",
    "PRM_RECIPE",
    "REVISION_RECIPE",
    "SFT_RECIPE",
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
    "quality_markdown",
    "quality_report",
    "read_math_shepherd",
    "read_omegaprm",
    "read_prm800k",
    "read_result",
    "read_revision_data",
    "read_rlhflow",
    "read_rollouts",
    "read_solutions",
    "read_trl",
    "relabel",
    "split_questions",
    "train_implicit_prm",
    "train_orm",
    "train_prm",
    "train_reviser",
    "train_sft",
    "verifier_scores",
    "write_examples",
    "write_revision_data",
    "write_trl",
]

_HOME = {
    "Calibration": "ttscale.training.fit.calibration",
    "ChainSummary": "ttscale.training.data.chains",
    "IMPLICIT_RECIPE": "ttscale.training.fit.recipe",
    "Judged": "ttscale.evaluation.verifier_quality.report",
    "PRM_RECIPE": "ttscale.training.fit.recipe",
    "Problem": "ttscale.evaluation.problems.problem",
    "QualityReport": "ttscale.evaluation.verifier_quality.report",
    "REVISION_RECIPE": "ttscale.training.fit.recipe",
    "Read": "ttscale.training.data.readers",
    "Recipe": "ttscale.training.fit.recipe",
    "RevisionExample": "ttscale.training.data.revision_data",
    "SFT_RECIPE": "ttscale.training.fit.recipe",
    "RolloutSummary": "ttscale.training.data.rollouts",
    "StepExample": "ttscale.training.data.examples",
    "TrainingResult": "ttscale.training.fit.run",
    "as_problems": "ttscale.evaluation.problems.problem",
    "build_revision_data": "ttscale.training.data.revision_data",
    "calibrate": "ttscale.training.fit.calibration",
    "check_disjoint": "ttscale.evaluation.problems.splits",
    "check_untrained": "ttscale.training.fit.run",
    "collect_chains": "ttscale.training.data.chains",
    "collect_rollouts": "ttscale.training.data.rollouts",
    "consensus_filter": "ttscale.training.data.examples",
    "hard_labels": "ttscale.training.data.examples",
    "judge": "ttscale.training.score_examples",
    "last_step_labels": "ttscale.training.data.examples",
    "load_problems": "ttscale.evaluation.problems.datasets:from_jsonl",
    "outcome_labels": "ttscale.training.data.examples",
    "plot_reliability": "ttscale.evaluation.verifier_quality.markdown",
    "quality_markdown": "ttscale.evaluation.verifier_quality.markdown",
    "quality_report": "ttscale.evaluation.verifier_quality.report",
    "read_math_shepherd": "ttscale.training.data.readers",
    "read_omegaprm": "ttscale.training.data.readers",
    "read_prm800k": "ttscale.training.data.readers",
    "read_result": "ttscale.training.fit.run",
    "read_revision_data": "ttscale.training.data.revision_data",
    "read_rlhflow": "ttscale.training.data.readers",
    "read_rollouts": "ttscale.training.data.readers",
    "read_solutions": "ttscale.training.sft",
    "read_trl": "ttscale.training.data.readers",
    "relabel": "ttscale.training.data.examples",
    "split_questions": "ttscale.evaluation.problems.splits",
    "train_implicit_prm": "ttscale.training.implicit",
    "train_orm": "ttscale.training.prm",
    "train_prm": "ttscale.training.prm",
    "train_reviser": "ttscale.training.reviser",
    "train_sft": "ttscale.training.sft",
    "verifier_scores": "ttscale.training.score_examples",
    "write_examples": "ttscale.training.data.examples",
    "write_revision_data": "ttscale.training.data.revision_data",
    "write_trl": "ttscale.training.data.readers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(module), attribute or name)
