"""One warning a call where no solution states an answer or most were cut off, with the setting to change."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import pytest

import ttscale
from ttscale.core.errors import AnswerWarning


class Says:
    def __init__(self, text: str, finish: Literal["stop", "length"] = "stop") -> None:
        self.text, self.finish = text, finish

    def sample(self, requests: Sequence[ttscale.Sample]) -> list[ttscale.Completion]:
        return [ttscale.Completion((ttscale.Step(self.text),), self.finish) for _ in requests]


def warned(generator: Any, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ttscale.solve_all(["Why?", "How?"], 4, generator=generator, progress=False, **options)
    return [str(one.message) for one in caught if issubclass(one.category, AnswerWarning)]


def test_a_vote_without_answers_warns_once() -> None:
    (message,) = warned(Says("I would have to think about it some more"), strategy="majority_vote")
    assert "2 of 2 questions" in message
    assert "PromptFormat" in message


def test_a_vote_of_what_was_cut_off_warns_once() -> None:
    (message,) = warned(Says("Answer: 5", "length"), strategy="majority_vote")
    assert "raise max_new_tokens" in message
    assert "fill all that the model reads, shorten the prompt" in message


@pytest.mark.parametrize("text", ["Answer: 5", "5", r"\boxed{5}"])
def test_answers_warn_of_nothing(text: str) -> None:
    assert warned(Says(text), strategy="majority_vote") == []


def test_a_rule_of_ones_own_is_asked() -> None:
    assert len(warned(Says("B. Paris, I think"), strategy="majority_vote", answers="code")) == 1
    assert warned(Says("B. Paris, I think"), strategy="majority_vote", answers="choice") == []


class Turns:
    """Says its texts in turn, and judges a text by its place among them."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def sample(self, requests: Sequence[ttscale.Sample]) -> list[ttscale.Completion]:
        texts = [self.texts[request.key.path[-1] % len(self.texts)] for request in requests]  # type: ignore[operator]
        return [ttscale.Completion((ttscale.Step(text),), "stop") for text in texts]

    def score(self, requests: Sequence[ttscale.Score]) -> list[ttscale.Verdict]:
        places = [self.texts.index(request.candidate.text) for request in requests]
        return [ttscale.Verdict(((place + 1) / len(self.texts),)) for place in places]

    def compare(self, requests: Sequence[ttscale.Compare]) -> list[ttscale.Preference]:
        return [ttscale.Preference((1.0,) + (0.0,) * (len(request.candidates) - 1)) for request in requests]


def test_a_best_solution_that_was_passed_over_warns_once() -> None:
    turns = Turns("So the result is 5", "```python\nadd = sum\n```")  # the code has the higher score
    common = {"verifier": turns, "strategy": "best_of_n"}
    (message,) = warned(turns, **common)
    assert "2 of 2 questions the solution with the highest score states no answer" in message
    assert warned(turns, answers=ttscale.answers.regex("(?s).+"), **common) == []
    assert warned(Turns("Answer: 5", "Answer: 6"), verifier=Turns("Answer: 5", "Answer: 6"), strategy="best_of_n") == []


def test_a_tournament_has_no_votes_to_warn_of() -> None:
    essays = Turns("It is disorder, in a way", "It is what is not known")
    assert warned(essays, comparator=essays, strategy="tournament") == []


class Lengths:
    """The n-th draw of a question is n + 1 tokens long."""

    def sample(self, requests: Sequence[ttscale.Sample]) -> list[ttscale.Completion]:
        steps = [ttscale.Step("Answer: 5", tuple(range(1 + int(r.key.path[-1])))) for r in requests]
        cost = [ttscale.Cost(generations=1, sampled_tokens=len(step.tokens)) for step in steps]
        return [ttscale.Completion((step,), "stop", one) for step, one in zip(steps, cost, strict=True)]


def test_losers_of_a_race_were_not_cut_off() -> None:
    assert warned(Lengths(), strategy="first_finished:m=1") == []


@pytest.mark.parametrize("options", [{"limit": ttscale.Limit(tokens=1)}, {"total_limit": ttscale.Limit(tokens=1)}])
def test_what_a_limit_cut_off_says_nothing_of_the_generator(options: Any) -> None:
    assert warned(Lengths(), strategy="majority_vote", **options) == []
