"""A solver for inspect_ai that scales the model under evaluation. It knows inspect's models and task states.

The task's own model is asked, so that inspect logs every call and counts every token. (``inspect_model`` is the other
way round: a search of ours as inspect's model.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from ttscale.api.solve import asolve
from ttscale.core.cost import Cost
from ttscale.core.requests import Completion, Sample
from ttscale.core.types import Question, Step
from ttscale.integrations.searcher import about, best_text
from ttscale.openai.tasks import together

STOPPED = {"stop": "stop", "max_tokens": "length", "model_length": "length"}
"""Ways for inspect's models to stop, as we call them; others (tool calls, filters) are no solutions."""


@solver
def scaled(budget: int = 16, strategy: Any = None, verifier: Any = None, seed: int = 0) -> Solver:
    """Draw ``budget`` solutions from the task's model and let ``strategy`` choose: a solver in place of ``generate()``.

    Strategies that sample whole solutions work. The search is told of in the state's metadata under "ttscale".
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        drawn = InspectGenerator(get_model(), state.messages)
        question = Question(f"{state.sample_id}", state.user_prompt.text)
        result = await asolve(
            question, budget, generator=drawn, verifier=verifier, strategy=strategy, seed=seed + state.epoch - 1
        )
        state.output = drawn.outputs.get(best_text(result)[0], ModelOutput(model=str(get_model())))
        state.messages.append(state.output.message)
        state.metadata["ttscale"] = about(result)
        return state

    return solve


class InspectGenerator:
    """A model of inspect's as a generator; ``messages`` is what it is asked."""

    continues = False

    def __init__(self, model: Model, messages: Sequence[ChatMessage]) -> None:
        self._model, self._messages, self.name = model, list(messages), str(model)
        self.outputs: dict[str, ModelOutput] = {}
        """The first output with each text."""

    async def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """One whole reply for each request, within inspect's own limit on connections."""
        return await together([self._draw(request) for request in requests])

    async def _draw(self, request: Sample) -> Completion:
        output = await self._model.generate(self._messages, config=GenerateConfig(seed=request.key.seed >> 32))
        self.outputs.setdefault(output.completion, output)
        usage = output.usage or ModelUsage()
        cost = Cost(sampled_tokens=usage.output_tokens, prompt_tokens=usage.input_tokens)
        finish: Any = STOPPED.get(output.stop_reason, "length")
        return Completion((Step(output.completion),) if output.completion else (), finish, cost)
