"""What a client asks for, read from the body and the headers: everything is checked, and nothing is ignored.

A parameter that is not known here is refused by its name: an answer that silently left it out would be a wrong one.
Budget and strategy come from a header, else the body, else the model's suffix (``name@beam:16``), else
``reasoning_effort``, else the defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ttscale.api.arguments import MAX_BUDGET
from ttscale.core.types import Question
from ttscale.integrations.gateway.errors import ApiError, refused
from ttscale.integrations.gateway.messages import question_of, read_messages
from ttscale.integrations.gateway.settings import GatewaySettings
from ttscale.integrations.gateway.values import flag, integer, number, text
from ttscale.strategies import MajorityVote
from ttscale.strategies.names import strategy_named

BUDGET_HEADERS = ("x-ttscale-budget", "x-its-budget")
REFUSED_HEADERS = {"x-its-endpoint": "the operator sets the upstream, not the client"}
"""Headers of its_hub that cannot be honoured, and why."""

PASSED_ON = frozenset(
    {"presence_penalty", "frequency_penalty", "logit_bias", "user", "top_k", "min_p", "repetition_penalty"}
    | {"chat_template_kwargs", "response_format", "service_tier", "prompt_cache_key", "safety_identifier"}
    | {"verbosity", "metadata"}
)
"""Parameters that go to the upstream as they are; it judges their values."""
TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
OURS = frozenset(
    {"model", "n", "stream", "stream_options", "seed", "budget", "strategy", "reasoning_effort", "ttscale_trace"}
    | {"temperature", "top_p", "stop", "max_tokens", "max_completion_tokens"}
)
WHY_NOT = {
    "logprobs": "the text is chosen among several draws, whose log-probabilities do not compare",
    "top_logprobs": "the text is chosen among several draws, whose log-probabilities do not compare",
    "best_of": "use budget, which is what it meant",
    "echo": "the prompt is not returned",
    "suffix": "text is continued at its end only",
    "functions": "use tools",
    "function_call": "use tool_choice",
    "modalities": "text is the only modality",
    "audio": "text is the only modality",
    "prediction": "the answer is searched for, not predicted",
    "store": "nothing is stored",
    "web_search_options": "there is no web search",
}
"""Parameters of OpenAI's that make no sense here."""
HARMLESS: dict[str, tuple[Any, ...]] = {
    "logprobs": (None, False, 0),
    "top_logprobs": (None, 0),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None,),
    "store": (None, False),
    "functions": (None,),
    "function_call": (None,),
    "modalities": (None, ["text"]),
}
"""Values of those that ask for nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, checked."""

    chat: bool
    name: str
    """The model as the client named it, suffix and all; replies repeat it."""
    model: str
    """Without the suffix."""
    question: Question
    messages: tuple[Mapping[str, Any], ...]
    """The chat as it came; empty for a completion."""
    readable: bool
    """Whether a verifier, which reads text, sees all of it."""
    budget: int
    wanted: int
    """The budget before the cap."""
    strategy: str | None
    """None: the library's choice for the roles at hand."""
    seed: int
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    trace: bool = False
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What is passed on."""
    tools: Mapping[str, Any] = field(default_factory=dict)
    """Tools and how to choose among them; empty where there are none."""


def read_request(
    body: Any, headers: Mapping[str, str], chat: bool, settings: GatewaySettings, cap: int | None
) -> Asked:
    """The request in a parsed body and its headers (lower case); ``ApiError`` names what is wrong.

    ``cap`` is the client's own cap on the budget, below the general one.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "the body must be a JSON object")
    for header, why in REFUSED_HEADERS.items():
        if header in headers:
            raise refused(header, f"the header {header} is not supported: {why}")
    _refuse_unknown(body, chat)
    name = text(body, "model", required=settings.upstream is None or settings.upstream.model is None) or ""
    model, suffix_strategy, suffix_budget = split_model(name, served_model(settings))
    strategy = _strategy(headers, body, suffix_strategy)
    tools = _tools(body) if chat else {}
    if tools and strategy is not None and not isinstance(strategy_named(strategy), MajorityVote):
        raise refused("strategy", f"{strategy} cannot choose among tool calls; with tools there is majority_vote only")
    wanted = _budget(headers, body, suffix_budget, settings)
    most = min([settings.caps.budget, *([] if cap is None else [cap])])
    budget = min(wanted, most)
    messages = read_messages(body.get("messages"), settings.upstream, model) if chat else ()
    question, readable = question_of(messages) if chat else (Question.of(_prompt(body)), True)
    temperature = number(body, "temperature", 0, 2)
    if temperature == 0 and budget > 1:
        raise refused(
            "temperature",
            f"temperature 0 draws the same solution {budget} times; leave temperature out, or ask for a budget of 1",
        )
    n = integer(body, "n", 1) or 1
    if n > budget:
        raise refused("n", f"n is {n} different answers, and a budget of {budget} solutions cannot hold as many")
    options = body.get("stream_options") or {}
    if not isinstance(options, dict) or (options and not body.get("stream")):
        raise refused("stream_options", "stream_options must be an object, and goes with stream=true")
    return Asked(
        chat=chat,
        name=name or served_model(settings) or "",
        model=model,
        question=question,
        messages=messages,
        readable=readable,
        budget=budget,
        wanted=wanted,
        strategy=strategy if tools else strategy or settings.defaults.strategy,
        seed=_seed(body, settings),
        n=n,
        stream=flag(body, "stream"),
        include_usage=flag(options, "include_usage"),
        trace=flag(body, "ttscale_trace"),
        temperature=temperature,
        top_p=_top_p(body),
        max_tokens=integer(body, "max_completion_tokens", 1) or integer(body, "max_tokens", 1),
        stop=_stop(body),
        extra=_passed_on(body),
        tools=tools,
    )


def served_model(settings: GatewaySettings) -> str | None:
    """The name of the one model that is served; None where the client names one of the upstream's."""
    if settings.upstream is not None:
        return settings.upstream.model
    return settings.generator or "ttscale-reference"


def split_model(name: str, served: str | None) -> tuple[str, str | None, int | None]:
    """The model, the strategy and the budget in ``name@strategy:budget``, each of the two optional.

    A version such as ``@20240620`` or ``@v1`` belongs to the name of an upstream's model.
    """
    if served is not None and name in ("", served):
        return served, None, None
    model, at, suffix = name.rpartition("@")
    if not at or not model or (served is None and _is_version(suffix)):
        model, suffix = name, ""
    if served is not None and model != served:
        raise ApiError(404, f"the model {model!r} is not served here; this is {served!r}", code="model_not_found")
    strategy, _, number = suffix.partition(":")
    if strategy.isdecimal() and not number:
        strategy, number = "", strategy
    if strategy:
        _check_strategy("model", strategy, f"; if all of {name!r:.200} is the model's name, ask for {name:.200}@1")
    if number and not number.isdecimal():
        raise refused("model", f"the budget {number!r} in the model {name!r} is no number")
    return model, strategy or None, _size("model", number) if number else None


def _strategy(headers: Mapping[str, str], body: Mapping[str, Any], suffix: str | None) -> str | None:
    given = headers.get("x-ttscale-strategy") or text(body, "strategy") or suffix
    if given is not None:
        _check_strategy("strategy", given)
    return given


def _is_version(suffix: str) -> bool:
    """Whether it is neither a budget that a search could have nor like the name of a strategy."""
    if suffix.isdecimal():
        return int(suffix) > MAX_BUDGET
    return ":" not in suffix and any(map(str.isdecimal, suffix))


def _check_strategy(param: str, name: str, advice: str = "") -> None:
    try:
        strategy_named(name)
    except ValueError as error:
        raise refused(param, str(error) + advice) from error


def _budget(headers: Mapping[str, str], body: Mapping[str, Any], suffix: int | None, settings: GatewaySettings) -> int:
    for header in BUDGET_HEADERS:
        if header in headers:
            return _size(header, headers[header])
    effort = text(body, "reasoning_effort")
    if effort is not None and effort not in settings.effort:
        known = ", ".join(settings.effort)
        raise refused("reasoning_effort", f"unknown reasoning_effort {effort!r:.80}; known: {known}")
    given = integer(body, "budget", 1) or suffix
    return given or (settings.effort[effort] if effort else settings.defaults.budget)


def _size(param: str, text: str) -> int:
    """A budget written as text."""
    if not text.strip().isascii() or not text.strip().isdecimal() or len(text) > 10 or int(text) < 1:
        raise refused(param, f"a budget is a whole number of at least 1; got {text!r:.80}")
    return int(text)


def _refuse_unknown(body: Mapping[str, Any], chat: bool) -> None:
    known = OURS | PASSED_ON | (TOOLS | {"messages"} if chat else {"prompt"})
    for name, value in body.items():
        if name in known:
            continue
        if any(value is one or (value == one and type(value) is type(one)) for one in HARMLESS.get(name, ())):
            continue
        why = WHY_NOT.get(name, "it is not known here, and ignoring it would answer another question")
        raise refused(name, f"the parameter {name!r:.80} is not supported: {why}", code="unsupported_parameter")


def _prompt(body: Mapping[str, Any]) -> str:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt.strip():
        raise refused("prompt", "prompt must be one text that is not empty; several prompts are several requests")
    return prompt


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    tools = body.get("tools")
    choice = body.get("tool_choice")
    if tools is None or tools == [] or choice == "none":
        if choice not in (None, "none", "auto"):
            raise refused(
                "tool_choice", f"tool_choice {json.dumps(choice)[:80]} needs tools to choose from; give tools"
            )
        return {}
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise refused("tools", "tools must be a list of objects")
    return {name: body[name] for name in TOOLS if body.get(name) is not None}


def _stop(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    listed = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(listed, list) or not all(isinstance(one, str) and one for one in listed) or len(listed) > 16:
        raise refused("stop", "stop must be a text, or a list of at most 16 texts, none of them empty")
    return tuple(listed)


def _top_p(body: Mapping[str, Any]) -> float | None:
    top_p = number(body, "top_p", 0, 1)
    if top_p == 0:
        raise refused(
            "top_p", "top_p 0 leaves no token to draw; give a number above 0, or temperature 0 for the likeliest"
        )
    return top_p


def _passed_on(body: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in body.items() if name in PASSED_ON and value is not None}
    if not isinstance(given.get("chat_template_kwargs", {}), dict):
        raise refused("chat_template_kwargs", "chat_template_kwargs must be an object")
    return given


def _seed(body: Mapping[str, Any], settings: GatewaySettings) -> int:
    seed = body.get("seed")
    if seed is None:
        return settings.defaults.seed
    if isinstance(seed, bool) or not isinstance(seed, int) or abs(seed) >= 2**63:
        raise refused("seed", f"seed must be an integer of 64 bits; got {json.dumps(seed)[:80]}")
    return seed
