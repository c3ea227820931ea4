"""The command ``ttscale``: reads arguments, calls the library, prints for people or for machines.

Exit codes: 0 an answer; 1 the search failed or found none; 2 bad arguments; 130 interrupted. Errors are one line on
standard error, never a traceback.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ttscale.api.result import Result
from ttscale.api.solve import solve
from ttscale.core.errors import TtscaleError
from ttscale.core.limit import Limit
from ttscale.core.selection import tally
from ttscale.core.trace import Event
from ttscale.core.version import __version__

VOTES_SHOWN = 5
_POLICY = re.compile(r"policy=Policy\(.*?probe=\w+\)")
"""What tells one policy from another, which nobody wants to read."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a model may write what the terminal has no letters for
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code: int = options.run(options)
        return code
    except KeyboardInterrupt:
        print("ttscale: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f"ttscale: {_one_line(error)}", file=sys.stderr)
        return 2
    except (TtscaleError, RuntimeError) as error:
        print(f"ttscale: {_one_line(error)}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ttscale", description="Scale LLM test-time compute: sample, verify, search, revise."
    )
    parser.add_argument("--version", action="version", version=f"ttscale {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_solve(commands)
    from ttscale.cli import evaluate, serve, train, view

    evaluate.add_parsers(commands)
    train.add_train_parser(commands)
    serve.add_parser(commands)
    view.add_parser(commands)
    return parser


def _add_solve(commands: Any) -> None:
    parser = commands.add_parser(
        "solve",
        help="answer one question",
        description="Answer one question with a budget of solutions. Without --generator, the bundled model answers: "
        "it does arithmetic, one operation per line.",
        epilog='example: ttscale solve "Compute (17 + 5) * 3 - 48" --budget 64 --strategy beam',
    )
    parser.add_argument("question", help='the question, or "-" to read it from standard input')
    parser.add_argument("--budget", type=int, default=64, metavar="N", help="solutions to spend (default: 64)")
    parser.add_argument(
        "--strategy",
        metavar="NAME",
        help="majority_vote, best_of_n, weighted_best_of_n, beam, dvts, lookahead, sequential_revision, "
        "compute_optimal, adaptive_scheduler or adaptive_consistency, with settings as in beam:width=sqrt or "
        "compute_optimal:policy=FILE (default: compute_optimal where there is a verifier, else majority_vote)",
    )
    for role in ("generator", "verifier", "reviser"):
        parser.add_argument(f"--{role}", metavar="ID", help=f"Hugging Face id or local path of the {role}")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same result (default: 0)")
    parser.add_argument("--max-tokens", type=int, metavar="T", help="stop after T sampled tokens, with the best so far")
    parser.add_argument("--max-flops", type=float, metavar="F", help="stop after F floating-point operations, likewise")
    parser.add_argument("--max-seconds", type=float, metavar="S", help="stop after S seconds, likewise")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=_solve)


def _solve(options: argparse.Namespace) -> int:
    question = sys.stdin.read() if options.question == "-" else options.question
    caps = (options.max_tokens, options.max_flops, options.max_seconds)
    limit = None if all(cap is None for cap in caps) else Limit(*caps)
    if not sys.stderr.isatty():
        result = _answer(question, options, limit, None)
    else:
        from tqdm import tqdm

        with tqdm(total=options.budget, unit="solution", leave=False) as bar:
            result = _answer(question, options, limit, lambda event: bar.update(_ends_a_solution(event)))
    print(json.dumps(as_json(result), indent=2) if options.json else as_text(result))
    return 0 if result.answer is not None or result.text else 1


def _answer(
    question: str, options: argparse.Namespace, limit: Limit | None, observe: Callable[[Event], object] | None
) -> Result:
    return solve(
        question,
        options.budget,
        generator=options.generator,
        verifier=options.verifier,
        reviser=options.reviser,
        strategy=options.strategy,
        seed=options.seed,
        limit=limit,
        observe=observe,
    )


def _ends_a_solution(event: Event) -> int:
    return int(event["event"] == "reply" and event.get("finish", "open") != "open")


def as_text(result: Result) -> str:
    """A result for people: the answer, how sure, how the votes fell, what it cost."""
    votes = tally(result.candidates, result.scores)
    cost = result.cost
    if result.answer is None:
        lines = [result.text.rstrip() or "No finished solution."]
    else:
        lines = [result.text.rstrip(), "", f"answer      {result.answer}"]
    if len(result.candidates) > 1 and votes:
        top = "votes" if all(score is None for score in result.scores) else "weighted votes"
        lines.append(
            f"confidence  {votes[0].share:.0%} of the {top}, {votes[0].count} of {len(result.candidates)} solutions"
        )
        lines += [f"            {vote.answer:>8}  {vote.share:4.0%}  {vote.count}" for vote in votes[:VOTES_SHOWN]]
        if len(votes) > VOTES_SHOWN:
            lines.append(f"            and {len(votes) - VOTES_SHOWN} more answers")
    lines.append(f"strategy    {_POLICY.sub('policy=...', result.strategy)}")
    lines.append(
        f"cost        {cost.generations} generations, {cost.steps} steps, {cost.sampled_tokens} tokens sampled, "
        f"{cost.verifier_calls} verifier calls ({cost.verifier_tokens} tokens), {cost.flops:.2g} FLOPs, "
        f"{cost.seconds:.1f} s"
    )
    if result.stopped_by:
        lines.append(f"stopped by  the limit on {result.stopped_by}")
    return "\n".join(lines)


def as_json(result: Result) -> dict[str, Any]:
    """A result for machines."""
    from dataclasses import asdict

    return {
        "question": result.question.prompt,
        "answer": result.answer,
        "text": result.text,
        "score": result.score,
        "votes": [asdict(vote) for vote in tally(result.candidates, result.scores)],
        "strategy": result.strategy,
        "stopped_by": result.stopped_by,
        "cost": asdict(result.cost),
        "candidates": [
            {"text": candidate.text, "answer": candidate.answer, "finish": candidate.finish, "score": score}
            for candidate, score in zip(result.candidates, result.scores, strict=True)
        ],
    }


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
