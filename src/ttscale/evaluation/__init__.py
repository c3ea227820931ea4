"""Measure test-time compute on your own models and questions: pools, sweeps, difficulty, policies, reports.

Reference answers exist here and nowhere else in the library. Needs numpy and scipy; drawing needs matplotlib (extra
``plot``), a cluster Ray (extra ``ray``). Names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttscale.api.batch import BatchAllocation, solve_batch
    from ttscale.evaluation.analyse.certainty import Certainty, described
    from ttscale.evaluation.analyse.chains import ChainStep, along_the_chain
    from ttscale.evaluation.analyse.difficulty import (
        Agreement,
        Bins,
        absolute_bins,
        oracle_difficulty,
        predicted_difficulty,
        probe_agreement,
        quantile_bins,
        rank_correlation,
    )
    from ttscale.evaluation.analyse.fitting import (
        CrossValidatedScheduler,
        cross_validate_scheduler,
        fit_policy,
        probed,
        scheduled,
    )
    from ttscale.evaluation.analyse.flops import (
        Match,
        Rung,
        compare,
        matched_multiplier,
        measured_multiplier,
        questions_for_ratio,
    )
    from ttscale.evaluation.analyse.outcomes import Outcomes, of_arm
    from ttscale.evaluation.analyse.policies import CrossValidated, cross_validate
    from ttscale.evaluation.collect.arms import adaptive_arms, policy_menu, ratio_grid, revision_arms, search_arms
    from ttscale.evaluation.collect.pool import Drawn, Pool
    from ttscale.evaluation.collect.pools import draw_pool, load_pool
    from ttscale.evaluation.collect.records import Record, Records
    from ttscale.evaluation.collect.sweeps import Arm, load_records, sweep
    from ttscale.evaluation.problems.datasets import from_hub, from_jsonl, from_reference, load
    from ttscale.evaluation.problems.grading import check_reference, final_answer, grade, grade_text
    from ttscale.evaluation.problems.problem import Problem
    from ttscale.evaluation.report.page import Report, Table, write_report
    from ttscale.evaluation.statistics import (
        Graded,
        Interval,
        accuracy,
        best_of_n,
        curves,
        mean_interval,
        paired_difference,
        pass_at_k,
        vote,
    )

__all__ = [
    "Agreement",
    "Arm",
    "BatchAllocation",
    "Bins",
    "Certainty",
    "ChainStep",
    "CrossValidated",
    "CrossValidatedScheduler",
    "Drawn",
    "Graded",
    "Interval",
    "Match",
    "Outcomes",
    "Pool",
    "Problem",
    "Record",
    "Records",
    "Report",
    "Rung",
    "Table",
    "absolute_bins",
    "accuracy",
    "adaptive_arms",
    "along_the_chain",
    "best_of_n",
    "check_reference",
    "compare",
    "cross_validate",
    "cross_validate_scheduler",
    "curves",
    "described",
    "draw_pool",
    "final_answer",
    "fit_policy",
    "from_hub",
    "from_jsonl",
    "from_reference",
    "grade",
    "grade_text",
    "load",
    "load_pool",
    "load_records",
    "matched_multiplier",
    "mean_interval",
    "measured_multiplier",
    "of_arm",
    "oracle_difficulty",
    "paired_difference",
    "pass_at_k",
    "policy_menu",
    "predicted_difficulty",
    "probe_agreement",
    "probed",
    "quantile_bins",
    "questions_for_ratio",
    "rank_correlation",
    "ratio_grid",
    "revision_arms",
    "scheduled",
    "search_arms",
    "solve_batch",
    "sweep",
    "vote",
    "write_report",
]

_HOME = {
    "Agreement": "ttscale.evaluation.analyse.difficulty",
    "Arm": "ttscale.evaluation.collect.sweeps",
    "BatchAllocation": "ttscale.api.batch",
    "Bins": "ttscale.evaluation.analyse.difficulty",
    "Certainty": "ttscale.evaluation.analyse.certainty",
    "ChainStep": "ttscale.evaluation.analyse.chains",
    "CrossValidated": "ttscale.evaluation.analyse.policies",
    "CrossValidatedScheduler": "ttscale.evaluation.analyse.fitting",
    "Drawn": "ttscale.evaluation.collect.pool",
    "Graded": "ttscale.evaluation.statistics",
    "Interval": "ttscale.evaluation.statistics",
    "Match": "ttscale.evaluation.analyse.flops",
    "Outcomes": "ttscale.evaluation.analyse.outcomes",
    "Pool": "ttscale.evaluation.collect.pool",
    "Problem": "ttscale.evaluation.problems.problem",
    "Record": "ttscale.evaluation.collect.records",
    "Records": "ttscale.evaluation.collect.records",
    "Report": "ttscale.evaluation.report.page",
    "Rung": "ttscale.evaluation.analyse.flops",
    "Table": "ttscale.evaluation.report.page",
    "absolute_bins": "ttscale.evaluation.analyse.difficulty",
    "accuracy": "ttscale.evaluation.statistics",
    "adaptive_arms": "ttscale.evaluation.collect.arms",
    "along_the_chain": "ttscale.evaluation.analyse.chains",
    "best_of_n": "ttscale.evaluation.statistics",
    "check_reference": "ttscale.evaluation.problems.grading",
    "compare": "ttscale.evaluation.analyse.flops",
    "cross_validate": "ttscale.evaluation.analyse.policies",
    "cross_validate_scheduler": "ttscale.evaluation.analyse.fitting",
    "curves": "ttscale.evaluation.statistics",
    "described": "ttscale.evaluation.analyse.certainty",
    "draw_pool": "ttscale.evaluation.collect.pools",
    "final_answer": "ttscale.evaluation.problems.grading",
    "fit_policy": "ttscale.evaluation.analyse.fitting",
    "from_hub": "ttscale.evaluation.problems.datasets",
    "from_jsonl": "ttscale.evaluation.problems.datasets",
    "from_reference": "ttscale.evaluation.problems.datasets",
    "grade": "ttscale.evaluation.problems.grading",
    "grade_text": "ttscale.evaluation.problems.grading",
    "load": "ttscale.evaluation.problems.datasets",
    "load_pool": "ttscale.evaluation.collect.pools",
    "load_records": "ttscale.evaluation.collect.sweeps",
    "matched_multiplier": "ttscale.evaluation.analyse.flops",
    "mean_interval": "ttscale.evaluation.statistics",
    "measured_multiplier": "ttscale.evaluation.analyse.flops",
    "of_arm": "ttscale.evaluation.analyse.outcomes",
    "oracle_difficulty": "ttscale.evaluation.analyse.difficulty",
    "paired_difference": "ttscale.evaluation.statistics",
    "pass_at_k": "ttscale.evaluation.statistics",
    "policy_menu": "ttscale.evaluation.collect.arms",
    "predicted_difficulty": "ttscale.evaluation.analyse.difficulty",
    "probe_agreement": "ttscale.evaluation.analyse.difficulty",
    "probed": "ttscale.evaluation.analyse.fitting",
    "quantile_bins": "ttscale.evaluation.analyse.difficulty",
    "questions_for_ratio": "ttscale.evaluation.analyse.flops",
    "rank_correlation": "ttscale.evaluation.analyse.difficulty",
    "ratio_grid": "ttscale.evaluation.collect.arms",
    "revision_arms": "ttscale.evaluation.collect.arms",
    "scheduled": "ttscale.evaluation.analyse.fitting",
    "search_arms": "ttscale.evaluation.collect.arms",
    "solve_batch": "ttscale.api.batch",
    "sweep": "ttscale.evaluation.collect.sweeps",
    "vote": "ttscale.evaluation.statistics",
    "write_report": "ttscale.evaluation.report.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
