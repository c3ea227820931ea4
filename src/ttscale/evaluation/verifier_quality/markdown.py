"""A quality report as Markdown, and its reliability plot as a picture. Knows the report's fields and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ttscale.core.idioms import needed
from ttscale.evaluation.statistics import Interval
from ttscale.evaluation.verifier_quality.report import QualityReport


def quality_markdown(report: QualityReport, title: str = "Verifier quality") -> str:
    """The whole report as Markdown tables."""
    lines = [
        f"# {title}",
        "",
        f"{report.solutions} solutions of {report.questions} questions, {report.steps} step scores, "
        f"aggregate `{report.aggregate}`. Intervals: 95%, bootstrap over questions.",
        "",
        "| measure | value |",
        "|---|---|",
        f"| within-question pair accuracy (mean over {report.pair_questions} questions with both) "
        f"| {_with_interval(report.pair_accuracy)} |",
        f"| within-question pair accuracy (pooled, {report.pairs} pairs) | {_number(report.pair_accuracy_pooled)} |",
        f"| AUC of the final score (pooled) | {_number(report.auc)} |",
        f"| AUC per step (pooled) | {_number(report.step_auc)} |",
        f"| ECE of the final score | {_number(report.ece)} |",
        f"| ECE per step | {_number(report.step_ece)} |",
        f"| Brier score | {_number(report.brier)} |",
    ]
    if report.selection:
        methods, others = report.selection[0].accuracy, report.selection[0].gain
        chosen = [[row.n, row.questions, *map(_with_interval, row.accuracy.values())] for row in report.selection]
        gains = [[row.n, *(_with_interval(gain, sign=True) for gain in row.gain.values())] for row in report.selection]
        lines += ["", "## Selection accuracy", "", *_table(["N", "questions", *methods], chosen)]
        lines += ["", "Gain over majority (paired):", "", *_table(["N", *others], gains)]
    if report.reliability:
        rows = [
            [f"{row.low:.2f} to {row.high:.2f}", row.count, _number(row.score, ""), _number(row.right, "")]
            for row in report.reliability
        ]
        header = ["score", "count", "mean score", "share right"]
        lines += ["", "## Reliability of the final score", "", *_table(header, rows)]
    if report.by_step:
        rows = [[row.step, row.count, _number(row.auc)] for row in report.by_step]
        lines += ["", "## AUC by step position", "", *_table(["step", "count", "AUC"], rows)]
    if report.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def plot_reliability(report: QualityReport, path: str | Path) -> None:
    """Draw the reliability table: share right against score, with the counts below. Needs matplotlib."""
    if not report.reliability:
        raise ValueError("this report has no reliability table: it was made with probabilities=False")
    with needed("plots need matplotlib: pip install 'ttscale[plot]'"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(4.5, 5.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
    points = [(row.score, row.right) for row in report.reliability if row.score is not None and row.right is not None]
    upper.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    upper.plot([score for score, _ in points], [right for _, right in points], marker="o")
    upper.set(ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    if report.ece is not None:
        upper.set_title(f"ECE {report.ece:.3f}")
    widths = [row.high - row.low for row in report.reliability]
    lower.bar([row.low for row in report.reliability], [row.count for row in report.reliability], widths, align="edge")
    lower.set(xlabel="score", ylabel="count")
    figure.savefig(path)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, *rows)]
    return [lines[0], "|---" * len(header) + "|", *lines[1:]]


def _number(value: float | None, missing: str = "not defined") -> str:
    return missing if value is None else f"{value:.3f}"


def _with_interval(interval: Interval | None, sign: bool = False) -> str:
    if interval is None:
        return "not defined"
    form = "+.3f" if sign else ".3f"
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"
