"""Flags that name models and say how they write, and the roles that they make. All is checked before anything loads."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.api.arguments import check_name
from ttscale.api.load_roles import open_role
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
    parser.add_argument("--max-new-tokens", type=int, metavar="T", help="most tokens of one solution")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 is greedy (default: the model's own)")
    parser.add_argument("--top-p", type=float, metavar="P", help="nucleus sampling (default: the model's own)")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    parser.add_argument("--dtype", metavar="NAME", help="float32, bfloat16, float16 (default: the checkpoint's)")
    parser.add_argument("--prompt", metavar="NAME", help=f"{', '.join(PROMPTS)}, or a JSON file of a PromptFormat")


def roles_of(options: argparse.Namespace) -> dict[str, Any]:
    """The roles that the flags name, as ``solve`` takes them; ``ValueError`` for flags that do not go together."""
    from ttscale.verifiers import JudgeVerifier, PromptedComparator

    generator = _generator(options)
    verifier = _own(options.verifier) if options.verifier else None
    if options.judge is not None:
        if verifier is not None:
            raise ValueError("--judge and --verifier both judge; give one of them")
        verifier = _judging("--judge", JudgeVerifier, options.judge, options, generator)
    comparator = None if options.comparator is None else _own(options.comparator)
    if isinstance(comparator, str):
        comparator = _judging("--comparator", PromptedComparator, comparator, options, generator)
    reviser = _own(options.reviser) if options.reviser else None
    for role, given in (("verifier", verifier), ("reviser", reviser)):
        if isinstance(given, str):
            check_name(role, given)  # type: ignore[arg-type]
    return {"generator": generator, "verifier": verifier, "reviser": reviser, "comparator": comparator}


class OnWorkers:
    """The roles that the flags name, made where they are asked for: all of them at once, and once per worker."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._made = options, dict[str, Any]()

    def roles(self) -> dict[str, Any]:
        """For each role that the flags name, a function that makes it; here nothing is loaded."""
        given = self._options
        writes = given.generator or given.base_url or _placed(given) or _sampling(given)
        named: dict[Role, Any] = {
            "generator": writes or None,
            "verifier": given.verifier if given.judge is None else given.judge,
            "reviser": given.reviser,
            "comparator": given.comparator,
        }
        return {role: None if name is None else partial(self.make, role) for role, name in named.items()}

    def make(self, role: Role) -> Any:
        """The role as an object."""
        self._made = self._made or roles_of(self._options)
        return open_role(role, self._made[role])


def _sampling(options: argparse.Namespace) -> dict[str, Any]:
    names = ("max_new_tokens", "temperature", "top_p")
    found = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return found | ({"prompt": _prompt(options.prompt)} if options.prompt else {})


def _placed(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("device", "dtype") if getattr(options, name)}


def _generator(options: argparse.Namespace) -> Any:
    sampling = _sampling(options)
    placed = _placed(options)
    if options.base_url:
        if not options.generator:
            raise ValueError("--base-url needs --model NAME, the name that the server knows the model by")
        if placed:
            raise ValueError(f"--{next(iter(placed))} is for models that run here, not for a server")
        return _on_server(options.generator, options, sampling)
    if options.price:
        raise ValueError("--price is what a server takes: give --base-url too")
    own = _own(options.generator) if options.generator else None
    if own is not None and not isinstance(own, str):
        if flags := [*sampling, *placed]:
            flag = flags[0].replace("_", "-")
            raise ValueError(f"--{flag} is for models by name; set it in {options.generator}")
        return own
    if options.generator:
        check_name("generator", options.generator)
    if not sampling and not placed:
        return options.generator
    from ttscale import reference
    from ttscale.hf import HFGenerator, HFModel

    return HFGenerator(HFModel(options.generator or str(reference.path("generator")), **placed), **sampling)


def _on_server(name: str, options: argparse.Namespace, sampling: dict[str, Any]) -> Any:
    from ttscale.openai import OpenAIGenerator

    price = _price(options.price) if options.price else None
    return OpenAIGenerator(name, options.base_url.split(","), price=price, **sampling)


def _price(text: str) -> Price:
    try:
        return Price(*map(float, text.split(",")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"--price {text!r} must be IN,OUT or IN,OUT,CACHED in dollars per million tokens") from error


def _judging(flag: str, kind: Callable[[Any], Any], given: str, options: argparse.Namespace, generator: Any) -> Any:
    """A verifier or comparator that puts its questions to the model named by a flag, else to the generator."""
    if given and options.base_url:
        return kind(_on_server(given, options, {}))
    name = given or (generator if isinstance(generator, str) else None)
    if name:
        check_name("generator", name)
        from ttscale.hf import HFGenerator, HFModel

        return kind(HFGenerator(HFModel(name)))
    if generator is None:
        raise ValueError(f"{flag} needs a model: {flag} ID, or --generator ID to let it judge itself")
    return kind(generator)


def _prompt(given: str) -> Any:
    from ttscale import prompts

    families = {name: getattr(prompts, name.upper().replace("-", "_")) for name in PROMPTS}
    if given.lower() in families:
        return families[given.lower()].prompt
    if not Path(given).is_file():
        raise ValueError(f"--prompt {given!r} is neither a file nor one of {', '.join(PROMPTS)}")
    try:
        return prompts.PromptFormat(**json.loads(Path(given).read_text(encoding="utf-8")))
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"--prompt {given}: not a PromptFormat as JSON ({error})") from error


def _own(given: str) -> Any:
    """``module:attribute`` as the object it names, called if it is a class or a function without arguments."""
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
    return found() if isinstance(found, type) else found
