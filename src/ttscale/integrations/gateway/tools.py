"""Tool calls as candidates: read from a reply, written as text that compares, and voted on. None is ever executed.

The vote is a hierarchy: first which tools are called (or that none is), then with which arguments. So three calls of
one tool with different arguments outweigh two equal calls of another.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ttscale.core.protocols import Role
from ttscale.core.requests import Search
from ttscale.core.selection import majority_vote
from ttscale.core.types import Candidate, Outcome
from ttscale.openai.failures import MalformedReply
from ttscale.openai.reply import Written, read_written
from ttscale.strategies.waves import draw_whole

MARK = '{"tool_calls":'
"""How the text of a candidate that is a tool call begins."""


def read_call(data: Any) -> tuple[Written, Mapping[str, Any] | None]:
    """The reply as ``read_written`` has it, one text standing for its tool calls; and the message that holds them."""
    try:
        (choice,) = data["choices"]
        message = choice["message"]
        calls = message.get("tool_calls") or []
    except (KeyError, TypeError, ValueError, AttributeError):
        calls = []
    if not calls:
        return read_written(data, chat=True), None
    if not isinstance(calls, list) or not all(map(_is_call, calls)):
        raise MalformedReply("a tool call of the reply has no function with a name and arguments")
    ended = "stop" if choice.get("finish_reason") == "tool_calls" else choice.get("finish_reason")
    stands_for = {"message": {"content": as_text(calls)}, "finish_reason": ended}
    return read_written({**data, "choices": [stands_for]}, chat=True), message


def as_text(calls: Sequence[Any]) -> str:
    """Tool calls as one text: equal for calls of the same tools with the same arguments, in any order."""
    listed = [[call["function"]["name"], _arguments(call["function"]["arguments"])] for call in calls]
    listed.sort(key=lambda call: json.dumps(call, sort_keys=True))
    return MARK + json.dumps(listed, sort_keys=True) + "}"


@dataclass(frozen=True, slots=True)
class ToolVote:
    """Draw N replies and vote: on the tools that are called, then on their arguments; texts vote by their answer."""

    needs: ClassVar[frozenset[Role]] = frozenset({"generator"})

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        candidates = yield from draw_whole(root, budget)
        done = [candidate for candidate in candidates if candidate.done]
        votes = Counter(candidate.text if _names(candidate) else "" for candidate in done)
        shares = tuple(votes[c.text if _names(c) else ""] / len(done) if c.done else None for c in candidates)
        return Outcome(tuple(candidates), shares, tool_vote(candidates))


def tool_vote(candidates: Sequence[Candidate]) -> int | None:
    """The index of the winner; ties go to the earlier candidate."""
    done = [i for i, candidate in enumerate(candidates) if candidate.done]
    if not done:
        return None
    names = Counter(_names(candidates[i]) for i in done).most_common(1)[0][0]
    voters = [i for i in done if _names(candidates[i]) == names]
    if not names:
        chosen = majority_vote([candidates[i] for i in voters])
        return None if chosen is None else voters[chosen]
    text = Counter(candidates[i].text for i in voters).most_common(1)[0][0]
    return next(i for i in voters if candidates[i].text == text)


def _names(candidate: Candidate) -> tuple[str, ...]:
    """The tools that a candidate calls; none where it is a text."""
    if not candidate.text.startswith(MARK):
        return ()
    try:
        calls = json.loads(candidate.text)["tool_calls"]
        return tuple(name for name, _ in calls)
    except (ValueError, TypeError, KeyError):  # a text that only begins like one
        return ()


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    return (
        isinstance(function, Mapping)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), str)
    )


def _arguments(text: str) -> Any:
    """Arguments as JSON says them, numbers by value; as they stand where they are no JSON."""
    try:
        return _plain(json.loads(text or "{}"))
    except (ValueError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value
