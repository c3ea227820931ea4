"""From the result of a search to what OpenAI's API returns: choices, usage, chunks of a stream. Pure functions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from ttscale.answers import answer_classes
from ttscale.api.result import Result
from ttscale.core.selection import tally
from ttscale.core.types import Candidate
from ttscale.integrations.gateway.errors import ApiError
from ttscale.integrations.gateway.request import Asked
from ttscale.integrations.gateway.usage import Used, shown_tokens, words_of

Calls = Mapping[str, Mapping[str, Any]]
"""The messages with tool calls that the upstream wrote, by the text that stands for them."""
OPENED, CLOSED = "<think>", "</think>"
"""The tags into which a draw puts thinking that came beside its text."""


def best_distinct(result: Result, n: int, calls: Calls = MappingProxyType({})) -> list[int]:
    """Indices of the ``n`` best different answers: the winner, then by weight of votes, each by its best candidate.

    Candidates without an answer, and tool calls, differ where their texts do. Unfinished ones count only where nothing
    was finished.
    """
    candidates, scores = result.candidates, _judged(result)
    done = [i for i, candidate in enumerate(candidates) if candidate.done] or list(range(len(candidates)))
    classes = answer_classes([candidates[i].answer for i in done], result.question.answers)
    groups: dict[Any, list[int]] = {}
    for i, answer_class in zip(done, classes, strict=True):
        text = candidates[i].text
        groups.setdefault(text if answer_class is None or text in calls else answer_class, []).append(i)
    scored = any(score is not None for score in scores)
    weights = {i: (scores[i] or 0.0) if scored else 1.0 for i in done}
    winner = _winner(result)
    ranked = sorted(groups.values(), key=lambda group: (winner not in group, -sum(weights[i] for i in group), group[0]))
    best = [max(group, key=lambda i: (i == winner, weights[i], -i)) for group in ranked]
    return best[:n]


def reply(asked: Asked, result: Result, used: Used, calls: Calls, id_: str, created: int) -> dict[str, Any]:
    """The whole reply; ``ApiError`` where the search found nothing at all."""
    chosen = _chosen(asked, result, calls)
    body = _head(asked, id_, created, "chat.completion" if asked.chat else "text_completion")
    body["choices"] = [
        _choice(asked, result.candidates[index], calls, used, place) | {"ttscale": _about(asked, result, index, place)}
        for place, index in enumerate(chosen)
    ]
    body["usage"] = used.as_json(shown_tokens(result, chosen))
    if asked.trace:
        body["ttscale_trace"] = list(result.trace.events())
    return body


def chunks(asked: Asked, result: Result, used: Used, calls: Calls, id_: str, created: int) -> Iterator[str]:
    """The same as server-sent events: each choice's text, how it ended, the usage if it was asked for, the end."""
    whole = reply(asked, result, used, calls, id_, created)
    head = _head(asked, id_, created, "chat.completion.chunk" if asked.chat else "text_completion")
    usage = {"usage": None} if asked.include_usage else {}
    for choice in whole["choices"]:
        index = choice["index"]
        last: dict[str, Any] = {"index": index, "finish_reason": choice["finish_reason"], "ttscale": choice["ttscale"]}
        if asked.chat:
            message = choice["message"]
            yield event(head | usage | {"choices": [_delta(index, {"role": "assistant", "content": ""})]})
            for name in ("reasoning_content", "content", "refusal"):
                if message.get(name):
                    yield event(head | usage | {"choices": [_delta(index, {name: message[name]})]})
            for place, call in enumerate(message.get("tool_calls", ())):
                delta = {"tool_calls": [{**call, "index": place}]}
                yield event(head | usage | {"choices": [_delta(index, delta)]})
            last |= {"delta": {}, "logprobs": None}
        else:
            text = {"index": index, "text": choice["text"], "finish_reason": None, "logprobs": None}
            yield event(head | usage | {"choices": [text]})
            last |= {"text": "", "logprobs": None}
        extra = {"ttscale_trace": whole["ttscale_trace"]} if asked.trace and index == 0 else {}
        yield event(head | usage | {"choices": [last]} | extra)
    if asked.include_usage:
        yield event(head | {"choices": [], "usage": whole["usage"]})
    yield "data: [DONE]\n\n"


def _delta(index: int, delta: Mapping[str, Any]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": None, "logprobs": None}


def event(data: Any) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


def _head(asked: Asked, id_: str, created: int, kind: str) -> dict[str, Any]:
    return {
        "id": id_,
        "object": kind,
        "created": created,
        "model": asked.name,
        "system_fingerprint": None,
    }


def _winner(result: Result) -> int | None:
    """The index of the candidate that won; of unfinished ones the first, which at a budget of 1 is what was drawn."""
    chosen = result.trace.end.get("chosen")
    for i, candidate in enumerate(result.candidates):
        if chosen is not None and candidate.key.path == tuple(chosen):
            return i
    return next((i for i, candidate in enumerate(result.candidates) if candidate.finish == "length"), None)


def _chosen(asked: Asked, result: Result, calls: Calls) -> list[int]:
    chosen = best_distinct(result, asked.n, calls)
    if chosen:
        return chosen
    if result.stopped_by == "seconds":
        raise ApiError(504, "nothing was finished before the gateway's time limit; ask for less", code="timeout")
    if result.stopped_by is not None:
        raise ApiError(
            500, f"nothing was finished before the gateway's limit on {result.stopped_by}; ask for less", code="limit"
        )
    raise ApiError(502, "the search found no solution at all: every draw was empty", code="no_solution")


def _choice(asked: Asked, candidate: Candidate, calls: Calls, used: Used, place: int) -> dict[str, Any]:
    reason, text = "length" if candidate.finish == "length" else "stop", candidate.text
    choice: dict[str, Any] = {"index": place, "finish_reason": reason, "logprobs": None}
    if not asked.chat:
        return choice | {"text": text}
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    called = calls.get(text)
    if called is not None:
        message = {"role": "assistant", "content": called.get("content"), "tool_calls": called["tool_calls"]}
        choice["finish_reason"] = "tool_calls" if reason == "stop" else reason
    elif reason == "length" and words_of(text) in used.refusals:
        message |= {"content": None, "refusal": text}
        choice["finish_reason"] = "stop"
    elif used.thinks_apart and text.startswith(OPENED):
        thoughts, _, said = text.removeprefix(OPENED).partition(CLOSED)
        message |= {"content": said, "reasoning_content": thoughts}
    return choice | {"message": message}


def _about(asked: Asked, result: Result, index: int, place: int) -> dict[str, Any]:
    """What the search says of a choice; the first one tells of the whole search."""
    candidate = result.candidates[index]
    about = {"answer": candidate.answer, "score": result.scores[index]}
    if place:
        return about
    return about | {
        "votes": votes(result, bool(asked.tools)),
        "strategy": result.strategy,
        "budget": asked.budget,
        "budget_asked": asked.wanted,
        "candidates": len(result.candidates),
        "cost": asdict(result.cost),
        "stopped_by": result.stopped_by,
    }


def votes(result: Result, tools: bool) -> list[dict[str, Any]]:
    """The answers (with tools: the calls and texts) with their votes, heaviest first; weighted where a verifier judged.

    Without one the scores are shares of the vote already, and would count twice.
    """
    if not tools:
        return [asdict(vote) for vote in tally(result.candidates, _judged(result))]
    counts = Counter(candidate.text for candidate in result.candidates if candidate.done)
    return [{"answer": text, "count": n, "share": n / counts.total()} for text, n in counts.most_common()]


def _judged(result: Result) -> tuple[float | None, ...]:
    """What votes weigh: the strategy's weights, else the verifier's scores, None for each where there was none."""
    if result.weights is not None:
        return result.weights
    return result.scores if result.cost.verifier_calls else (None,) * len(result.candidates)
