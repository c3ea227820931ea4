"""A stand-in for ``vllm.LLM``: the calls that ttscale makes of it, with a model of two lines in the place of weights.

The model continues text by ``write(text, seed)``, a token a character; it draws one chunk a step for each request that
is running, so that draws overlap as they do in vLLM. A real tokenizer is not needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fake_openai import toy_line

EOS = 2


class Letters:
    """A tokenizer of single characters."""

    bos_token, eos_token = "", ""
    chat_template = None
    all_special_tokens = ("<eos>", "<mark>")
    bos_token_id = None

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) + 10 for letter in text]}

    def decode(self, ids: Any, **_: Any) -> str:
        return "".join(chr(i - 10) for i in ids if i != EOS)

    def convert_tokens_to_ids(self, token: str) -> int:
        return EOS

    def convert_ids_to_tokens(self, token: int) -> str:
        return chr(token - 10)


class FakeLLM:
    """Has ``llm_engine`` and ``get_tokenizer`` as vLLM's ``LLM``."""

    def __init__(
        self, write: Callable[[str, int], str | None] = toy_line, length: int = 4096, rows: Any = None
    ) -> None:
        self.write, self.rows = write, rows
        self.llm_engine = self
        self.model_config = SimpleNamespace(model="fake", max_model_len=length)
        self.running: dict[str, tuple[list[int], Any, list[int], bool]] = {}
        self.seen: list[tuple[list[int], Any]] = []
        self.aborted: list[str] = []
        self.busiest = 0
        self._tokenizer = Letters()

    def get_tokenizer(self) -> Letters:
        return self._tokenizer

    def add_request(self, name: str, prompt: dict[str, list[int]], params: Any) -> None:
        ids = prompt["prompt_token_ids"]
        self.running[name] = (ids, params, [], False)
        self.seen.append((ids, params))

    def abort_request(self, names: list[str]) -> None:
        for name in names:
            self.running.pop(name)
            self.aborted.append(name)

    def step(self) -> list[Any]:
        self.busiest = max(self.busiest, len(self.running))
        ended = []
        for name, (ids, params, new, _) in list(self.running.items()):
            output = self._pool(ids) if self.rows is not None else self._go_on(ids, params, new)
            finished = output["outputs"][0].finish_reason is not None if self.rows is None else True
            if finished:
                del self.running[name]
            ended.append(
                SimpleNamespace(
                    request_id=name, finished=finished, prompt_token_ids=ids, num_cached_tokens=len(ids) // 2, **output
                )
            )
        return ended

    @staticmethod
    def _shown(token: int, others: int) -> dict[int, Any]:
        """The drawn token, and so many likelier ones, the less likely the later in the alphabet the letter stands."""
        likely = {-1 - i: SimpleNamespace(logprob=-token / 10 - i) for i in range(others)}
        return {token: SimpleNamespace(logprob=-0.25 if not others else -1e3)} | likely

    def _pool(self, ids: list[int]) -> dict[str, Any]:
        return {"outputs": SimpleNamespace(data=SimpleNamespace(tolist=lambda: self.rows(ids)))}

    def _go_on(self, ids: list[int], params: Any, new: list[int]) -> dict[str, Any]:
        solution = self._tokenizer.decode(ids + new).rpartition("<assistant>")[2]
        line = self.write(solution, 0 if params.temperature == 0 else params.seed)
        new += [EOS] if line is None else self._tokenizer(line)["input_ids"]
        said = self._tokenizer.decode(new)
        hits = [(said.index(stop) + len(stop), stop) for stop in params.stop or () if stop in said]
        finish, reason = ("stop", None) if line is None else (None, None)
        if hits and min(hits)[0] <= params.max_tokens:
            end, reason = min(hits)
            del new[end:]
            finish = "stop"
        elif len(new) >= params.max_tokens + (line is None and len(new) == params.max_tokens):
            del new[params.max_tokens :]
            finish, reason = "length", None
        logprobs = [self._shown(token, params.logprobs) for token in new]
        one = SimpleNamespace(token_ids=list(new), logprobs=logprobs, finish_reason=finish, stop_reason=reason)
        return {"outputs": [one]}


@pytest.fixture(autouse=True)
def fake_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """``import vllm`` gives the two classes of settings."""
    module = ModuleType("vllm")
    module.SamplingParams = module.PoolingParams = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
