"""Measure test-time compute on your own models and questions: pools, sweeps, difficulty, policies, reports.

Reference answers exist here and nowhere else in the library. Needs numpy and scipy; drawing needs matplotlib (extra
``plot``), a cluster Ray (extra ``ray``).
"""

from ttscale.evaluation._pool import Drawn, Graded, Pool
from ttscale.evaluation.batch import BatchAllocation, solve_batch
from ttscale.evaluation.chains import ChainStep, along_the_chain
from ttscale.evaluation.datasets import Problem, from_hub, from_jsonl, from_reference, load
from ttscale.evaluation.difficulty import (
    Agreement,
    Bins,
    absolute_bins,
    oracle_difficulty,
    predicted_difficulty,
    probe_agreement,
    quantile_bins,
    rank_correlation,
)
from ttscale.evaluation.estimators import accuracy, best_of_n, curves, pass_at_k, vote
from ttscale.evaluation.fitting import (
    CrossValidatedScheduler,
    cross_validate_scheduler,
    fit_policy,
    probed,
    scheduled,
)
from ttscale.evaluation.flops import (
    Match,
    Rung,
    compare,
    matched_multiplier,
    measured_multiplier,
    questions_for_ratio,
)
from ttscale.evaluation.grading import check_reference, final_answer, grade, grade_text
from ttscale.evaluation.intervals import Interval, mean_interval, paired_difference
from ttscale.evaluation.menus import adaptive_arms, policy_menu, ratio_grid, revision_arms, search_arms
from ttscale.evaluation.outcomes import Outcomes, of_arm
from ttscale.evaluation.policies import CrossValidated, cross_validate
from ttscale.evaluation.pools import draw_pool, load_pool
from ttscale.evaluation.records import Record, Records
from ttscale.evaluation.report import Report, Table, write_report
from ttscale.evaluation.sweeps import Arm, load_records, sweep

__all__ = [
    "Agreement",
    "Arm",
    "BatchAllocation",
    "Bins",
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
