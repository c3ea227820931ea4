"""What a server's reply says: pure functions from parsed JSON to text, ending, usage and log-probabilities.

Nothing is guessed: a reply that is not what was asked for is ``Malformed`` (worth another try) or a ``RoleError``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.openai.connection import Malformed
from ttscale.prompts.layouts import whole_characters

ENDINGS: dict[str, Literal["stop", "length"]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "length",  # cut off by the provider: not a finished solution
}
CUT_OFF = frozenset(reason for reason, ending in ENDINGS.items() if ending == "length")


@dataclass(frozen=True, slots=True)
class Written:
    """One choice of a reply."""

    text: str
    finish: Literal["stop", "length"]
    names_stop: bool
    """Whether the reply has a field for the stop string that ended it."""
    stopped_by: str | None
    """That field, where it holds a string."""
    tokens: tuple[tuple[str, float], ...]
    """Token texts with their log-probabilities; empty where none came."""
    cost: Cost
    counted: bool
    """Whether the server reported its usage."""


def read_written(data: Any, chat: bool) -> Written:
    """The single choice of a completion or chat completion."""
    choice = _only(data, "choices")
    text = _message(choice) if chat else choice.get("text")
    finish = choice.get("finish_reason")
    if text is None and chat and isinstance(finish, str) and finish in CUT_OFF:  # before the first word that is shown
        text = ""
    if not isinstance(text, str):
        raise Malformed(f"the choice holds no text but {type(text).__name__}")
    text = whole_characters(text)  # a lone surrogate could not be sent back as part of a prefix
    if not isinstance(finish, str) or finish in ("", "abort", "error"):
        raise Malformed(f"the choice did not finish (finish_reason={finish!r})")
    if finish not in ENDINGS:
        raise RoleError(f"the server ended with finish_reason={finish!r}, which makes no sense for plain text")
    reason = choice.get("stop_reason", choice.get("matched_stop"))
    cost, counted = _usage(data)
    return Written(
        text,
        ENDINGS[finish],
        "stop_reason" in choice or "matched_stop" in choice,
        reason if isinstance(reason, str) else None,
        tuple(_tokens(choice.get("logprobs"), chat)),
        cost,
        counted,
    )


def read_first_token(data: Any, chat: bool) -> tuple[dict[str, float], Cost]:
    """The most likely first tokens with their probabilities; empty where the server sent none."""
    found = _mapping(_only(data, "choices").get("logprobs"))
    if chat:
        first = _mapping(next(iter(_list(found.get("content"))), None))
        pairs = [(item.get("token"), item.get("logprob")) for item in map(_mapping, _list(first.get("top_logprobs")))]
    else:
        pairs = list(_mapping(next(iter(_list(found.get("top_logprobs"))), None)).items())
    table: dict[str, float] = {}
    for token, logprob in pairs:
        if isinstance(token, str) and _finite(logprob):
            table[token] = table.get(token, 0.0) + math.exp(min(0.0, logprob))
    return table, _usage(data)[0]


def read_rows(data: Any) -> tuple[list[Any], Cost]:
    """The payloads of a pooling or classify reply for one input, and what it cost the verifier."""
    item = _only(data, "data")
    rows = item.get("data", item.get("probs"))
    if not isinstance(rows, list) or not rows:
        raise Malformed("the reply holds neither pooled data nor probabilities")
    cost, _ = _usage(data)
    return rows, Cost(verifier_tokens=cost.prompt_tokens + cost.cached_tokens)


def read_owner(data: Any) -> str:
    """Who owns the first model a server lists; "" where it lists none."""
    first = _mapping(next(iter(_list(_mapping(data).get("data"))), None))
    return str(first.get("owned_by", ""))


def step_logprobs(steps: Sequence[str], tokens: Sequence[tuple[str, float]]) -> list[tuple[float | None, int | None]]:
    """For each step the sum of its tokens' log-probabilities and their number.

    A token belongs to the step in which it begins; those behind the text (the end of sequence, a stripped stop string)
    to the last. Where characters are split over tokens, which then hold "\ufffd", both are compared without what is not
    ASCII. (None, None) for every step where the tokens do not spell the text, or none begins in the step.
    """
    text, spelled = "".join(steps), "".join(token for token, _ in tokens)
    fits = spelled.startswith(text) or text.startswith(spelled)
    if not fits and "\ufffd" in spelled:
        steps, tokens = [_ascii(step) for step in steps], [(_ascii(token), logprob) for token, logprob in tokens]
        fits = _ascii(spelled).startswith(_ascii(text))
    if not tokens or not fits:
        return [(None, None)] * len(steps)
    sums, counts = [0.0] * len(steps), [0] * len(steps)
    step, end, at = 0, len(steps[0]) if steps else 0, 0
    for token, logprob in tokens:
        while at >= end and step + 1 < len(steps):
            step += 1
            end += len(steps[step])
        if steps:
            sums[step] += logprob
            counts[step] += 1
        at += len(token)
    return [(total, count) if count else (None, None) for total, count in zip(sums, counts, strict=True)]


def _ascii(text: str) -> str:
    return text.encode("ascii", "ignore").decode()


def _message(choice: Mapping[str, Any]) -> Any:
    """The assistant's text; thinking that the server cut out is put back in its tags."""
    message = _mapping(choice.get("message"))
    if message.get("tool_calls"):
        raise RoleError("the server answered with a tool call; no tools were offered")
    content = message.get("content")
    if content is None and isinstance(message.get("refusal"), str):
        raise RoleError(f"the model refused to answer: {message['refusal'][:200]}")
    thoughts = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thoughts, str) and thoughts:
        return f"<think>{thoughts}</think>{content or ''}"
    return content


def _tokens(logprobs: Any, chat: bool) -> list[tuple[str, float]]:
    found = _mapping(logprobs)
    if chat:
        pairs = [(item.get("token"), item.get("logprob")) for item in map(_mapping, _list(found.get("content")))]
    else:
        pairs = list(zip(_list(found.get("tokens")), _list(found.get("token_logprobs")), strict=False))
    read = [(token, float(logprob)) for token, logprob in pairs if isinstance(token, str) and _finite(logprob)]
    return read if len(read) == len(pairs) else []


def _usage(data: Any) -> tuple[Cost, bool]:
    """Tokens as the server counted them, and whether it counted those it drew; nothing is recounted here."""
    usage = _mapping(_mapping(data).get("usage"))
    prompt, sampled = usage.get("prompt_tokens"), usage.get("completion_tokens")
    drawn = sampled or 0
    if not _count(prompt) or not _count(drawn):
        return Cost(), False
    cached = _mapping(usage.get("prompt_tokens_details")).get("cached_tokens")
    reused = min(cached, prompt) if _count(cached) else 0
    cost = Cost(sampled_tokens=drawn, prompt_tokens=prompt - reused, cached_tokens=reused)
    return cost, sampled is not None


def _only(data: Any, name: str) -> Mapping[str, Any]:
    """The one entry of the list ``name``."""
    if not isinstance(data, dict):
        raise Malformed(f"the reply is a JSON {type(data).__name__}, not an object")
    entries = data.get(name)
    if not isinstance(entries, list) or len(entries) != 1 or not isinstance(entries[0], dict):
        got = f"{len(entries)} entries" if isinstance(entries, list) else type(entries).__name__
        said = f"; it says: {data['error']}" if data.get("error") else ""
        raise Malformed(f"the reply has {got} in {name!r} where one was asked for{said}")
    return entries[0]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
