"""The command ``ttscale``: reads arguments, calls the library, prints for people or for machines.

Exit codes: 0 an answer; 1 the search failed or found none; 2 bad arguments; 130 interrupted. Errors are one line on
standard error, never a traceback.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from ttscale.cli.parser import Parser, with_config
from ttscale.core.errors import TtscaleError
from ttscale.core.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a model may write what the terminal has no letters for
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = make_parser()
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        parser.print_help()
        return 0
    try:
        options = parser.parse_args(with_config(words, parser))
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


def make_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    from ttscale.cli import evaluate, serve, solve, train, view

    parser = Parser(prog="ttscale", description="Scale LLM test-time compute: sample, verify, search, revise.")
    parser.add_argument("--version", action="version", version=f"ttscale {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    solve.add_parser(commands)
    evaluate.add_parsers(commands)
    train.add_train_parser(commands)
    serve.add_parser(commands)
    view.add_parser(commands)
    return parser


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
