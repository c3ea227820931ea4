"""The paper's experiments on the reference benchmark: everything that docs/reproduction.md reports.

    python benchmarks/reproduction.py [--questions 500] [--seeds 3] [--processes 2]
    python benchmarks/reproduction.py policy        only fit the policy that ships with the bundled models
    python benchmarks/reproduction.py page          only write the page and its figures from the stored results

Stages, in order: ``policy`` fits the scheduler's policy on validation questions and writes it beside the bundled
models; ``study`` draws what the folder of raw results lacks, on test questions, and writes
benchmarks/results/reproduction.json; ``page`` writes the tables of docs/reproduction.md and docs/figures from it.
Stop it at any moment and start it again with the same arguments: it goes on. ``--quick`` is the same with N up to 16.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from _contrasts import primary
from _contrasts import stored as stored_contrasts
from _reproduction_claims import HEADER, claims
from _reproduction_page import draw_figures, stored, write_page
from _reproduction_plan import Log, full, planned, planned_policy, policy_arms, quick

from ttscale import evaluation, reference
from ttscale.api.load_roles import ModelSpecs
from ttscale.evaluation.problems.problem import as_problems, problems_digest
from ttscale.evaluation.report.contents import study_report
from ttscale.evaluation.report.page import Table
from ttscale.evaluation.report.settings import StudySettings
from ttscale.evaluation.report.study import Study, fit_as_fine, run_study
from ttscale.evaluation.report.tables import Findings
from ttscale.strategies import Policy

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "reproduction.json"
SEARCHED = RESULTS.with_name("step_search.json")
PAGE = ROOT / "docs" / "reproduction.md"
POLICY = Path(reference.__file__).parent / "policy.json"
STAGES = ("policy", "study", "page")
LARGE = 10.0
"""What a greedy answer of a model 14 times as large costs, in solutions of the small one."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    settings = settings_of(options)
    plan = planned(settings, options.questions, LARGE if options.large else 0.0, options.second is not None)
    plan["policy"] = planned_policy(settings, options.policy_questions, options.policy_seeds)
    plan = {part: units for part, units in plan.items() if (part == "policy") in _wanted(options.stages)}
    log = Log(plan, options.work / "log.txt")
    options.work.mkdir(parents=True, exist_ok=True)
    if set(options.stages) - {"page"}:
        parts = ", ".join(f"{part} {units:,.0f}" for part, units in plan.items() if units)
        log.say(f"{sum(plan.values()):,.0f} solutions to draw ({parts})")
    helpers = [] if options.worker else _helpers(options)
    try:
        if "policy" in options.stages:
            fit_policy(options, settings, log)
        if "study" in options.stages:
            study = draw(options, settings, log)
            if not options.worker:
                store(study, options, log)
    finally:
        for helper in helpers:
            helper.wait()
    if "page" in options.stages and not options.worker:
        page(options)
        log.say(f"wrote {options.page}")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=STAGES, metavar="STAGE", help="policy, study, page (default: all)")
    parser.add_argument("--questions", type=int, default=500, help="test questions (default: 500)")
    parser.add_argument("--figure-questions", type=int, default=60, help="of them for what only figures show")
    parser.add_argument("--deep-questions", type=int, default=48, help="of them with N up to 256")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--policy-questions", type=int, default=300, help="validation questions for the policy")
    parser.add_argument("--policy-seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="how many draw at the same time, on one core each")
    parser.add_argument("--large", metavar="PATH", help="a generator about 14 times as large, as a Hugging Face folder")
    parser.add_argument("--ladder", type=Path, metavar="FILE", help="JSON with what both models cost in FLOPs")
    parser.add_argument("--second", metavar="PATH", help="another verifier, for an ensemble")
    parser.add_argument("--quick", action="store_true", help="N up to 16")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "reproduction", help="the folder of raw results")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--searched", type=Path, default=SEARCHED, help="what step_search.py stored")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--policy-out", type=Path, default=POLICY)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = set(options.stages) - set(STAGES)
    if unknown:
        parser.error(f"unknown stage {', '.join(sorted(unknown))}; the stages are {', '.join(STAGES)}")
    return options


def settings_of(options: argparse.Namespace) -> StudySettings:
    if options.quick:
        return quick(options.questions, options.seeds)
    return full(options.questions, options.figure_questions, options.deep_questions, options.seeds)


def fit_policy(options: argparse.Namespace, settings: StudySettings, log: Log) -> None:
    """The policy that ships: over the study's menu, fitted on validation questions, which no test question is among."""
    problems = evaluation.from_reference(options.policy_questions, split="validation")
    models = {role: reference.load(role) for role in ("generator", "verifier", "reviser")}
    seeds = range(options.policy_seeds)
    records = evaluation.sweep(
        policy_arms(settings),
        settings.fitted_at,
        problems,
        **models,
        seeds=seeds,
        resume=options.work / "policy.jsonl",
        progress=partial(log, "policy"),
    )
    provenance = {
        "models": dict(ModelSpecs(**models).load().labels),
        "data": "reference, validation split",
        "problems": problems_digest(as_problems(problems)),
        "command": f"python benchmarks/reproduction.py policy --policy-questions {options.policy_questions}",
    }
    fitted = fit_as_fine(records, settings.arms(True).menu, settings, provenance, "")
    if not options.worker:
        fitted.final.save(options.policy_out)
        log.say(f"policy of {len(fitted.final.thresholds) + 1} bins written to {options.policy_out}")


def draw(options: argparse.Namespace, settings: StudySettings, log: Log) -> Study:
    policy = Policy.load(options.policy_out) if options.policy_out.exists() else None
    return run_study(
        evaluation.from_reference(options.questions),
        options.work,
        settings,
        second=options.second,
        large=None if options.large is None else partial(greedy, options.large),
        ladder=options.ladder,
        policy=policy if policy is not None and policy.provenance.get("problems") else None,
        data="reference benchmark, test split",
        progress=log,
    )


def greedy(path: str) -> Any:
    """The large model: one greedy answer per question."""
    from ttscale.hf import HFGenerator

    return HFGenerator(path, temperature=0.0)


def store(study: Study, options: argparse.Namespace, log: Log) -> None:
    log.say("reading off figures and tables")
    found = Findings(study)
    report = study_report(found, _command(options))
    evaluation.write_report(report, options.work / "report")
    rows = tuple(claim.row for claim in claims(found))
    note = (
        "'same': the interval lies on the paper's side; 'level' findings may be up to 2 points behind. 'opposite': on "
        "the other side. 'not shown': it reaches over both."
    )
    table = Table("Point by point", HEADER, rows, note)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    results = stored(report, table, study.fitted.final.to_json())
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    log.say(f"wrote {options.out}")


def page(options: argparse.Namespace) -> None:
    results = json.loads(options.out.read_text(encoding="utf-8"))
    searched = stored_contrasts(options.searched) if options.searched.exists() else []
    results["contrasts"] = [one.to_json() for one in primary(results, searched)]
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = options.page.read_text(encoding="utf-8")
    draw_figures(results, text, options.page.parent / "figures")
    options.page.write_text(write_page(text, results), encoding="utf-8")


def _wanted(stages: Sequence[str]) -> set[bool]:
    return {stage == "policy" for stage in stages if stage != "page"}


def _command(options: argparse.Namespace) -> str:
    parts = ["python benchmarks/reproduction.py", f"--questions {options.questions}", f"--seeds {options.seeds}"]
    parts += ["--quick"] if options.quick else []
    parts += [f"--{name} {name.upper()}" for name in ("large", "ladder", "second") if getattr(options, name)]
    return " ".join(parts)


def _helpers(options: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    """The other processes: they draw into the same files, and claim what they work on."""
    given = [*options.stages]
    for name, value in vars(options).items():
        if name in ("stages", "worker") or value is None or value is False:
            continue
        given += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    command = [sys.executable, str(Path(__file__).resolve()), *given, "--worker"]
    made = []
    for number in range(1, options.processes):
        with open(options.work / f"process-{number}.txt", "ab") as output:
            made.append(subprocess.Popen(command, stdout=output, stderr=output))
    return made


if __name__ == "__main__":
    main()
