"""A model for EleutherAI's lm-evaluation-harness: ``generate_until`` tasks are answered by a search.

It knows the harness's requests. Log-likelihoods are refused: the harness asks them of a model, and a search has none.
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from ttscale.api.solve import solve_all
from ttscale.core.errors import RoleError
from ttscale.core.types import Question
from ttscale.integrations.searcher import best_text

IGNORED = frozenset({"do_sample", "temperature"})
"""A task asks for greedy text, which a search has no use for: how it samples is the generator's."""


@register_model("ttscale")
class TtscaleLM(LM):
    """``lm_eval --model ttscale --model_args generator=ID,budget=16,strategy=majority_vote``, or made with objects.

    Arguments: see ``ttscale.solve``. The context goes to the generator as the question, few-shot examples and all, so
    for a base model give it ``PromptFormat(chat=False, template="{question}")``. All requests are searched together.
    ``results`` holds the searches of the last task.
    """

    def __init__(
        self,
        generator: Any = None,
        verifier: Any = None,
        strategy: Any = None,
        budget: int = 16,
        seed: int = 0,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self._roles = {"generator": generator, "verifier": verifier, "strategy": strategy}
        self._budget, self._seed = int(budget), int(seed)
        self._warned = False
        self.results: list[Any] = []

    @property
    def tokenizer_name(self) -> str:
        """What the harness names its cache by."""
        return f"ttscale-{self._budget}"

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The text that each search chose, cut at the task's stop strings."""
        for request in requests:
            unknown = request.args[1].keys() - IGNORED - {"until", "max_gen_toks"}
            if unknown:
                raise ValueError(f"{sorted(unknown)[0]!r} is set where the generator is made, not by a task")
        if not self._warned and any("max_gen_toks" in request.args[1] for request in requests):
            self._warned = True
            warnings.warn(
                "the task sets max_gen_toks, which a search cannot take from a task: how long a draw may be is the "
                "generator's max_new_tokens; make it with the task's number to compare with other models",
                RuntimeWarning,
                stacklevel=2,
            )
        questions = _questions(requests)
        self.results = solve_all(questions, self._budget, **self._roles, seed=self._seed, progress=not disable_tqdm)
        for result in self.results:
            if result.error is not None:
                raise RoleError(f"a question of the task failed: {result.error}") from result.error
        texts = [_cut(best_text(r)[0], q.args[1].get("until")) for r, q in zip(self.results, requests, strict=True)]
        for request, text in zip(requests, texts, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts

    def loglikelihood(self, requests: list[Any]) -> list[Any]:
        """Refused."""
        raise NotImplementedError("a search has no log-likelihoods; run tasks whose output_type is generate_until")

    def loglikelihood_rolling(self, requests: list[Any]) -> list[Any]:
        """Refused."""
        return self.loglikelihood(requests)


def _questions(requests: list[Any]) -> list[Question]:
    """A question for each request. A repeat is the very same request once more, and another draw: its id says so."""
    seen: Counter[int] = Counter()
    questions = []
    for request in requests:
        number, text = seen[id(request)], request.args[0]
        seen[id(request)] += 1
        again = f"-{number}" if number else ""
        questions.append(Question(f"{Question.of(text).id}-{request.repeats}-{request.idx}{again}", text))
    return questions


def _cut(text: str, until: Any) -> str:
    """The text before the first of the stop strings."""
    for stop in [until] if isinstance(until, str) else until or ():
        if stop:
            text = text.split(stop)[0]
    return text
