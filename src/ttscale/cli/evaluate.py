"""``ttscale eval``, ``sweep``, ``fit-policy`` and ``report``: their flags and help texts.

Must not know how anything is measured: ``evaluation/commands.py`` does, and is imported when a command runs, so that
the other commands start without it.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.cli.models import found_object, named_object

MODEL_HELP = "Hugging Face id, local path, or module:attribute of your own"
STRATEGY_HELP = "a name, with settings as in beam:width=sqrt"
COMPARATOR_HELP = f"a model that is asked which solution is best: {MODEL_HELP}"
BUDGETS = "1,4,16,64"
FAILED = "A question that fails is listed on standard error and left out; the exit code is 1 then."


def add_parsers(subparsers: Any) -> None:
    """Add the four commands to the command line."""
    _add_eval(subparsers)
    _add_sweep(subparsers)
    _add_fit_policy(subparsers)
    _add_report(subparsers)


def _add_eval(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "eval",
        help="accuracy and cost of one strategy on a data set",
        description="Answer every question of a data set with one strategy and compare with the reference answers. "
        + FAILED,
        epilog="example: ttscale eval --data math.jsonl --generator MODEL --strategy majority_vote --budget 16",
    )
    _common(parser, resume="the file of results: what it holds is not run again")
    parser.add_argument("--strategy", metavar="NAME", help=f"{STRATEGY_HELP} (default: as in ttscale solve)")
    parser.add_argument("--budget", type=int, default=64, metavar="N", help="solutions per question (default: 64)")
    parser.add_argument("--comparator", metavar="ID", help=COMPARATOR_HELP)
    parser.set_defaults(run=partial(_run, "eval"))


def _add_sweep(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "sweep",
        help="many strategies at many budgets on the same questions",
        description=f"Run strategies at budgets on a data set, and compare them with paired intervals. {FAILED}",
        epilog='example: ttscale sweep --strategies "majority_vote beam:width=sqrt" --budgets 4,16 --resume s.jsonl',
    )
    _common(parser, resume="the file of results: what it holds is not run again", seeds="1")
    parser.add_argument(
        "--strategies",
        metavar="LIST",
        help=f"separated by spaces; each {STRATEGY_HELP} (default: the paper's search strategies)",
    )
    parser.add_argument("--budgets", default=BUDGETS, metavar="N,N,...", help=f"(default: {BUDGETS})")
    parser.add_argument("--comparator", metavar="ID", help=COMPARATOR_HELP)
    parser.add_argument("--against", metavar="NAME", help="the strategy that gains are measured against")
    parser.add_argument("--executor", choices=("local", "ray"), default="local", help="where to run (default: local)")
    parser.add_argument("--workers", type=int, default=2, help="Ray workers, each with the models (default: 2)")
    parser.set_defaults(run=partial(_run, "sweep"))


def _add_fit_policy(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "fit-policy",
        help="fit the compute-optimal scheduler to your models",
        description="Find out which strategy pays at which difficulty and budget for your models, by cross-validation; "
        "write the policy that ComputeOptimalScheduler.load reads.",
        epilog="example: ttscale fit-policy --data train.jsonl --generator M --verifier V --out policy.json",
    )
    _common(parser, resume="the file of results: what it holds is not run again", seeds="1")
    parser.add_argument("--budgets", default="4,16,64", metavar="N,N,...", help="(default: 4,16,64)")
    parser.add_argument("--probe", type=int, default=4, metavar="n", help="solutions that show difficulty (default: 4)")
    parser.add_argument("--bins", type=int, default=5, help="difficulty bins, of about equal size (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("policy.json"), help="the policy (default: policy.json)")
    parser.set_defaults(run=partial(_run, "fit_policy"))


def _add_report(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "report",
        help="measure everything the paper does and write it up",
        description="Draw a sample pool and a sweep of every strategy, fit the scheduler, and write report.html and "
        "report.md with tables and figures (extra 'plot').",
        epilog="example: ttscale report --reduced --limit 50 --out report",
    )
    _common(
        parser,
        resume="the folder of an earlier report to go on with; its results are not drawn again",
        seeds="3, with --reduced 1",
    )
    parser.add_argument("--reduced", action="store_true", help="N up to 16, fewer strategies: minutes, not hours")
    parser.add_argument("--budgets", metavar="N,N,...", help=f"powers of 2 (default: {BUDGETS})")
    parser.add_argument("--samples", type=int, metavar="K", help="samples per question in the pool (default: 64)")
    parser.add_argument("--large", metavar="ID", help="a model about 14 times as large, to compare with greedily")
    parser.add_argument("--ladder", type=Path, metavar="FILE", help="JSON with what both models cost in FLOPs")
    parser.add_argument(
        "--processes",
        type=int,
        metavar="P",
        help="how many draw at the same time, each with the models (default: 1; with the bundled models one per core, "
        "4 at most)",
    )
    parser.add_argument("--out", type=Path, help="the folder (default: ttscale-report, or that of --resume)")
    parser.set_defaults(run=partial(_run, "report"))


def _common(parser: argparse.ArgumentParser, resume: str, seeds: str | None = None) -> None:
    """Flags of all four. ``seeds``: how many by default, in words; None where one run has one seed."""
    parser.add_argument(
        "--data",
        default="reference",
        metavar="NAME",
        help="a JSONL file of questions with answers, a data set on the hub, math-500, gsm8k, or reference (default)",
    )
    parser.add_argument("--limit", type=int, metavar="Q", help="the first Q questions only")
    for role in ("generator", "verifier", "reviser"):
        parser.add_argument(f"--{role}", metavar="ID", help=f"the {role}: {MODEL_HELP}")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same results (default: 0)")
    if seeds is not None:
        parser.add_argument("--seeds", type=int, metavar="S", help=f"how many, from --seed on (default: {seeds})")
    parser.add_argument("--resume", type=Path, metavar="PATH", help=resume)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _run(command: str, options: argparse.Namespace) -> int:
    from ttscale.evaluation import commands

    run: Callable[[argparse.Namespace], int] = getattr(commands, f"{command}_command")
    options.makers = {}
    away = getattr(options, "executor", "local") == "ray"
    for role in ("generator", "verifier", "reviser", "comparator"):
        if given := getattr(options, role, None):
            own = found_object(given) if away else named_object(given)
            if not isinstance(own, str):  # other processes make it for themselves
                options.makers[role] = partial(named_object, given)
            setattr(options, role, options.makers.get(role, own) if away else own)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"ttscale: {message}", file=sys.stderr)
        return run(options)
