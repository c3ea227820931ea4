"""Weaknesses seen in other libraries, each with a test that we do not have it.

The names say what must hold. Where it was seen: search-and-learn (sal), compute-optimal-tts (cotts), openr, its_hub,
optillm. What concerns real models, judges and the documentation is tested beside those; ``ELSEWHERE`` says where.
"""

from __future__ import annotations

import ast
import inspect
import json
import random
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path
from random import Random
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
    Lookahead,
    MajorityVote,
    Policy,
    Question,
    Revise,
    RoleError,
    Sample,
    Score,
    SequentialRevision,
    Verdict,
    WeightedBestOfN,
)
from ttscale.strategies.adaptive import AdaptiveScheduler
from ttscale.strategies.names import IN_POLICY, strategy_class
from ttscale.testing import (
    FakeGenerator,
    FakeReviser,
    FakeVerifier,
    ToyLM,
    ToyVerifier,
    ToyWorld,
    completion_of,
    steps_of,
    toy_roles,
    waves,
)
from ttscale.verifiers import MixedGenerator

EVERY: list[Any] = [
    MajorityVote(),
    BestOfN(),
    WeightedBestOfN(),
    Beam(),
    DVTS(),
    Lookahead(),
    SequentialRevision(),
    ComputeOptimalScheduler(),
]


def solve(
    strategy: Any, generator: Any = None, verifier: Any = None, budget: int = 4, **options: Any
) -> ttscale.Result:
    roles = {"generator": generator, "verifier": verifier}
    return ttscale.solve(
        "Why?", budget, **{k: v for k, v in roles.items() if v is not None}, strategy=strategy, **options
    )


def endings(p: float, most: int) -> Any:
    """A generator that ends at each step with probability ``p``, after ``most`` steps for sure; five answers."""

    def reply(request: Sample) -> Completion:
        dice, steps = Random(request.key.seed), list(request.prefix.steps)
        begun = len(steps)
        while request.max_steps is None or len(steps) < begun + request.max_steps:
            if dice.random() < p or len(steps) == most - 1:
                steps += steps_of(f"Answer: {dice.randrange(5)}")
                return Completion(tuple(steps[begun:]), "stop", Cost(sampled_tokens=len(steps) - begun))
            steps += steps_of(f"{dice.randrange(1000)}\n")
        return Completion(tuple(steps[begun:]), "open", Cost(sampled_tokens=len(steps) - begun))

    return FakeGenerator(reply)


# search-and-learn


def test_lookahead_changes_the_verifiers_input() -> None:
    """sal generates lookahead text and scores the text without it."""
    plain, ahead = FakeVerifier(0.5), FakeVerifier(0.5)
    said = "1\n2\n3\n4\n5\n6\nAnswer: 7"
    solve(Beam(), FakeGenerator(said), plain, 8)
    solve(Lookahead(k=2), FakeGenerator(said), ahead, 24)
    judged = [[len(r.candidate.steps) for r in verifier.requests] for verifier in (plain, ahead)]
    assert judged[0][:3] == [1, 2, 3]
    assert judged[1][:3] == [3, 4, 5]


def test_lookahead_is_charged_for_its_rollouts() -> None:
    """sal pays 240 requests instead of 96 for lookahead=2; the paper charges N * (k + 1)."""
    result = solve(Lookahead(k=2), FakeGenerator("1\n2\n3\n4\nAnswer: 5"), FakeVerifier(0.5), 24)
    assert (len(result.candidates), result.cost.generations) == (8, 8)
    # Eight beams of five steps. All prefixes are equal, so each of the first four rounds rolls out one of them, by two
    # steps and, where only the answer is left, by one.
    assert result.cost.steps == 8 * 5 + (2 + 2 + 2 + 1)
    # A working step has two tokens, the answer nine and the end of the sequence one.
    assert result.cost.sampled_tokens == 8 * (4 * 2 + 10) + (4 + 4 + 12 + 10)


def test_beams_and_rollouts_of_a_round_are_n_steps() -> None:
    """The other side of the same charge: where no two prefixes are equal, a round of N // (k + 1) beams draws N."""

    def reply(request: Sample) -> str:
        return f"{request.prefix.text or str(request.key.path[2]) + chr(10)}b\nc\nd\nAnswer: 5"

    for k in (1, 2, 3):
        seen, _ = waves(Lookahead(k), 24, roles={"generator": FakeGenerator(reply), "verifier": FakeVerifier(0.5)})
        first = [len(a.steps) for wave in seen[:2] for _, a in wave if isinstance(a, Completion)]
        assert sum(first) == 24


@pytest.mark.parametrize("strategy", [Beam(), Beam("sqrt"), DVTS(), Lookahead(1)], ids=repr)
def test_finished_beams_are_not_refilled(strategy: Any) -> None:
    """sal at n=16, P(end)=.15, at most 12 levels: 43 finished beams and 208 step generations on average."""
    for seed in range(20):
        result = solve(strategy, endings(0.15, 12), ToyVerifierLike(), 16, seed=seed)
        drawn = [q for q, _ in result.trace.recorded if isinstance(q, Sample) and q.temperature is None]
        assert sum(c.done for c in result.candidates) <= 16
        assert len(drawn) <= 16 * 12
        assert result.cost.generations <= 16


class ToyVerifierLike(FakeVerifier):
    """Any score, from the text."""

    def __init__(self) -> None:
        super().__init__(lambda request: Random(request.candidate.text).random())


def test_the_winner_is_not_the_first_to_finish() -> None:
    """sal keeps the first n beams that finish, so short answers win."""

    def reply(request: Sample) -> str:
        return "Answer: 1" if request.key.path[2] == 0 else f"{request.key.path[2]}\nthink\nthink\nAnswer: 2"  # type: ignore[misc]

    result = solve(Beam(width=1), FakeGenerator(reply), FakeVerifier(0.5), 4)
    assert [c.answer for c in result.candidates] == ["1", "2", "2", "2"]
    assert result.answer == "2"


def ends_after_a_step(request: Sample) -> Completion:
    if request.prefix.steps:
        return Completion((), "stop")
    return completion_of("a\n") if request.max_steps is None else Completion(steps_of("a\n"), "open")


def test_an_empty_trailing_step_is_never_scored() -> None:
    """sal's stop string stays in the output, so splitting leaves an empty last step and "last" is its score."""
    verifier = FakeVerifier(lambda request: [1.0] * len(request.candidate.steps))
    for strategy in (Beam(), BestOfN(), DVTS(), Lookahead(1)):
        solve(strategy, FakeGenerator("a\n\nb\n\nAnswer: 1\n"), verifier, 8)
        # A model that ends right after a delimiter, without another word.
        solve(strategy, FakeGenerator(ends_after_a_step), verifier, 8)
    assert {request.candidate.text for request in verifier.requests} >= {"a\n", "a\n\nb\n\nAnswer: 1\n"}
    for request in verifier.requests:
        assert request.candidate.steps
        assert all(step.text for step in request.candidate.steps)


@pytest.mark.parametrize("how", ["last", "min", "prod", "mean"])
@pytest.mark.parametrize(
    "strategy",
    [BestOfN, WeightedBestOfN, Beam, DVTS, Lookahead, SequentialRevision, ComputeOptimalScheduler, AdaptiveScheduler],
)
def test_the_aggregation_is_used_in_every_vote(strategy: Any, how: Any) -> None:
    """sal votes by the last step whatever the setting says."""
    marks = (0.5, 0.9, 0.25)
    expected = {"last": 0.25, "min": 0.25, "prod": 0.5 * 0.9 * 0.25, "mean": (0.5 + 0.9 + 0.25) / 3}[how]
    verifier = FakeVerifier(lambda request: marks[: len(request.candidate.steps)])
    roles: Any = {
        "generator": FakeGenerator("a\nb\nAnswer: 1"),
        "verifier": verifier,
        "reviser": FakeReviser("a\nb\nAnswer: 1"),
    }
    result = ttscale.solve("Why?", 8, **roles, strategy=strategy(aggregate=how))
    scores = [score for score in result.scores if score is not None]
    assert len(scores) >= 2
    assert scores == pytest.approx([expected] * len(scores))


@pytest.mark.parametrize("strategy", [Beam(width=8), DVTS(width=8), Lookahead(k=7, width=8), Beam(width=64)], ids=repr)
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_fewer_beams_than_the_width_still_search(strategy: Any, n: int) -> None:
    """sal's top [-0:] keeps everything when n < beam_width."""
    result = solve(strategy, ToyLM(), ToyVerifier(), n)
    assert 1 <= len(result.candidates) <= n
    seen, _ = waves(strategy, n, roles=toy_roles())
    # After the first round a single prefix goes on.
    later = [{q.prefix.key for q, _ in wave if isinstance(q, Sample) and q.temperature is None} for wave in seen[1:]]
    assert all(len(parents) <= 1 for parents in later)


@pytest.mark.parametrize("strategy", EVERY, ids=repr)
def test_nothing_finishes_and_nothing_breaks(strategy: Any) -> None:
    """sal divides by zero, openr indexes an empty list."""
    cut = Completion(steps_of("so\n"), "length")
    roles: Any = {"generator": FakeGenerator(cut), "verifier": FakeVerifier(0.5), "reviser": FakeReviser(cut)}
    result = ttscale.solve("Why?", 6, **roles, strategy=strategy)
    assert (result.answer, result.text, result.score, result.error) == (None, "", None, None)


@pytest.mark.parametrize("strategy", EVERY, ids=repr)
def test_a_solution_cut_off_at_the_length_limit_is_not_finished(strategy: Any) -> None:
    """sal reads a stop reason of None as the end, so cut-off answers count."""
    cut = Completion(steps_of("Answer: 9"), "length")

    def reply(request: Any) -> Any:
        return completion_of("Answer: 1") if request.key.path[-1] == 0 else cut

    roles: Any = {"generator": FakeGenerator(reply), "verifier": FakeVerifier(0.5), "reviser": FakeReviser(reply)}
    result = ttscale.solve("Why?", 8, **roles, strategy=strategy)
    assert result.answer == "1"
    assert all(c.answer is None and not c.done for c in result.candidates if c.finish == "length")


@pytest.mark.parametrize("strategy", EVERY, ids=repr)
def test_a_repeated_question_gets_its_n_candidates_and_no_more(strategy: Any) -> None:
    """sal's DVTS groups by the text of the prompt: twice the same problem gets 16 candidates instead of 8."""
    roles: Any = toy_roles()
    asked = ["Why?", "How?", "Why?"]
    first, other, again = ttscale.solve_all(asked, 8, **roles, strategy=strategy, progress=False)
    assert first == again == ttscale.solve("Why?", 8, **roles, strategy=strategy)
    assert len(first.candidates) <= 8
    assert other != first
    # With ids of their own they are two questions.
    twins = [Question("a", "Why?"), Question("b", "Why?")]
    a, b = ttscale.solve_all(twins, 8, **roles, strategy=strategy, progress=False)
    assert max(len(a.candidates), len(b.candidates)) <= 8
    assert {c.key for c in a.candidates}.isdisjoint(c.key for c in b.candidates)


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (("0.5", "1/2", "\\frac{1}{2}"), "0.25"),
        (("2\\sqrt{2}", "\\sqrt{8}"), "\\sqrt{2}"),
        (("x^2+2x+1", "(x+1)^2"), "x^2+1"),
        (("(3,\\frac{\\pi}{2})", "(3,\\pi/2)"), "(3,\\pi)"),
        (("10\\%", "10"), "0.1"),
    ],
)
def test_answers_that_say_the_same_vote_together(same: tuple[str, ...], other: str) -> None:
    """sal keeps x^2+2x+1 and (x+1)^2 apart; cotts and openr vote on strings."""
    texts = [*(f"\\boxed{{{answer}}}" for answer in same), *[f"\\boxed{{{other}}}"] * (len(same) - 1)]
    # Among equals the first wins, so the other goes first.
    result = solve(MajorityVote(), FakeGenerator(texts[::-1]), budget=len(texts))
    assert result.answer in same
    assert result.score == pytest.approx(len(same) / len(texts))


def test_no_answer_is_no_vote() -> None:
    """sal's empty answer forms a voting group of its own."""
    texts = ["I do not know."] * 5 + ["\\boxed{}"] * 2 + ["Answer: 7"]
    for strategy in (MajorityVote(), WeightedBestOfN()):
        assert solve(strategy, FakeGenerator(texts), FakeVerifier(0.9), 8).answer == "7"


def test_answers_are_compared_in_any_thread() -> None:
    """sal's time limit is a signal, which works in the main thread only."""
    found: list[Any] = []
    texts = ["\\boxed{\\binom{4}{2}}", "\\boxed{6}", "\\boxed{5}"]
    thread = threading.Thread(target=lambda: found.append(solve(MajorityVote(), FakeGenerator(texts), budget=3)))
    thread.start()
    thread.join()
    assert found[0].score == pytest.approx(2 / 3)


def test_importing_starts_no_process_and_no_thread() -> None:
    """sal starts a Manager process on import."""
    script = (
        "import threading, multiprocessing, ttscale; print(threading.active_count(), multiprocessing.active_children())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"


# compute-optimal-tts


def test_the_scheduler_chooses_for_a_question_it_has_never_seen() -> None:
    """cotts picks the strategy by hand on the test set; there is no selector."""
    policy = Policy((0.5,), (1,), ((WeightedBestOfN(),), (Beam(2),)))
    strategies = set()
    for mark in (0.9, 0.1):
        result = solve(ComputeOptimalScheduler(policy, probe=2), FakeGenerator("a\nAnswer: 1"), FakeVerifier(mark), 8)
        strategies.add(result.strategy.rsplit("-> ", 1)[1])
    assert strategies == {
        "WeightedBestOfN(aggregate='last')",
        "Beam(width=2, max_rounds=40, aggregate='last', merge=False)",
    }


def test_the_subtrees_of_dvts_choose_together() -> None:
    """cotts averages the votes of single runs, which is not best-of-256."""

    def reply(request: Sample) -> str:
        tree = request.key.path[3]
        return f"{tree}\nAnswer: {1 if tree == 0 else 2}"

    result = solve(DVTS(width=2), FakeGenerator(reply), FakeVerifier(0.5), 6)
    assert (result.answer, len(result.candidates)) == ("2", 6)


@pytest.mark.parametrize("name", IN_POLICY)
def test_a_name_means_one_strategy_and_the_result_says_which(name: str) -> None:
    """openr's rstar_mcts runs with the settings of vanilla MCTS."""
    roles: Any = toy_roles(comparator=True)
    if name == "mixture":
        roles["generator"] = MixedGenerator({"a": roles["generator"], "b": roles["generator"]})
    result = ttscale.solve("Why?", 4, **roles, strategy=name)
    assert result.strategy.startswith(f"{strategy_class(name).__name__}(")
    assert result == ttscale.solve("Why?", 4, **roles, strategy=strategy_class(name)())


def test_beams_of_many_questions_share_their_batches() -> None:
    """sal's beam search asserts a batch of one question; cotts and openr ask their verifier for one text at a time."""
    generator, verifier = endings(0, 3), ToyVerifierLike()
    questions = [f"Why {i}?" for i in range(5)]
    ttscale.solve_all(questions, 8, generator=generator, verifier=verifier, strategy=Beam(), progress=False)
    assert generator.batches == [5 * 8] * 3
    assert verifier.batches == [5 * 8] * 3


@pytest.mark.parametrize(
    "broken", [ValueError("down"), Verdict(()), Verdict((0.1, 0.2, 0.3, 0.4)), Verdict((float("nan"),))]
)
@pytest.mark.parametrize("strategy", [BestOfN(), Beam(), ComputeOptimalScheduler()], ids=repr)
def test_a_verifier_that_fails_is_an_error_and_never_a_zero(broken: Any, strategy: Any) -> None:
    """cotts scores a failed request and a wrong number of steps as 0.0."""
    with pytest.raises(RoleError, match="verifier"):
        solve(strategy, FakeGenerator("a\nb\nAnswer: 1"), FakeVerifier(broken), 4)
    (result,) = ttscale.solve_all(
        ["Why?"],
        4,
        generator=FakeGenerator("Answer: 1"),
        verifier=FakeVerifier(broken),
        strategy=strategy,
        progress=False,
    )
    assert isinstance(result.error, RoleError)
    assert 0.0 not in result.scores


def test_a_generator_that_fails_is_an_error_with_its_cause() -> None:
    """cotts prints it and goes on with an unbound name; optillm logs any exception as another one."""
    cause = ConnectionError("refused")
    with pytest.raises(RoleError, match="ConnectionError: refused") as caught:
        solve(MajorityVote(), FakeGenerator(cause))
    assert caught.value.__cause__ is cause


def test_copies_and_cut_offs_do_not_shrink_the_search() -> None:
    """cotts drops duplicates and cut-offs without replacing them, so its width is less than its budget."""
    seen, outcome = waves(
        Beam(width=2), 8, roles={"generator": FakeGenerator("a\nb\nc\nAnswer: 1"), "verifier": FakeVerifier(0.5)}
    )
    draws = [sum(isinstance(q, Sample) for q, _ in wave) for wave in seen if isinstance(wave[0][0], Sample)]
    assert draws == [8, 8, 8, 8]
    assert len(outcome.candidates) == 8
    # One copy is judged for all.
    assert [len(wave) for wave in seen if isinstance(wave[0][0], Score)] == [1, 1, 1, 8]


@pytest.mark.parametrize(
    ("strategy", "drawn"), [(Beam(), 3 * 12), (DVTS(), 3 * 12), (Lookahead(2), 3 * 4 + 4 * 2 + 4 * 1)], ids=repr
)
def test_tokens_of_what_did_not_survive_are_counted(strategy: Any, drawn: int) -> None:
    """cotts counts the tokens of surviving nodes; sal reports 0 for beams and -1 for DVTS."""
    # Solutions of three steps, a token each. A quarter survives a round, so most of what is drawn is dropped.
    cost = solve(strategy, endings(0, 3), ToyVerifierLike(), 12).cost
    assert (cost.steps, cost.sampled_tokens) == (drawn, drawn)


def test_what_the_verifier_does_is_in_the_cost() -> None:
    """None of the five counts it."""
    verifier = FakeVerifier(Verdict((0.5,), Cost(verifier_tokens=7, flops=100.0)))
    cost = solve(BestOfN(), FakeGenerator("Answer: 1"), verifier, 3).cost
    assert (cost.verifier_calls, cost.verifier_tokens, cost.flops) == (3, 21, 300.0)


# openr


@pytest.mark.parametrize("strategy", EVERY, ids=repr)
def test_nothing_is_judged_twice(strategy: Any) -> None:
    """openr scores final answers again although the search has their scores."""
    seen, _ = waves(strategy, 16)
    judged = [q for wave in seen for q, _ in wave if isinstance(q, Score)]
    assert len(judged) == len(set(judged))


def test_the_reference_answer_is_out_of_a_strategys_reach() -> None:
    """openr keeps the ground truth in the environment that the search code holds."""
    assert [field.name for field in fields(Question)] == ["id", "prompt", "answers"]
    for cls in (Candidate, Sample, Revise, Score, Completion, Verdict):
        assert not {field.name for field in fields(cls)} & {"truth", "reference", "gold", "label", "correct"}


def test_a_trace_is_added_to_and_never_overwritten(tmp_path: Path) -> None:
    """openr opens its records with mode "w", twice."""
    path = tmp_path / "trace.jsonl"
    for question in ("Why?", "How?"):
        before = path.read_bytes() if path.exists() else b""
        ttscale.solve_all([question], 2, generator=FakeGenerator("Answer: 1"), progress=False, resume=path)
        assert path.read_bytes().startswith(before)
        assert len(path.read_bytes()) > len(before)


# its_hub


@pytest.mark.parametrize("n", [4, 8, 16, 64])
def test_the_first_level_of_a_beam_is_n(n: int) -> None:
    """its_hub begins with N/M: 4 gives 1, 1, 1...; 16 gives 4, 16, ..."""
    said = "a\nb\nc\nAnswer: 1"
    seen, outcome = waves(Beam(width=4), n, roles={"generator": FakeGenerator(said), "verifier": FakeVerifier(0.5)})
    assert [len(wave) for wave in seen if isinstance(wave[0][0], Sample)] == [n] * 4
    assert len(outcome.candidates) == n


@pytest.mark.parametrize("strategy", EVERY, ids=repr)
def test_every_candidate_was_drawn_and_none_is_a_copy(strategy: Any) -> None:
    """its_hub copies finished beams into the pool, sal pads with copies, and they vote."""
    for n in (3, 8, 17):
        seen, outcome = waves(strategy, n)
        drawn = {q.key for wave in seen for q, _ in wave if not isinstance(q, Score)}
        keys = [c.key for c in outcome.candidates]
        assert len(set(keys)) == len(keys)
        assert set(keys) <= drawn


def test_a_model_that_has_ended_is_not_asked_to_go_on() -> None:
    """its_hub knows no end but \\boxed: 516 requests for 16 solutions."""
    generator = FakeGenerator("So.\nI am done.")
    solve(Beam(), generator, FakeVerifier(0.5), 16)
    assert len(generator.requests) == 32
    assert not any(request.prefix.done for request in generator.requests)


@pytest.mark.parametrize("strategy", EVERY, ids=repr)
def test_the_same_seed_gives_the_same_transcript(strategy: Any) -> None:
    """its_hub draws from the global generator of random numbers, unseeded; openr and sal seed the engine only."""
    transcripts = []
    for noise in (1, 2):
        random.seed(noise)
        (result,) = ttscale.solve_all(["Why?"], 9, **toy_roles(), strategy=strategy, seed=3, progress=False)  # type: ignore[arg-type]
        transcripts.append([json.dumps(event) for event in result.trace.events()])
    assert transcripts[0] == transcripts[1]


def test_without_answers_the_verifier_decides_and_not_the_length() -> None:
    """its_hub falls back on the longest response."""
    texts = ["short but right", "long " * 50]
    verifier = FakeVerifier(lambda request: 0.9 if "right" in request.candidate.text else 0.1)
    for strategy in (BestOfN(), WeightedBestOfN()):
        assert solve(strategy, FakeGenerator(texts), verifier, 2).text == texts[0]


def test_two_calls_at_once_do_not_change_each_others_settings() -> None:
    """its_hub changes the shared model for each request."""
    generator, found = ToyLM(), dict[int, Any]()
    wanted = {n: solve(MajorityVote(), ToyLM(), budget=n, seed=n) for n in range(1, 9)}
    threads = [
        threading.Thread(target=lambda n=n: found.update({n: solve(MajorityVote(), generator, budget=n, seed=n)}))  # type: ignore[misc]
        for n in wanted
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted


def test_every_strategy_can_be_made_without_arguments() -> None:
    """its_hub's documented SelfConsistency() is a TypeError."""
    for strategy in EVERY:
        assert type(strategy)() == type(strategy)()
        assert ttscale.solve("Why?", 4, **toy_roles(), strategy=type(strategy)()).error is None  # type: ignore[arg-type]


# optillm


def test_solutions_that_read_alike_do_not_vote_together() -> None:
    """optillm groups whole responses that are 80% alike."""
    long = "We add the two numbers and look at the sum with great care.\n" * 3
    texts = [f"{long}Answer: {answer}" for answer in (1, 2, 3, 2)]
    result = solve(MajorityVote(), FakeGenerator(texts))
    assert (result.answer, result.score) == ("2", 0.5)


def test_n_solutions_are_drawn_at_once() -> None:
    """optillm makes its calls one after the other."""
    generator, verifier = FakeGenerator("Answer: 1"), FakeVerifier(0.5)
    solve(BestOfN(), generator, verifier, 64)
    assert (generator.batches, verifier.batches) == ([64], [64])


def test_a_trace_never_answers_one_draw_with_another(tmp_path: Path) -> None:
    """optillm's cache matches on the prompt and a temperature within 0.1, so all samples would be one."""
    path = tmp_path / "trace.jsonl"
    for _ in range(2):
        (result,) = ttscale.solve_all(["Why?"], 32, generator=ToyLM(ToyWorld(p=0.5)), progress=False, resume=path)
        assert len({c.text for c in result.candidates}) > 10
    generator = FakeGenerator("Answer: 1", name="toy")

    class Warmer:
        def search(self, root: Candidate, budget: int) -> Any:
            yield [Sample(root, root.key.child(0), temperature=1.05)]
            return ttscale.Outcome((), (), None)

    ttscale.solve_all(["Why?"], 32, generator=generator, strategy=Warmer(), progress=False, resume=path)
    assert len(generator.requests) == 1


# All of them


def test_no_condition_is_true_whatever_is_asked() -> None:
    """cotts and openr ask ``if name == "AMC23" or "AIME24"``."""
    for file in Path(inspect.getfile(ttscale)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.If, ast.IfExp, ast.While, ast.Assert)):
                operands = [
                    value for part in ast.walk(node.test) if isinstance(part, ast.BoolOp) for value in part.values
                ]
                assert not any(isinstance(value, ast.Constant) for value in operands), f"{file}:{node.lineno}"


ELSEWHERE = {
    "sal: the verifier reads the whole prefix again at each level": (
        "hf/verifiers/test_scorer.py",
        "test_a_beam_search_runs_every_distinct_token_once",
    ),
    "sal: the batch size of the verifier is ignored": (
        "hf/verifiers/test_scorer.py",
        "test_batches_stay_within_a_forward",
    ),
    "sal: all answers of a question in one batch": (
        "hf/verifiers/test_scorer.py",
        "test_running_out_of_memory_halves_the_batch",
    ),
    "sal: padding without an attention mask": (
        "hf/verifiers/test_traps.py",
        "test_t4_padding_on_the_left_changes_scores",
    ),
    "sal: steps are lost where a score underflows": (
        "hf/verifiers/test_traps.py",
        "test_scores_that_underflow_keep_their_place",
    ),
    "cotts: a step count that does not fit scores 0": (
        "hf/verifiers/test_traps.py",
        "test_a_glued_tag_is_an_error_and_not_a_lost_score",
    ),
    "cotts, openr: the verifier runs one text at a time, each step from the beginning": (
        "hf/verifiers/test_scorer.py",
        "test_any_schedule_of_calls_gives_the_scores_of_each_alone",
    ),
    "openr: answers vote as strings": ("test_answers.py", "test_string_votes_split_equal_answers"),
    "its_hub: the examples of the documentation do not run": ("docs/test_snippets.py", "test_page"),
    "optillm: a rating that cannot be read is 0": (
        "verifiers/test_judge.py",
        "test_a_judge_without_a_verdict_is_an_error_and_not_a_zero",
    ),
}


@pytest.mark.parametrize("weakness", ELSEWHERE)
def test_what_is_tested_elsewhere_is_there(weakness: str) -> None:
    file, name = ELSEWHERE[weakness]
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_backend_is_a_hard_dependency() -> None:
    """vLLM, FastChat and SGLang are nobody's business but the user's."""
    import tomllib

    project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    needed = " ".join(project["project"]["dependencies"]).lower()
    assert not any(name in needed for name in ("vllm", "fastchat", "fschat", "sglang", "openai", "ray"))


def test_settings_are_not_written_into_the_code_of_the_core() -> None:
    """Ports, devices and names of models in the source: cotts 10081, sal a chat template, optillm max_tokens=4096."""
    package = Path(inspect.getfile(ttscale)).parent
    for file in [*package.glob("_*.py"), *(package / "engine").glob("*.py"), *(package / "strategies").glob("*.py")]:
        constants = {
            node.value
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant)
        }
        words = {word for value in constants if isinstance(value, str) for word in value.split()}
        assert not words & {"cuda", "localhost", "127.0.0.1", "Qwen", "Llama"}, file
