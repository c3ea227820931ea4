"""Prompt and sampling settings of a role on vLLM."""

from __future__ import annotations

from dataclasses import dataclass

from ttscale.core.checks import check_count
from ttscale.core.requests import check_temperature
from ttscale.prompts.layouts import PromptFormat

MAX_NEW_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class VLLMSettings:
    """See ``VLLMGenerator``. ``ValueError`` for what cannot be."""

    prompt: PromptFormat
    delimiter: str | None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    min_p: float = 0.0
    max_new_tokens: int = MAX_NEW_TOKENS

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        if self.delimiter == "" or not isinstance(self.delimiter, str | None):
            raise ValueError(
                f"delimiter must be a text, or None for the whole solution as one step; got {self.delimiter!r}"
            )
        check_count("max_new_tokens", self.max_new_tokens)
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be a number above 0 and up to 1; got {self.top_p!r}")
