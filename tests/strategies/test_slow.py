"""The strategies agree with their slow and obvious doubles, in toy worlds of every kind."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import slow
from ttscale import (
    DVTS,
    Beam,
    BestOfN,
    Candidate,
    Key,
    Lookahead,
    Question,
    Score,
    SequentialRevision,
    Step,
    WeightedBestOfN,
)
from ttscale.core.selection import Aggregate, best, majority_vote, weighted_vote
from ttscale.strategies.allocation import top_share
from ttscale.testing import ToyLM, ToyReviser, ToyVerifier, ToyWorld, waves

AGGREGATES = st.sampled_from(get_args(Aggregate))
WORLDS = st.builds(
    ToyWorld,
    p=st.floats(0, 1),
    depth=st.integers(1, 5),
    wrong=st.integers(1, 3),
    ways=st.integers(1, 2),
    hasty=st.sampled_from([0.0, 0.5]),
    cut=st.sampled_from([0.0, 0.1]),
)
QUESTIONS = st.builds(lambda i: Question(f"q{i}", f"Toy question {i}?"), st.integers(0, 10_000))


class Coarse(ToyVerifier):
    """Scores in quarters, so that ties are common."""

    def _judge(self, candidate: Candidate) -> Any:
        verdict = super()._judge(candidate)
        return replace(verdict, step_scores=tuple(round(score * 4) / 4 for score in verdict.step_scores))


@st.composite
def settings_of(draw: Any) -> Any:
    world = draw(WORLDS)
    verifier = draw(st.sampled_from([ToyVerifier, Coarse]))(world, draw(st.floats(0, 1)), orm=draw(st.booleans()))
    roles = {"generator": ToyLM(world), "verifier": verifier, "reviser": ToyReviser(world)}
    question = draw(QUESTIONS)
    return roles, question, Candidate(question, Key((0, question.id))), draw(st.integers(1, 14)), draw(AGGREGATES)


@given(settings_of(), st.booleans())
@settings(max_examples=150)
def test_best_of_n(given_: Any, weighted: bool) -> None:
    roles, question, root, n, how = given_
    strategy = WeightedBestOfN(how) if weighted else BestOfN(how)
    assert waves(strategy, n, roles=roles, question=question)[1] == slow.best_of_n(roles, root, n, how, weighted)


@given(settings_of(), st.integers(1, 6), st.integers(1, 6), st.booleans())
@settings(max_examples=200)
def test_beam(given_: Any, width: int, rounds: int, merge: bool) -> None:
    roles, question, root, n, how = given_
    outcome = waves(Beam(width, rounds, how, merge), n, roles=roles, question=question)[1]
    assert outcome == slow.beam(roles, root, n, width, how, rounds, merge=merge)


@given(settings_of(), st.integers(1, 4), st.integers(0, 4), st.booleans())
@settings(max_examples=200)
def test_lookahead(given_: Any, width: int, k: int, merge: bool) -> None:
    roles, question, root, n, how = given_
    outcome = waves(Lookahead(k, width, 40, how, merge), n, roles=roles, question=question)[1]
    deep = min(k, n - 1)
    assert outcome == slow.beam(roles, root, n // (deep + 1), width, how, 40, deep, merge)


@given(settings_of(), st.integers(1, 6), st.booleans())
@settings(max_examples=150)
def test_dvts(given_: Any, width: int, merge: bool) -> None:
    roles, question, root, n, how = given_
    outcome = waves(DVTS(width, 40, how, merge), n, roles=roles, question=question)[1]
    assert outcome == slow.dvts(roles, root, n, width, how, merge)


@given(settings_of(), st.sampled_from([Beam(3), Lookahead(1, 3), DVTS(3)]), st.booleans())
def test_equal_prefixes_are_judged_once(given_: Any, strategy: Any, merge: bool) -> None:
    roles, question, _, n, _ = given_
    seen, _ = waves(replace(strategy, merge=merge), n, roles=roles, question=question)
    for wave in seen:
        judged = [q.candidate.steps for q, _ in wave if isinstance(q, Score) and q.candidate.finish == "open"]
        # Two subtrees of DVTS may each judge an equal prefix; nobody else meets the same one twice.
        assert isinstance(strategy, DVTS) or len(set(judged)) == len(judged)


@given(settings_of(), st.sampled_from([0.0, 0.25, 1.0, 4.0, math.inf]), st.integers(0, 5))
@settings(max_examples=200)
def test_sequential_revision(given_: Any, ratio: float, context: int) -> None:
    roles, question, root, n, how = given_
    strategy = SequentialRevision(ratio, context, "hierarchical", how)
    # The number of chains whose ratio is nearest to the one asked for, on a logarithmic scale; of two the larger.
    chains = 1 if ratio == math.inf else n
    if 0 < ratio < math.inf:
        distance = {p: abs(math.log(n / p**2 / ratio)) for p in range(1, n + 1)}
        chains = max(p for p in distance if distance[p] <= min(distance.values()) + 1e-12)
    outcome = waves(strategy, n, roles=roles, question=question)[1]
    assert outcome == slow.revision(roles, root, n, chains, context, how)


ANSWERS = st.sampled_from(["Answer: 1/2", "Answer: 0.5", "Answer: 2", "Answer: 2.0", "\\boxed{2}", "I cannot say", ""])
FINISHES = st.sampled_from(["stop", "stop", "stop", "length", "open"])
SCORES = st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 1.0]), st.floats(0, 1))


@given(st.lists(st.tuples(ANSWERS, FINISHES, SCORES), max_size=12))
def test_who_wins(found: list[Any]) -> None:
    question = Question("q", "?")
    candidates = [
        Candidate(question, Key((0, i)), (Step(text),) if text else (), finish)
        for i, (text, finish, _) in enumerate(found)
    ]
    scores = [score for *_, score in found]
    assert weighted_vote(candidates, scores) == slow.vote(candidates, scores)
    assert best(candidates, scores) == slow.choose_best(candidates, scores)
    ones = [1.0 if candidate.finish == "stop" else None for candidate in candidates]
    assert majority_vote(candidates) == slow.vote(candidates, ones)


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=20), st.data())
def test_children_are_dealt_out_to_the_best(scores: list[float], data: Any) -> None:
    slots = data.draw(st.integers(len(scores), 40))
    width = data.draw(st.integers(1, 50))
    children = top_share(scores, slots, width)
    survivors = min(max(1, slots // width), len(scores))
    assert sum(children) == slots
    assert sum(map(bool, children)) == survivors
    ranking = sorted(range(len(scores)), key=lambda i: -scores[i])
    dealt = [0] * len(scores)
    for slot in range(slots):
        dealt[ranking[slot % survivors]] += 1
    assert children == dealt
