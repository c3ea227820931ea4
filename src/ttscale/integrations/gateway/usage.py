"""What a request used, as the upstream counts it: every draw and the verifier, broken and repeated replies included;
and what stood beside the text of its draws.

Roles on an upstream count what its replies say, in the request's own ``Used``; what runs here is in ``Cost``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ttscale.api.result import Result
from ttscale.core.protocols import Role, role_of
from ttscale.core.requests import Completion, Sample, Score
from ttscale.integrations.gateway.settings import Upstream
from ttscale.openai.connection import Connection
from ttscale.openai.reply import refusal_of, thinks_apart, told_usage

T = TypeVar("T")
Who = Literal["draws", "verifier"]


@dataclass(slots=True)
class Used:
    """Tokens by who used them."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    """Prompt tokens that the upstream found in its cache."""
    verifier_prompt: int = 0
    verifier_completion: int = 0
    refusals: set[str] = field(default_factory=set)
    """What draws said that refused to answer (``words_of``)."""
    thinks_apart: bool = False
    """Whether the upstream sends thinking beside the text."""

    def add(self, who: Who, usage: Mapping[str, Any]) -> None:
        """Count the "usage" of one reply."""
        prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details")
        if who == "verifier":
            self.verifier_prompt += prompt
            self.verifier_completion += completion
        else:
            self.prompt += prompt
            self.completion += completion
            self.cached += _count(details.get("cached_tokens")) if isinstance(details, Mapping) else 0

    def see(self, data: Any) -> None:
        """Note what stands beside the text of a draw."""
        for choice in data.get("choices", ()):
            self.thinks_apart = self.thinks_apart or thinks_apart(choice)
            refusal = refusal_of(choice)
            if refusal is not None:
                self.refusals.add(words_of(refusal))

    def add_run_here(self, result: Result, roles: Collection[Role]) -> None:
        """Count what these roles ran in this process."""
        if "generator" in roles:
            self.prompt += result.cost.prompt_tokens + result.cost.cached_tokens
            self.cached += result.cost.cached_tokens
            self.completion += result.cost.sampled_tokens
        judged = [reply.cost for request, reply in result.trace.recorded if role_of(request) in roles]
        self.verifier_prompt += sum(cost.verifier_tokens for cost in judged)

    def as_json(self, shown: int) -> dict[str, Any]:
        """OpenAI's usage; ``shown`` tokens of what was drawn are what the client reads."""
        prompt, completion = self.prompt + self.verifier_prompt, self.completion + self.verifier_completion
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "verifier_tokens": self.verifier_prompt},
            "completion_tokens_details": {
                "reasoning_tokens": max(0, self.completion - shown),
                "verifier_tokens": self.verifier_completion,
            },
        }


USED: ContextVar[Used | None] = ContextVar("USED", default=None)
"""What the request that is being served has used so far. Tasks that its search starts inherit it."""


class CountedConnection(Connection):
    """A connection that counts what its replies say they used, also those that are then found to be broken."""

    def __init__(self, url: str, key: str | None, who: Who, patience: Upstream) -> None:
        limits: dict[str, Any] = {name: getattr(patience, name) for name in ("concurrency", "retries", "timeout")}
        # An empty key would make Connection look for one in the environment, which is not the client's to use.
        super().__init__(url, api_key=key or "none", **limits)
        self._who: Who = who

    def _read_reply(self, data: Any, read: Callable[[Any], T]) -> T:
        """What ``read`` makes of a reply, which is counted before, and looked at once it was found whole."""
        used = USED.get()
        if used is not None:
            used.add(self._who, told_usage(data))
        found = read(data)
        if used is not None and self._who == "draws" and isinstance(data, dict):
            used.see(data)
        return found


def words_of(text: str) -> str:
    """A text without the white space that goes when it is cut into steps."""
    return " ".join(text.split())


def shown_tokens(result: Result, chosen: list[int]) -> int:
    """Tokens drawn for the candidates that are shown: each draw on their way from the bare question."""
    replies = {
        request.key.path: (request, reply.cost.sampled_tokens)
        for request, reply in result.trace.recorded
        if not isinstance(request, Score) and isinstance(reply, Completion)
    }
    counted: dict[tuple[str | int, ...], int] = {}
    for index in chosen:
        path = result.candidates[index].key.path
        while path in replies and path not in counted:
            request, counted[path] = replies[path]
            path = request.prefix.key.path if isinstance(request, Sample) else ()
    return sum(counted.values())


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
