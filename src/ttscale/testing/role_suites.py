"""The suites for roles, to subclass: define the fixture named after the role, and every promise becomes a test of it.

    class TestMine(GeneratorTests):
        @pytest.fixture
        def generator(self):
            return MyGenerator()

Other fixtures and class attributes have defaults and may be overridden. Roles may be synchronous or asynchronous.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ttscale.api.solve import solve_all
from ttscale.core.protocols import METHOD_OF, Role, session_of
from ttscale.core.requests import Completion, Request, Revise, Sample, Score
from ttscale.core.types import Candidate, Key, Question
from ttscale.engine.protocol_checks import reply_problem
from ttscale.strategies.best_of_n import BestOfN, MajorityVote
from ttscale.strategies.revision import SequentialRevision
from ttscale.testing.fakes import FakeGenerator, steps_of


def ask(role: Role, obj: Any, requests: Sequence[Any]) -> list[Any]:
    """The replies of a role, awaited where it must be."""
    method = getattr(obj, METHOD_OF[role])
    if not inspect.iscoroutinefunction(method):
        return list(method(requests))

    async def call() -> list[Any]:
        return list(await method(requests))

    return asyncio.run(call())


class _RoleTests:
    """What holds for every role. ``requests`` come from the suites below."""

    role: Role
    deterministic = True
    """False where the same request may get another reply (servers that ignore seeds); only shapes are checked then."""

    @pytest.fixture
    def prompts(self) -> list[str]:
        """Questions that the role can deal with, at least two."""
        return ["What is 1 + 1?", "What is 2 * 3?", "What is 10 - 4?"]

    @pytest.fixture
    def roots(self, prompts: list[str]) -> list[Candidate]:
        """The questions as roots of searches."""
        questions = [Question.of(prompt) for prompt in prompts]
        return [Candidate(question, Key((0, question.id))) for question in questions]

    def test_replies_fit_their_requests(self, subject: Any, requests: list[Any]) -> None:
        replies = ask(self.role, subject, requests)
        assert len(replies) == len(requests)
        for request, reply in zip(requests, replies, strict=True):
            assert reply_problem(request, reply) is None

    def test_a_single_request_is_a_batch(self, subject: Any, requests: list[Any]) -> None:
        (reply,) = ask(self.role, subject, requests[:1])
        assert reply_problem(requests[0], reply) is None

    def test_the_same_request_gets_the_same_reply(self, subject: Any, requests: list[Any]) -> None:
        """Equal requests, that is: a reply must not hang on which object in memory asks for it."""
        first, second = (ask(self.role, subject, [replace(request) for request in requests]) for _ in range(2))
        self._same(requests, first, second)

    def test_a_reply_does_not_depend_on_its_neighbours(self, subject: Any, requests: list[Any]) -> None:
        """Law 4: alone, in pairs, in reversed order and all together."""
        together = ask(self.role, subject, requests)
        alone = [ask(self.role, subject, [request])[0] for request in requests]
        self._same(requests, alone, together)
        self._same(requests, ask(self.role, subject, requests[::-1])[::-1], together)
        pairs = [ask(self.role, subject, requests[i : i + 2]) for i in range(0, len(requests), 2)]
        self._same(requests, [reply for pair in pairs for reply in pair], together)

    def test_a_session_gives_the_replies_of_a_batch(self, subject: Any, requests: list[Any]) -> None:
        if session_of(subject) is None:
            return
        together = ask(self.role, subject, requests)
        for at_once in (len(requests), 1):
            session, replies = subject.session(), dict[int, Any]()
            waiting = list(enumerate(requests))
            while waiting or session.active:
                session.admit(waiting[:at_once])
                waiting = waiting[at_once:]
                for number, reply in session.step():
                    assert number not in replies
                    replies[number] = reply
            self._same(requests, [replies[number] for number in range(len(requests))], together)

    def _same(self, requests: Sequence[Request], first: Sequence[Any], second: Sequence[Any]) -> None:
        assert len(first) == len(second) == len(requests)
        for request, one, other in zip(requests, first, second, strict=True):
            assert (reply_problem(request, one), reply_problem(request, other)) == (None, None)
            if self.deterministic:
                self._equal(request, one, other)

    def _equal(self, request: Request, one: Any, other: Any) -> None:
        raise AssertionError("a suite says what equal replies are")


class _WriterTests(_RoleTests):
    """What generators and revisers have in common."""

    varied = True
    """False for a model that has one reply to a question, whatever the key."""

    def test_steps_are_not_empty_and_say_what_they_cost(self, subject: Any, requests: list[Any]) -> None:
        for reply in ask(self.role, subject, requests):
            assert all(step.text for step in reply.steps)
            drawn = sum(len(step.tokens) if step.drawn is None else step.drawn for step in reply.steps)
            assert reply.cost.sampled_tokens >= drawn

    def test_another_key_is_another_draw(self, subject: Any, roots: list[Candidate]) -> None:
        if self.varied:
            replies = ask(self.role, subject, [self._draw(roots[0], i) for i in range(32)])
            assert len({_text(reply) for reply in replies}) > 1

    def _draw(self, root: Candidate, number: int) -> Any:
        raise AssertionError("a suite says what a draw is")

    def _equal(self, request: Request, one: Any, other: Any) -> None:
        assert (_text(one), one.steps, one.finish) == (_text(other), other.steps, other.finish), request
        assert one.cost.sampled_tokens == other.cost.sampled_tokens, request


class GeneratorTests(_WriterTests):
    """Define the fixture ``generator``; override ``prompts`` where it only knows certain questions."""

    role: Role = "generator"

    @pytest.fixture
    def subject(self, generator: Any) -> Any:
        return generator

    @pytest.fixture
    def requests(self, generator: Any, roots: list[Candidate]) -> list[Sample]:
        """Whole solutions, single steps, continuations and greedy draws, mixed."""
        begun = [Sample(root, root.key.child("begun"), max_steps=1) for root in roots]
        prefixes = [
            request.prefix.extend(request.key, reply.steps, reply.finish)
            for request, reply in zip(begun, ask("generator", generator, begun), strict=True)
        ]
        mixed = []
        for root, prefix in zip(roots, prefixes, strict=True):
            mixed += [Sample(root, root.key.child(i)) for i in range(3)]
            mixed += [Sample(root, root.key.child("step"), 1), Sample(root, root.key.child("greedy"), None, 0.0)]
            if prefix.finish == "open":
                mixed += [Sample(prefix, prefix.key.child(i), 1 + i) for i in range(2)]
                mixed += [Sample(prefix, prefix.key.child("rest")), Sample(prefix, prefix.key.child("hot"), 2, 1.5)]
        return mixed

    def test_greedy_draws_do_not_depend_on_the_key(self, generator: Any, roots: list[Candidate]) -> None:
        draws = [Sample(root, root.key.child(i), 2, 0.0) for root in roots for i in range(3)]
        replies = ask("generator", generator, draws)
        if self.deterministic:
            for i in range(0, len(draws), 3):
                texts = {_text(reply) for reply in replies[i : i + 3]}
                assert len(texts) == 1, f"temperature 0 asks for the most likely text, whatever the key: {texts}"

    def test_it_answers_through_solve(self, generator: Any, prompts: list[str]) -> None:
        for result in solve_all(prompts, 4, generator=generator, strategy=MajorityVote(), progress=False):
            assert (result.error, len(result.candidates), result.cost.generations) == (None, 4, 4)
            assert result.cost.sampled_tokens > 0, "report tokens: Completion(steps, finish, Cost(sampled_tokens=...))"

    def _draw(self, root: Candidate, number: int) -> Sample:
        return Sample(root, root.key.child("varied", number))


class ReviserTests(_WriterTests):
    """Define the fixture ``reviser``; override ``prompts`` or ``attempt`` where it only knows certain texts."""

    role: Role = "reviser"

    @pytest.fixture
    def subject(self, reviser: Any) -> Any:
        return reviser

    @pytest.fixture
    def attempt(self) -> str:
        """The text of an earlier attempt."""
        return "I think it is seven.\nAnswer: 7"

    @pytest.fixture
    def requests(self, roots: list[Candidate], attempt: str) -> list[Revise]:
        """First attempts, and revisions of one to six earlier ones."""
        mixed = []
        for root in roots:
            mixed += [Revise((root,), root.key.child(i)) for i in range(2)]
            earlier = [Candidate(root.question, root.key.child("e", i), steps_of(attempt), "stop") for i in range(6)]
            mixed += [Revise(tuple(earlier[:n]), root.key.child("after", n)) for n in (1, 2, 4, 6)]
        return mixed

    def test_a_revision_is_a_whole_solution(self, reviser: Any, requests: list[Revise]) -> None:
        assert {reply.finish for reply in ask("reviser", reviser, requests)} <= {"stop", "length"}

    def test_it_revises_through_solve(self, reviser: Any, prompts: list[str]) -> None:
        strategy = SequentialRevision(select="majority")
        for result in solve_all(prompts, 4, reviser=reviser, strategy=strategy, progress=False):
            assert (result.error, len(result.candidates), result.cost.generations) == (None, 4, 4)

    def _draw(self, root: Candidate, number: int) -> Revise:
        return Revise((root,), root.key.child("varied", number))


class VerifierTests(_RoleTests):
    """Define the fixture ``verifier``; override ``prompts`` or ``solution`` where it only knows certain texts."""

    role: Role = "verifier"
    tolerance = 0.0
    """How far scores may be apart that should be equal: the rounding noise of a batch."""

    @pytest.fixture
    def subject(self, verifier: Any) -> Any:
        return verifier

    @pytest.fixture
    def solution(self) -> str:
        """A solution of several steps."""
        return "First we think.\nThen we count.\nAnswer: 7"

    @pytest.fixture
    def requests(self, roots: list[Candidate], solution: str) -> list[Score]:
        """Whole solutions, unfinished ones of every length, and revisions that saw attempts."""
        steps, mixed = steps_of(solution), []
        for root in roots:
            mixed += [Score(root.extend(root.key.child(n), steps[:n], "open")) for n in range(1, len(steps))]
            whole = root.extend(root.key.child("whole"), steps, "stop")
            mixed += [Score(whole), Score(Candidate(root.question, root.key.child("r"), steps, "stop", (whole,)))]
        return mixed

    def test_it_says_what_it_cost(self, verifier: Any, requests: list[Score]) -> None:
        for reply in ask("verifier", verifier, requests):
            assert reply.cost.sampled_tokens == 0 or reply.cost.verifier_tokens == 0

    def test_it_judges_through_solve(self, verifier: Any, prompts: list[str], solution: str) -> None:
        roles: dict[str, Any] = {"generator": FakeGenerator(solution), "verifier": verifier}
        for result in solve_all(prompts, 3, **roles, strategy=BestOfN(), progress=False):
            assert (result.error, result.cost.verifier_calls) == (None, 3)
            assert all(score is not None and 0 <= score <= 1 for score in result.scores)

    def _equal(self, request: Request, one: Any, other: Any) -> None:
        assert len(one.step_scores) == len(other.step_scores), request
        for a, b in zip(one.step_scores, other.step_scores, strict=True):
            assert abs(a - b) <= self.tolerance, request


def _text(reply: Any) -> str:
    return "".join(step.text for step in reply.steps) if isinstance(reply, Completion) else repr(reply)
