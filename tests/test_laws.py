"""The six laws of the design, each over every strategy, and what every budget from 1 to 70 is spent on."""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import inspect
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import ttscale
from ttscale import (
    DVTS,
    Beam,
    BestOfN,
    Candidate,
    Completion,
    ComputeOptimalScheduler,
    Cost,
    Key,
    Lookahead,
    MajorityVote,
    Policy,
    Preference,
    Question,
    Revise,
    Sample,
    Score,
    SequentialRevision,
    Verdict,
    WeightedBestOfN,
)
from ttscale.core.protocols import METHOD_OF, fitted_to, role_of
from ttscale.core.requests import LOST
from ttscale.engine.core import Engine
from ttscale.strategies import (
    ABMCTS,
    MCTS,
    AdaptiveConsistency,
    AdaptiveScheduler,
    BestOfNStopping,
    ConfidenceVote,
    FirstFinished,
    GenSelect,
    Mixture,
    ParticleFilter,
    ParticleGibbs,
    Rebase,
    RecursiveAggregation,
    ThinkingBudget,
    Tournament,
)
from ttscale.strategies.revision import chain_lengths
from ttscale.testing import ToyLM, ToyVerifier, ToyWorld, check_laws, completion_of, toy_roles, waves

STRATEGIES: list[Any] = [
    MajorityVote(),
    BestOfN(),
    WeightedBestOfN(),
    Beam(),
    Beam("sqrt"),
    DVTS(),
    Lookahead(),
    SequentialRevision(),
    SequentialRevision(select="majority"),
    ComputeOptimalScheduler(),
    AdaptiveConsistency(wave=2),
    AdaptiveScheduler(),
    Rebase(),
    ParticleFilter(),
    ParticleGibbs(),
    MCTS(),
    ABMCTS(),
    RecursiveAggregation(),
    BestOfNStopping(),
    Tournament(),
    GenSelect(3),
    FirstFinished(),
    ThinkingBudget(20),
    Mixture(("a", "b")),
    Mixture(("a", "b"), by="bandit", wave=3),
    ConfidenceVote(0.5, window=8),
    ConfidenceVote(0.3, window=8, warmup=5, measure="lowest"),
]
EVERYONE = functools.partial(toy_roles, comparator=True)
SOURCES = Path(inspect.getfile(Beam)).parent
BUDGETS = range(1, 71)

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)


def test_no_strategy_is_left_out() -> None:
    """Every public strategy, and every class with a search method in the package, is in the list above."""
    named = {
        node.name
        for file in SOURCES.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(item, ast.FunctionDef) and item.name == "search" for item in node.body)
    }
    assert named == {type(strategy).__name__ for strategy in STRATEGIES}


# Laws 1, 2, 4 and 6: the same result in batches of 1, 7 and 1000, shuffled, alone, among others, awaited, in sessions.


@every_strategy
def test_the_way_it_is_run_does_not_matter(strategy: Any) -> None:
    check_laws(strategy, 13, questions=ToyWorld.questions(4), seed=7)


class Draws:
    """Asks one by one and stops at a "yes"; a strategy that depends on its replies as much as can be."""

    def search(self, root: Candidate, budget: int) -> Any:
        drawn: list[Candidate] = []
        for i in range(budget):
            (reply,) = yield [Sample(root, root.key.child(i))]
            drawn.append(root.extend(root.key.child(i), reply.steps, reply.finish))
            if drawn[-1].done and drawn[-1].key.seed % 5 == 0:
                break
        return ttscale.Outcome(tuple(drawn), (None,) * len(drawn), None)


def test_the_check_passes_a_strategy_of_somebody_else() -> None:
    check_laws(Draws(), 8)


def test_the_check_notices_a_strategy_with_a_memory() -> None:
    class Counts:
        calls = 0

        def search(self, root: Candidate, budget: int) -> Any:
            self.calls += 1
            yield [Sample(root, root.key.child(self.calls))]
            return ttscale.Outcome((), (), None)

    with pytest.raises(AssertionError, match="law 1, the same call again"):
        check_laws(Counts(), 4)


def test_the_check_notices_a_strategy_that_rolls_dice() -> None:
    class Rolls:
        def search(self, root: Candidate, budget: int) -> Any:
            yield [Sample(root, root.key.child(random.randrange(2)))]
            return ttscale.Outcome((), (), None)

    with pytest.raises(AssertionError, match=r"law 1: .* used the global random state"):
        check_laws(Rolls(), 4)


def test_the_check_notices_a_generator_that_looks_at_its_neighbours() -> None:
    class Looks(ToyLM):
        def sample(self, requests: Any, /) -> list[Completion]:
            replies = super().sample(requests)
            return replies if len(requests) < 10 else [completion_of("Answer: 1")] * len(requests)

    with pytest.raises(AssertionError, match="law 2, alone"):
        check_laws(BestOfN(), 4, roles={"generator": Looks(), "verifier": ToyVerifier()})


# Law 1: a strategy has no I/O, clock, random numbers, threads or await.

FORBIDDEN = {
    "asyncio", "concurrent", "datetime", "io", "logging", "multiprocessing", "numpy", "os", "random", "secrets",
    "socket", "subprocess", "sys", "tempfile", "threading", "time", "torch", "transformers", "uuid",
}  # fmt: skip


@pytest.mark.parametrize("file", sorted(SOURCES.glob("*.py")), ids=lambda file: file.name)
def test_a_strategy_knows_nothing_but_its_requests(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Global))
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & FORBIDDEN
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in FORBIDDEN
        # Reading and writing a policy is all the I/O there is, and no part of a search.
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "eval", "exec", "__import__", "id", "hash")


@every_strategy
def test_a_search_takes_nothing_from_outside(strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With clock, random numbers and files out of order it finds what it found."""
    wanted = waves(strategy, 12)

    def broken(*_: Any, **__: Any) -> Any:
        raise AssertionError("a search looked at the world")

    roles = toy_roles(comparator=True)
    for role, method in METHOD_OF.items():
        monkeypatch.setattr(roles[role], method, _recorded(wanted[0]))
    for module, names in {
        time: ("time", "monotonic", "perf_counter"),
        random: ("random", "choice"),
        builtins: ("open",),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, broken)
    got = waves(strategy, 12, roles=roles)
    monkeypatch.undo()
    assert got == wanted


def _recorded(seen: Any) -> Any:
    known = {request: reply for wave in seen for request, reply in wave}
    return lambda requests: [known[request] for request in requests]


# Law 2: the address is the seed.

SCRIPT = """
import hashlib, json
from ttscale import *
from ttscale.strategies import *
from ttscale.testing import ToyWorld, toy_roles

found = {}
for name in NAMES:
    results = solve_all(ToyWorld.questions(3), 12, **toy_roles(comparator=True), strategy=eval(name), progress=False)
    text = repr([(r.question, r.answer, r.text, r.score, r.candidates, r.scores, r.strategy) for r in results])
    found[name] = hashlib.sha256(text.encode()).hexdigest()
print(json.dumps([hash("ttscale"), Key((0, "q", 1)).seed, found]))
"""


def test_another_process_with_other_string_hashes_finds_the_same() -> None:
    """The first assertion proves that the second tests something."""
    names = [repr(strategy) for strategy in STRATEGIES]
    outputs = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        script = SCRIPT.replace("NAMES", repr(names))
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        outputs.append(json.loads(done.stdout))
    (hash_1, seed_1, found_1), (hash_2, seed_2, found_2) = outputs
    assert hash_1 != hash_2
    assert seed_1 == seed_2 == Key((0, "q", 1)).seed
    assert found_1 == found_2
    here = {}
    for name, strategy in zip(names, STRATEGIES, strict=True):
        results = ttscale.solve_all(
            ToyWorld.questions(3), 12, **toy_roles(comparator=True), strategy=strategy, progress=False
        )  # type: ignore[arg-type]
        text = repr([(r.question, r.answer, r.text, r.score, r.candidates, r.scores, r.strategy) for r in results])
        here[name] = hashlib.sha256(text.encode()).hexdigest()
    assert here == found_1


@every_strategy
def test_another_seed_or_another_question_draws_afresh(strategy: Any) -> None:
    def keys(seed: int, id_: str) -> set[Key]:
        seen: list[Any] = []
        options: Any = {"strategy": strategy, "seed": seed, "progress": False, "observe": seen.append}
        ttscale.solve_all([Question(id_, "Toy question 0?")], 8, **toy_roles(comparator=True), **options)  # type: ignore[arg-type]
        return {Key(tuple(event["key"])) for event in seen if event["event"] == "reply"}

    first, other_seed, other_id = keys(0, "a"), keys(1, "a"), keys(0, "b")
    assert first.isdisjoint(other_seed)
    assert first.isdisjoint(other_id)
    assert len({key.seed for key in first | other_seed | other_id}) == len(first | other_seed | other_id)
    assert first == keys(0, "a")


# Law 3: one request is one unit of work.


@every_strategy
def test_n_draws_are_n_requests_with_n_keys(strategy: Any) -> None:
    seen, outcome = waves(strategy, 20)
    draws = [request for wave in seen for request, _ in wave if isinstance(request, Sample | Revise)]
    assert len({request.key for request in draws}) == len(draws)
    # Each candidate that comes back was drawn under a key of its own.
    assert len({candidate.key for candidate in outcome.candidates}) == len(outcome.candidates)
    assert {candidate.key for candidate in outcome.candidates} <= {request.key for request in draws}
    # No candidate is judged twice.
    judged = [request for wave in seen for request, _ in wave if isinstance(request, Score)]
    assert len(set(judged)) == len(judged)


@every_strategy
def test_requests_are_frozen_and_hashable_and_equal_by_value(strategy: Any) -> None:
    first, second = (waves(strategy, 9)[0] for _ in range(2))
    requests = [request for wave in first for request, _ in wave]
    assert len({hash(request) for request in requests}) == len(requests)
    assert [request for wave in second for request, _ in wave] == requests


# Law 4: a reply depends on its request, which therefore holds its own settings.


@every_strategy
def test_replies_to_single_requests_are_those_of_one_large_batch(strategy: Any) -> None:
    """All that a search asks a role for, whatever its settings and whenever it asks, at once and backwards."""
    roles = toy_roles(comparator=True)
    seen, _ = waves(strategy, 12, roles=roles)
    for role, method in METHOD_OF.items():
        answered = [(request, reply) for wave in seen for request, reply in wave if reply is not LOST]
        mine = [(request, reply) for request, reply in answered if role_of(request) == role]
        replies = getattr(roles[role], method)([request for request, _ in reversed(mine)])
        assert replies == [reply for _, reply in reversed(mine)]


# Law 5: cost is measured where the work is done, and added up by the engine.


@every_strategy
def test_the_cost_is_the_sum_of_what_the_replies_say(strategy: Any) -> None:
    for result in ttscale.solve_all(
        ToyWorld.questions(3), 12, **toy_roles(comparator=True), strategy=strategy, progress=False
    ):  # type: ignore[arg-type]
        replies = result.trace.recorded
        total = sum((reply.cost for _, reply in replies), Cost())
        fresh = [q for q, _ in replies if isinstance(q, Revise) or (isinstance(q, Sample) and not q.prefix.steps)]
        assert result.cost == total.counted(
            generations=len(fresh),
            steps=sum(len(reply.steps) for _, reply in replies if isinstance(reply, Completion)),
            verifier_calls=sum(isinstance(reply, Verdict | Preference) for _, reply in replies),
        )
        assert (result.cost.verifier_tokens > 0) == bool(strategy.needs & {"verifier", "comparator"})


def test_no_strategy_mentions_cost() -> None:
    for file in SOURCES.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        # A setting of its own may have that name: what a draw is worth to the user.
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        names = {node.attr for node in attributes if ast.unparse(node.value) != "self"}
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert "cost" not in names, file
        assert "Cost" not in imported, file


# Law 6: no barrier between questions; tests/engine/test_drive.py shows it for the drivers.


@every_strategy
def test_a_question_ends_while_another_has_not_even_been_answered(strategy: Any) -> None:
    roles = toy_roles(comparator=True)
    engine = Engine(roles)
    fitted = fitted_to(strategy, roles)
    for question in ToyWorld.questions(2):
        root = Candidate(question, Key((0, question.id)))
        engine.start(root, fitted.search(root, 8))
    while engine.active == 2:
        for role in roles:
            for ticket in engine.take(role):
                if ticket.slot == 1:
                    engine.give(ticket, getattr(roles[role], METHOD_OF[role])([ticket.request])[0])
    assert [slot for slot, _ in engine.ended()] == [1]


# What each N is spent on (section 2 of the design), for every N from 1 to 70.


@functools.cache
def run(strategy: Any, n: int) -> Any:
    return waves(strategy, n)


def draws_of(wave: Any) -> list[Any]:
    return [request for request, _ in wave if isinstance(request, Sample | Revise)]


def fresh(seen: Any) -> int:
    """Solutions begun: draws from the bare question, and revisions."""
    return sum(isinstance(q, Revise) or not q.prefix.steps for wave in seen for q in draws_of(wave))


@every_strategy
def test_no_budget_makes_more_than_n_solutions(strategy: Any) -> None:
    for n in BUDGETS:
        seen, outcome = run(strategy, n)
        drawn = [(q, a) for wave in seen for q, a in wave if isinstance(q, Sample | Revise)]
        ended = [q for q, a in drawn if a.finish != "open" and getattr(q, "temperature", None) != 0]  # type: ignore[union-attr]
        assert fresh(seen) <= n
        assert len(ended) <= n
        assert len(outcome.candidates) <= n
        # What was paid for competes.
        assert {q.key for q in ended} <= {candidate.key for candidate in outcome.candidates}


@pytest.mark.parametrize("strategy", [MajorityVote(), BestOfN(), WeightedBestOfN()], ids=repr)
def test_parallel_sampling_draws_n_in_one_wave(strategy: Any) -> None:
    for n in BUDGETS:
        seen, outcome = run(strategy, n)
        (draws, *judged) = seen
        assert [q for q, _ in draws] == [Sample(q.prefix, q.key) for q, _ in draws]  # type: ignore[union-attr]
        assert (len(draws), len(outcome.candidates)) == (n, n)
        finished = [c for c in outcome.candidates if c.finish == "stop"]
        expected = [] if strategy == MajorityVote() or not finished else [finished]
        assert [[q.candidate for q, _ in wave] for wave in judged] == expected  # type: ignore[union-attr]


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("width", [1, 3, 4, "sqrt"])
def test_beam_begins_n_keeps_n_over_m_and_never_refills(width: Any, merge: bool) -> None:
    for n in BUDGETS:
        seen, outcome = run(Beam(width, merge=merge), n)
        m = max(1, round(math.sqrt(n))) if width == "sqrt" else width
        rounds = [draws_of(wave) for wave in seen if draws_of(wave)]
        assert all(q.max_steps == 1 and q.temperature is None for wave in rounds for q in wave)
        # The first level is N, from the bare question.
        assert len(rounds[0]) == n
        assert {q.prefix.steps for q in rounds[0]} == {()}
        slots, competing = n, 1
        replies = {q.key: a for wave in seen for q, a in wave if isinstance(q, Sample)}
        for wave in rounds:
            # Every slot still open gets one child; those that have ended keep theirs and are not refilled.
            assert len(wave) == slots
            parents = list(dict.fromkeys(q.prefix.key for q in wave))
            if wave is not rounds[0]:
                assert len(parents) == min(max(1, slots // m), competing)
                shares = [sum(q.prefix.key == parent for q in wave) for parent in parents]
                assert max(shares) - min(shares) <= 1
            open_ = [q.prefix.steps + replies[q.key].steps for q in wave if replies[q.key].finish == "open"]
            slots, competing = len(open_), len(set(open_) if merge else open_)
        assert len(outcome.candidates) == n
        assert len({c.key for c in outcome.candidates}) == n


@pytest.mark.parametrize("width", [3, "sqrt"])
def test_lookahead_of_nothing_is_beam_exactly(width: Any) -> None:
    for n in BUDGETS:
        assert run(Lookahead(0, width), n) == run(Beam(width), n)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_lookahead_runs_n_over_k_plus_1_beams(k: int) -> None:
    for n in BUDGETS:
        seen, outcome = run(Lookahead(k), n)
        deep = min(k, n - 1)  # with N <= k there would be no beam at all
        beams = n // (deep + 1)
        assert len(draws_of(seen[0])) == len(outcome.candidates) == beams >= 1
        rollouts = [q for wave in seen for q in draws_of(wave) if q.temperature == 0]
        assert all(q.max_steps == deep for q in rollouts)
        # Steps drawn for each round, rollouts included, never pass N.
        for wave in seen:
            assert len(draws_of(wave)) * (deep if rollouts and draws_of(wave)[:1] == rollouts[:1] else 1) <= n
        # No rollout is part of what comes back.
        keys = {q.key for q in rollouts}
        assert keys.isdisjoint(c.key for c in outcome.candidates)
        assert not any("rollout" in c.key.path for c in outcome.candidates)


@pytest.mark.parametrize("width", [3, 4, "sqrt"])
def test_dvts_runs_n_over_m_subtrees_that_keep_one_each(width: Any) -> None:
    for n in BUDGETS:
        seen, outcome = run(DVTS(width), n)
        m = max(1, round(math.sqrt(n))) if width == "sqrt" else width
        trees: dict[Any, list[Any]] = {}
        for q in draws_of(seen[0]):
            trees.setdefault(q.key.path[:4], []).append(q)
        sizes = [len(tree) for tree in trees.values()]
        assert (len(sizes), sum(sizes)) == (max(1, n // m), n)
        assert max(sizes) - min(sizes) <= 1
        for wave in seen[1:]:
            parents = {q.prefix.key for q in draws_of(wave)}
            # Each subtree goes on from its single best prefix.
            assert len({parent.path[:4] for parent in parents}) == len(parents)
        assert len(outcome.candidates) == n


@pytest.mark.parametrize("ratio", [0, 1 / 16, 1 / 4, 1.0, 4.0, 16.0, math.inf])
def test_revision_writes_as_many_attempts_as_it_was_asked_for(ratio: float) -> None:
    for n in BUDGETS:
        seen, outcome = run(SequentialRevision(ratio), n)
        revisions = [draws_of(wave) for wave in seen if draws_of(wave)]
        chains, length = len(revisions[0]), len(revisions)
        assert sum(map(len, revisions)) == len(outcome.candidates) == n
        # Chains differ by at most one attempt.
        assert all(len(wave) == chains for wave in revisions[:-1])
        # No other number of chains has a ratio nearer to the one asked for.
        if 0 < ratio < math.inf:
            off = [abs(math.log(n / p**2 / ratio)) for p in range(1, n + 1)]
            assert off[chains - 1] <= min(off) + 1e-12
        else:
            assert (length, chains) == ((n, 1) if ratio else (1, n))
        for position, wave in enumerate(revisions):
            for request in wave:
                attempts = [a for a in request.attempts if a.steps]
                assert len(attempts) == min(position, 4)


@pytest.mark.parametrize(
    ("n", "lengths"), [(2, [1, 1]), (3, [2, 1]), (8, [3, 3, 2]), (12, [3, 3, 3, 3]), (15, [4, 4, 4, 3])]
)
def test_chains_where_n_is_no_square(n: int, lengths: list[int]) -> None:
    assert chain_lengths(n, 1.0) == lengths


@pytest.mark.parametrize("ratio", [5e-324, 1e-9, 1e9, 1.7e308, 10**400])
def test_extreme_ratios_are_all_parallel_or_one_chain(ratio: float) -> None:
    assert chain_lengths(64, ratio) == ([1] * 64 if ratio < 1 else [64])


@pytest.mark.parametrize(
    ("n", "ratios"),
    [
        (1, [(1, 1)]),
        (2, [(1, 2), (2, 1)]),
        (4, [(1, 4), (2, 2), (4, 1)]),
        (8, [(1, 8), (2, 4), (4, 2), (8, 1)]),
        (16, [(1, 16), (2, 8), (4, 4), (8, 2), (16, 1)]),
        (64, [(1, 64), (2, 32), (4, 16), (8, 8), (16, 4), (32, 2), (64, 1)]),
        (256, [(1, 256), (4, 64), (16, 16), (64, 4), (256, 1)]),
    ],
)
def test_the_paper_s_grid_of_ratios_comes_out_even(n: int, ratios: list[tuple[int, int]]) -> None:
    """Table 1 of the camera-ready: s sequential, p parallel, s * p = N."""
    for s, p in ratios:
        assert chain_lengths(n, s / p) == [s] * p


@pytest.mark.parametrize("probe", [None, 1, 5, 100])
def test_the_scheduler_s_probe_comes_out_of_n_and_competes(probe: int | None) -> None:
    for n in BUDGETS:
        seen, outcome = run(ComputeOptimalScheduler(probe=probe), n)
        taken = min(n, probe or max(1, min(8, n // 4)))
        assert len(draws_of(seen[0])) == taken
        keys = [q.key for q in draws_of(seen[0])]
        assert [c.key for c in outcome.candidates[:taken]] == keys
        assert fresh(seen) <= n
        assert len(outcome.candidates) <= n


def test_the_scheduler_s_rest_is_what_the_policy_s_strategy_does_with_it() -> None:
    """Judged by the waves after the probe's two: those of a plain beam over N minus the probe."""
    policy = Policy((0.5,), (1,), ((Beam(2),), (Beam(2),)))
    for n in range(2, 40):
        seen, outcome = run(ComputeOptimalScheduler(policy, probe=1), n)
        beam, rest = run(Beam(2), n - 1)
        assert len(outcome.candidates) == 1 + len(rest.candidates)
        main = [q for wave in seen for q in draws_of(wave) if "main" in q.key.path]
        assert len([q for q in main if not q.prefix.steps]) == len(draws_of(beam[0])) == n - 1
