"""Generator and reviser on vLLM in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import EllipsisType
from typing import Any

from ttscale.core.protocols import run_all
from ttscale.core.requests import Completion, Revise, Sample
from ttscale.prompts.layouts import PromptFormat, family_of
from ttscale.vllm.draws import VLLMSession
from ttscale.vllm.engine import VLLMEngine
from ttscale.vllm.settings import MAX_NEW_TOKENS, VLLMSettings


class _Role:
    """What generator and reviser share. ``VLLMGenerator`` explains the arguments."""

    def __init__(
        self,
        model: Any,
        *,
        prompt: PromptFormat | None = None,
        delimiter: str | EllipsisType | None = ...,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = -1,
        min_p: float = 0.0,
        max_new_tokens: int = MAX_NEW_TOKENS,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.engine: VLLMEngine = model.engine if isinstance(model, _Role) else VLLMEngine(model, options or {})
        family = family_of(self.engine.name)
        mark = family.delimiter if isinstance(delimiter, EllipsisType) else delimiter
        form = family.prompt if prompt is None else prompt
        self.settings = VLLMSettings(form, mark, temperature, top_p, top_k, min_p, max_new_tokens)
        self.name = self.engine.name
        self.worker = ("vllm", id(self.engine.llm))
        usual = VLLMSettings(family.prompt, family.delimiter)
        given = {field.name: getattr(self.settings, field.name) for field in fields(usual)}
        self.sampling = {name: value for name, value in given.items() if value != getattr(usual, name)}
        """Settings that are not the usual ones: part of what stored results call this role."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def live(self) -> int:
        """Tokens sampled so far by draws that have not been answered."""
        return sum(len(output.outputs[0].token_ids) for output in list(self.engine.so_far.values()))

    def session(self) -> VLLMSession:
        """Continuous batching: requests enter and completions leave at any time; closing it aborts the rest."""
        return VLLMSession(self.engine, self.settings)


class VLLMGenerator(_Role):
    """Samples continuations on vLLM in this process, from the very tokens that were drawn.

    ``model``: a ``vllm.LLM``, another role on vLLM, whose engine is shared, or a model's name or folder, from which an
    LLM is made with ``options`` (``{"dtype": "bfloat16", "max_model_len": 4096}``). ``prompt`` and ``delimiter``
    default to the model family's; a delimiter of None makes the whole solution one step. ``temperature`` 0 is greedy;
    ``top_p``, ``top_k`` and ``min_p`` leave everything in unless they are given. ``max_new_tokens`` limits one request.

    Seeds come from keys: in fp32 a draw is the same in any batch. vLLM keeps the keys and values of prefixes, so that
    the draws of one prompt and the steps of a search do not compute it again; ``Cost.cached_tokens`` counts them.
    """

    def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Continue each prefix; raises for the first request that cannot be served."""
        return run_all(self.session(), requests)


class VLLMReviser(_Role):
    """Writes new attempts after earlier ones, which the prompt lays out. Arguments: see ``VLLMGenerator``."""

    def revise(self, requests: Sequence[Revise], /) -> list[Completion]:
        """A new attempt for each request; raises for the first that cannot be served."""
        return run_all(self.session(), requests)
