"""The reviser: earlier attempts in, a new whole solution out, on a shared ``HFModel``.

Knows: which settings there are. The context is laid out by ``prompts.encode``, which training uses too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ttscale.core.protocols import run_all
from ttscale.core.requests import Completion, Revise
from ttscale.hf.model import HFModel
from ttscale.hf.sampler import Sampler, SamplerSession
from ttscale.hf.sampling_settings import UNSET, Given, settings_of
from ttscale.prompts.tokenize import PromptFormat


class HFReviser:
    """Writes new attempts after earlier ones; its settings are those of ``HFGenerator``.

    A root candidate (no steps) among the attempts stands for "no attempt yet" and is left out of the context.
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
        generation_config: Any = UNSET,
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

    def revise(self, requests: Sequence[Revise], /) -> list[Completion]:
        """A new attempt for each request; raises for the first one that cannot be served."""
        return run_all(self.session(), requests)

    def session(self) -> SamplerSession:
        """Continuous batching: requests enter and completions leave at any time."""
        return SamplerSession(self._sampler)

    def live(self) -> int:
        """Tokens sampled so far by draws that have not been answered."""
        return self._sampler.live()

    def __repr__(self) -> str:
        return f"HFReviser({self.name!r})"
