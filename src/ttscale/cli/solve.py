"""``ttscale solve``: one question to the terminal, or files of questions to files of answers."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ttscale.answers.rules import rule_written
from ttscale.api.answer_files import AnswerFiles
from ttscale.api.question_files import input_files, read_questions
from ttscale.api.result import Result, vote_for_answer
from ttscale.api.solve import solve
from ttscale.api.stream import solve_stream
from ttscale.cli.models import OnWorkers, add_model_flags, roles_of
from ttscale.core.limit import Limit
from ttscale.core.selection import Vote
from ttscale.core.types import Question
from ttscale.strategies.names import STRATEGIES

VOTES_SHOWN = 5
LONGEST = 60
"""Characters of an answer in the table of votes."""
WHOLE = "0/1"
_POLICY = re.compile(r"policy=Policy\(.*?probe=\w+\)")
"""What tells one policy from another, which nobody wants to read."""


def add_parser(commands: Any) -> None:
    """Add the command to the others."""
    parser = commands.add_parser(
        "solve",
        help="answer a question, or files of them",
        description="Answer one question with a budget of solutions, or all questions of files. Without --generator, "
        "the bundled model answers: it does arithmetic, one operation per line.",
        epilog='examples: ttscale solve "Compute (17 + 5) * 3 - 48" --budget 64 --strategy beam; '
        "ttscale solve --input q.jsonl --output a.jsonl --base-url http://localhost:8000/v1 --model NAME",
    )
    parser.add_argument("question", nargs="?", help='the question, or "-" to read it from standard input')
    parser.add_argument("--budget", type=int, default=64, metavar="N", help="solutions to spend (default: 64)")
    parser.add_argument(
        "--strategy",
        metavar="NAME",
        help=f"{', '.join(sorted(STRATEGIES))}, with settings as in beam:width=sqrt or compute_optimal:policy=FILE "
        "(default: compute_optimal where there is a generator and a verifier, else sequential_revision where there is "
        "a reviser, else majority_vote)",
    )
    add_model_flags(parser)
    parser.add_argument(
        "--answers",
        metavar="RULE",
        help="what counts as an answer: mathematics (the default), choice, number, text or code, or one with its "
        "setting, as in number(2), json(FIELD), regex(PATTERN); rows of --input may have their own in a field answers",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same result (default: 0)")
    parser.add_argument("--max-tokens", type=int, metavar="T", help="stop after T sampled tokens, with the best so far")
    parser.add_argument("--max-flops", type=float, metavar="F", help="stop after F floating-point operations, likewise")
    parser.add_argument("--max-seconds", type=float, metavar="S", help="stop after S seconds, likewise")
    parser.add_argument("--max-dollars", type=float, metavar="D", help="stop after D dollars by --price, likewise")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--trace", metavar="FILE", help="write the trace there, for ttscale view")
    files = parser.add_argument_group("files of questions")
    files.add_argument(
        "--input", nargs="+", metavar="FILE", help='JSONL rows with "question", or a question a line; patterns; "-"'
    )
    files.add_argument("--output", metavar="PATH", help="a .jsonl file, or a folder for shards (default: print rows)")
    files.add_argument("--format", choices=("jsonl", "parquet"), default="jsonl", help="of the shards in a folder")
    files.add_argument("--resume", action="store_true", help="go on with an output that is there")
    files.add_argument(
        "--shard", metavar="i/n", default=WHOLE, help="every n-th question from the i-th on (0 <= i < n)"
    )
    for unit, what in (("tokens", "sampled tokens"), ("flops", "floating-point operations"), ("dollars", "dollars")):
        kind = int if unit == "tokens" else float
        files.add_argument(f"--total-{unit}", type=kind, metavar="T", help=f"stop after T {what} over all questions")
    files.add_argument(
        "--ray", type=int, metavar="N", help="N workers on a Ray cluster: RAY_ADDRESS, else this machine"
    )
    files.add_argument("--ray-options", metavar="JSON", help='of each worker, such as {"num_gpus": 1}')
    files.add_argument("--candidates", action="store_true", help="rows with every candidate, not the winner alone")
    parser.add_argument("--config", metavar="FILE", help="TOML file with any of these flags; the command line wins")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """0 with an answer to every question; 1 where one failed or has none."""
    if (options.question is None) == (options.input is None):
        both = "; not both" if options.input else "; see ttscale solve --help"
        raise ValueError(f"give a question, or --input FILE{both}")
    for flag in () if options.input else ("output", "resume", "candidates"):
        if getattr(options, flag):
            raise ValueError(f"--{flag} goes with --input FILE; for one question --json prints every candidate")
    if options.ray and not options.input:
        raise ValueError(f"--ray {options.ray} spreads the questions of --input over workers; give --input FILE")
    if options.ray_options and not options.ray:
        raise ValueError(f"--ray-options {options.ray_options} are for the workers of --ray N; give that too")
    if options.shard != WHOLE and not options.input:
        raise ValueError(f"--shard {options.shard} is a share of the questions of --input; give --input FILE")
    _check_price(options)
    if options.trace and (not Path(options.trace).parent.is_dir() or Path(options.trace).is_dir()):
        raise ValueError(f"--trace {options.trace} must be a file in a folder that is there")
    roles = roles_of(options) if options.ray is None else OnWorkers(options).roles()
    caps = (options.max_tokens, options.max_flops, options.max_seconds, options.max_dollars)
    total = (options.total_tokens, options.total_flops, None, options.total_dollars)
    if not options.input and any(cap is not None for cap in total):
        raise ValueError(
            "--total-tokens, --total-flops and --total-dollars need --input; one question has --max-tokens and so on"
        )
    common: dict[str, Any] = {
        "budget": options.budget,
        "strategy": options.strategy,
        "answers": options.answers and rule_written(options.answers),
        "seed": options.seed,
        "limit": None if all(cap is None for cap in caps) else Limit(*caps),
        "progress": not options.quiet,
        **roles,
    }
    return _files(options, common) if options.input else _one(options, common)


def _check_price(options: argparse.Namespace) -> None:
    """``ValueError`` for a cap on dollars where nothing is known to cost any. A role of one's own may know."""
    roles = (options.generator, options.reviser, options.verifier, options.comparator)
    own = not options.base_url and any(":" in (given or "") for given in roles)
    for flag in ("max_dollars", "total_dollars"):
        if getattr(options, flag) is not None and not options.price and not own:
            raise ValueError(f"--{flag.replace('_', '-')} goes by what the server takes: give --price IN,OUT")


def _one(options: argparse.Namespace, common: dict[str, Any]) -> int:
    question = sys.stdin.read() if options.question == "-" else options.question
    result = solve(question, **common)
    if options.trace:
        result.trace.save(options.trace)
    print(json.dumps(result.to_dict(), indent=2) if options.json else as_text(result))
    return 0 if result.answer is not None or result.text else 1


def _files(options: argparse.Namespace, common: dict[str, Any]) -> int:
    for flag in ("resume", "candidates"):
        if getattr(options, flag) and not options.output:
            raise ValueError(f"--{flag} needs --output")
    if options.ray is not None:
        common |= {"executor": "ray", "workers": options.ray, "ray_options": _json(options.ray_options)}
    asked = _Counted(read_questions(input_files(options.input), _shard(options.shard)))
    common["resume"] = options.trace
    total = (options.total_tokens, options.total_flops, None, options.total_dollars)
    common["total_limit"] = None if all(cap is None for cap in total) else Limit(*total)
    if not options.output:
        failed = 0
        for _, result in solve_stream(asked, **common):
            if result.stopped_by == "interrupt":  # by Ctrl-C, in the middle of its search
                continue
            failed += result.answer is None and not result.text
            row = {name: part for name, part in result.to_dict().items() if name != "candidates"}
            print(json.dumps(row), flush=True)
        if not asked.count:
            print(f"ttscale: {_nothing(options)}", file=sys.stderr)
        return min(1, failed)
    settings = {name: value for name, value in vars(options).items() if name in SETTINGS}
    parquet = options.format == "parquet"
    with AnswerFiles(options.output, settings, options.resume, not options.candidates, parquet) as answers:
        there, failed, silent, written, open_ = len(answers), 0, 0, 0, 0
        first: Exception | None = None
        for _, result in solve_stream((question for question in asked if question not in answers), **common):
            if result.stopped_by and result.stopped_by.startswith("total_"):  # left for a run with more to spend
                open_ += 1
                continue
            if result.stopped_by == "interrupt":  # by Ctrl-C; --resume asks it again
                continue
            answers.write(result)
            written += 1
            failed += result.error is not None
            first = first or result.error
            silent += result.error is None and result.answer is None and not result.text
    said = f"{written} answers written to {options.output}, {failed} of them errors"
    if first is not None:
        said += f" (the first: {type(first).__name__}: {' '.join(str(first).split())})"
    if not asked.count:
        said += f"; {_nothing(options)}"
    if silent:
        said += f", {silent} without a finished solution"
    if open_:
        said += f"; the total limit stopped {open_} in progress, --resume asks them again"
    print(f"ttscale: {said}{f'; {there} were there' if there else ''}", file=sys.stderr)
    return min(1, failed + silent)


class _Counted:
    """Questions, and how many of them were read."""

    def __init__(self, questions: Iterator[Question]) -> None:
        self._questions, self.count = questions, 0

    def __iter__(self) -> Iterator[Question]:
        for question in self._questions:
            self.count += 1
            yield question


def _nothing(options: argparse.Namespace) -> str:
    share = "" if options.shard == WHOLE else f" for shard {options.shard}"
    return f"there is no question in {', '.join(options.input)}{share}"


SETTINGS = (
    *("budget", "strategy", "answers", "seed", "max_tokens", "max_flops", "max_dollars"),
    *("generator", "verifier", "judge", "reviser", "comparator"),
    *("max_new_tokens", "temperature", "top_p", "dtype", "prompt", "shard"),
)
"""What an answer depends on, so what a run that goes on with an output must repeat. Where a model is served is not."""


def _json(text: str | None) -> dict[str, Any] | None:
    try:
        found = None if text is None else json.loads(text)
    except json.JSONDecodeError:
        found = text
    if not isinstance(found, dict | None):
        raise ValueError(f'--ray-options must be a JSON object, such as {{"num_gpus": 1}}; got {text}')
    return found


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not int(found[1]) < int(found[2]):
        raise ValueError(f"--shard must be i/n with 0 <= i < n, such as 0/4; got {text!r}")
    return int(found[1]), int(found[2])


def _short(vote: Vote) -> str:
    """The answer of a vote in one line of a table."""
    line = " ".join(vote.answer.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def as_text(result: Result) -> str:
    """A result for people: the solution, the answer, how sure, how the votes fell, what it cost."""
    votes = result.votes()
    vote = vote_for_answer(result, votes)
    if result.answer is None:
        lines = [result.text.rstrip() or "No finished solution."]
    else:
        lines = [result.text.rstrip(), "", f"answer      {result.answer}"]
    if len(result.candidates) > 1 and votes:
        if vote is None:
            lines.append("confidence  none: the solution shown has no vote")
        else:
            voters = sum(one.count for one in votes)
            weighted = any(one.share != one.count / voters for one in votes)
            kind = "weighted votes" if weighted else "votes"
            lines.append(
                f"confidence  {vote.share:.0%} of the {kind}, {vote.count} of {len(result.candidates)} solutions"
            )
        lines += [f"            {_short(vote):>8}  {vote.share:4.0%}  {vote.count}" for vote in votes[:VOTES_SHOWN]]
        if len(votes) > VOTES_SHOWN:
            lines.append(f"            and {len(votes) - VOTES_SHOWN} more answers")
    lines.append(f"strategy    {_POLICY.sub('policy=...', result.strategy)}")
    lines.append(f"cost        {result.cost}")
    if result.stopped_by:
        by = "an interrupt" if result.stopped_by == "interrupt" else f"the limit on {result.stopped_by}"
        lines.append(f"stopped by  {by}")
    return "\n".join(lines)
