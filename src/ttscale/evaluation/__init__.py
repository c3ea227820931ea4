"""Measure test-time compute on your own models and questions: pools, sweeps, difficulty, policies, reports.

Reference answers exist here and nowhere else in the library. Needs numpy and scipy; drawing needs matplotlib (extra
``plot``), a cluster Ray (extra ``ray``). Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttscale.core.idioms import lazy

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

__getattr__ = lazy(
    __name__,
    {
        "ttscale.api.batch": "BatchAllocation solve_batch",
        "ttscale.evaluation.analyse.certainty": "Certainty described",
        "ttscale.evaluation.analyse.chains": "ChainStep along_the_chain",
        "ttscale.evaluation.analyse.difficulty": (
            "Agreement Bins absolute_bins oracle_difficulty predicted_difficulty probe_agreement quantile_bins "
            "rank_correlation"
        ),
        "ttscale.evaluation.analyse.fitting": (
            "CrossValidatedScheduler cross_validate_scheduler fit_policy probed scheduled"
        ),
        "ttscale.evaluation.analyse.flops": (
            "Match Rung compare matched_multiplier measured_multiplier questions_for_ratio"
        ),
        "ttscale.evaluation.analyse.outcomes": "Outcomes of_arm",
        "ttscale.evaluation.analyse.policies": "CrossValidated cross_validate",
        "ttscale.evaluation.collect.arms": "adaptive_arms policy_menu ratio_grid revision_arms search_arms",
        "ttscale.evaluation.collect.pool": "Drawn Pool",
        "ttscale.evaluation.collect.pools": "draw_pool load_pool",
        "ttscale.evaluation.collect.records": "Record Records",
        "ttscale.evaluation.collect.sweeps": "Arm load_records sweep",
        "ttscale.evaluation.problems.datasets": "from_hub from_jsonl from_reference load",
        "ttscale.evaluation.problems.grading": "check_reference final_answer grade grade_text",
        "ttscale.evaluation.problems.problem": "Problem",
        "ttscale.evaluation.report.page": "Report Table write_report",
        "ttscale.evaluation.statistics": (
            "Graded Interval accuracy best_of_n curves mean_interval paired_difference pass_at_k vote"
        ),
    },
)
