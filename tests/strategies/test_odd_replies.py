"""Replies that keep the protocol and are strange all the same, through every strategy."""

from __future__ import annotations

import math
from typing import Any

import pytest

import ttscale
from strategies.test_conformance import STRATEGIES
from ttscale import Completion, RoleError, Step, Verdict
from ttscale.testing import FakeGenerator, FakeReviser, FakeVerifier, steps_of
from ttscale.verifiers import FunctionComparator

OWN_TESTS = ("ConfidenceVote", "FirstFinished", "ThinkingBudget", "Mixture")
"""These need confidences, races, thoughts or names of models with their replies, and have tests of their own."""
every_strategy = pytest.mark.parametrize(
    "strategy", [one for one in STRATEGIES if type(one).__name__ not in OWN_TESTS], ids=repr
)


def solve(strategy: Any, said: Any, mark: Any = 0.5, budget: int = 9) -> ttscale.Result:
    roles: Any = {"generator": FakeGenerator(said), "verifier": FakeVerifier(mark), "reviser": FakeReviser(said)}
    roles["comparator"] = FunctionComparator(lambda candidates: 0)
    return ttscale.solve("Why?", budget, **roles, strategy=strategy)


def in_steps(*texts: str) -> Any:
    """A model that says these steps, whole or one at a time."""

    def reply(request: Any) -> Completion:
        begun = len(request.prefix.steps) if hasattr(request, "prefix") else 0
        most = getattr(request, "max_steps", None)
        left = [Step(text, tuple(text.encode(errors="surrogatepass"))) for text in texts[begun:]]
        if most is None or len(left) <= most:
            return Completion(tuple(left), "stop")
        return Completion(tuple(left[:most]), "open")

    return reply


@every_strategy
def test_a_solution_of_no_steps_has_ended_and_says_nothing(strategy: Any) -> None:
    result = solve(strategy, Completion((), "stop"))
    assert (result.error, result.answer, result.text) == (None, None, "")
    assert all(candidate.done and not candidate.steps for candidate in result.candidates)


@every_strategy
@pytest.mark.parametrize(
    "texts",
    [
        ("a\nb\nc\n", "d\n\ne\n", "Answer: 4"),  # the delimiter in the middle
        ("\n", "\n\n", "Answer: 4\n"),  # steps of nothing else
        ("", "", "Answer: 4"),  # steps without text
        ("Answer: 9\n", "No. Answer: 4"),  # an answer in the middle
        ("Answer: 4",),
        ("\\boxed{9}\x00\ud800\u202e", "\\boxed{4}"),  # what no tokenizer says
        ("x" * 100_000 + "\n", "Answer: 4"),
    ],
    ids=["delimiters", "blank", "empty", "two answers", "one step", "not text", "long"],
)
def test_steps_are_taken_as_they_come(strategy: Any, texts: tuple[str, ...]) -> None:
    result = solve(strategy, in_steps(*texts))
    assert result.error is None
    rounds = getattr(strategy, "max_rounds", 40)
    if rounds >= len(texts):
        assert (result.answer, result.text) == ("4", "".join(texts))
        winner = next(candidate for candidate in result.candidates if candidate.done)
        # Whoever splits a text into steps has the last word; nothing is split again, joined or dropped.
        assert tuple(step.text for step in winner.steps) == texts


@every_strategy
@pytest.mark.parametrize("mark", [0, 1, 0.0, 1.0, True, 5e-324, 1 - 2**-53])
def test_scores_at_the_ends_of_the_range_are_scores(strategy: Any, mark: Any) -> None:
    result = solve(strategy, "So.\nAnswer: 1", mark)
    assert (result.error, result.answer) == (None, "1")


@every_strategy
@pytest.mark.parametrize("mark", [1.0000001, -1e-9, math.nan, math.inf, -math.inf, 1 + 2**-52], ids=str)
def test_scores_beyond_it_are_an_error_and_never_clipped(strategy: Any, mark: float) -> None:
    needs = strategy.needs
    if "verifier" not in needs:
        assert solve(strategy, "So.\nAnswer: 1", mark).answer == "1"
        return
    with pytest.raises(RoleError, match=r"the verifier returned the score .*; scores are Python numbers in \[0, 1\]"):
        solve(strategy, "So.\nAnswer: 1", mark)


@every_strategy
def test_a_verdict_of_one_score_serves_solutions_of_any_length(strategy: Any) -> None:
    one, each = (
        solve(strategy, "a\nAnswer: 1", mark) for mark in (Verdict((0.5,)), lambda r: [0.5] * len(r.candidate.steps))
    )
    assert one.answer == each.answer == "1"
    if getattr(strategy, "aggregate", "last") != "prod":
        assert one.scores == each.scores


@every_strategy
def test_one_solution_in_many_is_finished(strategy: Any) -> None:
    """All the others are cut off, in the middle of a step or before the first."""

    def reply(request: Any) -> Completion:
        if request.key.seed % 7 == 0:
            return Completion(steps_of("Answer: 1"), "stop")
        return Completion((Step("Answer: 2", (1,)),) if request.key.seed % 2 else (), "length")

    for budget in (1, 2, 13, 40):
        result = solve(strategy, reply, budget=budget)
        assert result.error is None
        finished = [candidate for candidate in result.candidates if candidate.done]
        assert result.answer == ("1" if finished else None)
