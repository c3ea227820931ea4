"""What a server's reply says: pure functions from parsed JSON to text, ending, usage and log-probabilities.

Nothing is guessed: a reply that is not what was asked for is ``MalformedReply`` (worth another try) or a ``RoleError``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard

from ttscale.core.checks import is_finite
from ttscale.core.confidence import of_likeliest
from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError
from ttscale.openai.failures import MalformedReply
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
    ids: tuple[int, ...] | None = None
    """The tokens drawn, the end of sequence among them; None where the server does not say."""
    confidences: tuple[float, ...] = ()
    """Of each token (``core/confidence.py``); empty where the likeliest tokens did not come."""


def read_written(data: Any, chat: bool) -> Written:
    """The single choice of a completion or chat completion."""
    return read_choices(data, chat, 1)[0]


def read_choices(data: Any, chat: bool, n: int) -> list[Written]:
    """The ``n`` choices of a completion or chat completion, in the order of their indices; its usage shared out."""
    choices = entries(data, "choices", n)
    if n > 1:
        placed = {choice.get("index"): choice for choice in choices}
        if set(placed) != set(range(n)):
            raise MalformedReply(f"the choices have the indices {list(placed)}, not 0 to {n - 1}")
        choices = [placed[i] for i in range(n)]
    cost, counted = usage(data)
    found = [_written(choice, chat, counted) for choice in choices]
    return cost_of_draws(found, cost)


def _written(choice: Mapping[str, Any], chat: bool, counted: bool) -> Written:
    said_no = refusal_of(choice) if chat else None
    text = said_no or (_message(choice) if chat else choice.get("text"))
    finish = choice.get("finish_reason")
    if text is None and chat and isinstance(finish, str) and finish in ENDINGS:
        text = ""  # cut off before the first word that is shown, or nothing to say
    if not isinstance(text, str):
        raise MalformedReply(f"the choice holds no text but {type(text).__name__}")
    text = whole_characters(text)  # a lone surrogate could not be sent back as part of a prefix
    if not isinstance(finish, str) or finish in ("", "abort", "error"):
        raise MalformedReply(f"the choice did not finish (finish_reason={finish!r})")
    if finish not in ENDINGS:
        raise RoleError(f"the server ended with finish_reason={finish!r}, which makes no sense for plain text")
    told = _fields_of_stop(choice)
    reason = told.get("stop_reason", told.get("matched_stop"))
    return Written(
        text,
        ENDINGS[finish] if said_no is None else "length",  # in the model's words, and no solution
        "stop_reason" in told or "matched_stop" in told,
        reason if isinstance(reason, str) else None,
        tuple(read_tokens(choice.get("logprobs"))),
        Cost(),
        counted,
        read_ids(choice.get("token_ids")),
        tuple(token_confidences(choice)),
    )


def token_confidences(choice: Mapping[str, Any]) -> list[float]:
    """The confidence of each token of a choice, or of a draw of llama.cpp; none where likeliest tokens are missing."""
    told = mapping(choice.get("logprobs"))
    items = told.get("content") if "content" in told else choice.get("completion_probabilities")
    if items is None:
        tables = [list(mapping(table).values()) for table in _list(told.get("top_logprobs"))]
    else:
        listed = [_list(mapping(item).get("top_logprobs")) for item in _list(items)]
        tables = [[mapping(one).get("logprob") for one in some] for some in listed]
    read = [[float(value) for value in table if is_finite(value)] for table in tables]
    return [of_likeliest(table) for table in read] if all(read) else []


def read_ids(value: Any) -> tuple[int, ...] | None:
    """A list of token ids; None where it is none."""
    return tuple(value) if isinstance(value, list) and all(map(is_count, value)) else None


def _fields_of_stop(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where the fields stand that name a stop string: LiteLLM moves them, for vLLM behind it."""
    if "stop_reason" in choice or "matched_stop" in choice:
        return choice
    inner = mapping(choice.get("message")).get("provider_specific_fields")
    return mapping(choice.get("provider_specific_fields")) or mapping(inner)


def cost_of_draws(found: Sequence[Written], cost: Cost) -> list[Written]:
    """The cost of one request over its draws: what each drew where that is known, and the context to the first."""
    drawn = [len(written.ids or ()) for written in found]
    if sum(drawn) != cost.sampled_tokens:
        each, left = divmod(cost.sampled_tokens, len(found))
        drawn = [each + (i < left) for i in range(len(found))]
    costs = [Cost(sampled_tokens=n) for n in drawn]
    costs[0] = replace(cost, sampled_tokens=drawn[0])
    return [replace(written, cost=one) for written, one in zip(found, costs, strict=True)]


def read_first_token(data: Any) -> tuple[dict[str, float], Cost]:
    """The most likely first tokens with their probabilities; empty where the server sent none."""
    (choice,) = entries(data, "choices", 1)
    found = mapping(choice.get("logprobs"))
    if "content" in found:  # chats; llama.cpp answers plain completions so too
        first = mapping(next(iter(_list(found.get("content"))), None))
        pairs = [(item.get("token"), item.get("logprob")) for item in map(mapping, _list(first.get("top_logprobs")))]
    else:
        pairs = list(mapping(next(iter(_list(found.get("top_logprobs"))), None)).items())
    table: dict[str, float] = {}
    for token, logprob in pairs:
        if isinstance(token, str) and is_finite(logprob):
            table[token] = table.get(token, 0.0) + math.exp(min(0.0, logprob))
    return table, usage(data)[0]


def read_rows(data: Any) -> tuple[list[Any], Cost]:
    """The payloads of a pooling or classify reply for one input, and what it cost the verifier."""
    (item,) = entries(data, "data", 1)
    rows = item.get("data", item.get("probs"))
    if not isinstance(rows, list) or not rows:
        raise MalformedReply("the reply holds neither pooled data nor probabilities")
    cost, _ = usage(data)
    return rows, Cost(verifier_tokens=cost.prompt_tokens + cost.cached_tokens, requests=cost.requests)


def model_names(data: Any) -> list[str]:
    """The names of the models that a server lists."""
    found = [mapping(entry).get("id") for entry in _list(mapping(data).get("data"))]
    return [name for name in found if isinstance(name, str)]


def read_owner(data: Any) -> str:
    """Who owns the first model a server lists; "" where it lists none."""
    return str(_first_model(data).get("owned_by", ""))


def context_limit(data: Any) -> int | None:
    """The tokens that the first model a server lists reads (vLLM's ``max_model_len``, llama.cpp's ``meta.n_ctx``)."""
    model = _first_model(data)
    stated = (model.get("max_model_len"), mapping(model.get("meta")).get("n_ctx"))
    return next((limit for limit in stated if is_count(limit) and limit), None)


def _first_model(data: Any) -> Mapping[str, Any]:
    return mapping(next(iter(_list(mapping(data).get("data"))), None))


def count_of_slots(data: Any) -> int:
    """How many draws llama.cpp makes at a time, as its ``/props`` say; 1 where they do not."""
    slots = mapping(data).get("total_slots")
    return max(1, slots) if is_count(slots) else 1


def refusal_of(choice: Mapping[str, Any]) -> str | None:
    """What the model said instead of an answer; None where it did not refuse."""
    message = mapping(choice.get("message"))
    said = message.get("refusal")
    return said if isinstance(said, str) and said and not message.get("content") else None


def thinks_apart(choice: Mapping[str, Any]) -> bool:
    """Whether thinking came beside the text, and not in it."""
    message = mapping(choice.get("message"))
    return bool(message.get("reasoning_content") or message.get("reasoning") or _parts(message.get("content"))[1])


def _message(choice: Mapping[str, Any]) -> Any:
    """The assistant's text; thinking that the server cut out is put back in its tags."""
    message = mapping(choice.get("message"))
    if message.get("tool_calls"):
        raise RoleError("the server answered with a tool call; no tools were offered")
    content, thoughts = _parts(message.get("content"))
    told = message.get("reasoning_content") or message.get("reasoning")
    thoughts = thoughts or (told if isinstance(told, str) else "")
    if thoughts:
        return f"<think>{thoughts}</think>{content or ''}"
    return content


def _parts(content: Any) -> tuple[Any, str]:
    """(text, thoughts) of a message's content, which some servers send as a list of parts (Mistral, gateways)."""
    if not isinstance(content, list):
        return content, ""
    text, thoughts = "", ""
    for part in content:
        kind = mapping(part).get("type")
        if isinstance(part, str):
            text += part
        elif kind in ("text", "output_text") and isinstance(part.get("text"), str):
            text += part["text"]
        elif kind in ("thinking", "reasoning"):
            inner = part.get("thinking", part.get("text"))
            thoughts += inner if isinstance(inner, str) else _parts(inner)[0] if isinstance(inner, list) else ""
        else:
            raise MalformedReply(f"the message has a part of type {kind!r} where text was asked for")
    return text, thoughts


def read_tokens(logprobs: Any) -> list[tuple[str, float]]:
    """Each token with its log-probability; none where one of them is missing."""
    found = mapping(logprobs)
    if "content" in found:
        pairs = [(item.get("token"), item.get("logprob")) for item in map(mapping, _list(found.get("content")))]
    else:
        pairs = list(zip(_list(found.get("tokens")), _list(found.get("token_logprobs")), strict=False))
    read = [(token, float(logprob)) for token, logprob in pairs if isinstance(token, str) and is_finite(logprob)]
    return read if len(read) == len(pairs) else []


def told_usage(data: Any) -> Mapping[str, Any]:
    """The "usage" of a reply as OpenAI writes it; llama.cpp's own endpoint counts under names of its own."""
    draws = [mapping(one) for one in (data if isinstance(data, list) else [data])]
    if not draws or "tokens_evaluated" not in draws[0]:
        return mapping(mapping(data).get("usage"))
    drawn = [one.get("tokens_predicted") for one in draws]
    return {
        "prompt_tokens": draws[0]["tokens_evaluated"],
        "completion_tokens": sum(drawn) if all(map(is_count, drawn)) else None,
        "prompt_tokens_details": {"cached_tokens": mapping(draws[0].get("timings")).get("cache_n")},
    }


def usage(data: Any) -> tuple[Cost, bool]:
    """What a request cost, as the server counted it, and whether it counted the tokens it drew."""
    told = told_usage(data)
    prompt, sampled = told.get("prompt_tokens"), told.get("completion_tokens")
    drawn = sampled or 0
    if not is_count(prompt) or not is_count(drawn):
        return Cost(requests=1), False
    cached = mapping(told.get("prompt_tokens_details")).get("cached_tokens")
    reused = min(cached, prompt) if is_count(cached) else 0
    cost = Cost(sampled_tokens=drawn, prompt_tokens=prompt - reused, cached_tokens=reused, requests=1)
    return cost, sampled is not None


def entries(data: Any, name: str, n: int) -> list[Mapping[str, Any]]:
    """The ``n`` entries of the list ``name``."""
    if not isinstance(data, dict):
        raise MalformedReply(f"the reply is a JSON {type(data).__name__}, not an object")
    found = data.get(name)
    if not isinstance(found, list) or len(found) != n or not all(isinstance(one, dict) for one in found):
        got = f"{len(found)} entries" if isinstance(found, list) else type(found).__name__
        said = f"; it says: {data['error']}" if data.get("error") else ""
        raise MalformedReply(f"the reply has {got} in {name!r} where {n if n > 1 else 'one'} was asked for{said}")
    return found


def mapping(value: Any) -> Mapping[str, Any]:
    """The object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
