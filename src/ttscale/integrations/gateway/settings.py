"""What the operator decides: who answers, the defaults, the caps and the clients. From flags or a TOML file.

Keys never stand in the file: it names environment variables that hold them.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ttscale.strategies.names import strategy_named

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upstream:
    """The OpenAI-compatible server that draws."""

    url: str = ""
    model: str | None = None
    """The one model that is served; None: whatever the client names."""
    key_env: str | None = None
    """The variable that holds the upstream's key; None: the client's own key is passed through."""
    kind: str = "auto"
    """What server it is: see ``ttscale.openai.Server``."""
    system: str | None = None
    """A system prompt for chats that bring none; "family": the one that suits the model's family."""
    concurrency: int = 64
    """Requests that the upstream gets at once."""
    retries: int = 5
    timeout: float = 600.0
    """Seconds for one reply of the upstream."""


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """The verifier: "judge" (the upstream's model is asked), a path or Hugging Face id, or one that vLLM serves."""

    id: str | None = None
    url: str | None = None
    model: str = ""
    layout: str = "orm"
    activation: str = "none"
    key_env: str | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where the client says nothing."""

    budget: int = 1
    strategy: str | None = None
    """None: the library's own choice for the roles at hand."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Caps:
    """What no client can go beyond."""

    budget: int = 64
    seconds: float = 600.0
    """For one search; then the best so far is returned."""
    tokens: int | None = None
    """Sampled tokens of one search, likewise."""
    body_bytes: int = 4_000_000
    """Of one request. OpenAI's own chats of a million tokens have about that."""
    body_seconds: float = 30.0
    """To receive it."""
    requests: int = 512
    """In progress at once, over all clients."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client: the variable that holds its key, and its share."""

    key_env: str = ""
    requests: int = 64
    """In progress at once."""
    requests_per_minute: int | None = None
    budget: int | None = None
    """A cap below the general one."""


EFFORT = {"none": 1, "minimal": 1, "low": 4, "medium": 16, "high": 64, "xhigh": 256}
"""Budgets for OpenAI's ``reasoning_effort``, each then capped."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Everything together. Without an upstream and a ``generator`` (a path or Hugging Face id), the bundled models."""

    upstream: Upstream | None = None
    generator: str | None = None
    verifier: VerifierSettings = VerifierSettings()
    comparator: str | None = None
    """What compares solutions: "judge" (the upstream's model is asked), or a path or Hugging Face id of a model that is
    asked here."""
    defaults: Defaults = Defaults()
    caps: Caps = Caps()
    effort: Mapping[str, int] = field(default_factory=lambda: dict(EFFORT))
    clients: Mapping[str, Client] = field(default_factory=dict)
    """By name; empty: everybody may come in."""
    max_new_tokens: int | None = None
    """Of one draw of the ``generator``; None: what its checkpoint says, else 2,048."""

    def __post_init__(self) -> None:
        if self.upstream is not None and self.generator is not None:
            raise ValueError(f"give an upstream or a generator, not both; the generator is {self.generator!r}")
        if self.max_new_tokens is not None and self.generator is None:
            raise ValueError("max_new_tokens is a limit of the generator that runs here; give a generator too")
        for role, given in (("verifier", self.verifier.id), ("comparator", self.comparator)):
            if given == "judge" and self.upstream is None:
                raise ValueError(f'the {role} "judge" asks the upstream\'s model; give an upstream, or another {role}')
        if self.verifier.id is not None and self.verifier.url is not None:
            raise ValueError(f"give verifier.id or verifier.url, not both; the id is {self.verifier.id!r}")
        if self.verifier.url is not None and not self.verifier.model:
            raise ValueError("verifier.url needs verifier.model, the name of the model there")
        if self.defaults.strategy is not None:
            strategy_named(self.defaults.strategy)
        for what, value in _least_one(self):
            if value is not None and value <= 0:
                raise ValueError(f"{what} must be positive; got {value!r}")


def _least_one(settings: GatewaySettings) -> list[tuple[str, float | None]]:
    checked: list[tuple[str, float | None]] = [("defaults.budget", settings.defaults.budget)]
    checked += [("max_new_tokens", settings.max_new_tokens)]
    checked += [(f"caps.{f.name}", getattr(settings.caps, f.name)) for f in fields(Caps)]
    checked += [(f"effort.{name}", value) for name, value in settings.effort.items()]
    for name, client in settings.clients.items():
        checked += [
            (f"clients.{name}.{one}", getattr(client, one)) for one in ("requests", "requests_per_minute", "budget")
        ]
    return checked


def read_settings(path: str | Path) -> GatewaySettings:
    """The settings in a TOML file; ``ValueError`` names what is wrong in it."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        return settings_of(data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def settings_of(data: Mapping[str, Any]) -> GatewaySettings:
    """Settings from parsed TOML: sections upstream, verifier, defaults, caps, effort, clients.NAME; ``generator``,
    ``comparator`` and ``max_new_tokens``."""
    known = {f.name for f in fields(GatewaySettings)}
    if unknown := sorted(data.keys() - known):
        raise ValueError(f"unknown section {unknown[0]!r}; known: {', '.join(sorted(known))}")
    for name in ("generator", "comparator"):
        if not isinstance(data.get(name), str | None):
            raise ValueError(f"{name} must be a string; got {data[name]!r}")
    most = data.get("max_new_tokens")
    return GatewaySettings(
        max_new_tokens=None if most is None else _number(most, "max_new_tokens"),
        upstream=_filled(Upstream, data["upstream"], "upstream") if "upstream" in data else None,
        generator=data.get("generator"),
        comparator=data.get("comparator"),
        verifier=_filled(VerifierSettings, data.get("verifier", {}), "verifier"),
        defaults=_filled(Defaults, data.get("defaults", {}), "defaults"),
        caps=_filled(Caps, data.get("caps", {}), "caps"),
        effort=EFFORT | {name: _number(value, f"effort.{name}") for name, value in _table(data, "effort").items()},
        clients={name: _filled(Client, one, f"clients.{name}") for name, one in _table(data, "clients").items()},
    )


def key_from(variable: str | None) -> str | None:
    """The key in an environment variable; ``ValueError`` where it is named and empty."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ValueError(f"the environment variable {variable} should hold a key and is empty")
    return key


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "str | None": (str,),
    "int | None": (int,),
}


def _filled(cls: type[T], data: Any, where: str) -> T:
    """A section as a dataclass: every name known, every value of its type."""
    if not isinstance(data, dict):
        raise ValueError(f"{where} must be a section; got {data!r}")
    kinds = {f.name: str(f.type) for f in fields(cls)}  # type: ignore[arg-type]
    for name, value in data.items():
        if name not in kinds:
            raise ValueError(f"unknown setting {where}.{name}; known: {', '.join(kinds)}")
        if isinstance(value, bool) or not isinstance(value, _KINDS[kinds[name]]):
            raise ValueError(f"{where}.{name} must be of type {kinds[name]}; got {value!r}")
    return cls(**data)


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise ValueError(f"{name} must be a section; got {table!r}")
    return table


def _number(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{where} must be an integer; got {value!r}")
    return value
