"""An argument parser that says what was meant, takes no abbreviations, and reads a file of settings."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Exits with 2 and one line: the mistake, what was probably meant, where the help is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self._words: Sequence[str] = ()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = sys.argv[1:] if args is None else list(args)
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        asked = _asked(self, self._words) if message.startswith("unrecognized arguments") else self
        self.exit(2, f"ttscale: {message}{asked._meant(message, self)}; see {asked.prog} --help\n")

    def _meant(self, message: str, top: Parser) -> str:
        flags = _flags(self, "")
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        word, known = (unknown[1], flags) if unknown else ("", [])
        if choice:
            word, known = choice[1], re.findall(r"[\w-]+", choice[2])
        having = [command for command in _commands(top) if unknown and word in _flags(top, command)]
        if having:
            return f" ({word} is a flag of {', '.join(having)})"
        near = difflib.get_close_matches(word, known, n=1)
        return f" (did you mean {near[0]}?)" if near else ""


def with_config(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """The arguments with those of their ``--config`` file put in front, so that the command line has the last word.

    The file is TOML with the names of the flags, ``max-new-tokens = 256`` or ``max_new_tokens``. Raises ``ValueError``
    for a name that is no flag of the command.
    """
    found = [i for i, word in enumerate(arguments) if word == "--config" or word.startswith("--config=")]
    if not found or len(arguments) < 2:
        return list(arguments)
    at = found[-1]
    path = arguments[at].partition("=")[2] or (arguments[at + 1] if at + 1 < len(arguments) else "")
    command, rest = arguments[0], list(arguments[1:])
    flags = _flags(parser, command)
    if "--config" not in flags or command == "serve":  # serve reads its own, which has tables
        return list(arguments)
    settings = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    nargs = {flag: action.nargs for action in _commands(parser)[command]._actions for flag in action.option_strings}
    given: list[str] = []
    for name, value in settings.items():
        flag = f"--{name.replace('_', '-')}"
        if flag not in flags:
            near = difflib.get_close_matches(flag, flags, n=1)
            hint = f"; did you mean {near[0][2:]}?" if near else ""
            raise ValueError(f"{path}: {name!r} is no setting of ttscale {command}{hint}")
        if value is True:  # with "=" a flag that may have a value takes none of the words after it
            given.append(f"{flag}=" if nargs[flag] == "?" else flag)
        elif isinstance(value, list):
            if nargs[flag] != "+":
                raise ValueError(f"{path}: {name} takes one value; got {value!r}")
            given += [flag, *map(str, value)]
        elif value is not False:
            given.append(f"{flag}={value}")
    return [command, *given, *rest]


def _asked(parser: Parser, words: Sequence[str]) -> Parser:
    """The parser of the command that these words ask for."""
    for word in words:
        under = _commands(parser).get(word)
        if not isinstance(under, Parser):
            break
        parser = under
    return parser


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


def _flags(parser: argparse.ArgumentParser, command: str) -> list[str]:
    """The long flags of a command; of the parser itself for ""."""
    of = _commands(parser).get(command) if command else parser
    return [flag for action in (of._actions if of else ()) for flag in action.option_strings if flag.startswith("--")]
