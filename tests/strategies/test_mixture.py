"""Several generators in one search: shares, and a bandit that finds the better one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ttscale
from ttscale import Question
from ttscale.strategies import Mixture
from ttscale.testing import FakeGenerator, FakeVerifier, as_async, waves
from ttscale.verifiers import MixedGenerator

GOOD, BAD = FakeGenerator("Answer: 1", name="good"), FakeGenerator("Answer: 2", name="bad")


def of(outcome: Any, name: str) -> int:
    return sum(candidate.key.path[3] == name for candidate in outcome.candidates)


def mark(request: Any) -> float:
    """The good one's solutions score 0.6 to 0.8, the bad one's 0.2 to 0.4, by the key."""
    noise = 0.2 * (request.candidate.key.seed % 1000) / 1000
    return (0.6 if request.candidate.answer == "1" else 0.2) + noise


@pytest.mark.parametrize("twin", [lambda one: one, as_async])
def test_every_draw_goes_to_the_generator_it_names(twin: Any) -> None:
    mixed = MixedGenerator({"a": twin(GOOD), "b": BAD})
    for n in (1, 2, 7):
        result = ttscale.solve("?", n, generator=mixed, strategy=Mixture(["a", "b"]))
        assert [c.answer for c in result.candidates] == [("1", "2")[i % 2] for i in range(n)]
    results = asyncio.run(
        ttscale.asolve_all(["?", "!"], 4, generator=mixed, strategy=Mixture(("b", "a")), progress=False)
    )
    assert [[c.answer for c in result.candidates] for result in results] == [["2", "1", "2", "1"]] * 2


def test_a_bandit_spends_on_the_better_one() -> None:
    roles: Any = {"generator": MixedGenerator({"good": GOOD, "bad": BAD}), "verifier": FakeVerifier(mark)}
    counts = [
        of(waves(Mixture(("bad", "good"), "bandit"), 40, roles=roles, question=Question(f"q{i}", "?"))[1], "good")
        for i in range(30)
    ]
    assert sum(counts) / 30 > 30  # three quarters and more, where chance gives 20
    outcome = waves(Mixture(("bad", "good"), "bandit", wave=7), 40, roles=roles)[1]
    assert len(outcome.candidates) == 40
    assert outcome.note == f"bad {of(outcome, 'bad')}, good {of(outcome, 'good')}"
    assert outcome.candidates[outcome.chosen or 0].answer == "1"


def test_by_name_it_takes_the_names_of_its_generator() -> None:
    mixed = MixedGenerator({"a": GOOD, "b": BAD})
    named = ttscale.solve("?", 5, generator=mixed, strategy="mixture")
    assert named == ttscale.solve("?", 5, generator=mixed, strategy=Mixture(("a", "b")))
    bandit = ttscale.solve("?", 5, generator=mixed, verifier=FakeVerifier(mark), strategy="mixture:by=bandit")
    assert bandit.strategy.startswith("Mixture(generators=('a', 'b'), by='bandit'")
    with pytest.raises(ValueError, match="mixture draws from several generators: pass generator="):
        ttscale.solve("?", 5, generator=GOOD, strategy="mixture")


def test_a_strategy_that_names_no_generator_is_told_so() -> None:
    with pytest.raises(ttscale.RoleError, match="names none of the generators a, b"):
        ttscale.solve("?", 2, generator=MixedGenerator({"a": GOOD, "b": BAD}), strategy="majority_vote")


@pytest.mark.parametrize(
    "bad",
    [
        {"generators": "ab"},
        {"generators": (GOOD,)},
        {"generators": ("a", "a")},
        {"by": "luck"},
        {"wave": 0},
    ],
    ids=range(5),
)
def test_settings_that_make_no_sense_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Mixture(**bad)
    with pytest.raises(ValueError, match="MixedGenerator needs generators by name"):
        MixedGenerator({})
