"""A reward function for TRL's trainers (GRPO, RLOO) from any verifier. It knows the columns TRL passes; no trainer.

TRL is not imported: a reward function is a plain function of prompts and completions.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ttscale.api.load_roles import open_role
from ttscale.core.errors import RoleError
from ttscale.core.protocols import aggregate_of
from ttscale.core.requests import Score, Verdict
from ttscale.core.selection import Aggregate, aggregate, check_aggregate
from ttscale.core.types import Candidate, Key, Question, Step
from ttscale.engine.drive import in_its_own_loop
from ttscale.prompts.layouts import split_steps

Reward = Callable[..., list[float | None]]


def reward_function(
    verifier: Any, *, how: Aggregate | None = None, delimiter: str | None = "\n", name: str = "ttscale"
) -> Reward:
    """``GRPOTrainer(reward_funcs=reward_function(verifier), ...)``: the verifier's score of each completion, in [0, 1].

    ``verifier`` is an object, a path or a Hugging Face id. Its scores of the steps (which ``delimiter`` ends; None: all
    is one step) are put together by ``how`` (None: what suits the verifier). An empty completion gets None, which TRL
    leaves out, and so does one that the verifier left unscored, such as one too long for it. Prompts and completions
    may be texts or chats; of a chat prompt the verifier sees the last user message, so train on prompts that are one
    question. A verifier that fails raises: it is no reward of 0.
    """
    role = open_role("verifier", verifier)
    chosen: Aggregate = how or aggregate_of(role) or "last"
    check_aggregate(chosen)

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        requests = [_request(p, c, delimiter, i) for i, (p, c) in enumerate(zip(prompts, completions, strict=True))]
        asked = [request for request in requests if request.candidate.steps]
        verdicts: Any = role.score(asked) if asked else []
        if inspect.isawaitable(verdicts):
            verdicts = _awaited(verdicts)
        scores = dict(zip(asked, (_score(verdict, chosen) for verdict in verdicts), strict=True))
        return [scores.get(request) for request in requests]

    reward.__name__ = name
    return reward


def _awaited(verdicts: Awaitable[list[Any]]) -> list[Any]:
    found: list[Any] = []

    async def wait() -> None:
        found.extend(await verdicts)

    in_its_own_loop(wait)
    return found


def _score(verdict: Verdict | Exception, how: Aggregate) -> float | None:
    if isinstance(verdict, Exception):
        raise RoleError(f"the verifier failed: {verdict}") from verdict
    if verdict.unscored is not None:
        return None
    return aggregate(verdict.step_scores, how)


def _request(prompt: Any, completion: Any, delimiter: str | None, place: int) -> Score:
    question = Question.of(_text(prompt, "user"))
    text = _text(completion, "assistant")
    pieces = split_steps(text, delimiter) if delimiter else [text]
    steps = tuple(Step(piece) for piece in pieces if piece.strip())
    return Score(Candidate(question, Key(("trl", question.id, place)), steps, "stop"))


def _text(value: Any, role: str) -> str:
    """A text as it is; of a chat the last message of ``role``."""
    if isinstance(value, str):
        return value
    said = [message["content"] for message in value if message["role"] == role]
    if not said or not isinstance(said[-1], str):
        raise ValueError(f"no text of role {role!r} in {value!r:.200}")
    return str(said[-1])
