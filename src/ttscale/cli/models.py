"""Flags that name models and say how they write, and the roles that they make. All is checked before anything loads."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import re
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.api.arguments import check_name
from ttscale.api.load_roles import load_named, open_role
from ttscale.core.cost import Price
from ttscale.core.protocols import Role

BUNDLED_TOO = "(default: the bundled model)"
PROMPTS = ("qwen-math", "thinking", "search-and-learn", "four-shot")


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that name a generator, a server, what judges, compares and revises, and how they sample."""
    parser.add_argument(
        "--generator",
        "--model",
        metavar="ID",
        help=f"Hugging Face id, folder, a server's model, or module:attribute of your own {BUNDLED_TOO}",
    )
    parser.add_argument(
        "--base-url",
        metavar="URL",
        help="an OpenAI-compatible server, such as http://localhost:8000/v1, or several: URL,URL",
    )
    parser.add_argument(
        "--price", metavar="IN,OUT", help="what the server takes in dollars per million tokens: IN,OUT or IN,OUT,CACHED"
    )
    parser.add_argument("--verifier", metavar="ID", help="Hugging Face id, folder, or module:attribute of your own")
    parser.add_argument(
        "--judge", nargs="?", const="", metavar="ID", help="a model that judges; without a name the generator itself"
    )
    parser.add_argument(
        "--comparator", nargs="?", const="", metavar="ID", help="a model that compares; without a name the generator"
    )
    parser.add_argument("--reviser", metavar="ID", help="Hugging Face id, folder, or module:attribute of your own")
    parser.add_argument("--max-new-tokens", type=int, metavar="T", help="most tokens of one solution or revision")
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of solutions and revisions; 0 is greedy (default: the model's)"
    )
    parser.add_argument("--top-p", type=float, metavar="P", help="nucleus sampling of the same (default: the model's)")
    parser.add_argument(
        "--device", metavar="NAME", help="of every model by name: cpu, cuda, cuda:1, mps (default: the best there is)"
    )
    parser.add_argument(
        "--dtype", metavar="NAME", help="of every model by name: float32, bfloat16, float16 (default: the checkpoint's)"
    )
    parser.add_argument(
        "--prompt", metavar="NAME", help=f"of the generator: {', '.join(PROMPTS)}, or a JSON file of a PromptFormat"
    )


def roles_of(options: argparse.Namespace) -> dict[str, Any]:
    """The roles that the flags name, as ``solve`` takes them; ``ValueError`` for flags that do not go together."""
    if options.judge is not None and options.verifier:
        raise ValueError("--judge and --verifier both judge; give one of them")
    return _Roles(options).all()


class OnWorkers:
    """The roles that the flags name, made where they are asked for: all of them at once, and once per worker."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._made = options, dict[str, Any]()

    def roles(self) -> dict[str, Any]:
        """For each role that the flags name, a function that makes it; here nothing is loaded."""
        given = self._options
        bundled = _bundled_with_settings(given)
        named: dict[Role, Any] = {
            "generator": given.generator or given.base_url or bundled or None,
            "verifier": given.verifier if given.judge is None else given.judge,
            "reviser": given.reviser,
            "comparator": given.comparator,
        }
        made: dict[str, Any] = {}
        for role, name in named.items():
            made[role] = None if name is None else partial(self.make, role)
        if bundled:
            made["generator"].bundled = True
        return made

    def make(self, role: Role) -> Any:
        """The role as an object."""
        self._made = self._made or roles_of(self._options)
        return open_role(role, self._made[role])


def _bundled_with_settings(options: argparse.Namespace) -> bool:
    """Whether the bundled models answer, with settings of the user's."""
    others = options.generator or options.base_url or options.reviser
    return not others and bool(_sampling(options) or _placed(options))


class _Roles:
    """Makes the roles that the flags name. A model that is named twice is loaded once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._sampling, self._placed = _sampling(options), _placed(options)
        self._models: dict[str, Any] = {}

    def all(self) -> dict[str, Any]:
        """Each role, as an object, a name, or None."""
        from ttscale.verifiers import JudgeVerifier, PromptedComparator

        options = self._options
        verifier, reviser = self._own("verifier", options.verifier), self._own("reviser", options.reviser)
        made: dict[str, Any] = {"generator": self._generator(verifier, reviser)}
        made |= {"reviser": self._reviser(reviser), "verifier": self._verifier(verifier)}
        if options.judge is not None:
            made["verifier"] = self._judging("--judge", JudgeVerifier, options.judge, made)
        made["comparator"] = None if options.comparator is None else named_object(options.comparator)
        if isinstance(made["comparator"], str):
            made["comparator"] = self._judging("--comparator", PromptedComparator, made["comparator"], made)
        again: tuple[Role, ...] = ("generator", "reviser")
        for role in again:
            if isinstance(made[role], str) and made[role] in self._models:
                made[role] = load_named(role, made[role], self._models, {})
        if _bundled_with_settings(options):
            made |= self._bundled(made)
        return made

    def _own(self, role: Role, given: str | None) -> Any:
        own = named_object(given) if given else None
        if role == "verifier" and own == "judge" and not Path(own).exists():
            raise ValueError("--verifier takes the name of a verifier; for a generator that judges give --judge")
        if isinstance(own, str):
            check_name(role, own)
        return own

    def _generator(self, *others: Any) -> Any:
        options, sampling, placed = self._options, self._sampling, self._placed
        if options.base_url:
            if not options.generator:
                raise ValueError("--base-url needs --model NAME, the name that the server knows the model by")
            if placed and not any(isinstance(other, str) for other in others):
                raise ValueError(f"--{next(iter(placed))} is for models that run here, not for a server")
            return _on_server(options.generator, options, sampling)
        if options.price:
            raise ValueError("--price is what a server takes: give --base-url too")
        own = named_object(options.generator) if options.generator else None
        if own is not None and not isinstance(own, str):
            if flags := [*sampling, *placed]:
                raise ValueError(f"{_flag(flags[0])} is for models by name; set it in {options.generator}")
            return own
        if own is None:
            return None
        _check_generator(own)
        return load_named("generator", own, self._models, placed, **sampling) if sampling or placed else own

    def _reviser(self, reviser: Any) -> Any:
        options = self._options
        of_prompt = ("prompt", "delimiter") if options.generator else ()
        sampling = {name: value for name, value in self._sampling.items() if name not in of_prompt}
        if reviser is None or not (sampling or self._placed):
            return reviser
        if isinstance(reviser, str):
            return load_named("reviser", reviser, self._models, self._placed, **sampling)
        if not options.generator:
            flag = _flag([*sampling, *self._placed][0])
            raise ValueError(f"{flag} is for models by name; set it in {options.reviser}")
        return reviser

    def _verifier(self, verifier: Any) -> Any:
        named = isinstance(verifier, str) and self._placed
        return load_named("verifier", verifier, self._models, self._placed) if named else verifier

    def _bundled(self, made: dict[str, Any]) -> dict[str, Any]:
        """The bundled models with the settings of the flags; those that the flags name stay."""
        from ttscale import reference

        if "prompt" in self._sampling:
            raise ValueError("--prompt needs --generator: the bundled model reads its own layout alone")
        generator = reference.load("generator", **self._placed, **self._sampling)
        generator.bundled = True
        rest = {role: made[role] or reference.load(role, **self._placed) for role in ("verifier", "reviser")}
        return {"generator": generator, **rest}

    def _judging(self, flag: str, kind: Callable[[Any], Any], given: str, made: dict[str, Any]) -> Any:
        """A verifier or comparator that puts its questions to the model named by a flag, else to the generator."""
        if given and self._options.base_url:
            return kind(_on_server(given, self._options, {}))
        if given:
            _check_generator(given)
            return kind(load_named("generator", given, self._models, self._placed))
        if made["generator"] is None:
            raise ValueError(f"{flag} needs a model: {flag} ID, or --generator ID to let it judge itself")
        if isinstance(made["generator"], str):
            made["generator"] = load_named("generator", made["generator"], self._models, {})
        return kind(made["generator"])


def _check_generator(name: str) -> None:
    """``ValueError`` for a name that can be no generator's."""
    if re.match(r"https?://", name.strip(), re.IGNORECASE):
        raise ValueError(f"{name!r} is a URL: give --base-url {name} and --model NAME, as the server names the model")
    check_name("generator", name)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _sampling(options: argparse.Namespace) -> dict[str, Any]:
    names = ("max_new_tokens", "temperature", "top_p")
    found = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return found | (_prompt(options.prompt) if options.prompt else {})


def _placed(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("device", "dtype") if getattr(options, name)}


def _on_server(name: str, options: argparse.Namespace, sampling: dict[str, Any]) -> Any:
    from ttscale.openai import OpenAIGenerator

    price = _price(options.price) if options.price else None
    return OpenAIGenerator(name, options.base_url.split(","), price=price, **sampling)


def _price(text: str) -> Price:
    try:
        return Price(*map(float, text.split(",")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"--price {text!r} must be IN,OUT or IN,OUT,CACHED in dollars per million tokens") from error


def _prompt(given: str) -> dict[str, Any]:
    """The prompt format, and what ends a step where a family is named."""
    from ttscale import prompts

    families = {name: getattr(prompts, name.upper().replace("-", "_")) for name in PROMPTS}
    if given.lower() in families:
        return dict(families[given.lower()]._asdict())
    if not Path(given).is_file():
        raise ValueError(f"--prompt {given!r} is neither a file nor one of {', '.join(PROMPTS)}")
    try:
        return {"prompt": prompts.PromptFormat(**json.loads(Path(given).read_text(encoding="utf-8")))}
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"--prompt {given}: not a PromptFormat as JSON ({error})") from error


def named_object(given: str) -> Any:
    """``module:attribute`` as the object it names, called if it is a class or a function without arguments.

    Any other text is returned as it is: an id or a path.
    """
    found = found_object(given)
    plain = isinstance(found, types.FunctionType) and not inspect.signature(found).parameters
    return found() if isinstance(found, type) or plain else found


def found_object(given: str) -> Any:
    """``named_object`` before it is called, for what makes its model elsewhere."""
    module, colon, attribute = given.partition(":")
    if not colon or "/" in module or "\\" in module or not attribute.replace(".", "").isidentifier():
        return given
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{given!r}: {error}") from error
    finally:
        sys.path.remove(os.getcwd())
    return found
