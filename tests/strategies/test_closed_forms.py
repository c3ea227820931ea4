"""What must come out where the chances are known: against formulas, and against the sum over all that can happen.

All draws come from fixed keys, so these tests never fail by luck; the intervals are wide enough (four standard errors)
that changing the keys would make one in twenty thousand fail.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from ttscale import DVTS, Beam, BestOfN, Lookahead, MajorityVote, SequentialRevision, WeightedBestOfN
from ttscale.testing import FakeGenerator, ToyLM, ToyReviser, ToyVerifier, ToyWorld, waves

QUESTIONS = 500


def check(strategy: Any, budget: int, world: ToyWorld, expected: float, roles: Any = None) -> None:
    """The share of questions answered right lies within four standard errors of ``expected``."""
    roles = roles or {"generator": ToyLM(world), "verifier": ToyVerifier(world)}
    right = sum(
        world.right(outcome.candidates[outcome.chosen])
        for question in world.questions(QUESTIONS)
        for outcome in [waves(strategy, budget, roles=roles, question=question)[1]]
        if outcome.chosen is not None
    )
    error = math.sqrt(expected * (1 - expected) / QUESTIONS)
    assert abs(right / QUESTIONS - expected) <= 4 * error, (right / QUESTIONS, expected)


@pytest.mark.parametrize(("p", "n"), [(0.05, 1), (0.05, 16), (0.3, 2), (0.3, 5), (0.7, 2)])
@pytest.mark.parametrize("strategy", [BestOfN(), WeightedBestOfN()], ids=["best", "weighted"])
def test_best_of_n_with_a_perfect_verifier_is_right_if_anyone_is(p: float, n: int, strategy: Any) -> None:
    check(strategy, n, ToyWorld(p=p, depth=1), 1 - (1 - p) ** n)


def test_a_solution_is_right_if_every_step_is() -> None:
    world = ToyWorld(p=(0.9, 0.5, 0.8), cut=0.05)
    assert world.chance == pytest.approx(0.36 * 0.95**4)
    check(BestOfN(), 1, world, world.chance)
    check(BestOfN(), 4, world, 1 - (1 - world.chance) ** 4)


@pytest.mark.parametrize(("p", "n"), [(0.6, 1), (0.6, 5), (0.4, 9), (0.5, 3)])
def test_majority_of_two_answers_follows_the_binomial(p: float, n: int) -> None:
    """Condorcet: with one wrong answer and odd N the right one needs more than half."""
    expected = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n // 2 + 1, n + 1))
    check(MajorityVote(), n, ToyWorld(p=p, depth=1, wrong=1), expected)


@pytest.mark.parametrize(("p", "n", "depth"), [(0.5, 4, 3), (0.3, 6, 2)])
def test_a_beam_that_keeps_one_needs_one_right_child_in_each_round(p: float, n: int, depth: int) -> None:
    world = ToyWorld(p=p, depth=depth)
    check(Beam(width=n), n, world, (1 - (1 - p) ** n) ** depth)
    check(BestOfN(), n, world, 1 - (1 - p**depth) ** n)


@pytest.mark.parametrize("ways", [1, 10**9])
def test_a_beam_that_drops_nobody_is_best_of_n(ways: int) -> None:
    """Whether prefixes are often equal or never: copies count."""
    check(Beam(width=1), 4, ToyWorld(p=0.5, depth=3, ways=ways, wrong=100), 1 - (1 - 0.5**3) ** 4)


@pytest.mark.parametrize(("n", "m", "depth", "p"), [(8, 4, 2, 0.3), (8, 2, 3, 0.5), (6, 3, 2, 0.2)])
def test_a_beam_is_right_as_a_markov_chain_of_right_prefixes_says(n: int, m: int, depth: int, p: float) -> None:
    """With a perfect verifier the right prefixes survive first, so how many there are is a chain of binomials."""
    right = {n: 1.0}  # the number of children whose parents are right, with its probability
    for _ in range(depth):
        after: dict[int, float] = {}
        for children, chance in right.items():
            for hits in range(children + 1):
                some = chance * math.comb(children, hits) * p**hits * (1 - p) ** (children - hits)
                kept = min(hits, n // m) * m
                after[kept] = after.get(kept, 0.0) + some
        right = after
    check(Beam(width=m), n, ToyWorld(p=p, depth=depth, ways=1), 1 - right[0])


@pytest.mark.parametrize(("n", "m"), [(8, 4), (9, 3)])
def test_dvts_is_right_if_one_of_its_trees_is(n: int, m: int) -> None:
    tree = (1 - (1 - 0.3) ** m) ** 3
    check(DVTS(width=m), n, ToyWorld(p=0.3, depth=3), 1 - (1 - tree) ** (n // m))


def test_lookahead_sees_what_a_step_s_own_score_does_not_show() -> None:
    """A verifier that judges solutions and nothing unfinished leads no beam; at the end of a rollout it does."""

    class OnlyWhole(ToyVerifier):
        def _judge(self, candidate: Any) -> Any:
            verdict = super()._judge(candidate)
            blind = (0.5,) * len(verdict.step_scores)
            return verdict if candidate.finish == "stop" else type(verdict)(blind, verdict.cost)

    # Greedy rollouts make no slip, so a rollout to the end is right if the prefix is.
    world = ToyWorld(p=0.5, depth=2)
    roles: Any = {"generator": ToyLM(world), "verifier": OnlyWhole(world)}
    # With it, one of four must be right in each round; without, the first is kept, right or wrong.
    for strategy, n, expected in ((Lookahead(3), 16, (1 - 0.5**4) ** 2), (Beam(), 4, 0.5**2)):
        check(strategy, n, world, expected, roles)


@pytest.mark.parametrize(("fix", "length"), [(0.5, 1), (0.5, 4), (0.1, 8), (0.9, 2)])
def test_a_chain_of_revisions_is_right_if_one_of_its_attempts_is(fix: float, length: int) -> None:
    world = ToyWorld(p=0.2, depth=1)
    roles = {"reviser": ToyReviser(world, fix, spoil=0.3), "verifier": ToyVerifier(world)}
    check(SequentialRevision(ratio=math.inf), length, world, 1 - (1 - 0.2) * (1 - fix) ** (length - 1), roles)
    # Side by side instead of one after the other, nothing is learnt from.
    check(SequentialRevision(ratio=0), length, world, 1 - (1 - 0.2) ** length, roles)


# Beam search against best-of-N by brute force: every way in which the draws can fall, with its probability.


def brute_force(strategy: Any, n: int, depth: int, p: float) -> float:
    """The exact chance of a right answer when each step is right with chance ``p``, independently of all others."""
    world = ToyWorld(p=p, depth=depth, wrong=1, ways=1)
    (question,) = world.questions(1)
    verifier = ToyVerifier(world)
    truth = world.truth(question)
    total = 0.0
    for luck in itertools.product((True, False), repeat=n * depth):
        bits = iter(luck)

        def reply(request: Any, bits: Any = bits) -> str:
            lines = [step.text for step in request.prefix.steps]
            while len(lines) < depth:
                lines.append(f"{len(lines) + 1}. {'right' if next(bits) else 'slip'} 0\n")
                if request.max_steps:
                    return "".join(lines) + "(more)\n"
            wrong = any("slip" in line for line in lines)
            return "".join(lines) + f"Answer: {int(truth) + wrong}"

        roles: Any = {"generator": FakeGenerator(reply), "verifier": verifier}
        outcome = waves(strategy, n, roles=roles, question=question)[1]
        assert outcome.chosen is not None
        if world.right(outcome.candidates[outcome.chosen]):
            hits = sum(luck)
            total += p**hits * (1 - p) ** (n * depth - hits)
    return total


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_beam_beats_best_of_n_by_brute_force(p: float) -> None:
    n, depth = 4, 2
    best, beam = brute_force(BestOfN(), n, depth, p), brute_force(Beam(width=2), n, depth, p)
    # Brute force agrees with the formula where there is one,
    assert best == pytest.approx(1 - (1 - p**depth) ** n)
    assert brute_force(Beam(width=4), n, depth, p) == pytest.approx((1 - (1 - p) ** n) ** depth)
    # beam search is better,
    assert beam > best + 0.02
    # and both come out of the toy world as they should.
    world = ToyWorld(p=p, depth=depth, wrong=1, ways=1)
    check(BestOfN(), n, world, best)
    check(Beam(width=2), n, world, beam)
