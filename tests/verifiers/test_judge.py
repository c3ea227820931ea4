"""Judges and prompted revisers: what the model is asked, and how its words become scores and attempts."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import ttscale
from ttscale import (
    Candidate,
    Compare,
    Completion,
    Cost,
    Key,
    Question,
    Revise,
    Sample,
    Score,
    SequentialRevision,
    Step,
    Verdict,
)
from ttscale.core.errors import RoleError
from ttscale.prompts import QWEN_MATH, SEARCH_AND_LEARN, THINKING, PromptFormat, chat_turns
from ttscale.revisers import PromptedAggregator, PromptedReviser
from ttscale.strategies import RecursiveAggregation
from ttscale.testing import FakeGenerator
from ttscale.verifiers import JudgeVerifier, PromptedComparator

QUESTION = Question("q1", "What is {x}?")
SOLUTION = Candidate(QUESTION, Key((0, 7)), (Step("First.\n"), Step("So 4.\n")), "stop")
COST = Cost(sampled_tokens=3, prompt_tokens=10, cached_tokens=90, flops=2.0, seconds=0.5)


class Says:
    """A generator that replies with what ``words`` makes of a request, and remembers what it was asked."""

    def __init__(self, words: Callable[[Sample], str]) -> None:
        self.words = words
        self.asked: list[Sample] = []

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        self.asked += requests
        return [Completion((Step(self.words(request)),), "stop", COST) for request in requests]


class SaysLater(Says):
    async def sample(self, requests: Sequence[Sample]) -> list[Completion]:  # type: ignore[override]
        return super().sample(requests)


class Odds(Says):
    """One that shows probabilities."""

    def __init__(self, odds: Any) -> None:
        super().__init__(lambda request: "Yes")
        self.odds = odds
        self.options: Any = None

    def choose(self, requests: Sequence[Sample], options: Sequence[str]) -> Any:
        self.asked += requests
        self.options = options
        return None if self.odds is None else [(self.odds, COST)] * len(requests)


def score(verifier: Any, *candidates: Candidate) -> list[Verdict]:
    got = verifier.score([Score(candidate) for candidate in candidates])
    found: list[Verdict | Exception] = asyncio.run(got) if inspect.isawaitable(got) else got
    for reply in found:
        if isinstance(reply, Exception):
            raise reply
    return found  # type: ignore[return-value]


def test_the_judge_is_asked_about_question_and_solution() -> None:
    judge = Odds((0.3, 0.1))
    assert score(JudgeVerifier(judge), SOLUTION) == [Verdict((0.3 / 0.4,), Cost(verifier_tokens=13, flops=2.0))]
    assert judge.options == ("Yes", "No")
    (asked,) = judge.asked
    assert "Question:\nWhat is {x}?\n\nSolution:\nFirst.\nSo 4.\n\n" in asked.question.prompt
    assert asked.prefix.steps == ()
    assert asked.key == SOLUTION.key.child("judge", 0)


@pytest.mark.parametrize("kind", [Says, SaysLater])
def test_votes_are_counted(kind: type[Says]) -> None:
    def words(request: Sample) -> str:
        return ["Yes", "no, no: YES.", "<think>No</think>Yes", "No", "Hm."][int(request.key.path[-1])]

    judge = kind(words)
    verdicts = score(JudgeVerifier(judge, votes=5), SOLUTION, SOLUTION)
    assert verdicts == [Verdict((0.75,), Cost(verifier_tokens=65, flops=10.0))] * 2
    assert [request.key for request in judge.asked[:5]] == [SOLUTION.key.child("judge", i) for i in range(5)]
    assert len(judge.asked) == 10


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Yes.", 1.0),
        ("**No**", 0.0),
        ("\\boxed{Yes}", 1.0),
        ("Yes, the solution has no mistakes", 1.0),
        ("Yes. There is no error in it", 1.0),
        ("Step 1: no error. Step 2: no error. Yes", 1.0),
        ("Is it correct? No: step 2 says yes to a division by zero", 0.0),
        ("No, wait. It is. Yes!", 1.0),
        ("Yes it is right", 1.0),
        ("No because 8 is wrong", 0.0),
        ("So the answer is no", 0.0),
        ("<think>No. No. No.</think>\n\nYes", 1.0),
        ("No errors were found", None),
        ("There is no doubt that yes men say so", None),
        ("no " * 100_000 + "x", None),
        ("noyes nonono", None),
    ],
)
def test_a_verdict_is_told_from_words_that_only_look_like_one(reply: str, verdict: float | None) -> None:
    """A naive judge takes the last "no" of "Yes, there is no mistake" for the verdict."""
    judge = JudgeVerifier(Says(lambda request: reply), votes=1)
    if verdict is not None:
        assert score(judge, SOLUTION)[0].step_scores == (verdict,)
    else:
        with pytest.raises(RoleError, match="neither Yes nor No"):
            score(judge, SOLUTION)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Yes", 1.0),
        ("**No.** Step 2 is wrong, since", 0.0),
        ("Yes, because 2 + 2", 1.0),
        ("Step 1: is 1 + 1 = 2? Yes.\nStep 2: is 2 + 2", None),
        ("Step 1 is fine. So far the answer is no. But", None),
        ("<think>Step 1: Yes.\nStep 2", None),
    ],
)
def test_a_reply_that_was_cut_off_counts_only_where_it_began_with_its_verdict(
    reply: str, verdict: float | None
) -> None:
    class CutOff(Says):
        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            return [Completion((Step(reply),), "length", COST) for _ in requests]

    judge = JudgeVerifier(CutOff(lambda request: reply), votes=2)
    if verdict is not None:
        assert score(judge, SOLUTION)[0].step_scores == (verdict,)
    else:
        with pytest.raises(RoleError, match="neither Yes nor No"):
            score(judge, SOLUTION)


@pytest.mark.parametrize("more", [-8, -1, 1])
def test_a_generator_that_gives_the_wrong_number_of_replies_has_judged_nothing(more: int) -> None:
    """Votes would go to the next candidate, or be counted among fewer."""

    class Miscounts(Says):
        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            return super().sample([*requests, *requests])[: len(requests) + more]

    with pytest.raises(RoleError, match=f"gave {8 + more} replies to 8 questions of a judge"):
        score(JudgeVerifier(Miscounts(lambda request: "Yes"), votes=4), SOLUTION, SOLUTION)

    class Mischooses(Odds):
        def choose(self, requests: Sequence[Sample], options: Sequence[str]) -> Any:
            return super().choose([*requests, *requests], options)[: len(requests) + (more > 0) - (more < 0)]

    with pytest.raises(RoleError, match=f"gave {2 + (more > 0) - (more < 0)} replies to 2 questions of a judge"):
        score(JudgeVerifier(Mischooses((0.5, 0.1))), SOLUTION, SOLUTION)


def test_votes_take_over_where_no_probabilities_are_shown() -> None:
    judge = Odds(None)
    assert score(JudgeVerifier(judge), SOLUTION)[0].step_scores == (1.0,)
    assert len(judge.asked) == 1 + 8


def test_votes_can_be_preferred() -> None:
    judge = Odds((0.0, 1.0))
    assert score(JudgeVerifier(judge, votes=2), SOLUTION)[0].step_scores == (1.0,)
    assert judge.options is None


def test_a_judge_without_a_verdict_is_an_error_and_not_a_zero() -> None:
    with pytest.raises(
        RoleError, match=r"neither Yes nor No in 8 replies \(question 'q1', candidate 0/7\).*'yesterday'"
    ):
        score(JudgeVerifier(Says(lambda request: "yesterday")), SOLUTION)


class Thinks(Odds):
    """One whose reply begins with a thought, so that Yes and No are next to impossible as its first word."""

    def __init__(self, odds: Any, reply: str) -> None:
        super().__init__(odds)
        self.words = lambda request: reply


@pytest.mark.parametrize("odds", [(2e-6, 1e-9), (0.0, 0.0), (0.05, 0.04)])
def test_a_judge_that_thinks_first_is_read_to_its_end(odds: tuple[float, float]) -> None:
    """Of 2e-6 for Yes and 1e-9 for No nothing follows but that it says neither first."""
    judge = Thinks(odds, "<think>Yes? Step 2 is wrong.</think>\n\nNo")
    (verdict,) = score(JudgeVerifier(judge), SOLUTION)
    assert verdict.step_scores == (0.0,)
    assert verdict.cost.verifier_tokens == 9 * 13  # the look at its first word, and eight replies
    with pytest.raises(RoleError, match="neither Yes nor No in 8 replies"):
        score(JudgeVerifier(Thinks(odds, "<think>Yes, and on and on")), SOLUTION)


def test_only_the_candidates_whose_judge_thinks_are_asked_again() -> None:
    class Mixed(Thinks):
        def choose(self, requests: Sequence[Sample], options: Sequence[str]) -> Any:
            return [((0.6, 0.2) if "First" in r.question.prompt else (0.0, 1e-4), COST) for r in requests]

    judge = Mixed(None, "<think>hm</think>No")
    other = Candidate(QUESTION, Key((0, 8)), (Step("Otherwise."),), "stop")
    verdicts = score(JudgeVerifier(judge), SOLUTION, other)
    assert [verdict.step_scores for verdict in verdicts] == [(pytest.approx(0.75),), (0.0,)]
    assert {request.key.path[:2] for request in judge.asked} == {(0, 8)}


def test_a_graded_judge_gives_the_expectation_over_its_grades() -> None:
    judge = Odds((0.1, 0.0, 0.2, 0.2, 0.3))
    (verdict,) = score(JudgeVerifier(judge, grades=(1, 5), criteria="Is it short?"), SOLUTION)
    assert judge.options == ("1", "2", "3", "4", "5")
    assert verdict.step_scores[0] == pytest.approx((0.2 * 0.5 + 0.2 * 0.75 + 0.3) / 0.8)
    assert "Is it short?\nGrade the solution from 1 (worst) to 5 (best)." in judge.asked[0].question.prompt


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("4", 0.75),
        ("Grade: 5.", 1.0),
        ("**1**", 0.0),
        ("I give it 4/5", 0.75),
        ("4 out of 5", 0.75),
        ("<think>5 5 5</think>Step 1 is right, step 2 is not: 2", 0.25),
        ("It is 12 or 3.5", None),
        ("9", None),
    ],
)
def test_grades_are_read_from_replies(reply: str, grade: float | None) -> None:
    judge = JudgeVerifier(Says(lambda request: reply), votes=1, grades=(1, 5))
    if grade is None:
        with pytest.raises(RoleError, match="no grade from 1 to 5"):
            score(judge, SOLUTION)
    else:
        assert score(judge, SOLUTION)[0].step_scores == (grade,)


def test_the_error_of_a_judge_in_a_search_is_a_sentence() -> None:
    model = FakeGenerator("Answer: 1")
    with pytest.raises(RoleError, match=r"^the verifier: the judge said neither Yes nor No in 8 replies"):
        ttscale.solve("Why?", 2, generator=model, verifier=JudgeVerifier(model), strategy="best_of_n")


def test_a_judge_that_says_nothing_may_leave_a_candidate_unscored() -> None:
    judge = JudgeVerifier(Says(lambda request: "yesterday"), on_error="unscored")
    (verdict,) = score(judge, SOLUTION)
    assert (verdict.step_scores, verdict.cost) == ((), Cost())
    assert "neither Yes nor No" in str(verdict.unscored)


def test_the_judge_is_shown_no_thoughts() -> None:
    thought = Candidate(QUESTION, Key((0, 9)), (Step("<think>\nperhaps 3</think>\n\nSo 4."),), "stop")
    judge = Odds((0.5, 0.5))
    score(JudgeVerifier(judge), thought)
    assert "Solution:\nSo 4.\n" in judge.asked[0].question.prompt
    assert "perhaps" not in judge.asked[0].question.prompt
    told = Odds((0.5, 0.5))
    score(JudgeVerifier(told, thoughts=True), thought)
    assert "perhaps" in told.asked[0].question.prompt
    assert JudgeVerifier(told, thoughts=True).sampling == {"thoughts": True}


def test_a_prompt_of_ones_own() -> None:
    judge = Says(lambda request: "Yes")
    score(JudgeVerifier(judge, votes=1, prompt="{solution} to {question}?"), SOLUTION)
    assert judge.asked[0].question.prompt == "First.\nSo 4. to What is {x}??"


@pytest.mark.parametrize(
    ("generator", "settings", "message"),
    [
        (len, {}, "needs a generator"),
        (Says(str), {"votes": 0}, "votes must be a positive integer"),
        (Says(str), {"prompt": "{question}"}, "must contain {question} and {solution}"),
        (Says(str), {"grades": (1, 10)}, "grades must be the lowest and the highest digit"),
        (Says(str), {"grades": (5, 1)}, "grades must be the lowest and the highest digit"),
        (Says(str), {"on_error": "skip"}, 'on_error must be "raise", "unscored"'),
    ],
)
def test_bad_judges_are_refused(generator: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JudgeVerifier(generator, **settings)


# Revisers.


def revise(reviser: Any, *requests: Revise) -> list[Completion]:
    got = reviser.revise(requests)
    return asyncio.run(got) if inspect.isawaitable(got) else got  # type: ignore[no-any-return]


def attempt(i: int) -> Candidate:
    return Candidate(QUESTION, Key((i,)), (Step(f"Answer: {i}\n"),), "stop")


@pytest.mark.parametrize("kind", [Says, SaysLater])
def test_the_reviser_shows_the_last_attempts(kind: type[Says]) -> None:
    writer = kind(lambda request: "Answer: 9")
    reviser = PromptedReviser(writer, context=2)
    root = Candidate(QUESTION, Key((0,)))
    replies = revise(reviser, Revise((root,), Key((5,))), Revise((attempt(1), attempt(2), attempt(3)), Key((6,))))
    assert replies == [Completion((Step("Answer: 9"),), "stop", COST)] * 2
    first, second = writer.asked
    assert (first.question, first.key) == (QUESTION, Key((5,)))
    assert second.key == Key((6,))
    assert second.prefix.steps == ()
    assert second.question.prompt.startswith("What is {x}?\n\n")
    assert "\n\nAttempt 1:\nAnswer: 2\n\nAttempt 2:\nAnswer: 3\n\n" in second.question.prompt
    assert "Answer: 1" not in second.question.prompt


@pytest.mark.parametrize("kind", [Says, SaysLater])
def test_revision_chains_run_on_any_generator(kind: type[Says]) -> None:
    writer = kind(lambda request: f"Answer: {request.question.prompt.count('Attempt ')}")
    result = ttscale.solve("q", 6, reviser=PromptedReviser(writer), strategy=SequentialRevision(ratio=float("inf")))
    assert [candidate.answer for candidate in result.candidates] == ["0", "1", "2", "3", "4", "4"]
    assert result.answer == "4"


@pytest.mark.parametrize("kind", [Says, SaysLater])
def test_a_reviser_shows_every_attempt_that_a_strategy_sends(kind: type[Says]) -> None:
    """The sixth of a chain sees five, and a population of 20 out of 20 sees them all; their candidates say so."""
    writer = kind(lambda request: f"Answer: {request.question.prompt.count('Attempt ')}")
    chain = SequentialRevision(ratio=float("inf"), context=8)
    for reviser, n, strategy in (
        (PromptedReviser(writer), 6, chain),
        (PromptedAggregator(writer), 40, RecursiveAggregation(20, 20, 2)),
    ):
        result = ttscale.solve("q", n, reviser=reviser, strategy=strategy, progress=False)
        sent = [len(candidate.attempts) for candidate in result.candidates]
        assert [candidate.answer for candidate in result.candidates] == [str(count) for count in sent]
        assert max(sent) == (5 if n == 6 else 20)


def test_the_generators_session_serves_revisions() -> None:
    class Session:
        def __init__(self) -> None:
            self.waiting: list[tuple[int, Sample]] = []

        @property
        def active(self) -> bool:
            return bool(self.waiting)

        def admit(self, requests: Sequence[tuple[int, Sample]]) -> None:
            self.waiting += requests

        def step(self) -> Sequence[tuple[int, Completion]]:
            ticket, request = self.waiting.pop()
            return [(ticket, Completion((Step(request.question.prompt),), "stop"))]

    class Batching(Says):
        worker = "gpu"

        def session(self) -> Session:
            return Session()

    reviser = PromptedReviser(Batching(str))
    assert reviser.worker == "gpu"
    session = reviser.session()
    session.admit([(3, Revise((attempt(1),), Key((6,))))])
    assert session.active
    ((ticket, reply),) = session.step()
    assert ticket == 3
    assert "Attempt 1:\nAnswer: 1" in reply.steps[0].text
    assert not session.active
    assert PromptedReviser(Says(str)).session is None


@pytest.mark.parametrize(
    ("generator", "settings", "message"),
    [
        (len, {}, "needs a generator"),
        (Says(str), {"context": 0}, "context must be a positive integer"),
        (Says(str), {"prompt": "{question}"}, "must contain {question} and {attempts}"),
    ],
)
def test_bad_revisers_are_refused(generator: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PromptedReviser(generator, **settings)


def test_a_judge_passes_on_what_its_generator_says_of_one_request() -> None:
    class Partly:
        def sample(self, requests: Sequence[Sample]) -> list[Any]:
            return [
                ValueError("too long") if i < 2 else Completion((Step("Yes"),), "stop") for i in range(len(requests))
            ]

    question = Question("q", "?")
    requests = [Score(Candidate(question, Key((0, i)), (Step("Answer: 1"),), "stop")) for i in range(2)]
    refused, verdict = JudgeVerifier(Partly(), votes=2).score(requests)
    assert isinstance(refused, ValueError)
    assert verdict.step_scores == (1.0,)


def test_an_unclear_judge_costs_the_other_questions_nothing() -> None:
    generator = Says(lambda request: "Maybe" if "bad" in request.question.prompt else "Yes")
    judge = JudgeVerifier(generator, votes=2)
    candidates = [Candidate(Question.of(text), Key((0, text)), (Step("x"),), "stop") for text in ("bad q", "q2", "q3")]
    bad, *good = judge.score([Score(candidate) for candidate in candidates])
    assert isinstance(bad, RoleError)
    assert [verdict.step_scores for verdict in good] == [(1.0,), (1.0,)]
    results = ttscale.solve_all(
        ["bad q", "q2", "q3"], 2, generator=FakeGenerator("Answer: 1"), verifier=judge,
        strategy="best_of_n", progress=False,
    )  # fmt: skip
    assert [result.error is None for result in results] == [False, True, True]
    assert len(generator.asked) == 2 * 3 + 2 * 2 * 3


def test_a_prompted_reviser_shows_no_thoughts() -> None:
    thought = Candidate(QUESTION, Key((0, 9)), (Step("<think>\nperhaps 3</think>\n\nSo 4."),), "stop")
    asked = Says(lambda request: "So 5.")
    PromptedReviser(asked).revise([Revise((thought,), Key((0, 10)))])
    assert "Attempt 1:\nSo 4.\n" in asked.asked[0].question.prompt
    assert "perhaps" not in asked.asked[0].question.prompt


FORMS = [PromptFormat(), *(family.prompt for family in (QWEN_MATH, THINKING, SEARCH_AND_LEARN))]


@pytest.mark.parametrize("form", FORMS)
def test_a_judge_is_not_told_to_solve_the_problem(form: PromptFormat) -> None:
    """The question stands alone in the chat, as one would type it; a prompt in one's own words stays around it."""
    judge, comparator = Says(lambda request: "Yes"), Says(lambda request: "A")
    JudgeVerifier(judge, votes=1).score([Score(SOLUTION)])
    PromptedComparator(comparator, votes=1).compare([Compare((SOLUTION, SOLUTION), Key((0, "q", 1)))])
    asked = [request.question.prompt for request in (*judge.asked, *comparator.asked)]
    assert len(asked) == 3
    for prompt in asked:
        assert chat_turns(form, prompt) == [{"role": "user", "content": str(prompt)}]
        assert chat_turns(form, str(prompt)) != chat_turns(form, prompt)
        own = PromptFormat(system="You are strict.", user="{question} Think.")
        assert chat_turns(own, prompt) == chat_turns(own, str(prompt))
