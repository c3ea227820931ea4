"""From a study to its report: which figures and tables, in which order.

Knows what was measured. Must not know how it was drawn, nor how a page is made (``page.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ttscale.evaluation.analyse.chains import along_the_chain
from ttscale.evaluation.analyse.fitting import PROBED, versions
from ttscale.evaluation.analyse.flops import (
    PAPER_RATIOS,
    PAPER_SCALE,
    compare,
    matched_multiplier,
    measured_multiplier,
    questions_for_ratio,
)
from ttscale.evaluation.report import figures, pareto
from ttscale.evaluation.report.figure_data import Figure
from ttscale.evaluation.report.page import Report, Table
from ttscale.evaluation.report.study import Study
from ttscale.evaluation.report.tables import (
    BEST,
    MAJORITY,
    WEIGHTED,
    Findings,
    adaptive_table,
    certainty_table,
    confusion_table,
    cost_table,
    difficulty_table,
    headline_table,
    policy_table,
    remedies_table,
)


def study_report(found: Findings, command: str = "") -> Report:
    """The report of a study."""
    study, settings = found.study, found.study.settings
    about = [
        ("data", f"{study.data or 'given problems'}, {_questions(study)}"),
        *((role, str(name)) for role, name in study.fitted.final.provenance["models"].items()),
        ("budgets", ", ".join(map(str, settings.budgets))),
        ("seeds", ", ".join(map(str, settings.seeds))),
        ("difficulty bins", f"oracle {', '.join(map(str, found.all_oracle.sizes))} questions"),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions().items())),
    ]
    if study.headline.incomplete:
        about.append(("left out", f"{len(study.headline.incomplete)} questions with a search that failed"))
    if command:
        about.append(("made by", command))
    agreements = found.agreements()
    deep = study.pool if study.deep is None else study.deep
    doublings = [2**k for k in range(deep.size.bit_length())]
    points = [point for point in study.headline.points() if not point.name.startswith(PROBED)]
    parts: list[Table | Figure] = [
        pareto.figure(points),
        headline_table(found),
        figures.compute_optimal(
            "compute_optimal_search",
            [*found.optimal, *found.schedulers],
            [found.arms[arm] for arm in (WEIGHTED, MAJORITY, BEST) if arm in found.arms],
            "figure 4: compute-optimal search nearly beats best-of-N with 4 times less compute",
        ),
        figures.accuracy_against_budget(found.search),
        figures.bars_by_bin(found.search, found.oracle, settings.budgets),
        figures.pool_curves(deep, doublings),
        figures.aggregation(deep, doublings),
        *([over] if (over := remedies_table(found)) else []),
        adaptive_table(found),
        figures.difficulty_figure(agreements),
        difficulty_table(agreements),
        confusion_table(agreements, settings.probe),
    ]
    if study.chains is not None:
        steps = along_the_chain(study.chains.graded_chains())
        reference = float(sum(one.correct.mean() for one in found.pool) / len(found.pool))
        parts.append(figures.chain_figure(steps, reference))
    if found.ratios:
        parts.append(figures.ratio_curves(found.ratios, settings.budgets[1:], found.oracle))
        parallel = [found.parallel_shown] if found.parallel_shown else []
        parts.append(
            figures.compute_optimal(
                "compute_optimal_revisions",
                found.optimal_revisions,
                [*parallel, found.shown[WEIGHTED]],
                "figure 8: compute-optimal revisions beat parallel best-of-N with 4 times less compute",
            )
        )
    parts += flops_parts(found)
    parts += [cost_table(found), policy_table(study), certainty_table(study)]
    return Report("Test-time compute, measured", tuple(about), tuple(parts), pareto.answer(points))


def flops_parts(found: Findings) -> list[Table | Figure]:
    """Test-time compute against pretraining: the comparison where there is a large model, else the exchange rates."""
    study = found.study
    scale = PAPER_SCALE
    if study.ladder is not None:
        scale = study.ladder[1].parameters / study.ladder[0].parameters
    paper = [(c, ratio, matched_multiplier(scale, ratio, c)) for c, ratios in PAPER_RATIOS.items() for ratio in ratios]
    rates = Table(
        f"FLOPs-matched budgets for a model {scale:.1f} times as large",
        ("version of the paper", "R = inference / pretraining tokens", "generations at equal FLOPs"),
        tuple((f"c = {c}", f"{ratio:g}", f"{multiplier:.1f}") for c, ratio, multiplier in paper),
        "M + (3/c)(M - 1)/R: c = 1 counts inference as 2 P D, c = 2 as 4 P D for the verifier.",
    )
    parts: list[Table | Figure] = [rates]
    if study.large is None:
        return parts
    for c in PAPER_RATIOS:
        own = [(ratio, multiplier) for version, ratio, multiplier in paper if version == c]
        parts.append(_flops_figure(found, own, f"paper_c{c}", f"By the paper's formula, c = {c}. "))
    if study.ladder is not None:
        small, large = study.ladder
        questions = {ratio: questions_for_ratio(small, ratio) for ratio in PAPER_RATIOS[1]}
        measured = [(ratio, measured_multiplier(small, large, many)) for ratio, many in questions.items()]
        parts.append(_flops_figure(found, measured, "measured", "By measured FLOPs, all training included. "))
        parts.append(
            Table(
                "What the two models cost, in FLOPs",
                ("model", "parameters", "pretraining", "fine-tuning", "per question"),
                tuple(
                    (r.name, f"{r.parameters:.3g}", f"{r.pretraining:.3g}", f"{r.finetuning:.3g}", f"{r.inference:.3g}")
                    for r in (small, large)
                ),
            )
        )
    return parts


def _flops_figure(found: Findings, multipliers: Sequence[tuple[float, float]], name: str, note: str) -> Figure:
    assert found.study.large is not None
    matches = compare(found.paid, found.study.large, found.all_oracle, multipliers)
    shown = figures.flops_matched(matches, found.all_oracle, note)
    return replace(shown, name=f"{shown.name}_{name}")


def _questions(study: Study) -> str:
    """How many, and how many for the parts that have fewer."""
    parts = [f"{len(study.headline.questions)} questions"]
    if len(study.records.questions) < len(study.headline.questions):
        parts.append(f"{len(study.records.questions)} of them for what only figures show")
    if study.deep is not None:
        parts.append(f"{len(study.deep.questions)} with {study.deep.size} samples each")
    return ", ".join(parts)
