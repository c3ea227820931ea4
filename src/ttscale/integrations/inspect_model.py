"""A search of ours as a model of inspect_ai's, for any task: ``eval(task, model=model(Searcher(generator, ...)))``."""

from __future__ import annotations

from typing import Any

from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, get_model, modelapi

from ttscale.integrations.searcher import Searcher, about, best_text, tokens_of

HARMLESS = ("max_retries", "timeout", "attempt_timeout", "max_connections", "adaptive_connections", "cache")
"""Settings of inspect's that are about asking, not about what is written."""


@modelapi(name="ttscale")
class SearchAPI(ModelAPI):
    """A search as inspect's model."""

    def __init__(
        self, model_name: str, base_url: Any = None, api_key: Any = None, config: Any = None, *, searcher: Searcher
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self._searcher = searcher

    async def generate(self, input: list[Any], tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        """Answer the last message of the chat."""
        if tools:
            raise ValueError("a search in this process calls no tools; put `ttscale serve` before your server")
        asked = config.model_dump(exclude_none=True, exclude=set(HARMLESS))
        settings = dict(asked.pop("extra_body", None) or {})
        result = await self._searcher.set(asked | settings).aask([{"role": m.role, "content": m.text} for m in input])
        text, finished = best_text(result)
        output = ModelOutput.from_content("ttscale/search", text, "stop" if finished else "max_tokens")
        read, drawn = tokens_of(result)
        output.usage = ModelUsage(input_tokens=read, output_tokens=drawn, total_tokens=read + drawn)
        output.metadata = {"ttscale": about(result)}
        return output


def model(searcher: Searcher) -> Model:
    """A search as a model for ``eval(task, model=...)``."""
    return get_model("ttscale/search", memoize=False, searcher=searcher)
