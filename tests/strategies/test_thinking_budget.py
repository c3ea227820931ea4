"""Budget forcing, by hand: where thinking is closed, where it is made to go on, and what is drawn after it."""

from __future__ import annotations

from typing import Any

import pytest

import ttscale
from ttscale import Completion, Cost, Question, Sample, Step
from ttscale.strategies import ThinkingBudget
from ttscale.testing import waves

THOUGHT = 10
"""Tokens of every step."""


class Thinker:
    """Thinks for so many steps, closes, and answers with how often it was told to wait."""

    name = "thinker"

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def sample(self, requests: Any) -> list[Completion]:
        return [self._one(request) for request in requests]

    def _one(self, request: Sample) -> Completion:
        steps: list[Step] = []
        text = request.prefix.text
        while request.max_steps is None or len(steps) < request.max_steps:
            tokens = tuple(range(THOUGHT))
            if "</think>" in text:
                steps.append(Step(f"Answer: {text.count('Wait,')}", tokens))
                return Completion(tuple(steps), "stop", Cost(sampled_tokens=THOUGHT * len(steps) + 1))
            since = text.rpartition("Wait,")[2].count("hm\n")
            said = "hm\n" if since < self._steps else "so</think>\n"
            steps.append(Step(said, tokens))
            text += said
        return Completion(tuple(steps), "open", Cost(sampled_tokens=THOUGHT * len(steps)))


def solved(strategy: ThinkingBudget, steps: int) -> tuple[str, int]:
    """The text of the solution, and how many steps were drawn for it."""
    seen, outcome = waves(strategy, 1, roles={"generator": Thinker(steps)}, question=Question("q", "?"))
    assert outcome.chosen == 0
    return outcome.candidates[0].text, sum(len(a.steps) for wave in seen for _, a in wave)  # type: ignore[union-attr]


def test_a_cap_closes_what_goes_on_too_long_and_leaves_the_rest_alone() -> None:
    assert solved(ThinkingBudget(30), 2) == ("hm\nhm\nso</think>\nAnswer: 0", 4)
    assert solved(ThinkingBudget(30), 50) == ("hm\nhm\nhm\n\n</think>\n\nAnswer: 0", 4)
    # The last step may go beyond: it is drawn whole.
    assert solved(ThinkingBudget(31), 50) == ("hm\n" * 4 + "\n</think>\n\nAnswer: 0", 5)
    assert solved(ThinkingBudget(1), 50) == ("hm\n\n</think>\n\nAnswer: 0", 2)


def test_wait_takes_the_close_back_until_the_tokens_are_used() -> None:
    text, drawn = solved(ThinkingBudget(60, "wait"), 2)
    # Three steps a round, the third of which closes; the second round uses up the sixty tokens.
    assert text == "hm\nhm\nso\nWait,hm\nhm\nso</think>\nAnswer: 1"
    assert drawn == 7
    text, _ = solved(ThinkingBudget(50, "wait", wait="\nBut Wait,"), 2)
    assert text == "hm\nhm\nso\nBut Wait,hm\nhm\n\n</think>\n\nAnswer: 1"


@pytest.mark.parametrize(
    ("then", "text"), [("wait", "so\nWait,so\nWait,so</think>Answer: 2"), ("answer", "so</think>Answer: 0")]
)
def test_a_close_in_the_same_step_as_the_answer_is_taken_back_too(then: Any, text: str) -> None:
    """Every draw closes and answers at once, in ten tokens: thirty are used by the third."""

    class Brief:
        name = "brief"

        def sample(self, requests: Any) -> Any:
            return [self._one(request.prefix.text) for request in requests]

        def _one(self, begun: str) -> Completion:
            step = Step(f"so</think>Answer: {begun.count('Wait,')}", tuple(range(THOUGHT)))
            return Completion((step,), "stop", Cost(sampled_tokens=THOUGHT))

    seen, outcome = waves(ThinkingBudget(30, then), 1, roles={"generator": Brief()})
    assert (outcome.candidates[0].text, outcome.chosen, len(seen)) == (text, 0, 1 + text.count("Wait,"))


def test_what_is_written_in_the_model_s_place_costs_nothing_and_begins_nothing() -> None:
    result = ttscale.solve("?", 3, generator=Thinker(50), strategy=ThinkingBudget(30))
    assert result.cost.generations == 3
    assert result.cost.sampled_tokens == 3 * (30 + THOUGHT + 1)
    assert result.score == 1.0


def test_a_model_that_draws_nothing_does_not_think_for_ever() -> None:
    class Empty:
        name = "empty"

        def sample(self, requests: Any) -> Any:
            return [
                Completion((Step(""),), "open") if request.max_steps else Completion((Step("Answer: 1"),), "stop")
                for request in requests
            ]

    outcome = waves(ThinkingBudget(100, "wait"), 2, roles={"generator": Empty()})[1]
    assert [candidate.answer for candidate in outcome.candidates] == ["1", "1"]


@pytest.mark.parametrize("bad", [{"tokens": 0}, {"tokens": 2.5}, {"then": "stop"}, {"close": ""}, {"wait": 3}])
def test_settings_that_make_no_sense_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        ThinkingBudget(**bad)
