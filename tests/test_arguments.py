"""What users pass in: what is refused, in which words, and what becomes of what is not."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator, Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ttscale
from ttscale import (
    MAX_BUDGET,
    Beam,
    BestOfN,
    BudgetError,
    ComputeOptimalScheduler,
    Limit,
    MissingRoleError,
    Policy,
    Question,
    SequentialRevision,
    reference,
)
from ttscale.api.arguments import check_budget, choose_strategy
from ttscale.strategies import AdaptiveScheduler
from ttscale.strategies.names import strategy_named
from ttscale.strategies.policy import default_policy
from ttscale.testing import FakeGenerator, FakeReviser, FakeVerifier, ToyVerifier


class Prefers(FakeVerifier):
    """A verifier that says how its step scores should be aggregated."""

    aggregate = "prod"


def test_a_strategy_that_is_named_takes_over_the_aggregation_that_suits_the_verifier() -> None:
    roles: dict[Any, Any] = {"generator": FakeGenerator("Answer: 1"), "verifier": Prefers(0.5)}
    for name in ("best_of_n", "weighted_best_of_n", "beam", "dvts", "lookahead"):
        assert choose_strategy(name, roles, False) == type(strategy_named(name))(aggregate="prod")
    # In a scheduler, every strategy that it may go on with.
    for scheduler in (None, "compute_optimal", "adaptive_scheduler"):
        chosen: Any = choose_strategy(scheduler, roles, False)
        assert {one.aggregate for row in chosen.policy.strategies for one in row} == {chosen.aggregate} == {"prod"}
    bundled: Any = choose_strategy(None, {**roles, "reviser": FakeReviser("1")}, True)
    assert {one.aggregate for row in bundled.policy.strategies for one in row} == {bundled.aggregate} == {"prod"}
    # A strategy that was made by hand is left as it was made.
    policy = Policy((), (1,), ((Beam(aggregate="min"),),))
    for made in (BestOfN(), Beam(aggregate="min"), ComputeOptimalScheduler(policy), reference.scheduler()):
        assert choose_strategy(made, {**roles, "reviser": FakeReviser("1")}, False) == made
    # So is one under a verifier that says nothing.
    assert choose_strategy("best_of_n", {**roles, "verifier": ToyVerifier()}, False) == BestOfN()


def test_a_scheduler_without_a_policy_has_the_fitted_one_with_the_bundled_models_and_the_papers_with_others() -> None:
    roles: dict[Any, Any] = {"generator": FakeGenerator("1"), "verifier": ToyVerifier(), "reviser": FakeReviser("1")}
    fitted = reference.scheduler().policy
    own = Policy((), (1,), ((BestOfN(),),))
    for one in (None, "compute_optimal", "adaptive_scheduler", ComputeOptimalScheduler(probe=2), AdaptiveScheduler()):
        with_bundled: Any = choose_strategy(one, roles, True)
        with_others: Any = choose_strategy(one, roles, False)
        assert with_bundled.policy == fitted
        assert with_others.policy == default_policy(frozenset(roles)) != fitted
    assert choose_strategy(ComputeOptimalScheduler(own), roles, True) == ComputeOptimalScheduler(own)


# What is refused: before a model is loaded or a token is spent, and the same by every entry point.

WAYS: dict[str, Callable[..., Any]] = {
    "solve": ttscale.solve,
    "solve_all": lambda question, *rest, **options: ttscale.solve_all([question], *rest, **options),
    "asolve": lambda *rest, **options: asyncio.run(ttscale.asolve(*rest, **options)),
    "asolve_all": lambda question, *rest, **options: asyncio.run(ttscale.asolve_all([question], *rest, **options)),
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def refused(way: Callable[..., Any], error: type[Exception], words: str, *arguments: Any, **options: Any) -> None:
    """The call is refused in these words, and no role hears of it."""
    generator, verifier = FakeGenerator("Answer: 1"), FakeVerifier(0.5)
    given: dict[str, Any] = {"generator": generator, "verifier": verifier, **options}
    with pytest.raises(error, match=words) as caught:
        way(*arguments, **{role: obj for role, obj in given.items() if obj is not OMITTED})
    # Of the class that is promised, and no kind of it that means something else.
    assert type(caught.value) is error
    assert (generator.requests, verifier.requests) == ([], [])


OMITTED: Any = object()
NO_QUESTIONS: list[Any] = ["", " ", " \t\r\n", "\u2003\u00a0", None, 7, b"Why?", ["Why?"], True, Question("q", "  ")]
NO_QUESTIONS += [Question("q", None)]  # type: ignore[arg-type]


@every_way
@pytest.mark.parametrize("question", NO_QUESTIONS, ids=repr)
def test_a_question_that_asks_nothing_is_refused(way: Any, question: Any) -> None:
    refused(way, ValueError, "question 0 must be a non-empty string", question)


def test_no_question_is_no_result_and_a_single_string_is_no_list() -> None:
    assert ttscale.solve_all([], generator=FakeGenerator("Answer: 1"), progress=False) == []
    for one in ("Why?", Question.of("Why?")):
        with pytest.raises(ValueError, match=r"for a single one call ttscale\.solve"):
            ttscale.solve_all(one, generator=FakeGenerator("Answer: 1"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="questions must be a list of questions; got None"):
        ttscale.solve_all(None, generator=FakeGenerator("Answer: 1"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="question 2 must be"):
        ttscale.solve_all(["Why?", "How?", ""], generator=FakeGenerator("Answer: 1"))
    with pytest.raises(ValueError, match="two different questions have the id 'q'"):
        ttscale.solve_all([Question("q", "Why?"), Question("q", "How?")], generator=FakeGenerator("Answer: 1"))


class DataFrame:
    """Goes through the names of its columns, as that of pandas."""

    columns = ("question", "answer")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


class NAType:
    """What pandas has where nothing is: it can be compared, and the outcome is neither true nor false."""

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


MANY: dict[str, Callable[..., Any]] = {
    "solve_all": ttscale.solve_all,
    "asolve_all": lambda *rest, **options: asyncio.run(ttscale.asolve_all(*rest, **options)),
    "solve_stream": lambda *rest, **options: list(ttscale.solve_stream(*rest, **options)),
    "asolve_stream": ttscale.asolve_stream,
}


@pytest.mark.parametrize("way", MANY.values(), ids=MANY)
@pytest.mark.parametrize(
    ("questions", "says"),
    [
        ("Why?", r"for a single one call ttscale\.solve"),
        (Question.of("Why?"), r"for a single one call ttscale\.solve"),
        ({"question": "Why?", "answer": "1"}, r"of a dict pass the texts: list\(rows\['question'\]\)"),
        (DataFrame(), "of a DataFrame pass the texts"),
    ],
    ids=["str", "Question", "dict", "DataFrame"],
)
def test_letters_keys_and_columns_are_never_asked_for_questions(way: Any, questions: Any, says: str) -> None:
    refused(way, ValueError, says, questions)


@every_way
@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"question": "Why?"}, r"of a row pass its text, or ttscale\.Question\(id, text\)"),
        ({"role": "user", "content": "Why?"}, "a chat is a list of messages"),
        (None, "leave out rows without a question"),
        (math.nan, "leave out rows without a question"),
        (NAType(), "leave out rows without a question"),
        (np.array(["Why?", "How?"]), "question 0 must be a non-empty string"),
    ],
    ids=["row", "message", "None", "nan", "NA", "array"],
)
def test_what_is_passed_for_a_question_by_mistake_is_told_apart(way: Any, question: Any, says: str) -> None:
    refused(way, ValueError, says, question)


def test_questions_that_come_asynchronously_are_for_the_stream() -> None:
    async def questions() -> AsyncIterator[str]:
        yield "Why?"

    with pytest.raises(ValueError, match=r"ttscale\.asolve_stream reads one that is asynchronous"):
        ttscale.solve_all(questions(), generator=FakeGenerator("Answer: 1"))  # type: ignore[arg-type]


@every_way
@pytest.mark.parametrize(
    "budget",
    [0, -1, True, False, 3.0, 2**40, MAX_BUDGET + 1, "8", None, math.nan, math.inf, Fraction(4), [4], np.float64(4)],
    ids=repr,
)
def test_a_budget_that_is_no_number_of_solutions_is_refused(way: Any, budget: Any) -> None:
    refused(way, BudgetError, f"budget must be an integer from 1 to {MAX_BUDGET}", "Why?", budget)
    assert issubclass(BudgetError, ValueError)


@every_way
@pytest.mark.parametrize("number", [np.int64(3), np.int32(3), np.uint8(3)], ids=repr)
def test_whole_numbers_of_numpy_are_integers(way: Any, number: Any) -> None:
    generator = FakeGenerator("Answer: 1")
    found = way("Why?", number, generator=generator, seed=number)
    result = found[0] if isinstance(found, list) else found
    assert len(result.candidates) == len(generator.requests) == 3
    # They draw what a plain integer draws.
    assert result == ttscale.solve("Why?", 3, generator=FakeGenerator("Answer: 1"), seed=3)
    assert all(type(part) in (int, str) for request in generator.requests for part in request.key.path)


@every_way
@pytest.mark.parametrize("seed", [1.0, True, "1", None])
def test_a_seed_that_is_no_integer_is_refused(way: Any, seed: Any) -> None:
    refused(way, ValueError, "seed must be an integer", "Why?", seed=seed)


@every_way
@pytest.mark.parametrize(
    ("name", "near"),
    [("beem", "did you mean beam"), ("best of m", "did you mean best_of_n"), ("majorityvote", "majority_vote"),
     ("Beam-search", "did you mean beam"), ("computeoptimal", "compute_optimal"), ("", "Known: "),
     ("q" * 500, "Known: "), ("\u0000", "Known: ")],
)  # fmt: skip
def test_an_unknown_strategy_is_named_with_those_that_are_near(way: Any, name: str, near: str) -> None:
    refused(way, ValueError, f"unknown strategy .*{near}", "Why?", strategy=name)


@pytest.mark.parametrize("name", ["beam", "BEAM", " Beam ", "best-of-n", "Best of N", "weighted_best-of n"])
def test_names_are_read_tolerantly(name: str) -> None:
    assert ttscale.solve("Why?", 2, generator=FakeGenerator("Answer: 1"), verifier=FakeVerifier(0.5), strategy=name)


@every_way
@pytest.mark.parametrize("strategy", [Beam, 7, object(), ["beam"]])
def test_what_is_no_strategy_is_refused(way: Any, strategy: Any) -> None:
    refused(way, ValueError, "strategy must be a name or an object with a search method", "Why?", strategy=strategy)


@every_way
@pytest.mark.parametrize(
    ("strategy", "role"),
    [("beam", "verifier"), (BestOfN(), "verifier"), ("compute_optimal", "verifier"), ("sequential_revision", "reviser"),
     (SequentialRevision(select="majority"), "reviser")],
)  # fmt: skip
def test_a_strategy_without_a_role_it_needs_is_refused(way: Any, strategy: Any, role: str) -> None:
    words = rf"needs a {role} and none was given; pass {role}=\.\.\."
    refused(way, MissingRoleError, words, "Why?", strategy=strategy, verifier=OMITTED, reviser=OMITTED)


@every_way
@pytest.mark.parametrize("role", ["generator", "verifier", "reviser"])
@pytest.mark.parametrize("given", [7, "", "  ", FakeReviser, lambda requests: [], object()], ids=range(6))
def test_what_cannot_play_a_role_is_refused(way: Any, role: str, given: Any) -> None:
    refused(way, ValueError, f"{role} must be an object with a method", "Why?", **{role: given})


@every_way
@pytest.mark.parametrize("most", [0, -1, True, 2.5, "7"])
def test_a_batch_of_no_size_is_refused(way: Any, most: Any) -> None:
    generator = FakeGenerator("Answer: 1")
    generator.max_batch = most  # type: ignore[attr-defined]
    refused(way, ValueError, "max_batch of the generator must be a positive integer", "Why?", generator=generator)


@every_way
@pytest.mark.parametrize("limit", [100, {"tokens": 100}, Limit])
def test_a_limit_of_another_kind_is_refused(way: Any, limit: Any) -> None:
    refused(way, ValueError, r"limit must be a ttscale\.Limit", "Why?", limit=limit)


@pytest.mark.parametrize("value", [0, -1, True, math.nan, math.inf, "many"])
@pytest.mark.parametrize("name", ["tokens", "flops", "seconds"])
def test_a_cap_that_caps_nothing_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"Limit\({name}=\.\.\.\) must be positive"):
        Limit(**{name: value})


@given(budget=st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3)))
def test_any_budget_is_taken_or_refused(budget: Any) -> None:
    fine = type(budget) is int and 1 <= budget <= MAX_BUDGET
    try:
        assert check_budget(budget) == budget
    except BudgetError:
        assert not fine
    else:
        assert fine


def test_a_path_is_as_good_as_its_text() -> None:
    folder = reference.path("generator")
    found, same = (
        ttscale.solve("Compute 3 + 4 * 5", 2, generator=one, strategy="majority_vote") for one in (folder, str(folder))
    )
    assert found == same
    assert found.error is None


def test_a_cap_may_be_a_number_of_numpys() -> None:
    result = ttscale.solve("?", 9, generator=FakeGenerator("Answer: 1"), limit=Limit(tokens=np.int64(25)))  # type: ignore[arg-type]
    assert result.stopped_by == "tokens"
    assert result == ttscale.solve("?", 9, generator=FakeGenerator("Answer: 1"), limit=Limit(tokens=25))


def test_the_default_without_a_verifier_votes_and_uses_a_reviser_that_is_there() -> None:
    roles: dict[Any, Any] = {"generator": FakeGenerator("Answer: 1")}
    assert ttscale.solve("q", 4, **roles).strategy == "MajorityVote()"
    roles["reviser"] = FakeReviser("Answer: 2")
    assert ttscale.solve("q", 4, **roles).answer == "2"
    assert ttscale.solve("q", 4, **roles).strategy.startswith(
        "SequentialRevision(ratio=1.0, context=4, select='majority'"
    )


def test_the_default_of_a_generator_that_cannot_continue_samples_whole_solutions() -> None:
    class Whole(FakeGenerator):
        continues = False

    def chosen(name: str | None, roles: Any) -> str:
        return repr(choose_strategy(name, roles, False).policy.strategies)  # type: ignore[attr-defined]

    roles: dict[Any, Any] = {"generator": Whole("Answer: 1"), "verifier": FakeVerifier(0.1)}
    for name in (None, "compute_optimal", "adaptive_scheduler"):
        assert not re.search("Beam|DVTS", chosen(name, roles))
    own = ComputeOptimalScheduler(default_policy(frozenset(roles)))
    assert choose_strategy(own, roles, False) == own  # asked for by hand
    result = ttscale.solve("q", 16, **roles)
    assert all(request.max_steps is None for request in roles["generator"].requests)
    assert result.answer == "1"
    assert "SequentialRevision(ratio=1.0" in chosen(None, roles | {"reviser": FakeReviser("Answer: 1")})
    assert "Beam" in chosen(None, roles | {"generator": FakeGenerator("Answer: 1")})


def test_a_question_that_the_bundled_models_do_not_know_is_refused_before_they_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = ttscale.solve_all(["Who was Euler?", "Compute 3 + 4 * 5"], 1)[0]

    def load(role: str) -> Any:
        raise AssertionError(f"loaded the {role}")

    monkeypatch.setattr(reference, "load", load)
    with pytest.raises(reference.OutOfDomainError, match="Euler"):
        ttscale.solve("Who was Euler?", 1)
    assert ttscale.solve_all(["Who was Euler?", "Hm"], 1)[0] == wanted
    with pytest.raises(AssertionError, match="loaded the generator"):
        ttscale.solve("Compute 3 + 4 * 5", 1)
