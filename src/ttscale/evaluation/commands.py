"""What ``ttscale eval``, ``sweep``, ``fit-policy`` and ``report`` do: options in, tables or JSON out.

Knows the evaluation's functions and printing. Flags and help texts are in ``cli/evaluate.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from ttscale.api.arguments import choose_strategy
from ttscale.api.load_roles import ModelSpecs
from ttscale.api.result import without_policies
from ttscale.evaluation.analyse.certainty import certainty_lines, described
from ttscale.evaluation.analyse.fitting import cross_validate_scheduler
from ttscale.evaluation.collect.arms import arm_of, arms_of, policy_menu, search_arms
from ttscale.evaluation.collect.processes import MOST, beside, cores
from ttscale.evaluation.collect.records import Records
from ttscale.evaluation.collect.sweeps import Arm, sweep
from ttscale.evaluation.problems.datasets import load
from ttscale.evaluation.problems.problem import Problem, problems_digest
from ttscale.evaluation.report.contents import study_report
from ttscale.evaluation.report.page import write_report
from ttscale.evaluation.report.settings import StudySettings, menu_arms, reduced
from ttscale.evaluation.report.study import run_study
from ttscale.evaluation.report.tables import Findings, headline_table
from ttscale.evaluation.statistics import Interval, paired_difference

PLAIN = "weighted best-of-N"
"""What a fitted scheduler is compared with: of the menu."""


def eval_command(options: argparse.Namespace) -> int:
    models = _models(options) | {"comparator": options.comparator}
    if options.strategy is None:
        specs = ModelSpecs(**models)
        strategy = choose_strategy(None, dict.fromkeys(specs.roles), specs.bundled)
        arm = Arm(repr(strategy), strategy)
    else:
        arm = arm_of(options.strategy)
    problems = load(options.data, limit=options.limit)
    records = sweep([arm], [options.budget], problems, **models, seeds=[options.seed], resume=options.resume)
    failures = _failures(records, problems)
    found = _cell(records, arm.name, options.budget)
    if options.json:
        print(json.dumps(found | _counts(records, failures), indent=2))
    else:
        _print_table(records, [found])
    return 1 if failures else 0


def sweep_command(options: argparse.Namespace) -> int:
    models = _models(options) | {"comparator": options.comparator}
    if options.strategies is None:
        scored = "verifier" in ModelSpecs(**models).roles
        arms = search_arms() if scored else search_arms()[:1]
    else:
        arms = arms_of(options.strategies)
    if options.against is not None and options.against not in [arm.name for arm in arms]:
        raise ValueError(f"--against {options.against!r} is none of {', '.join(arm.name for arm in arms)}")
    problems = load(options.data, limit=options.limit)
    records = sweep(
        arms,
        _integers(options.budgets, "--budgets"),
        problems,
        **models,
        seeds=_seeds(options, 1),
        resume=options.resume,
        executor=options.executor,
        workers=options.workers,
    )
    failures = _failures(records, problems)
    cells = [_cell(records, arm, budget, options.against) for arm, budget in records.cells]
    if options.json:
        print(json.dumps(_counts(records, failures) | {"cells": cells}, indent=2))
    else:
        _print_table(records, cells)
    return 1 if failures else 0


def fit_policy_command(options: argparse.Namespace) -> int:
    problems = load(options.data, limit=options.limit)
    budgets = _integers(options.budgets, "--budgets")
    seeds = _seeds(options, 1)
    if not 1 <= options.probe < max(budgets):
        raise ValueError(f"--probe must leave something of the largest budget, {max(budgets)}; got {options.probe}")
    if options.bins < 1:
        raise ValueError(f"--bins must be at least 1; got {options.bins}")
    if len(problems) < 2:
        raise ValueError("fit-policy needs at least 2 questions, to fit on one half and score on the other; there is 1")
    most = len(problems) // 2 * len(seeds)
    if most < options.bins:
        raise ValueError(
            f"{len(problems)} questions are too few for --bins {options.bins}: the policy is fitted on each half of "
            f"them, with at least one per bin; use --bins {most} or more questions"
        )
    if options.out.is_dir():
        raise ValueError(f"--out {options.out} is a folder; name the file to write the policy to")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    specs = ModelSpecs(**_models(options)).check().opened()
    models = specs.given
    menu = policy_menu("reviser" in specs.roles)
    arms = menu_arms(menu, options.probe, budgets)
    records = sweep(arms, budgets, problems, **models, seeds=seeds, resume=options.resume)
    labels = specs.load({"generator", "verifier", "reviser"}).labels
    fitted = cross_validate_scheduler(
        records,
        menu,
        thresholds=options.bins,
        probe=options.probe,
        provenance={
            "models": dict(labels),
            "data": options.data,
            "problems": problems_digest(problems),
            "seeds": seeds,
        },
    )
    fitted.final.save(options.out)
    cells: list[dict[str, Any]] = []
    for budget in fitted.outcomes.budgets:
        cells.append(
            {
                "strategy": "fitted scheduler (cross-validated)",
                "budget": budget,
                **_interval("accuracy", fitted.outcomes.accuracy(budget)),
                **_interval("gain", paired_difference(fitted.outcomes.rows(budget), records.correct(PLAIN, budget))),
                "against": PLAIN,
                "cost": dict(fitted.outcomes.cost[budget]),
            }
        )
        cells.append(_cell(records, PLAIN, budget))
    if options.json:
        print(json.dumps({"policy": fitted.final.to_json(), "out": str(options.out), "cells": cells}, indent=2))
        return 0
    _print_table(records, cells)
    print(f"\npolicy, {described(fitted.final)}")
    print("\n".join(certainty_lines(fitted.final)))
    print(f"\npolicy of {len(fitted.final.thresholds) + 1} difficulty bins written to {options.out}; use it with")
    print(f"  ComputeOptimalScheduler.load({str(options.out)!r})")
    return 0


def report_command(options: argparse.Namespace) -> int:
    if options.resume is not None and options.out is not None and options.resume != options.out:
        raise ValueError("--resume and --out name two folders; results are kept beside their report, so give one")
    folder: Path = options.resume or options.out or Path("ttscale-report")
    if options.resume is None and (folder / "sweep.jsonl").exists():
        raise ValueError(
            f"{folder} holds a report already; go on with it by --resume {folder}, or choose another --out"
        )
    settings = reduced() if options.reduced else StudySettings()
    seeds = tuple(_seeds(options, len(settings.seeds)))
    pool_seed = next(seed for seed in count(settings.pool_seed) if seed not in seeds)
    settings = replace(settings, seeds=seeds, pool_seed=pool_seed)
    if options.budgets is not None:
        budgets = tuple(_integers(options.budgets, "--budgets"))
        # A probe is a quarter of the largest budget at most, as in the scheduler's own default.
        settings = replace(settings, budgets=budgets, probe=max(1, min(settings.probe, max(budgets) // 4)))
    if options.samples is not None:
        settings = replace(settings, samples=options.samples)
    draw = partial(
        run_study,
        load(options.data, limit=options.limit),
        folder,
        settings,
        large=None if options.large is None else partial(_greedy, options.large),
        ladder=options.ladder,
        data=options.data,
    )
    with beside(partial(_draw_beside, draw, _models(options) | options.makers), _processes(options)):
        study = draw(**_models(options), progress=True)
    study.fitted.final.save(folder / "policy.json")
    findings = Findings(study)
    page, text = write_report(study_report(findings, command=" ".join(["ttscale", *sys.argv[1:]])), folder)
    table = headline_table(findings)
    if options.json:
        names = ("ours", "accuracy", "against", "its accuracy", "gain", "verdict")
        rows = [dict(zip(names, row, strict=True)) for row in table.rows]
        files = {"html": str(page), "markdown": str(text), "policy": str(folder / "policy.json")}
        print(json.dumps(files | {"questions": len(study.records.questions), "headline": rows}, indent=2))
        return 0
    for row in table.rows:
        print(f"{row[0]}: {row[1]}; against {row[2]}: {row[3]}; gain {row[4]} ({row[5]})")
    print(f"\n{page}\n{text}\n{folder / 'policy.json'}")
    return 0


def _draw_beside(draw: Callable[..., Any], models: Mapping[str, Any]) -> None:
    """The same in another process: a model of one's own is made there, for it may be nothing that can be sent."""
    draw(**{role: model() if isinstance(model, partial) else model for role, model in models.items()}, progress=False)


def _processes(options: argparse.Namespace) -> int:
    """As many as asked for; else one per core for the bundled models, which gain nothing from a second core."""
    if options.processes is None:
        return min(MOST, cores()) if ModelSpecs(**_models(options)).bundled else 1
    if options.processes < 1:
        raise ValueError(f"--processes must be at least 1; got {options.processes}")
    return int(options.processes)


def _greedy(path: str) -> Any:
    """A model that decodes greedily."""
    from ttscale.hf import HFGenerator

    return HFGenerator(path, temperature=0.0)


def _models(options: argparse.Namespace) -> dict[str, Any]:
    return {role: getattr(options, role) for role in ("generator", "verifier", "reviser")}


def _seeds(options: argparse.Namespace, default: int) -> list[int]:
    count = default if options.seeds is None else options.seeds
    if count < 1:
        raise ValueError(f"--seeds must be at least 1; got {count}")
    return list(range(options.seed, options.seed + count))


def _integers(text: str, flag: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{flag} must be integers separated by commas; got {text!r}") from None


def _failures(records: Records, problems: Sequence[Problem]) -> list[dict[str, str]]:
    """The questions that failed, listed on standard error as well."""
    prompts = {problem.id: problem.prompt for problem in problems}
    failures = [
        {"question": id_, "prompt": _beginning(prompts[id_]), "error": f"{type(error).__name__}: {error}"}
        for id_, error in records.failed_questions.items()
    ]
    for one in failures:
        print(f"failed: {one['question']} ({one['prompt']}): {one['error']}", file=sys.stderr)
    return failures


def _beginning(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= 60 else line[:60] + "..."


def _counts(records: Records, failures: Sequence[dict[str, str]]) -> dict[str, Any]:
    return {"questions": len(records.questions), "failed": len(records.incomplete), "failures": failures}


def _cell(records: Records, arm: str, budget: int, against: str | None = None) -> dict[str, Any]:
    cell = {"strategy": arm, "budget": budget, **_interval("accuracy", records.accuracy(arm, budget))}
    if against is not None and against != arm and budget in records.budgets(against):
        cell |= _interval("gain", records.gain((arm, budget), (against, budget))) | {"against": against}
    return cell | {"cost": records.mean_cost(arm, budget)}


def _interval(name: str, interval: Interval) -> dict[str, Any]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _print_table(records: Records, cells: Sequence[dict[str, Any]]) -> None:
    failed = f", {len(records.incomplete)} failed and left out" if records.incomplete else ""
    print(f"{len(records.questions)} questions{failed}, {len(records.seeds)} seed(s); 95% intervals over questions")
    names = [without_policies(cell["strategy"]) for cell in cells]
    width = max(map(len, names))
    gains = any("gain" in cell for cell in cells)
    print(
        f"{'strategy':{width}}  {'N':>5}  accuracy                {'gain' + ' ' * 20 if gains else ''}  tokens  FLOPs"
    )
    for name, cell in zip(names, cells, strict=True):
        shown = f"{cell['accuracy']:.3f} [{cell['accuracy_low']:.3f}, {cell['accuracy_high']:.3f}]"
        gain = ""
        if "gain" in cell:
            gain = f"{cell['gain']:+.3f} [{cell['gain_low']:+.3f}, {cell['gain_high']:+.3f}]"
        cost = cell["cost"]
        print(
            f"{name:{width}}  {cell['budget']:>5}  {shown:22}  {f'{gain:24}' if gains else ''}"
            f"{cost['sampled_tokens']:>8.0f}  {cost['flops']:.2g}"
        )
