"""Generator and reviser over any OpenAI-compatible server: the two ways to ask a ``Writer``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ttscale.core.cost import Cost
from ttscale.core.requests import Completion, Revise, Sample
from ttscale.openai.connection import Rejected
from ttscale.openai.reply import read_first_token
from ttscale.openai.writer import Task, Writer, together

CHAT_ALTERNATIVES = 20
TEXT_ALTERNATIVES = 5
"""The most alternatives to a token that OpenAI lets one ask for, in chats and in completions."""


class OpenAIGenerator(Writer):
    """Samples continuations from a model behind a server. Arguments: see ``Writer``."""

    async def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Continue each prefix, all at once within the connection's limit; raises for the first that fails."""
        return await together([self._write(_task(request), request.max_steps) for request in requests])

    async def choose(
        self, requests: Sequence[Sample], options: Sequence[str], /
    ) -> list[tuple[tuple[float, ...], Cost]] | None:
        """For each request, how likely the reply is to begin with each of ``options``; they sum to at most 1.

        None where the server returns no log-probabilities, or rejects a request for them. An option is matched by its
        first token, in any case and with or without a space before it.
        """
        server = await self._server()
        if not server.logprobs:
            return None
        try:
            tables = await together([self._first_token(request) for request in requests])
        except Rejected:  # whatever else may be wrong, a plain request will say it too
            return None
        if any(not table for table, _ in tables):
            return None
        wanted = [option.casefold() for option in options]
        return [
            (tuple(sum(p for token, p in table.items() if token.strip().casefold() == option) for option in wanted), c)
            for table, c in tables
        ]

    async def _first_token(self, request: Sample) -> tuple[dict[str, float], Cost]:
        server, task = await self._server(), _task(request)
        body = self._body(server, task, task.next_seed(), []) | {self._limit(server): 1, "temperature": 1.0}
        if self._chat:
            body |= {"logprobs": True, "top_logprobs": CHAT_ALTERNATIVES}
        else:
            body |= {"logprobs": TEXT_ALTERNATIVES}
        path = "/chat/completions" if self._chat else "/completions"

        def read(data: Any) -> tuple[dict[str, float], Cost]:
            return read_first_token(data, self._chat)

        return await self.connection.post(path, body, read, where=task.where, seed=request.key.seed)


class OpenAIReviser(Writer):
    """Writes new attempts after earlier ones. Arguments: see ``Writer``; the prompt lays the attempts out.

    A root candidate (no steps) among the attempts stands for "no attempt yet" and is left out of the context.
    """

    async def revise(self, requests: Sequence[Revise], /) -> list[Completion]:
        """A new attempt for each request, all at once; raises for the first that fails."""
        return await together([self._write(_revision(request), None) for request in requests])


def _task(request: Sample) -> Task:
    prefix = request.prefix
    attempts = [attempt.text for attempt in prefix.attempts if attempt.steps]
    return Task(request.question.prompt, attempts, prefix.text, request.key, _where(request), request.temperature)


def _revision(request: Revise) -> Task:
    attempts = [attempt.text for attempt in request.attempts if attempt.steps]
    return Task(request.question.prompt, attempts, "", request.key, _where(request))


def _where(request: Sample | Revise) -> str:
    return f"question {request.question.label}, key {request.key}"
