"""A DSPy module that runs another one N times at once and lets a strategy choose among its predictions.

It knows DSPy's modules and predictions. Each run has a rollout id of its own, the seed of its key; DSPy's cache and the
language model's settings stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dspy

from ttscale.api.solve import solve
from ttscale.core.cost import Cost
from ttscale.core.requests import Completion, Sample
from ttscale.core.types import Question, Step
from ttscale.integrations.searcher import about
from ttscale.verifiers.function import FunctionVerifier

Reward = Callable[[dict[str, Any], Any], float]


class Scaled(dspy.Module):
    """``Scaled(dspy.ChainOfThought("question -> answer"), budget=8)(question=...)``.

    ``field`` is the output that votes (None: the last of the signature). ``reward(inputs, prediction)`` in [0, 1] is
    the verifier, where there is one; it is then weighed by ``strategy`` (default: ``weighted_best_of_n``, without a
    reward ``majority_vote``). Strategies that sample whole solutions work. The prediction has ``ttscale``, which tells
    of the search.
    """

    def __init__(
        self,
        module: Any,
        budget: int = 8,
        *,
        field: str | None = None,
        reward: Reward | None = None,
        strategy: Any = None,
        seed: int = 0,
        threads: int = 8,
    ) -> None:
        super().__init__()
        self.module = module
        self._search = (budget, field, reward, strategy or ("weighted_best_of_n" if reward else "majority_vote"), seed)
        self._threads = threads

    def forward(self, **inputs: Any) -> Any:
        """The prediction that wins."""
        budget, field, reward, strategy, seed = self._search
        runs = _Runs(self.module, inputs, field, self._threads)
        verifier = FunctionVerifier(lambda one: reward(inputs, runs.made[one.text])) if reward else None
        question = Question.of(repr(sorted(inputs.items())))
        result = solve(question, budget, generator=runs, verifier=verifier, strategy=strategy, seed=seed)
        prediction = runs.made[result.text]
        prediction.ttscale = about(result)
        return prediction


class _Runs:
    """The module as a generator: a draw is a run, and its text is the field that votes, marked as the answer."""

    continues = False

    def __init__(self, module: Any, inputs: dict[str, Any], field: str | None, threads: int) -> None:
        self._module, self._inputs, self._field, self._threads = module, inputs, field, threads
        self.made: dict[str, Any] = {}
        """The first prediction with each text."""

    def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Run the module once for each request, all at once."""
        lm = self._module.get_lm() or dspy.settings.lm
        pairs = []
        for request in requests:
            module = self._module.deepcopy()
            module.set_lm(lm.copy(rollout_id=request.key.seed, temperature=lm.kwargs.get("temperature") or 1.0))
            pairs.append((module, self._inputs))
        run = dspy.Parallel(num_threads=self._threads, disable_progress_bar=True, max_errors=1, timeout=0)
        return [self._completion(prediction) for prediction in run(pairs)]

    def _completion(self, prediction: Any) -> Completion:
        field = self._field or list(prediction.keys())[-1]
        text = f"Answer: {prediction[field]}"
        self.made.setdefault(text, prediction)
        usage = (prediction.get_lm_usage() or {}).values()  # nothing unless dspy.configure(track_usage=True)
        drawn, read = (sum(one.get(f"{what}_tokens") or 0 for one in usage) for what in ("completion", "prompt"))
        return Completion((Step(text),), "stop", Cost(sampled_tokens=drawn, prompt_tokens=read))
