"""``ttscale train``: flags, and a config file that may hold them instead.

Knows arguments. Must not know how anything is trained: ``train_flags.py`` lists the commands, ``training/commands.py``
runs them and is imported then. A value comes from the flag, else from ``--config``, else from the default shown by
``--help``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.cli.train_flags import COMMANDS, OVERVIEW, Command, Flag


def add_train_parser(subparsers: Any) -> None:
    """Add ``train`` and its commands to the ``ttscale`` parser; each sets ``run`` to a function of the options."""
    parser = subparsers.add_parser(
        "train",
        help="train verifiers and revisers for your own model",
        description=OVERVIEW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help, description=command.description)
        sub.add_argument(
            "--config", metavar="FILE", help="TOML, JSON or YAML file of settings; a flag given here wins over it"
        )
        for flag in command.flags:
            _add(sub, flag)
        sub.set_defaults(run=partial(_run, command))


def _add(parser: argparse.ArgumentParser, flag: Flag) -> None:
    shown = " (needed)" if flag.required else ""
    if flag.default is not None:
        shown = f" (default: {flag.default})"
    options: dict[str, Any] = {"default": None, "help": (flag.help + shown).replace("%", "%%")}
    if flag.kind is bool:
        options["action"] = argparse.BooleanOptionalAction
    else:
        options["type"] = flag.kind
        if flag.choices:
            options["choices"] = flag.choices
        else:
            options["metavar"] = {int: "N", float: "X"}.get(flag.kind, flag.name.upper())
    parser.add_argument(f"--{flag.name.replace('_', '-')}", **options)


def _run(command: Command, options: argparse.Namespace) -> int:
    settings = merged(command, options)
    from ttscale.training import commands

    call: Callable[[Mapping[str, Any]], None] = getattr(commands, command.name.replace("-", "_"))
    call(settings)
    return 0


def merged(command: Command, options: argparse.Namespace) -> dict[str, Any]:
    """Every setting of the command: from its flag, else the config file, else the default."""
    config = {} if options.config is None else read_config(options.config)
    flags = {flag.name: flag for flag in command.flags}
    unknown = sorted(set(config) - set(flags))
    if unknown:
        raise ValueError(
            f"{options.config}: unknown setting {unknown[0]!r} for {command.name}; known: {', '.join(flags)}"
        )
    settings: dict[str, Any] = {name: flag.default for name, flag in flags.items()}
    settings |= {
        name: _checked(flags[name], value, options.config) for name, value in config.items() if value is not None
    }
    settings |= {name: getattr(options, name) for name in flags if getattr(options, name) is not None}
    for name, flag in flags.items():
        if flag.required and settings[name] is None:
            raise ValueError(f"ttscale train {command.name} needs --{name.replace('_', '-')} (or {name} in --config)")
    return settings


def read_config(path: str) -> dict[str, Any]:
    """The settings in a TOML, JSON or YAML file; dashes in names are underscores."""
    suffix = Path(path).suffix.lower()
    text = Path(path).read_text(encoding="utf-8")
    try:
        if suffix == ".toml":
            content: Any = tomllib.loads(text)
        elif suffix == ".json":
            content = json.loads(text)
        elif suffix in (".yaml", ".yml"):
            content = importlib.import_module("yaml").safe_load(text)  # comes with transformers
        else:
            raise ValueError("the name must end in .toml, .json, .yaml or .yml")
    except Exception as error:
        raise ValueError(f"could not read the config file {path}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"the config file {path} must hold settings by name; got {content!r:.80}")
    return {str(name).replace("-", "_"): value for name, value in content.items()}


def _checked(flag: Flag, value: Any, path: str) -> Any:
    if flag.kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            value = float(value)  # YAML reads 1e-5 as a text
    right_kind = isinstance(value, flag.kind) and (flag.kind is bool or not isinstance(value, bool))
    if not right_kind or (flag.choices and value not in flag.choices):
        kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
        wanted = " or ".join(map(repr, flag.choices)) or kinds[flag.kind]
        raise ValueError(f"{path}: {flag.name} must be {wanted}; got {value!r}")
    return value
