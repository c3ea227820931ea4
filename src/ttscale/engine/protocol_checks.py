"""What is wrong with a wave, a reply or an outcome: one sentence each, or None.

Everything a strategy or a role hands in passes here before the engine leans on it, so that what they do wrong ends
their own question and no other. Knows the protocol; nothing of queues or costs. Malformed data may also raise in here:
callers treat that as the same fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import fields
from operator import attrgetter
from typing import Any

from ttscale.core.cost import FREE, Cost
from ttscale.core.protocols import ROLE_OF, Role
from ttscale.core.requests import (
    Compare,
    Completion,
    Preference,
    Race,
    Request,
    Revise,
    Sample,
    Score,
    Verdict,
    is_temperature,
)
from ttscale.core.types import Candidate, Key, Outcome, Step

_NUMBERS = {int, float}
_KEY_PARTS = {int, str}
_INTEGERS = {int}
_REPLIES: dict[type, type] = {Sample: Completion, Revise: Completion, Score: Verdict, Compare: Preference}
_INSTEAD = {
    Completion: 'Completion((Step("text"),), "stop")',
    Verdict: "Verdict((0.5,))",
    Preference: "Preference((1.0, 0.0))",
}
_MOST = 1e300
"""No amount is larger, so that many can be added up."""
_AMOUNTS = attrgetter(*(field.name for field in fields(Cost)))


def request_problem(request: Request, root: Candidate, roles: Set[Role]) -> str | None:
    """What is wrong with a request of the search of ``root``."""
    kind = type(request)
    role = ROLE_OF.get(kind)
    if role is None:
        return f"the strategy yielded {kind.__name__}; requests are Sample, Revise and Score, and Compare"
    if role not in roles:
        return (
            f"the strategy asked for a {role} and none was given; pass {role}=..., name it in the strategy's needs, "
            "or choose another strategy"
        )
    if isinstance(request, Compare):
        if (problem := _compare_problem(request)) is not None:
            return problem
    elif not isinstance(request, Score):
        if request.max_tokens is not None:
            return (
                f"max_tokens is for the engine to set, under a Limit; got {request.max_tokens!r} at key {request.key}"
            )
        if request.race is not None:
            return f"race is for the engine to set, in what it remembers; got {request.race!r} at key {request.key}"
        if isinstance(request, Revise) and (problem := _attempts_problem(request)):
            return problem
    question = request.question
    if question is not root.question and question.id != root.question.id:
        return f"the strategy asked about another question, {question.label}; keep the root's id"
    key: Any = request.key
    if not isinstance(key, Key) or not isinstance(key.path, tuple):
        return f"the strategy gave {key!r} as a key; make keys with child()"
    if not _KEY_PARTS.issuperset(map(type, key.path)):
        return f"the key {key.path!r} must be made of text and Python integers alone, which a trace can hold"
    if kind is Score:
        return None
    above = root.key.path
    if key.path[: len(above)] != above:
        return f"key {key} is not below the root's key {root.key}; make keys with child()"
    if isinstance(request, Sample):
        if request.prefix.finish != "open":
            return f"the strategy asked to continue {request.prefix.key}, a candidate that has ended"
        most, temperature = request.max_steps, request.temperature
        if most is not None and (not isinstance(most, int) or most < 1):
            return f"max_steps must be a positive integer or None; got {most!r} at key {request.key}"
        if temperature is not None and not is_temperature(temperature):
            return f"temperature must be None or a number of at least 0; got {temperature!r} at key {request.key}"
        if request.window is not None or request.stop_below is not None:
            return _window_problem(request)
    return None


def _attempts_problem(request: Revise) -> str | None:
    if not request.attempts:
        return f"Revise without attempts at key {request.key}; pass the root candidate for a first attempt"
    if not all(isinstance(attempt, Candidate) for attempt in request.attempts):
        return f"the attempts {request.attempts!r} at key {request.key} are not all candidates"
    return None


def _compare_problem(request: Compare) -> str | None:
    if not (isinstance(request.candidates, tuple) and len(request.candidates) > 1):
        return f"Compare at key {request.key} needs a tuple of 2 candidates or more; got {request.candidates!r:.80}"
    if not all(isinstance(one, Candidate) and one.steps for one in request.candidates):
        return f"Compare at key {request.key} holds something that is no candidate with text"
    if len({one.question.id for one in request.candidates}) > 1:
        return f"Compare at key {request.key} holds candidates of different questions"
    return None


def _window_problem(request: Sample) -> str | None:
    window: Any = request.window
    below: Any = request.stop_below
    if window is not None and (not isinstance(window, int) or isinstance(window, bool) or window < 1):
        return f"window must be a positive number of tokens or None; got {window!r} at key {request.key}"
    if below is not None and (
        window is None or not isinstance(below, (int, float)) or not -math.inf < below < math.inf
    ):
        return f"stop_below must be a number beside a window, or None; got {below!r} at key {request.key}"
    return None


def reply_problem(request: Request, reply: Any) -> str | None:
    """What is wrong with a reply to this request."""
    role, wanted = ROLE_OF[type(request)], _REPLIES[type(request)]
    fits: bool = isinstance(reply, wanted)
    if not fits:
        instead = _INSTEAD[wanted]
        return f"the {role} returned {type(reply).__name__} instead of a {wanted.__name__}: return ttscale.{instead}"
    spent = reply.cost
    if spent is not FREE and not (isinstance(spent, Cost) and _countable(_AMOUNTS(spent))):
        return f"the {role} returned the cost {spent!r}; give a Cost of Python numbers, finite and not negative"
    if isinstance(request, Score):
        return _verdict_problem(len(request.candidate.steps), reply.step_scores, reply.unscored)
    if isinstance(request, Compare):
        return _preference_problem(len(request.candidates), reply.weights)
    most = request.max_steps if isinstance(request, Sample) else None
    problem = _completion_problem(most, reply.steps, reply.finish)
    return f"the {role} {problem}" if problem else None


def outcome_problem(outcome: Any) -> str | None:
    """What is wrong with what a strategy returned."""
    if not isinstance(outcome, Outcome):
        return f"the strategy returned {type(outcome).__name__} instead of an Outcome"
    given = {"score": outcome.scores} | ({} if outcome.weights is None else {"weight": outcome.weights})
    for what, numbers in given.items():
        if len(numbers) != len(outcome.candidates):
            return f"the outcome has {len(outcome.candidates)} candidates and {len(numbers)} {what}s"
    strangers = [type(candidate).__name__ for candidate in outcome.candidates if not isinstance(candidate, Candidate)]
    if strangers:
        return f"the outcome holds {strangers[0]} as a candidate"
    for what, numbers in given.items():
        for number in numbers:
            if number is not None and not (isinstance(number, (int, float)) and math.isfinite(number)):
                return f"the outcome holds the {what} {number!r}; {what}s are finite Python numbers or None"
    chosen: Any = outcome.chosen
    if chosen is None:
        return None
    if not isinstance(chosen, int) or not 0 <= chosen < len(outcome.candidates):
        return f"the outcome chose candidate {chosen!r} of {len(outcome.candidates)}; give an index or None"
    if not outcome.candidates[chosen].done:
        return f"the outcome chose candidate {chosen}, which is not finished"
    return None


def _completion_problem(most: int | None, steps: Any, finish: Any) -> str | None:
    if not isinstance(steps, tuple):
        return f"returned its steps as {type(steps).__name__}; give a tuple of Step"
    for step in steps:
        if (problem := _step_problem(step)) is not None:
            return f"returned {problem}"
    if finish not in ("open", "stop", "length"):
        return f'returned finish={finish!r}; it must be "open", "stop" or "length"'
    if most is not None and len(steps) > most:
        return f"returned {len(steps)} steps where at most {most} were asked for"
    if finish == "open" and len(steps) != most:
        return f'left a completion "open" after {len(steps)} steps with max_steps={most}'
    return None


def _step_problem(step: Any) -> str | None:
    if not isinstance(step, Step):
        return f"{type(step).__name__} among its steps instead of a Step"
    text: Any = step.text
    tokens: Any = step.tokens
    if not isinstance(text, str):
        return f"a step whose text is {text!r}"
    if not isinstance(tokens, tuple) or not _INTEGERS.issuperset(map(type, tokens)):
        return f"a step whose tokens are no tuple of ints: {text!r}"
    if step.logprob is step.certainty is step.tail is step.lowest is None:
        return _drawn_problem(step.drawn)
    for name in ("logprob", "certainty", "tail", "lowest"):
        value = getattr(step, name)
        if value is not None and (not isinstance(value, (int, float)) or value != value):
            return f"a step whose {name} is {value!r}; give a Python number or None"
    return _drawn_problem(step.drawn)


def _drawn_problem(drawn: Any) -> str | None:
    if drawn is not None and not isinstance(drawn, int):
        return f"a step whose drawn is {drawn!r}; give a Python int or None"
    return None


def _verdict_problem(steps: int, scores: Any, unscored: Any) -> str | None:
    if unscored is not None:
        fine = isinstance(unscored, str) and scores == ()
        return None if fine else f"the verifier left a candidate unscored={unscored!r} with step_scores={scores!r}"
    if not isinstance(scores, (tuple, Sequence)):  # most are tuples, and to ask for a Sequence takes long
        return f"the verifier returned step_scores={scores!r}; give a tuple of one score per step, or of one"
    if len(scores) not in (1, steps) or not scores:
        return f"the verifier returned {len(scores)} scores for a candidate of {steps} steps; give one each, or one"
    for score in scores:
        # NaN fails both comparisons.
        if not isinstance(score, (int, float)) or not 0 <= score <= 1:
            return f"the verifier returned the score {score!r}; scores are Python numbers in [0, 1]"
    return None


def _preference_problem(candidates: int, weights: Any) -> str | None:
    if not isinstance(weights, tuple) or len(weights) != candidates:
        return f"the comparator returned weights={weights!r} for {candidates} candidates; give a tuple of one for each"
    for weight in weights:
        if not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
            return f"the comparator returned the weight {weight!r}; weights are probabilities, Python numbers in [0, 1]"
    if abs(math.fsum(weights) - 1) > 1e-6:
        return f"the comparator returned weights that add up to {math.fsum(weights)!r}; they must add up to 1"
    return None


def race_problem(wave: Any) -> str | None:
    """What is wrong with a race as a whole."""
    if type(wave) is not Race:
        return None
    if not isinstance(wave.draws, tuple) or not all(isinstance(draw, Sample | Revise) for draw in wave.draws):
        return "a Race must hold a tuple of Sample and Revise requests"
    if not isinstance(wave.first, int) or not 1 <= wave.first <= len(wave.draws):
        return (
            f"a Race of {len(wave.draws)} draws has no first {wave.first!r}; give a number from 1 to that of the draws"
        )
    if not all(isinstance(draw, Revise) or draw.max_steps is None for draw in wave.draws):
        return "a Race is run to the end: its draws must not have max_steps"
    return None


def _countable(amounts: tuple[Any, ...]) -> bool:
    """Whether these are finite numbers of at least 0. (A sum with NaN in it compares false.)"""
    numbers = set(map(type, amounts)) <= _NUMBERS or all(isinstance(amount, (int, float)) for amount in amounts)
    return numbers and min(amounts) >= 0 and max(amounts) < _MOST and sum(amounts) < math.inf
