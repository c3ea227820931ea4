"""Prompt and sampling settings of a role on vLLM, and the tokens a request goes on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ttscale.core.requests import Revise, Sample, check_temperature
from ttscale.prompts.layouts import PromptFormat
from ttscale.prompts.tokenize import encode, piece_ids


@dataclass(frozen=True, slots=True)
class Settings:
    """See ``VLLMGenerator``. ``ValueError`` for what cannot be."""

    prompt: PromptFormat
    delimiter: str | None
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    max_new_tokens: int

    def __post_init__(self) -> None:
        check_temperature(self.temperature)
        if self.delimiter == "" or not isinstance(self.delimiter, str | None):
            raise ValueError(
                f"delimiter must be a text, or None for the whole solution as one step; got {self.delimiter!r}"
            )
        if not isinstance(self.max_new_tokens, int) or self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be a positive integer; got {self.max_new_tokens!r}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be a number above 0 and up to 1; got {self.top_p!r}")

    def context(self, tokenizer: Any, request: Sample | Revise) -> tuple[int, ...]:
        """The prompt, and each step of the prefix as it was sampled; text without tokens is tokenised."""
        if isinstance(request, Revise):
            attempts = [attempt.spoken for attempt in request.attempts if attempt.steps]
            return tuple(encode(tokenizer, self.prompt, request.question.prompt, attempts))
        prefix = request.prefix
        attempts = [attempt.spoken for attempt in prefix.attempts if attempt.steps]
        ids = encode(tokenizer, self.prompt, prefix.question.prompt, attempts)
        for step in prefix.steps:
            ids += list(step.tokens) if step.tokens or not step.text else piece_ids(tokenizer, step.text)
        return tuple(ids)
