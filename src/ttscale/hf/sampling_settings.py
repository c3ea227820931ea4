"""Sampling and prompt settings of a role: keyword, else the checkpoint's JSON, else its generation config, else ours.

Knows: names, values, where they come from. Must not know: requests, rows, how tokens are drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any

from ttscale.core.requests import check_temperature
from ttscale.hf.generation_config import LogitsProcessing, read_generation_config
from ttscale.hf.model import HFModel
from ttscale.hf.sampling import Filters
from ttscale.prompts.layouts import check_prompt, stop_strings
from ttscale.prompts.steps import StepText
from ttscale.prompts.tokenize import PromptFormat, uses_chat

MAX_NEW_TOKENS = 2048
"""Longest solution by default: twice what most public models write for a MATH problem."""
OWN = ("prompt", "delimiter", "temperature", "max_new_tokens")
SETTINGS = (*OWN, *(field.name for field in fields(Filters)))
"""What a checkpoint's ``ttscale.json`` may hold."""


class _FromCheckpoint:
    def __repr__(self) -> str:
        return "FROM_CHECKPOINT"


FROM_CHECKPOINT: Any = _FromCheckpoint()
"""Left out: what the checkpoint says counts. (None would mean: none.)"""


@dataclass(frozen=True, slots=True)
class Given:
    """What a role was given by keyword."""

    delimiter: str | None = FROM_CHECKPOINT
    temperature: float | None = None
    top_k: int | None = FROM_CHECKPOINT
    top_p: float | None = FROM_CHECKPOINT
    min_p: float | None = FROM_CHECKPOINT
    max_new_tokens: int | None = None
    prompt: PromptFormat | None = None
    generation_config: Any = FROM_CHECKPOINT
    chat_template_kwargs: Mapping[str, Any] | None = None


class SamplingSettings:
    """What a role samples with, once everything was looked up."""

    def __init__(self, model: HFModel, given: Given) -> None:
        own = model.settings
        if unknown := sorted(set(own) - set(SETTINGS)):
            raise ValueError(
                f"the ttscale.json of {model.name} has an unknown setting {unknown[0]!r}; known: {', '.join(SETTINGS)}"
            )
        config = model.generation_config if given.generation_config is FROM_CHECKPOINT else given.generation_config
        checkpoint = read_generation_config(config, model.name)

        def said(name: str, default: Any) -> Any:
            keyword = getattr(given, name)
            return own.get(name, default) if keyword is FROM_CHECKPOINT else keyword

        self.delimiter: str | None = said("delimiter", "\n")
        if not isinstance(self.delimiter, str | None):
            raise ValueError(f"delimiter must be a string or None; got {self.delimiter!r}")
        heat = _first(given.temperature, own.get("temperature"), checkpoint.temperature, 1.0)
        self.temperature: float = float(heat) if isinstance(heat, Real) else heat
        check_temperature(self.temperature)
        self.filters = Filters(*(said(name, getattr(checkpoint, name)) for name in ("top_k", "top_p", "min_p")))
        most = _first(given.max_new_tokens, own.get("max_new_tokens"), checkpoint.max_new_tokens, MAX_NEW_TOKENS)
        if not isinstance(most, Integral) or most < 1:
            raise ValueError(f"max_new_tokens must be a positive integer; got {most!r}")
        self.max_new_tokens = int(most)
        self.max_length = checkpoint.max_length
        prompt = given.prompt
        self.prompt = PromptFormat.from_json(own.get("prompt", {})) if prompt is None else check_prompt(prompt)
        if given.chat_template_kwargs is not None:
            both = {**dict(self.prompt.chat_template_kwargs), **given.chat_template_kwargs}
            self.prompt = replace(self.prompt, chat_template_kwargs=both)
        chat = uses_chat(model.tokenizer, self.prompt)
        self.chat_template = str(model.tokenizer.chat_template) if chat else None
        self.stop = tuple(dict.fromkeys((*stop_strings(self.prompt, chat), *checkpoint.stop)))
        self.text = StepText(model.tokenizer, self.delimiter, self.stop, self.prompt.thoughts)
        self.checkpoint = checkpoint
        self.processing = LogitsProcessing(checkpoint, model.eos_ids, model.device)

    def named(self) -> dict[str, Any]:
        """What results depend on, by name."""
        found = {name: getattr(self, name) for name in (*OWN, "stop", "max_length", "chat_template")}
        return found | asdict(self.filters) | dict(self.checkpoint.processors)


def settings_of(model: HFModel, given: Given) -> tuple[SamplingSettings, dict[str, Any]]:
    """(what to sample with, the settings that stored results name).

    Named are those that the checkpoint's ``ttscale.json`` and our defaults do not say: what was given by keyword or
    stands in the generation config, and a hash of the chat template. A resumed file compares them.
    """
    settings = SamplingSettings(model, given)
    usual = SamplingSettings(model, Given(generation_config=None)).named()
    named = settings.named()
    unusual = {name: value for name, value in named.items() if name not in usual or value != usual[name]}
    if settings.chat_template is not None:
        unusual["chat_template"] = hashlib.blake2b(settings.chat_template.encode(), digest_size=4).hexdigest()
    return settings, unusual


def _first(*values: Any) -> Any:
    """The first value that is not None."""
    return next(value for value in values if value is not None)
