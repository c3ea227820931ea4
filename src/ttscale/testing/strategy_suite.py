"""The suite for strategies, to subclass: define the fixture ``strategy``, and every law becomes a test of it.

Knows the fakes and the laws. Must not know the suites for roles (``role_suites.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ttscale.api.result import Result
from ttscale.api.solve import solve, solve_all
from ttscale.core.errors import MissingRoleError, RoleError
from ttscale.core.limit import Limit
from ttscale.core.protocols import Role, Strategy, fitted_to, grows, needs_of
from ttscale.core.requests import Completion, Revise, Sample
from ttscale.testing.fakes import FakeComparator, FakeGenerator, FakeReviser, FakeVerifier, steps_of
from ttscale.testing.laws import check_laws, toy_roles, waves


class StrategyTests:
    """Define the fixture ``strategy``; override ``roles`` where it needs more than the toy world offers."""

    budgets: Sequence[int] = (*range(1, 13), 16, 31, 64)
    """The N at which what is spent is looked at."""

    @pytest.fixture
    def roles(self) -> dict[Role, Any]:
        """A generator, a verifier, a reviser and a comparator."""
        return toy_roles(comparator=True)

    @pytest.mark.parametrize("budget", [1, 9])
    def test_the_laws_hold(self, strategy: Strategy, roles: dict[Role, Any], budget: int) -> None:
        check_laws(strategy, budget, roles=roles)

    def test_never_more_than_n_solutions(self, strategy: Strategy, roles: dict[Role, Any]) -> None:
        """Neither begun, nor finished, nor returned. Greedy draws are rollouts and no solutions."""
        for n in self.budgets:
            seen, outcome = waves(strategy, n, roles=roles)
            draws = [(q, a) for wave in seen for q, a in wave if isinstance(q, Sample | Revise)]
            begun = [q for q, _ in draws if isinstance(q, Revise) or not q.prefix.steps]
            ended = [
                q
                for q, a in draws
                if isinstance(a, Completion) and a.finish != "open" and getattr(q, "temperature", None) != 0
            ]
            assert max(len(begun), len(ended), len(outcome.candidates)) <= n, f"N = {n}"

    def test_a_draw_is_never_asked_for_twice(self, strategy: Strategy, roles: dict[Role, Any]) -> None:
        seen, _ = waves(strategy, 16, roles=roles)
        keys = [request.key for wave in seen for request, _ in wave if isinstance(request, Sample | Revise)]
        assert len(set(keys)) == len(keys)

    def test_what_grows_draws_the_same_and_more(self, strategy: Strategy, roles: dict[Role, Any]) -> None:
        if not grows(strategy):
            return
        before: set[Any] = set()
        for n in (1, 2, 5, 6, 12, 20):
            seen, _ = waves(strategy, n, roles=roles)
            drawn = {request for wave in seen for request, _ in wave if isinstance(request, Sample | Revise)}
            assert before <= drawn, f"N = {n} does not go on from what fewer drew"
            before = drawn

    @pytest.mark.parametrize("said", ["", "I cannot say.\n", "Hm.\nHm.\nHm."])
    def test_nobody_answers(self, strategy: Strategy, said: str) -> None:
        result = _run(strategy, FakeGenerator(said, confidence=1.0), FakeVerifier(0.5), FakeReviser(said))
        assert (result.error, result.answer) == (None, None)

    def test_everything_is_cut_off(self, strategy: Strategy) -> None:
        cut = Completion(steps_of("Answer: 1"), "length")
        result = _run(strategy, FakeGenerator(cut, confidence=1.0), FakeVerifier(0.5), FakeReviser(cut))
        assert (result.error, result.answer, result.text) == (None, None, "")
        assert all(candidate.finish == "length" for candidate in result.candidates)

    def test_every_score_is_the_same(self, strategy: Strategy) -> None:
        for score in (0.0, 1.0):
            said = "So.\nAnswer: 1"
            result = _run(strategy, FakeGenerator(said, confidence=1.0), FakeVerifier(score), FakeReviser(said))
            assert (result.error, result.answer) == (None, "1")

    @pytest.mark.parametrize("role", ["generator", "verifier", "reviser", "comparator"])
    def test_a_role_that_fails_is_an_error(self, strategy: Strategy, role: str) -> None:
        error, fine = ValueError("broken"), "So.\nAnswer: 1"
        roles: dict[str, Any] = {
            "generator": FakeGenerator(error if role == "generator" else fine, confidence=1.0),
            "verifier": FakeVerifier(error if role == "verifier" else 0.5),
            "reviser": FakeReviser(error if role == "reviser" else fine),
            "comparator": FakeComparator(error if role == "comparator" else 0),
        }
        result = solve_all(["Why?"], 8, **roles, strategy=strategy, progress=False)[0]
        assert isinstance(result.error, RoleError) == bool(roles[role].requests)
        assert result.error is None or result.error.__cause__ is error

    def test_a_role_that_is_missing_is_missed_before_anything_is_drawn(self, strategy: Strategy) -> None:
        for missing in needs_of(strategy, ()):
            roles: dict[Role, Any] = {
                "generator": FakeGenerator("Answer: 1", confidence=1.0),
                "verifier": FakeVerifier(0.5),
                "reviser": FakeReviser("Answer: 1"),
                "comparator": FakeComparator(0),
            }
            others: dict[Any, Any] = {role: obj for role, obj in roles.items() if role != missing}
            if missing not in needs_of(fitted_to(strategy, others), others):
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
        assert (
            " at 0x"
            not in _run(strategy, FakeGenerator("", confidence=1.0), FakeVerifier(0.5), FakeReviser("")).strategy
        )


def _run(strategy: Strategy, generator: Any, verifier: Any, reviser: Any) -> Result:
    roles: dict[str, Any] = {"generator": generator, "verifier": verifier, "reviser": reviser}
    roles["comparator"] = FakeComparator(0)
    return solve_all(["Why?"], 8, **roles, strategy=strategy, progress=False)[0]
