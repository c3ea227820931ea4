"""Train generators, process and outcome verifiers from rollouts, and revision models; and measure them.

Names load on first use: rollouts, readers, revision data and the quality report need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttscale.core.idioms import lazy

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

__getattr__ = lazy(
    __name__,
    {
        "ttscale.evaluation.problems.datasets": "load_problems=from_jsonl",
        "ttscale.evaluation.problems.problem": "Problem as_problems",
        "ttscale.evaluation.problems.splits": "check_disjoint split_questions",
        "ttscale.evaluation.verifier_quality.markdown": "plot_reliability quality_markdown",
        "ttscale.evaluation.verifier_quality.report": "Judged QualityReport quality_report",
        "ttscale.training.data.chains": "ChainSummary collect_chains",
        "ttscale.training.data.examples": (
            "StepExample consensus_filter hard_labels last_step_labels outcome_labels relabel write_examples"
        ),
        "ttscale.training.data.readers": (
            "Read read_math_shepherd read_omegaprm read_prm800k read_rlhflow read_rollouts read_trl write_trl"
        ),
        "ttscale.training.data.revision_data": (
            "RevisionExample build_revision_data read_revision_data write_revision_data"
        ),
        "ttscale.training.data.rollouts": "RolloutSummary collect_rollouts",
        "ttscale.training.fit.calibration": "Calibration calibrate",
        "ttscale.training.fit.recipe": "IMPLICIT_RECIPE PRM_RECIPE REVISION_RECIPE Recipe SFT_RECIPE",
        "ttscale.training.fit.run": "TrainingResult check_untrained read_result",
        "ttscale.training.implicit": "train_implicit_prm",
        "ttscale.training.prm": "train_orm train_prm",
        "ttscale.training.reviser": "train_reviser",
        "ttscale.training.score_examples": "judge verifier_scores",
        "ttscale.training.sft": "read_solutions train_sft",
    },
)
