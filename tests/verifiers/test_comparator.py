"""Comparators: both orders are asked, replies are read, and whatever goes wrong ends one question."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy
import pytest

import ttscale
from ttscale import Candidate, Compare, Completion, Cost, Key, Question, RoleError, Step
from ttscale.strategies import Tournament
from ttscale.testing import FakeGenerator, ToyLM, as_async, completion_of
from ttscale.verifiers import FunctionComparator, PromptedComparator
from ttscale.verifiers.comparator import LETTERS, chosen_letter

QUESTION = Question("q", "What is 1 + 1?")


def candidate(text: str) -> Candidate:
    return Candidate(QUESTION, Key((0, "q", text)), (Step(text),), "stop")


def comparing(*texts: str) -> Compare:
    return Compare(tuple(map(candidate, texts)), Key((0, "q", "meet")))


class Odds(FakeGenerator):
    """Shows probabilities: it likes the text "correct", and what stands first."""

    def __init__(self, first: float, right: float) -> None:
        super().__init__("never asked to write")
        self.first, self.right = first, right
        self.prompts: list[str] = []

    def choose(self, requests: Any, options: Any, /) -> Any:
        replies = []
        for request in requests:
            self.prompts.append(request.question.prompt)
            shown = request.question.prompt.split("Solution ")[1:]
            weights = [self.first * (i == 0) + self.right * ("correct" in text) + 0.1 for i, text in enumerate(shown)]
            replies.append((tuple(w / 2 for w in weights[: len(options)]), Cost(prompt_tokens=10, flops=5.0)))
        return replies


def test_what_stands_first_gains_nothing() -> None:
    """Two orders cancel a liking for the first place exactly."""
    fair = PromptedComparator(Odds(first=0.0, right=0.0))
    biased = PromptedComparator(Odds(first=5.0, right=0.0))
    for comparator in (fair, biased):
        (reply,) = comparator.compare([comparing("one", "two")])
        assert reply.weights == pytest.approx((0.5, 0.5))
    (reply,) = PromptedComparator(Odds(first=5.0, right=1.0)).compare([comparing("wrong", "correct")])
    # First order: 5.1 to 1.1; the other way round: 0.1 to 6.1.
    assert reply.weights[1] == pytest.approx((1.1 / 6.2 + 6.1 / 6.2) / 2)
    assert reply.cost == Cost(verifier_tokens=20, flops=10.0)


def test_solutions_are_shown_without_their_thoughts_unless_told_otherwise() -> None:
    for thoughts in (False, True):
        model = Odds(0, 1)
        comparator = PromptedComparator(model, thoughts=thoughts)
        comparator.compare([comparing("<think>deep</think>one", "two")])
        assert all(("deep" in prompt, "one" in prompt) == (thoughts, True) for prompt in model.prompts)
        assert comparator.sampling == ({"thoughts": True} if thoughts else {})


def test_both_orders_are_in_the_prompts_with_question_and_letters() -> None:
    model = Odds(0, 1)
    PromptedComparator(model).compare([comparing("one", "two", "three")])
    for prompt, order in zip(model.prompts, (("one", "two", "three"), ("three", "two", "one")), strict=True):
        assert QUESTION.prompt in prompt
        assert "3 solutions" in prompt
        assert "one of A, B, C" in prompt
        assert [prompt.index(text) for text in order] == sorted(prompt.index(text) for text in order)


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("B", "B"),
        ("**A**", "A"),
        ("The first errs in line 2.\nSolution B", "B"),
        ("Solution A is wrong since it adds. Solution B is right.", "B"),
        ("A careful look shows that both are fine.\nBest: A.", "A"),
        ("<think>Solution A looks good. A</think>B", "B"),
        ("I prefer solution (b) here, it shows its work", "B"),
        ("A good question.", None),
        ("C", None),
        ("neither", None),
        ("", None),
    ],
)
def test_replies_are_read(said: str, letter: str | None) -> None:
    assert chosen_letter(completion_of(said), "AB") == letter


def test_a_reply_that_was_cut_off_has_said_only_what_it_began_with() -> None:
    cut = Completion((Step("First, solution A\nthen B\n"),), "length")
    assert chosen_letter(cut, "AB") is None
    assert chosen_letter(Completion((Step("B, because"),), "length"), "AB") == "B"


def test_votes_of_both_orders_are_shares() -> None:
    """Always the first letter: a vote for each, however often; never a word: an error that says what was said."""
    lazy = FakeGenerator("A")
    (reply,) = PromptedComparator(lazy, votes=3).compare([comparing("one", "two")])
    assert reply.weights == (0.5, 0.5)
    assert len(lazy.requests) == 6
    assert len({request.key for request in lazy.requests}) == 6
    knowing = FakeGenerator(lambda request: "A" if request.question.prompt.index("correct") < 150 else "B")
    (reply,) = PromptedComparator(knowing).compare([comparing("correct", "wrong" * 20)])
    assert reply.weights == (1.0, 0.0)
    (mute,) = PromptedComparator(FakeGenerator("I cannot say")).compare([comparing("one", "two")])
    assert isinstance(mute, RoleError)
    assert "named none of the solutions A, B in 8 replies" in str(mute)
    with pytest.raises(RoleError, match="at most 26 solutions can be compared at once; got 27"):
        PromptedComparator(lazy).compare([comparing(*map(str, range(len(LETTERS) + 1)))])


def test_a_function_compares() -> None:
    longest = FunctionComparator(lambda candidates: max(range(len(candidates)), key=lambda i: len(candidates[i].text)))
    (reply,) = longest.compare([comparing("one", "three", "two")])
    assert reply.weights == (0.0, 1.0, 0.0)
    argmax = FunctionComparator(lambda candidates: numpy.argmax([len(candidate.text) for candidate in candidates]))
    assert argmax.compare([comparing("one", "three")])[0].weights == (0.0, 1.0)  # type: ignore[index, union-attr]
    shares = FunctionComparator(lambda candidates: [len(candidate.text) for candidate in candidates])
    (reply,) = shares.compare([comparing("one", "three")])
    assert reply.weights == (3 / 8, 5 / 8)

    async def later(candidates: Any) -> int:
        await asyncio.sleep(0)
        return 1

    (reply,) = asyncio.run(FunctionComparator(later).compare([comparing("one", "two")]))
    assert reply.weights == (0.0, 1.0)


@pytest.mark.parametrize(
    "said", [2, -1, True, "one", [1.0], [-1, 2], [0, 0], [float("nan"), 1], [float("inf"), 1], None]
)
def test_functions_that_say_nothing_sensible_are_errors(said: Any) -> None:
    with pytest.raises(RoleError, match="return the index of the best"):
        FunctionComparator(lambda _: said).compare([comparing("one", "two")])


@pytest.mark.parametrize("twin", [lambda model: model, as_async])
def test_through_solve(twin: Any) -> None:
    """The generator compares for itself; what it read and wrote is the verifier's cost."""
    judge = twin(
        FakeGenerator(lambda request: "A" if "Answer: 1" in request.question.prompt.split("Solution B")[0] else "B")
    )
    result = ttscale.solve(
        "?", 5, generator=FakeGenerator(lambda r: f"Answer: {r.key.path[-1]}"), comparator=PromptedComparator(judge),
        strategy=Tournament("all"),
    )  # fmt: skip
    assert result.answer == "1"
    assert result.cost.verifier_calls == 10
    assert result.cost.verifier_tokens == 10 * 8 * 2  # two tokens for each of eight replies: a letter and the end
    assert result.cost.generations == 5


def test_bad_weights_end_their_question_and_no_other() -> None:
    class Bad:
        name = "bad"

        def compare(self, requests: Any) -> Any:
            return [ttscale.Preference(self.shares(request)) for request in requests]

        @staticmethod
        def shares(request: Compare) -> Any:
            return (0.5, 0.5) if request.question.prompt == "fine" else (0.5, 0.6)

    options: Any = {"generator": ToyLM(), "comparator": Bad(), "strategy": Tournament(), "progress": False}
    fine, broken = ttscale.solve_all(["fine", "broken"], 4, **options)
    assert fine.error is None
    assert isinstance(broken.error, RoleError)
    assert "add up to 1.1" in str(broken.error)


def test_nobody_to_compare_is_missed_before_anything_is_drawn() -> None:
    with pytest.raises(ttscale.MissingRoleError, match="needs a comparator and none was given"):
        ttscale.solve("?", 4, generator=ToyLM(), strategy="tournament")


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="needs a generator"):
        PromptedComparator("model")
    with pytest.raises(ValueError, match="votes must be a positive integer"):
        PromptedComparator(ToyLM(), votes=0)
    with pytest.raises(ValueError, match=r"must contain .question. and .solutions."):
        PromptedComparator(ToyLM(), prompt="{question}")
    with pytest.raises(ValueError, match="needs a function"):
        FunctionComparator(3)  # type: ignore[arg-type]
