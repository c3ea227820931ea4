"""A budget shared out over a batch: where it goes, what it adds up to, and the same answers in a sweep and alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ttscale
from evaluation.worlds import Examiner, Problem, Student, problems
from ttscale.core.requests import Completion, Sample
from ttscale.core.types import Question
from ttscale.evaluation import Arm, BatchAllocation, solve_batch, sweep
from ttscale.strategies import Beam, BestOfN, WeightedBestOfN


def questions(count: int) -> list[Question]:
    return [Question(problem.id, problem.prompt) for problem in problems(count)]


def test_it_spends_the_budget_on_average_and_most_where_it_pays() -> None:
    results = solve_batch(questions(20), 8, generator=Student(), verifier=Examiner(0.0), progress=False)
    spent = [result.cost.generations for result in results]
    assert sum(spent) == 8 * 20
    assert min(spent) >= 2  # the probe: a quarter of 8
    assert np.mean(spent[-5:]) < np.mean(spent[:5]) - 4  # the last are the easiest


def test_a_question_gets_what_it_would_alone_at_its_share() -> None:
    results = solve_batch(questions(6), 8, generator=Student(), verifier=Examiner(), progress=False)
    for question, result in zip(questions(6), results, strict=True):
        alone = ttscale.solve(
            question, result.cost.generations, generator=Student(), verifier=Examiner(), strategy=WeightedBestOfN()
        )
        assert result == alone


def test_a_sweep_does_the_same() -> None:
    records = sweep(
        [Arm("batch", BatchAllocation())],
        [8],
        problems(6),
        generator=Student(),
        verifier=Examiner(),
        seeds=(3,),
        progress=False,
    )
    results = solve_batch(questions(6), 8, generator=Student(), verifier=Examiner(), seed=3, progress=False)
    for result in results:
        record = records.get("batch", 8, 3, result.question.id)
        assert (record.answer, record.cost) == (result.answer, result.cost)


def test_it_beats_the_same_budget_for_everybody() -> None:
    """A fifth of the questions are solved by one sample in ten, the rest by nine in ten; a perfect verifier chooses."""
    asked = [Problem(f"q{i}", f"{0.1 if i % 5 == 0 else 0.9} of {i}", str(100 + i)) for i in range(100)]
    records = sweep(
        {"batch": BatchAllocation(probe=2, strategy=BestOfN()), "even": BestOfN()},
        [6],
        asked,
        generator=Student(),
        verifier=Examiner(0.0),
        seeds=(0, 1, 2),
        progress=False,
    )
    assert records.mean_cost("batch", 6)["generations"] == records.mean_cost("even", 6)["generations"] == 6
    assert records.gain(("batch", 6), ("even", 6)).low > 0


def test_draws_of_the_probe_are_not_drawn_twice(tmp_path: Path) -> None:
    student = Student()
    solve_batch(questions(6), 8, generator=student, verifier=Examiner(), progress=False)
    assert student.drawn == 6 * 8
    again = Student()
    arguments = {"verifier": Examiner(), "progress": False, "resume": tmp_path / "trace.jsonl"}
    first = solve_batch(questions(6), 8, generator=Student(), **arguments)  # type: ignore[arg-type]
    assert solve_batch(questions(6), 8, generator=again, **arguments) == first  # type: ignore[arg-type]
    assert again.drawn == 0


def test_a_question_that_fails_keeps_its_error_and_its_share_goes_nowhere() -> None:
    class Moody(Student):
        def sample(self, requests: Sequence[Sample]) -> list[Completion]:
            if any(request.question.id == "q1" for request in requests):
                raise RuntimeError("not today")
            return super().sample(requests)

    results = solve_batch(questions(4), 8, generator=Moody(), verifier=Examiner(), progress=False)
    assert [result.error is None for result in results] == [True, False, True, True]
    assert sum(result.cost.generations for result in results) == 8 * 3


def test_small_and_empty_batches() -> None:
    assert solve_batch([], 4, generator=Student(), verifier=Examiner()) == []
    (only,) = solve_batch(["0.5 of 3"], 5, generator=Student(), verifier=Examiner(), progress=False)
    assert only.cost.generations == 5


def test_no_question_gets_more_than_the_cap() -> None:
    shares = BatchAllocation(probe=1, most=2).shares({"easy": 0.0, "hard": 0.99, "harder": 0.999}, 4)
    assert shares == {"easy": 1, "hard": 8, "harder": 3}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: BatchAllocation(probe=0), "probe must be"),
        (lambda: BatchAllocation(most=0), "most must be"),
        (lambda: BatchAllocation(strategy=Beam()), "which only best-of-N can"),  # type: ignore[arg-type]
        (lambda: solve_batch(["a"], 0, generator=Student()), "budget must be"),
    ],
)
def test_bad_settings(call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()  # type: ignore[operator]


def test_models_are_loaded_once_for_all_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    from ttscale.api import load_roles as _models

    loaded = []

    def load(role: str, obj: Any, models: Any) -> Any:
        loaded.append(obj if isinstance(obj, str) else "")
        return {"generator": Student(), "verifier": Examiner()}[role] if isinstance(obj, str) else obj

    monkeypatch.setattr(_models, "_load", load)
    results = solve_batch(questions(12), 8, generator="a model", verifier="a verifier", progress=False)
    assert len({result.cost.generations for result in results}) > 1
    assert sorted(filter(None, loaded)) == ["a model", "a verifier"]
