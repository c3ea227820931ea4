"""The engine driven by hand: what a strategy or a role may do wrong, and that it ends one question only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from ttscale import (
    Candidate,
    Compare,
    Completion,
    Cost,
    Key,
    MajorityVote,
    Outcome,
    Question,
    Revise,
    RoleError,
    Sample,
    Score,
    Step,
    StrategyError,
    Verdict,
)
from ttscale.engine.core import Ended, Engine, Ticket
from ttscale.testing import completion_of, steps_of

QUESTION = Question("q", "Why?")
ROOT = Candidate(QUESTION, Key((0, "q")))
ALL = ("generator", "verifier", "reviser")
DONE = completion_of("Answer: 1")
NOTHING = Outcome((), (), None)

Search = Any


def sample(number: int = 0, **changes: Any) -> Sample:
    return replace(Sample(ROOT, ROOT.key.child(number)), **changes)


def begin(search: Search, roles: Any = ALL) -> Engine:
    engine = Engine(roles)
    engine.start(ROOT, search)
    return engine


def end_of(engine: Engine) -> Ended:
    assert engine.active == 0
    ((_, ended),) = engine.ended()
    return ended


def test_a_search_gets_the_replies_to_its_wave_in_order_whatever_order_they_come_in() -> None:
    seen = []

    def search() -> Search:
        seen.append((yield [sample(0), Score(ROOT.extend(ROOT.key, steps_of("a"), "stop")), sample(1)]))
        return NOTHING

    engine = begin(search())
    assert [engine.pending(role) for role in ALL] == [2, 1, 0]
    first, second = engine.take("generator")
    (judged,) = engine.take("verifier")
    one, two, verdict = completion_of("Answer: 1"), completion_of("Answer: 2"), Verdict((0.5,))
    for ticket, reply in ((second, two), (judged, verdict), (first, one)):
        assert seen == []
        engine.give(ticket, reply)
    assert seen == [[one, verdict, two]]
    assert end_of(engine).outcome == NOTHING


def test_what_can_be_seen_from_outside_is_counted_by_the_engine() -> None:
    prefix = ROOT.extend(ROOT.key.child("p"), steps_of("a\n"), "open")

    def search() -> Search:
        yield [sample(0), Sample(prefix, ROOT.key.child(1)), Revise((ROOT,), ROOT.key.child(2)), Score(prefix)]
        return NOTHING

    engine = begin(search())
    boast = Cost(generations=9, steps=9, verifier_calls=9, sampled_tokens=5, flops=2.0, seconds=1.0)
    for ticket in engine.take("generator") + engine.take("reviser"):
        engine.give(ticket, Completion(steps_of("a\nb"), "stop", boast))
    for ticket in engine.take("verifier"):
        engine.give(ticket, Verdict((0.5,), boast))
    cost = end_of(engine).cost
    # A continuation is not another generation.
    assert cost == Cost(generations=2, steps=6, verifier_calls=1, sampled_tokens=20, flops=8.0)
    assert cost.seconds == 4.0


# What a strategy may do wrong.


class Stubborn:
    """A search that will not be closed."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return [sample(0)]

    def send(self, _: Any) -> Any:
        return []

    def close(self) -> None:
        raise RuntimeError("generator ignored GeneratorExit")


def yields(*waves: Any, returns: Any = NOTHING) -> Callable[[], Search]:
    def search() -> Search:
        for wave in waves:  # not "yield from", which would send to the tuple
            _ = yield wave
        return returns

    return search


def raising() -> Search:
    yield [sample(0)]
    raise KeyError("oh")


def outcome(finish: Any, chosen: Any, scores: tuple[float | None, ...] = (None,)) -> Outcome:
    return Outcome((ROOT.extend(ROOT.key.child(0), steps_of("Answer: 1"), finish),), scores, chosen)


UNHASHABLE = Sample(ROOT, Key((0, "q", ["x"])))  # type: ignore[arg-type]
FOUND = ROOT.extend(ROOT.key.child(0), steps_of("a"), "stop")
STRANGER = Candidate(Question("other", "What?"), Key((0, "other")))
ENDED = ROOT.extend(ROOT.key.child("e"), steps_of("Answer: 1"), "stop")

WRONG_STRATEGIES: dict[str, tuple[Callable[[], Any], str]] = {
    "empty wave": (yields([]), "empty wave"),
    "no sequence": (yields(sample(0)), "no sequence of requests"),
    "None": (yields(None), "no sequence of requests"),
    "no request": (yields(["x"]), "yielded str; requests are Sample, Revise and Score"),
    "a class": (yields([Sample]), "yielded type"),
    "key twice in a wave": (yields([sample(0), sample(0)]), "key 0/q/0 twice"),
    "key twice over two waves": (yields([sample(0)], [sample(0, max_steps=1)]), "key 0/q/0 twice"),
    "key twice over two roles": (yields([sample(0), Revise((ROOT,), ROOT.key.child(0))]), "key 0/q/0 twice"),
    "key of a list": (yields([UNHASHABLE]), "must be made of text and Python integers alone"),
    "key outside of the tree": (yields([Sample(ROOT, Key((1, "q", 0)))]), "key 1/q/0 .* not below .* 0/q"),
    "another question": (yields([Sample(STRANGER, ROOT.key.child(0))]), "another question, 'other'"),
    "an attempt that is none": (yields([Revise((ROOT, 5), ROOT.key.child(0))]), "not all candidates"),  # type: ignore[arg-type]
    "judges under no key": (yields([Score(replace(FOUND, key=None))]), "gave None as a key"),  # type: ignore[arg-type]
    "judges under a name": (yields([Score(replace(FOUND, key="draft"))]), "gave 'draft' as a key"),  # type: ignore[arg-type]
    "judges under a list": (yields([Score(replace(FOUND, key=Key([0, "q"])))]), "as a key"),  # type: ignore[arg-type]
    "judges under unhashable parts": (yields([Score(replace(FOUND, key=UNHASHABLE.key))]), "must be made of text"),
    "no attempts": (yields([Revise((), ROOT.key.child(0))]), "Revise without attempts"),
    "a prefix that is no candidate": (yields([Sample("x", ROOT.key.child(0))]), "AttributeError"),  # type: ignore[arg-type]
    "a prefix that has ended": (yields([Sample(ENDED, ROOT.key.child(0))]), "continue .* has ended"),
    "no steps": (yields([sample(0, max_steps=0)]), "max_steps"),
    "half a step": (yields([sample(0, max_steps=1.5)]), "max_steps"),
    "cold": (yields([sample(0, temperature=-1.0)]), "temperature"),
    "no temperature": (yields([sample(0, temperature=float("nan"))]), "temperature"),
    "raises": (raising, "raised KeyError: 'oh'"),
    "returns nothing": (yields([sample(0)], returns=None), "returned NoneType instead of an Outcome"),
    "chooses beyond": (yields([sample(0)], returns=outcome("stop", 1)), "chose candidate 1 of 1"),
    "chooses by name": (yields([sample(0)], returns=outcome("stop", "best")), "chose"),
    "chooses what was cut off": (yields([sample(0)], returns=outcome("length", 0)), "not finished"),
    "weights missing": (
        yields([sample(0)], returns=replace(outcome("stop", 0), weights=())),
        "1 candidates and 0 weights",
    ),
    "weights not finite": (
        yields([sample(0)], returns=replace(outcome("stop", 0), weights=(math.inf,))),
        "holds the weight inf",
    ),
    "scores missing": (yields([sample(0)], returns=outcome("stop", 0, ())), "1 candidates and 0 scores"),
    "candidates that are none": (yields([sample(0)], returns=Outcome(("x",), (None,), 0)), "candidate"),  # type: ignore[arg-type]
    "candidates missing": (yields([sample(0)], returns=Outcome(None, (), None)), "TypeError"),  # type: ignore[arg-type]
    "no generator": (lambda: None, "search\\(\\) .* generator"),
    "a list": (lambda: [[sample(0)]], "search\\(\\) .* generator"),
    "will not close": (Stubborn, "empty wave"),
}


@pytest.mark.parametrize(("make", "problem"), WRONG_STRATEGIES.values(), ids=WRONG_STRATEGIES)
def test_a_strategy_that_breaks_the_protocol_ends_with_a_strategy_error(make: Callable[[], Any], problem: str) -> None:
    engine = begin(make())
    while engine.active:
        for ticket in engine.take("generator"):
            engine.give(ticket, DONE if ticket.request.max_steps is None else completion_of("a\n", 1))  # type: ignore[union-attr]
    error = end_of(engine).error
    assert isinstance(error, StrategyError)
    with pytest.raises(StrategyError, match=problem):
        raise error
    assert "question 'q'" in str(error)


def test_a_wave_for_a_role_that_was_not_given_goes_nowhere() -> None:
    engine = begin(yields([sample(0), Score(ROOT.extend(ROOT.key, steps_of("a"), "stop"))])(), ["generator"])
    assert engine.take("generator") == []
    with pytest.raises(StrategyError, match=r"asked for a verifier .* verifier=\.\.\."):
        raise end_of(engine).error or AssertionError


def test_a_search_that_will_not_close_ends_all_the_same() -> None:
    engine = begin(Stubborn())
    engine.stop(0, "seconds")
    assert end_of(engine).stopped_by == "seconds"


def test_a_strategy_error_of_the_strategy_itself_is_kept_and_the_cause_of_any_other_is_chained() -> None:
    own = StrategyError("mine")

    def search() -> Search:
        raise own
        yield

    assert end_of(begin(search())).error is own
    engine = begin(raising())
    (ticket,) = engine.take("generator")
    engine.give(ticket, DONE)
    error = end_of(engine).error
    assert isinstance(error, StrategyError)
    assert isinstance(error.__cause__, KeyError)


# What a role may do wrong.

OPEN = sample(0, max_steps=2)
WHOLE = sample(0)
REVISE = Revise((ROOT,), ROOT.key.child(0))
SCORE = Score(ROOT.extend(ROOT.key.child(0), steps_of("a\nb"), "stop"))
COMPARE = Compare((SCORE.candidate, SCORE.candidate), ROOT.key.child(0))
NAN = float("nan")

WRONG_REPLIES: dict[str, tuple[Any, Any, str]] = {
    "none": (WHOLE, None, "the generator returned NoneType instead of a Completion"),
    "text": (REVISE, "Answer: 1", "the reviser returned str instead of a Completion"),
    "verdict for a sample": (WHOLE, Verdict((0.5,)), "the generator returned Verdict"),
    "text for a comparison": (COMPARE, "first", "str instead of a Preference: return ttscale.Preference"),
    "completion for a score": (SCORE, DONE, "the verifier returned Completion instead of a Verdict"),
    "finish": (WHOLE, Completion(steps_of("a"), "eos"), "finish='eos'"),  # type: ignore[arg-type]
    "too many steps": (OPEN, completion_of("a\nb\nc"), "3 steps where at most 2"),
    "open too soon": (OPEN, Completion(steps_of("a\n"), "open"), 'left a completion "open" after 1 steps'),
    "open for ever": (WHOLE, Completion(steps_of("a\n"), "open"), 'left a completion "open"'),
    "revision left open": (REVISE, Completion(steps_of("a\n"), "open"), 'left a completion "open"'),
    "steps are text": (WHOLE, Completion(("Answer: 1",), "stop"), "steps"),  # type: ignore[arg-type]
    "steps in a list": (WHOLE, Completion(list(steps_of("a")), "stop"), "steps as list"),  # type: ignore[arg-type]
    "steps missing": (WHOLE, Completion(None, "stop"), "steps"),  # type: ignore[arg-type]
    "step without text": (WHOLE, Completion((Step(None),), "stop"), "text"),  # type: ignore[arg-type]
    "tokens in a list": (WHOLE, Completion((Step("a", [1]),), "stop"), "tokens"),  # type: ignore[arg-type]
    "tokens that are no ids": (WHOLE, Completion((Step("a", ("x",)),), "stop"), "tokens"),  # type: ignore[arg-type]
    "logprob of another kind": (WHOLE, Completion((Step("a", (), "x"),), "stop"), "logprob"),  # type: ignore[arg-type]
    "no cost": (WHOLE, Completion(steps_of("a"), "stop", None), "cost"),  # type: ignore[arg-type]
    "cost of nothing": (WHOLE, Completion(steps_of("a"), "stop", Cost(sampled_tokens=None)), "cost"),  # type: ignore[arg-type]
    "negative cost": (WHOLE, Completion(steps_of("a"), "stop", Cost(sampled_tokens=-1)), "cost"),
    "NaN cost": (WHOLE, Completion(steps_of("a"), "stop", Cost(prompt_tokens=1, flops=NAN)), "cost"),
    "endless cost": (SCORE, Verdict((0.5,), Cost(flops=float("inf"))), "cost"),
    "cost beyond counting": (WHOLE, Completion(steps_of("a"), "stop", Cost(generations=10**400)), "cost"),
    "no scores": (SCORE, Verdict(()), "0 scores for a candidate of 2 steps"),
    "three scores": (SCORE, Verdict((0.1, 0.2, 0.3)), "3 scores for a candidate of 2 steps"),
    "a bare score": (SCORE, Verdict(0.5), "step_scores"),  # type: ignore[arg-type]
    "NaN": (SCORE, Verdict((0.5, NAN)), "score nan"),
    "above one": (SCORE, Verdict((1.0000001,)), "score 1.0000001"),
    "below zero": (SCORE, Verdict((-0.1, 0.5)), "score -0.1"),
    "infinite": (SCORE, Verdict((float("inf"),)), "score inf"),
    "None for a score": (SCORE, Verdict((None,)), "score None"),  # type: ignore[arg-type]
    "text for a score": (SCORE, Verdict(("0.5",)), "score '0.5'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("request_", "reply", "problem"), WRONG_REPLIES.values(), ids=WRONG_REPLIES)
def test_a_reply_that_breaks_the_protocol_ends_its_question_with_a_role_error(
    request_: Any, reply: Any, problem: str
) -> None:
    recorded: list[Any] = []
    roles = (*ALL, "comparator")
    engine = Engine(roles, lambda *what: recorded.append(what))
    engine.start(ROOT, yields([request_])())
    other = Candidate(Question("r", "And?"), Key((0, "r")))
    engine.start(other, yields([Sample(other, other.key.child(0))])())
    for ticket in [ticket for role in roles for ticket in engine.take(role)]:
        engine.give(ticket, reply if ticket.slot == 0 else DONE)
    ended = dict(engine.ended())
    error = ended[0].error
    assert isinstance(error, RoleError)
    with pytest.raises(RoleError, match=problem):
        raise error
    assert f"question 'q', {'candidate' if isinstance(request_, Score) else 'key'} 0/q/0" in str(error)
    # Nothing of it is in the trace, and the other question knows nothing of it.
    assert [what[0].id for what in recorded] == ["r"]
    assert (ended[1].error, ended[1].cost.generations) == (None, 1)


GOOD_REPLIES: dict[str, tuple[Any, Any]] = {
    "stop before max_steps": (OPEN, completion_of("Answer: 1")),
    "stop at max_steps": (OPEN, completion_of("a\nb")),
    "cut off before max_steps": (OPEN, Completion(steps_of("a"), "length")),
    "open at max_steps": (OPEN, Completion(steps_of("a\nb\n"), "open")),
    "nothing at all": (WHOLE, Completion((), "stop")),
    "cut off at once": (WHOLE, Completion((), "length")),
    "whole numbers for scores": (SCORE, Verdict((0, 1))),
    "one score for all": (SCORE, Verdict((0.5,))),
    "scores in a list": (SCORE, Verdict([0.5, 0.25])),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("request_", "reply"), GOOD_REPLIES.values(), ids=GOOD_REPLIES)
def test_a_reply_that_keeps_the_protocol_is_let_through(request_: Any, reply: Any) -> None:
    engine = begin(yields([request_])())
    for ticket in [ticket for role in ALL for ticket in engine.take(role)]:
        engine.give(ticket, reply)
    assert end_of(engine).error is None


def test_a_failed_ticket_ends_its_question_and_late_replies_to_it_are_only_recorded() -> None:
    recorded: list[Any] = []
    engine = Engine(ALL, lambda *what: recorded.append(what))
    engine.start(ROOT, yields([sample(0), sample(1), sample(2)])())
    first, second, third = engine.take("generator")
    failure = RoleError("gone")
    engine.give(first, DONE)
    engine.fail(second, failure)
    ended = end_of(engine)
    assert ended.error is failure
    # The best so far is kept.
    assert [c.text for c in ended.outcome.candidates] == ["Answer: 1"]
    assert ended.outcome.chosen == 0
    engine.give(third, DONE)
    engine.fail(third, failure)
    assert (engine.ended(), len(recorded)) == ([], 2)


def test_requests_of_a_search_that_has_ended_are_not_handed_out() -> None:
    engine = begin(yields([sample(0), sample(1)])())
    engine.stop(0, "seconds")
    engine.stop(0, "seconds")
    assert engine.take("generator") == []
    assert end_of(engine).stopped_by == "seconds"


def test_the_best_so_far_counts_a_solution_that_ends_without_a_further_step() -> None:
    prefix = ROOT.extend(ROOT.key.child("p"), steps_of("Answer: 7\n"), "open")

    def search() -> Search:
        yield [Sample(prefix, ROOT.key.child(0), 1), sample(1)]

    engine = begin(search())
    first, _ = engine.take("generator")
    engine.give(first, Completion((), "stop"))
    engine.stop(0, "seconds")
    outcome_ = end_of(engine).outcome
    assert outcome_.chosen is not None
    assert outcome_.candidates[outcome_.chosen].answer == "7"


def test_searches_do_not_wait_for_each_other() -> None:
    engine = Engine(["generator"])
    roots = [Candidate(Question(str(i), "?"), Key((0, str(i)))) for i in range(3)]
    for root in roots:
        engine.start(root, MajorityVote().search(root, 2))
    tickets: list[Ticket] = engine.take("generator")
    for ticket in tickets:
        if ticket.slot == 1:
            engine.give(ticket, DONE)
    assert [slot for slot, _ in engine.ended()] == [1]
    assert engine.active == 2
