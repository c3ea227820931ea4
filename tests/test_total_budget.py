"""One budget for a batch: never more than it says, and more where it pays."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

import ttscale
from ttscale import BudgetError, Question, Sample
from ttscale.evaluation import solve_batch
from ttscale.testing import FakeGenerator, FakeVerifier, ToyLM, ToyVerifier, ToyWorld
from ttscale.verifiers import MixedGenerator

QUESTIONS = [Question(f"easy-{i}", f"easy {i}?") for i in range(8)] + [
    Question(f"hard-{i}", f"hard {i}?") for i in range(8)
]


def reply(request: Sample) -> str:
    """Easy questions are always answered alike; of hard ones a bit more than half of the draws."""
    right = request.question.prompt.startswith("easy") or Random(request.key.seed).random() < 0.6
    return f"Answer: {1 if right else 2}"


@pytest.mark.parametrize("total", [16, 17, 40, 64, 100, 200])
def test_never_more_than_the_total_and_all_of_it_where_it_pays(total: int) -> None:
    generator = FakeGenerator(reply)
    results = ttscale.solve_all(QUESTIONS, 64, generator=generator, total_budget=total, progress=False)
    drawn = {q.id: sum(r.question.id == q.id for r in generator.requests) for q in QUESTIONS}
    assert sum(drawn.values()) <= total
    assert len({r.key for r in generator.requests}) == len(generator.requests)  # nothing is drawn twice
    assert [result.question.id for result in results] == [q.id for q in QUESTIONS]
    assert [result.cost.generations for result in results] == list(drawn.values())
    if total >= 64:
        assert max(drawn[q.id] for q in QUESTIONS[:8]) == 4  # four votes to none settle it
        assert sum(drawn[q.id] for q in QUESTIONS[8:]) > 0.5 * total or total == 64


def test_at_the_same_total_more_are_right_than_with_equal_shares() -> None:
    questions = [Question(f"{kind}-{i}", f"{kind} {i}?") for kind in ("easy", "hard") for i in range(60)]
    equal = ttscale.solve_all(questions, 8, generator=FakeGenerator(reply), progress=False)
    moved = ttscale.solve_all(questions, 64, generator=FakeGenerator(reply), total_budget=8 * 120, progress=False)
    assert sum(r.cost.generations for r in moved) <= 8 * 120
    assert sum(r.answer == "1" for r in moved) > sum(r.answer == "1" for r in equal)


def test_no_question_gets_more_than_its_budget() -> None:
    results = ttscale.solve_all(QUESTIONS, 6, generator=FakeGenerator(reply), total_budget=1000, progress=False)
    assert max(result.cost.generations for result in results) == 6


def test_what_a_limit_keeps_a_question_from_drawing_goes_to_the_others() -> None:
    """Four of the long solutions use up the question's tokens. The short ones never agree, and get the other 36."""

    def split(request: Sample) -> str:
        return ("x" * 100 if request.question.id == "long" else "") + f"\nAnswer: {request.key.path[-1] % 2}"

    questions = [Question("long", "l?"), Question("short", "s?")]
    options: Any = {"strategy": "majority_vote", "limit": ttscale.Limit(tokens=450), "progress": False}
    long, short = ttscale.solve_all(questions, 64, generator=FakeGenerator(split), total_budget=40, **options)
    assert (long.cost.generations, long.stopped_by) == (4, "tokens")
    assert (short.cost.generations, short.stopped_by) == (36, None)


def test_with_a_verifier_its_scores_vote(tmp_path: Any) -> None:
    world = ToyWorld(p=0.8, depth=2)
    options: Any = {"generator": ToyLM(world), "verifier": ToyVerifier(world, 0.2), "progress": False}
    results = ttscale.solve_all(world.questions(6), 16, **options, total_budget=48)
    assert all(result.strategy.startswith("WeightedBestOfN") for result in results)
    path = tmp_path / "trace.jsonl"
    assert ttscale.solve_all(world.questions(6), 16, **options, total_budget=48, resume=path) == results
    options["generator"] = FakeGenerator(AssertionError("everything is in the trace"), name="toy")
    assert ttscale.solve_all(world.questions(6), 16, **options, total_budget=48, resume=path) == results


@pytest.mark.parametrize("strategy", ["thinking_budget:tokens=20", "confidence_vote:filter=0.5,window=8", "mixture"])
def test_other_votes_can_be_added_to(strategy: str) -> None:
    world = ToyWorld(p=0.9, depth=2)
    generator: Any = ToyLM(world)
    if strategy == "mixture":
        generator = MixedGenerator({"a": ToyLM(world), "b": ToyLM(world)})
    results = ttscale.solve_all(
        world.questions(6), 16, generator=generator, strategy=strategy, total_budget=60, progress=False
    )
    drawn = [result.cost.generations for result in results]
    assert sum(drawn) <= 60
    assert min(drawn) == 4  # some are settled by four votes
    assert max(drawn) > 4
    alone = [
        ttscale.solve_all([r.question], n, generator=generator, strategy=strategy, progress=False)[0]
        for r, n in zip(results, drawn, strict=True)
    ]
    assert [r.candidates for r in results] == [r.candidates for r in alone]


def test_wrong_arguments() -> None:
    for total in (0, 15, 2.5, True):
        with pytest.raises(BudgetError, match="total_budget must be a whole number of at least one per question"):
            ttscale.solve_all(QUESTIONS, generator=FakeGenerator("Answer: 1"), total_budget=total)  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="total_budget needs a strategy whose solutions can be added to, such as majority_vote"
    ):
        ttscale.solve_all(
            QUESTIONS, generator=FakeGenerator(""), verifier=FakeVerifier(0.5), strategy="beam", total_budget=100
        )


def batch(generator: Any, verifier: Any, resume: Path | None = None) -> list[ttscale.Result]:
    return solve_batch(QUESTIONS, 4, generator=generator, verifier=verifier, resume=resume, progress=False)


def shared(generator: Any, verifier: Any, resume: Path | None = None) -> list[ttscale.Result]:
    return ttscale.solve_all(
        QUESTIONS, 8, generator=generator, verifier=verifier, total_budget=64, resume=resume, progress=False
    )


@pytest.mark.parametrize("solved", [batch, shared])
def test_results_keep_their_traces(solved: Any, tmp_path: Path) -> None:
    """The file that the rounds share is gone; each result still shows the draws it was chosen from."""
    for result in solved(FakeGenerator(reply), FakeVerifier(0.5)):
        drawn = {tuple(event["key"]) for event in result.trace.events() if event.get("op") == "sample"}
        assert drawn == {one.key.path for one in result.candidates}
        assert "<td>sample</td>" in result.trace._repr_html_()
        assert result.save(tmp_path / "r.html").read_text(encoding="utf-8")
        saved = result.save(tmp_path / "r.jsonl")
        generator = FakeGenerator(AssertionError("everything is in the trace"))
        (again,) = ttscale.solve_all(
            [result.question],
            len(result.candidates),
            generator=generator,
            verifier=FakeVerifier(0.5),
            strategy="weighted_best_of_n",
            resume=saved,
            progress=False,
        )
        assert again == result


@pytest.mark.parametrize("solved", [batch, shared])
@pytest.mark.parametrize("last", [3, 25])
def test_ctrl_c_returns_what_there_is(solved: Any, last: int) -> None:
    """In the first round, and in a later one, which takes nothing from the first."""
    drawn: list[Sample] = []

    def write(request: Sample) -> str:
        if len(drawn) == last:
            raise KeyboardInterrupt
        drawn.append(request)
        return reply(request)

    generator: Any = FakeGenerator(write)
    generator.max_batch = 1
    results = solved(generator, FakeVerifier(0.5))
    assert [result.question for result in results] == QUESTIONS
    assert len(drawn) == last
    assert sum(len(result.candidates) for result in results) in (last, last - 1)
    assert "interrupt" in {result.stopped_by for result in results}
