"""The generator: questions and steps in, sampled steps out, on a shared ``HFModel``.

Knows: requests and replies, prompts, settings. Must not know: KV, batching (``decode.py`` does), strategies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ttscale._cost import Cost
from ttscale._errors import RoleError
from ttscale._requests import Completion, Revise, Sample
from ttscale._types import Candidate, Finish, Step
from ttscale.hf.decode import Decoder, Draw, Row
from ttscale.hf.model import HFModel
from ttscale.hf.prompts import PromptFormat, encode
from ttscale.hf.sampling import Filters
from ttscale.hf.steps import StepText

MAX_NEW_TOKENS = 2048
UNSET: Any = object()


class Settings:
    """Sampling and prompt settings of a role: given by keyword, else by the checkpoint's JSON, else the default."""

    def __init__(
        self,
        model: HFModel,
        delimiter: Any,
        temperature: float | None,
        top_k: Any,
        top_p: Any,
        min_p: Any,
        max_new_tokens: int | None,
        prompt: PromptFormat | None,
    ) -> None:
        own = model.settings
        self.delimiter: str | None = own.get("delimiter", "\n") if delimiter is UNSET else delimiter
        self.temperature = float(own.get("temperature", 1.0) if temperature is None else temperature)
        check_temperature(self.temperature)
        self.filters = Filters(
            own.get("top_k") if top_k is UNSET else top_k,
            own.get("top_p") if top_p is UNSET else top_p,
            own.get("min_p") if min_p is UNSET else min_p,
        )
        self.max_new_tokens = int(
            own.get("max_new_tokens", MAX_NEW_TOKENS) if max_new_tokens is None else max_new_tokens
        )
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be positive; got {self.max_new_tokens}")
        self.prompt = PromptFormat.from_json(own.get("prompt", {})) if prompt is None else prompt
        self.text = StepText(model.tokenizer, self.delimiter)


def check_temperature(value: float) -> None:
    """Raise ``ValueError`` unless this is a temperature: finite and not negative."""
    if not 0 <= value < float("inf"):
        raise ValueError(f"temperature must be a finite number >= 0; got {value!r}")


class Sampler:
    """What generator and reviser share: contexts to draws, rows to completions."""

    def __init__(self, model: HFModel, settings: Settings) -> None:
        self.model = model
        self.settings = settings

    def draw(self, request: Sample | Revise) -> Draw:
        """The draw that answers this request; ``RoleError`` where the context is too long."""
        settings = self.settings
        if isinstance(request, Sample):
            context = self.prefix(request.prefix)
            max_steps, temperature = request.max_steps, request.temperature
        else:
            attempts = [attempt.text for attempt in request.attempts if attempt.steps]
            context = tuple(encode(self.model.tokenizer, settings.prompt, request.question.prompt, attempts))
            max_steps, temperature = None, None
        limit = self.model.context_length
        room = limit - len(context)
        if room < 1 or not context:
            what = f"is {len(context)} tokens long, the model reads at most {limit}" if context else "is empty"
            raise RoleError(
                f"the context of question {request.question.id} (key {request.key}) {what}; "
                "use a shorter question or prompt, or a model with a longer context"
            )
        if temperature is None:
            temperature = settings.temperature
        check_temperature(temperature)
        return Draw(context, request.key.seed, temperature, max_steps, min(settings.max_new_tokens, room))

    def prefix(self, prefix: Candidate) -> tuple[int, ...]:
        """The question's prompt, then the tokens of each step as sampled; text that has none is tokenised."""
        tokenizer, attempts = self.model.tokenizer, [attempt.text for attempt in prefix.attempts if attempt.steps]
        ids = encode(tokenizer, self.settings.prompt, prefix.question.prompt, attempts)
        for step in prefix.steps:
            if step.tokens or not step.text:
                ids += step.tokens
            else:
                ids += tokenizer(step.text, add_special_tokens=False)["input_ids"]
        return tuple(ids)

    def completion(self, row: Row) -> Completion:
        """The reply a finished row stands for."""
        finish: Finish = row.finish or "length"
        ends = list(row.ends)
        if (ends[-1] if ends else 0) < len(row.tokens):
            ends.append(len(row.tokens))
        steps, begin = [], 0
        for end in ends:
            before = [*row.draw.context[-8:], *row.tokens[:begin]]
            steps.append(
                Step(
                    self.settings.text.text(before, row.tokens[begin:end]),
                    tuple(row.tokens[begin:end]),
                    sum(row.logprobs[begin:end]),
                    sum(row.certainties[begin:end]) / (end - begin),
                )
            )
            begin = end
        cost = Cost(
            sampled_tokens=row.sampled,
            prompt_tokens=row.prefilled,
            cached_tokens=row.cached,
            flops=row.flops,
            seconds=row.seconds,
        )
        return Completion(tuple(steps), finish, cost)


class SamplerSession:
    """Continuous batching for a role: see ``ttscale._roles.Session``."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._decoder = Decoder(sampler.model, sampler.settings.text, sampler.settings.filters)
        self._failed: list[tuple[int, Completion | Exception]] = []

    @property
    def active(self) -> bool:
        """Whether any admitted request has not been answered yet."""
        return bool(self._failed) or self._decoder.active

    def admit(self, requests: Sequence[tuple[int, Any]]) -> None:
        """Take in (ticket, request) pairs; one that cannot be served is answered with its exception."""
        rows = []
        for ticket, request in requests:
            try:
                rows.append(Row(ticket, self._sampler.draw(request)))
            except (RoleError, ValueError) as error:
                self._failed.append((ticket, error))
        self._decoder.admit(rows)

    def step(self) -> Sequence[tuple[int, Completion | Exception]]:
        """One pass of the decode loop; returns what was finished in it."""
        done, self._failed = self._failed, []
        if self._decoder.active:
            done += [(row.ticket, self._sampler.completion(row)) for row in self._decoder.step()]
        return done


def run_all(session: SamplerSession, requests: Sequence[Any]) -> list[Completion]:
    """Answer a batch through a session; the first request that cannot be served raises."""
    session.admit(list(enumerate(requests)))
    replies: dict[int, Completion | Exception] = {}
    while session.active:
        replies.update(session.step())
    completions = []
    for index in range(len(requests)):
        reply = replies[index]
        if isinstance(reply, Exception):
            raise reply
        completions.append(reply)
    return completions


class HFGenerator:
    """Samples continuations from a causal LM.

    ``delimiter`` ends a step (None: the whole solution is one step); ``temperature`` 0 is greedy; ``prompt`` lays the
    question out. What is left out comes from the checkpoint's ``ttscale.json``, else from the defaults there.
    """

    def __init__(
        self,
        model: HFModel | str,
        *,
        delimiter: str | None = UNSET,
        temperature: float | None = None,
        top_k: int | None = UNSET,
        top_p: float | None = UNSET,
        min_p: float | None = UNSET,
        max_new_tokens: int | None = None,
        prompt: PromptFormat | None = None,
    ) -> None:
        self.model = model if isinstance(model, HFModel) else HFModel(model)
        settings = Settings(self.model, delimiter, temperature, top_k, top_p, min_p, max_new_tokens, prompt)
        self._sampler = Sampler(self.model, settings)
        self.name = self.model.name
        self.worker = self.model.worker

    def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Continue each prefix; raises for the first request that cannot be served."""
        return run_all(self.session(), requests)

    def session(self) -> SamplerSession:
        """Continuous batching: requests enter and completions leave at any time."""
        return SamplerSession(self._sampler)

    def __repr__(self) -> str:
        return f"HFGenerator({self.name!r})"
