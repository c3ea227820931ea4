"""What generator and reviser share: requests to draws, finished rows to completions, and the session in between.

Knows: requests and replies, prompts, settings. Must not know: KV, batching (``decode.py`` does), strategies.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakSet

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.core.keywords import helpful_keywords
from ttscale.core.requests import Completion, Revise, Sample, check_temperature, where
from ttscale.core.types import Step
from ttscale.hf.decode import Decoder, Draw, Row
from ttscale.hf.known_logprobs import note
from ttscale.hf.model import HFModel
from ttscale.hf.sampling_settings import FROM_CHECKPOINT, Given, SamplingSettings, settings_of
from ttscale.prompts.drawn_steps import drawn_steps
from ttscale.prompts.steps import FullContext, context_ids, opened
from ttscale.prompts.tokenize import PromptFormat

logger = logging.getLogger("ttscale")


class Sampler:
    """Contexts to draws, rows to completions, for one model and one role's settings."""

    def __init__(self, model: HFModel, settings: SamplingSettings) -> None:
        self.model = model
        self.settings = settings
        self.ended = 0
        """Solutions that ended, one way or the other."""
        self.cut = 0
        """Those of them that a limit on their length ended."""
        self._said = False
        self.sessions: WeakSet[SamplerSession] = WeakSet()

    def draw(self, request: Sample | Revise) -> Draw:
        """The draw that answers this request; ``RoleError`` where the context is too long."""
        settings = self.settings
        prompt, context = context_ids(self.model.tokenizer, settings.prompt, request, self._longest)
        max_steps = temperature = window = below = None
        begins = True
        if isinstance(request, Sample):
            max_steps, temperature, begins = request.max_steps, request.temperature, not request.prefix.steps
            window, below = request.window, request.stop_below
        if temperature is None:
            temperature = settings.temperature
        check_temperature(temperature)
        most = self._most(len(context))
        most = min(most, request.max_tokens or most)
        opening = settings.text.opens_thought(context[:prompt]) if begins else ""
        seed = request.key.seed
        return Draw(context, prompt, seed, temperature, max_steps, most, where(request), opening, window, below)

    @property
    def _longest(self) -> int:
        """Tokens of a prompt and its solution together."""
        return min(self.model.context_length, self.settings.max_length or self.model.context_length)

    def _most(self, context: int) -> int:
        """Tokens that a draw may take after so many of context, by the model and the role's settings."""
        return min(self.settings.max_new_tokens, self._longest - context)

    def completion(self, row: Row) -> Completion:
        """The reply a finished row stands for."""
        assert row.finish is not None
        forwarded = self.model.flops(row.forwarded, len(row.draw.context), row.forwarded)
        cost = Cost(
            sampled_tokens=row.sampled,
            prompt_tokens=row.ran,
            cached_tokens=row.cached or 0,
            flops=row.ran_flops + forwarded,
            seconds=row.seconds,
        )
        steps = drawn_steps(self.settings.text, row.draw.context, row, row.ends, row.cut, row.draw.window)
        self._note(row, steps)
        if row.finish != "open":
            self.ended += 1
            self.cut += row.finish == "length" and row.sampled >= self._most(len(row.draw.context))
        return Completion(opened(steps, row.draw.opening, self.settings.prompt), row.finish, cost)

    def warn_if_mostly_cut(self) -> None:
        """Say once that most solutions were cut off: they have no answer, and the limit is the likely reason."""
        if self._said or 2 * self.cut <= self.ended:
            return
        self._said = True
        logger.warning(
            "%s: %d of %d solutions were cut off before they ended, and a solution cut off has no answer. They may be "
            "max_new_tokens=%d tokens long (the model reads %d); pass a larger max_new_tokens, or ask for shorter "
            "solutions",
            self.model.name,
            self.cut,
            self.ended,
            self.settings.max_new_tokens,
            self.model.context_length,
        )

    def _note(self, row: Row, steps: Sequence[Step]) -> None:
        """Note the steps' log-probabilities, so that a verifier which reads this model need not run them."""
        if not steps or row.cut is not None:
            return
        ids, spans, sums = list(row.draw.context), [], []
        for step in steps:
            spans.append((len(ids), len(ids) + len(step.tokens)))
            sums.append(step.logprob or 0.0)
            ids += step.tokens
        if row.eos is not None:
            ids.append(row.eos[0])
            spans[-1] = (spans[-1][0], len(ids))
            sums[-1] += row.eos[1]
        note(self.model, ids, spans, sums)


class SamplerSession:
    """Continuous batching for a role: see ``ttscale.core.protocols.Session``."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        settings = sampler.settings
        self._decoder = Decoder(sampler.model, settings.text, settings.filters, settings.processing)
        self._failed: list[tuple[int, Completion | Exception]] = []
        sampler.sessions.add(self)

    @property
    def live(self) -> int:
        """Tokens sampled by draws that have not been answered."""
        return self._decoder.live

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
            except FullContext:
                self._failed.append((ticket, Completion((), "length")))
            except (RoleError, ValueError) as error:
                self._failed.append((ticket, error))
        self._decoder.admit(rows)

    def bound(self, ticket: int, tokens: int, /) -> None:
        """Stop the draw of this ticket once it has sampled more than ``tokens``: see ``BoundedSession``."""
        self._decoder.bound(ticket, tokens)

    def step(self) -> Sequence[tuple[int, Completion | Exception]]:
        """One pass of the decode loop; returns what was finished in it."""
        done, self._failed = self._failed, []
        if self._decoder.active:
            done += [(row.ticket, row.error or self._sampler.completion(row)) for row in self._decoder.step()]
        if done and not self.active:
            self._sampler.warn_if_mostly_cut()
        return done

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values held now: the model's prefix tree and the running rows."""
        return self._decoder.kv_bytes

    def close(self) -> None:
        """Give up whatever is still running and let go of its memory."""
        if hasattr(self, "_decoder"):  # there is none where opening failed
            self._decoder.close()

    def __del__(self, exiting: Callable[[], bool] = sys.is_finalizing) -> None:
        if not exiting():
            self.close()


_OF_MODEL = "it is a setting of the model: HFModel(name, {0}=...)"
INSTEAD = {
    **dict.fromkeys(("max_tokens", "max_length"), "the limit on a solution is max_new_tokens"),
    **dict.fromkeys(("device", "dtype", "trust_remote_code", "max_batch", "tokenizer"), _OF_MODEL),
    "torch_dtype": "it is a setting of the model: HFModel(name, dtype=...)",
    "device_map": "it is a setting of the model: HFModel(name, device=...)",
    "do_sample": "temperature=0 is greedy, any other temperature draws",
    **dict.fromkeys(("num_return_sequences", "n"), "the number of solutions is solve(..., budget=...)"),
    "seed": "the seed is one of the call: solve(..., seed=...)",
    **dict.fromkeys(("stop", "stop_strings"), "stop strings stand in the prompt: prompt=PromptFormat(stop=('...',))"),
    **dict.fromkeys(("system", "system_prompt"), "it stands in the prompt: prompt=PromptFormat(system=...)"),
}
"""Settings of other libraries, and where they are here."""


class HFWriter:
    """The base of ``HFGenerator``, which explains the settings, and of ``HFReviser``."""

    @helpful_keywords(INSTEAD)
    def __init__(
        self,
        model: HFModel | str,
        *,
        delimiter: str | None = FROM_CHECKPOINT,
        temperature: float | None = None,
        top_k: int | None = FROM_CHECKPOINT,
        top_p: float | None = FROM_CHECKPOINT,
        min_p: float | None = FROM_CHECKPOINT,
        max_new_tokens: int | None = None,
        prompt: PromptFormat | None = None,
        generation_config: Any = FROM_CHECKPOINT,
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model if isinstance(model, HFModel) else HFModel(model)
        given = Given(
            *(delimiter, temperature, top_k, top_p, min_p, max_new_tokens, prompt, generation_config),
            chat_template_kwargs=chat_template_kwargs,
        )
        settings, self.sampling = settings_of(self.model, given)
        self._sampler = Sampler(self.model, settings)
        self.name = self.model.name
        self.worker = self.model.worker
        self.weights = (self.model.name,)

    def session(self) -> SamplerSession:
        """Continuous batching: requests enter and completions leave at any time."""
        return SamplerSession(self._sampler)

    def live(self) -> int:
        """Tokens sampled so far by draws that have not been answered."""
        return sum(session.live for session in list(self._sampler.sessions))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
