"""Suites to subclass: define the fixture named after the role, and every promise of the protocol becomes a test of it.

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

from ttscale._api import solve, solve_all
from ttscale._cost import Limit
from ttscale._errors import MissingRoleError, RoleError
from ttscale._requests import Completion, Request, Revise, Sample, Score
from ttscale._roles import METHOD_OF, Role, Strategy
from ttscale._types import Candidate, Key, Question, Result
from ttscale.engine._checks import reply_problem
from ttscale.strategies.best_of_n import BestOfN, MajorityVote
from ttscale.strategies.revision import SequentialRevision
from ttscale.testing._fakes import FakeGenerator, FakeReviser, FakeVerifier, steps_of
from ttscale.testing._laws import check_laws, toy_roles, waves


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
        if not hasattr(subject, "session"):
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
                assert len({_text(reply) for reply in replies[i : i + 3]}) == 1

    def test_it_answers_through_solve(self, generator: Any, prompts: list[str]) -> None:
        for result in solve_all(prompts, 4, generator=generator, strategy=MajorityVote(), progress=False):
            assert (result.error, len(result.candidates), result.cost.generations) == (None, 4, 4)
            assert result.cost.sampled_tokens > 0

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


class StrategyTests:
    """Define the fixture ``strategy``; override ``roles`` where it needs more than the toy world offers."""

    budgets: Sequence[int] = (*range(1, 13), 16, 31, 64)
    """The N at which what is spent is looked at."""

    @pytest.fixture
    def roles(self) -> dict[Role, Any]:
        """A generator, a verifier and a reviser."""
        return toy_roles()

    @pytest.mark.parametrize("budget", [1, 9])
    def test_the_laws_hold(self, strategy: Strategy, roles: dict[Role, Any], budget: int) -> None:
        check_laws(strategy, budget, roles=roles)

    def test_never_more_than_n_solutions(self, strategy: Strategy, roles: dict[Role, Any]) -> None:
        """Neither begun, nor finished, nor returned. Greedy draws are rollouts and no solutions."""
        for n in self.budgets:
            seen, outcome = waves(strategy, n, roles=roles)
            draws = [(q, a) for wave in seen for q, a in wave if not isinstance(q, Score)]
            begun = [q for q, _ in draws if isinstance(q, Revise) or not q.prefix.steps]
            ended = [
                q
                for q, a in draws
                if isinstance(a, Completion) and a.finish != "open" and getattr(q, "temperature", None) != 0
            ]
            assert max(len(begun), len(ended), len(outcome.candidates)) <= n, f"N = {n}"

    def test_a_draw_is_never_asked_for_twice(self, strategy: Strategy, roles: dict[Role, Any]) -> None:
        seen, _ = waves(strategy, 16, roles=roles)
        keys = [request.key for wave in seen for request, _ in wave if not isinstance(request, Score)]
        assert len(set(keys)) == len(keys)

    @pytest.mark.parametrize("said", ["", "I cannot say.\n", "Hm.\nHm.\nHm."])
    def test_nobody_answers(self, strategy: Strategy, said: str) -> None:
        result = _run(strategy, FakeGenerator(said), FakeVerifier(0.5), FakeReviser(said))
        assert (result.error, result.answer) == (None, None)

    def test_everything_is_cut_off(self, strategy: Strategy) -> None:
        cut = Completion(steps_of("Answer: 1"), "length")
        result = _run(strategy, FakeGenerator(cut), FakeVerifier(0.5), FakeReviser(cut))
        assert (result.error, result.answer, result.text) == (None, None, "")
        assert all(candidate.finish == "length" for candidate in result.candidates)

    def test_every_score_is_the_same(self, strategy: Strategy) -> None:
        for score in (0.0, 1.0):
            said = "So.\nAnswer: 1"
            result = _run(strategy, FakeGenerator(said), FakeVerifier(score), FakeReviser(said))
            assert (result.error, result.answer) == (None, "1")

    @pytest.mark.parametrize("role", ["generator", "verifier", "reviser"])
    def test_a_role_that_fails_is_an_error(self, strategy: Strategy, role: str) -> None:
        error, fine = ValueError("broken"), "So.\nAnswer: 1"
        roles: dict[str, Any] = {
            "generator": FakeGenerator(error if role == "generator" else fine),
            "verifier": FakeVerifier(error if role == "verifier" else 0.5),
            "reviser": FakeReviser(error if role == "reviser" else fine),
        }
        result = _run(strategy, *roles.values())
        assert isinstance(result.error, RoleError) == bool(roles[role].requests)
        assert result.error is None or result.error.__cause__ is error

    def test_a_role_that_is_missing_is_missed_before_anything_is_drawn(self, strategy: Strategy) -> None:
        for missing in getattr(strategy, "needs", frozenset()):
            roles: dict[Role, Any] = {
                "generator": FakeGenerator("Answer: 1"),
                "verifier": FakeVerifier(0.5),
                "reviser": FakeReviser("Answer: 1"),
            }
            others: dict[Any, Any] = {role: obj for role, obj in roles.items() if role != missing}
            fits = getattr(strategy, "for_roles", None)
            if fits and missing not in fits(frozenset(others)).needs:
                continue
            with pytest.raises(MissingRoleError, match=f"needs a {missing} and none was given"):
                solve_all(["?"], 4, **others, strategy=strategy, progress=False)
            assert not any(obj.requests for obj in others.values())

    def test_a_limit_ends_it_with_the_best_so_far(self, strategy: Strategy, roles: dict[Role, Any]) -> None:
        given: dict[Any, Any] = roles
        for tokens in (1, 100, 400):
            result = solve("Toy question 0?", 16, **given, strategy=strategy, limit=Limit(tokens=tokens))
            answers = [candidate.answer for candidate in result.candidates if candidate.answer is not None]
            assert (result.answer in answers) if answers else (result.answer is None)

    def test_its_name_says_nothing_of_memory(self, strategy: Strategy) -> None:
        assert " at 0x" not in _run(strategy, FakeGenerator(""), FakeVerifier(0.5), FakeReviser("")).strategy


def _run(strategy: Strategy, generator: Any, verifier: Any, reviser: Any) -> Result:
    roles: dict[str, Any] = {"generator": generator, "verifier": verifier, "reviser": reviser}
    return solve_all(["Why?"], 8, **roles, strategy=strategy, progress=False)[0]


def _text(reply: Any) -> str:
    return "".join(step.text for step in reply.steps) if isinstance(reply, Completion) else repr(reply)
