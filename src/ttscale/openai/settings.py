"""What a role over servers was told: model, prompt, sampling; and the fields of a request that say so. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttscale.openai.connection import Connection
from ttscale.openai.draws import Task
from ttscale.openai.server_kinds import Server
from ttscale.prompts.layouts import Messages, PromptFormat, chat_turns, stop_strings


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """See ``OpenAIGenerator`` for what each means."""

    model: str
    connection: Connection
    prompt: PromptFormat
    delimiter: str | None
    chat: bool
    template: Callable[[Messages], str] | None
    temperature: float | None
    top_p: float | None
    max_new_tokens: int | None
    logprobs: bool
    server_defaults: bool
    template_kwargs: Mapping[str, object]
    extra: Mapping[str, object]
    lay_out: Callable[[Messages], Messages] | None = None

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings that end a solution, which few-shot examples show where none are given."""
        return stop_strings(self.prompt, self.chat or self.template is not None)

    def turns(self, task: Task) -> Messages:
        """The chat that asks the task's question."""
        turns = chat_turns(self.prompt, task.question, task.attempts)
        return turns if self.lay_out is None else self.lay_out(turns)

    def temperature_of(self, task: Task) -> float | None:
        """The request's own, else the role's."""
        return self.temperature if task.temperature is None else task.temperature

    def fields(
        self, server: Server, task: Task, seed: int, stop: Sequence[str], most: int | None, limit: str = "max_tokens"
    ) -> dict[str, object]:
        """Everything in a request but the prompt. What is neither given nor neutral is left to the server."""
        body: dict[str, object] = {"model": self.model}
        if not self.server_defaults:
            body |= dict(server.neutral)
        given = {
            limit: most,
            "temperature": self.temperature_of(task),
            "top_p": self.top_p,
            "stop": list(stop) or None,
            "seed": seed if server.seed_bits else None,
        }
        return body | {name: value for name, value in given.items() if value is not None}


def load_template(name: str) -> Callable[[Messages], str]:
    """The chat template of a Hugging Face tokenizer, without what the tokenizer puts before every text by itself.

    Servers put it there again. A BOS token that only the template writes stays (SmolLM2's is ``<|im_start|>``).
    """
    from transformers import AutoTokenizer

    from ttscale.prompts.tokenize import leading_ids

    tokenizer: Any = AutoTokenizer.from_pretrained(name)
    if not tokenizer.chat_template:
        raise ValueError(f"the tokenizer {name!r} has no chat template; leave template=None for a plain prompt")
    lead = tokenizer.decode(leading_ids(tokenizer))

    def render(messages: Messages) -> str:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text.removeprefix(lead)

    return render
