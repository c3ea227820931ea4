"""Sample pools: the draws are best-of-N's, kills and several writers change nothing, other models are refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ttscale
from evaluation.killing import in_other_processes, killed
from evaluation.worlds import Examiner, Problem, Pupil, Student, problems
from ttscale.core.errors import TtscaleError
from ttscale.core.requests import Completion, Sample, Score, Verdict
from ttscale.core.selection import weighted_vote
from ttscale.evaluation import Pool, draw_pool, load_pool
from ttscale.strategies import WeightedBestOfN


def draw(path: Path | None, samples: int = 20, count: int = 6, seed: int = 0, generator: Student | None = None) -> Pool:
    return draw_pool(
        problems(12)[:count],
        path,
        samples,
        generator=generator or Student(cut=0.1),
        verifier=Examiner(),
        seed=seed,
        progress=False,
    )


def content(pool: Pool) -> dict[str, object]:
    return {question: (pool.drawn(question), pool.cost(question)) for question in pool.questions}


def test_the_first_n_are_what_best_of_n_draws() -> None:
    pool = draw(None)
    for problem in problems(12)[:6]:
        result = ttscale.solve(
            ttscale.Question(problem.id, problem.prompt),
            12,
            generator=Student(cut=0.1),
            verifier=Examiner(),
            strategy=WeightedBestOfN(),
        )
        drawn = pool.drawn(problem.id)[:12]
        assert [(one.text, one.finish, one.answer) for one in drawn] == [
            (candidate.text, candidate.finish, candidate.answer) for candidate in result.candidates
        ]
        assert [one.scores[-1] if one.scores else None for one in drawn] == list(result.scores)
        assert weighted_vote(result.candidates, result.scores) is not None


def test_graded_arrays() -> None:
    pool = draw(None, samples=30)
    graded = {one.question: one for one in pool.graded()}
    for problem in problems(12)[:6]:
        one, drawn = graded[problem.id], pool.drawn(problem.id)
        assert one.correct.tolist() == [d.answer == problem.answer for d in drawn]
        assert [c >= 0 for c in one.classes.tolist()] == [d.answer is not None for d in drawn]
        for i, j in ((i, j) for i in range(30) for j in range(30) if one.classes[i] >= 0 and one.classes[j] >= 0):
            assert (one.classes[i] == one.classes[j]) == (drawn[i].answer == drawn[j].answer)
        assert np.isnan(one.scores).tolist() == [d.finish == "length" for d in drawn]
        assert one.tokens.tolist() == [d.tokens for d in drawn]
    smallest = pool.graded("min")[0].scores
    assert np.nanmax(smallest - pool.graded("last")[0].scores) <= 0


@pytest.mark.parametrize("moment", range(6))
def test_a_killed_pool_goes_on_where_it_stopped(tmp_path: Path, moment: int) -> None:
    path = tmp_path / "pool.jsonl"
    assert killed(draw, path, moment=moment) in (0, -9)
    assert content(draw(path)) == content(draw(None))
    assert content(load_pool(path)) == content(draw(None))


def test_what_is_there_is_not_drawn_again(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    draw(path, samples=20)
    student = Student(cut=0.1)
    draw(path, samples=20, generator=student)
    assert student.drawn == 0
    assert content(draw(path, samples=50, count=8, generator=student)) == content(draw(None, samples=50, count=8))
    assert student.drawn == 6 * 30 + 2 * 50


def test_fewer_samples_than_there_are_is_a_part_of_the_pool(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    draw(path, samples=40)
    assert draw(path, samples=8, count=3).size == 40
    assert draw(path, samples=8, count=3).questions == ("q0", "q1", "q2")


def test_writers_share_the_work(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    in_other_processes(draw, *[(path, 64, 12)] * 3)
    assert content(load_pool(path)) == content(draw(None, samples=64, count=12))
    assert path.read_bytes().count(b"\n") == 1 + 12 * 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed: 0 there, 1 now"),
        ({"temperature": 0.5}, "temperature: None there, 0.5 now"),
        ({"generator": type("Other", (Student,), {"name": "other"})()}, "'student'.* there, .*'other'"),
        ({"verifier": type("Other", (Examiner,), {"name": "judge"})()}, "'examiner'.* there, .*'judge'"),
        ({"verifier": None}, "'examiner'.* there, .*None"),
        ({"kind": "chains", "reviser": Pupil()}, "kind: 'samples' there, 'chains' now"),
    ],
)
def test_a_pool_of_another_seed_or_model_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "pool.jsonl"
    draw(path, samples=4)
    before = path.read_bytes()
    arguments: dict[str, object] = {"generator": Student(cut=0.1), "verifier": Examiner(), "progress": False}
    with pytest.raises(ValueError, match=said):
        draw_pool(problems(12)[:6], path, 8, **(arguments | change))  # type: ignore[arg-type]
    assert path.read_bytes() == before


def test_the_same_ids_with_other_questions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    draw(path, samples=4, count=2)
    other = [Problem("q0", "0.5 of 7", "107")]
    with pytest.raises(ValueError, match="question 'q0' has another text or reference answer"):
        draw_pool(other, path, 4, generator=Student(cut=0.1), verifier=Examiner(), progress=False)
    with pytest.raises(ValueError, match="question 'q0' has another text or reference answer"):
        load_pool(path).of(other)
    with pytest.raises(ValueError, match="no samples of question 'new'"):
        load_pool(path).of([Problem("new", "0.5 of 7", "107")])


def test_a_failing_draw_costs_the_others_nothing(tmp_path: Path) -> None:
    class Moody(Student):
        def _one(self, request: Sample) -> Completion:
            if request.question.id == "q3" and not self.calm:
                raise RuntimeError("not today")
            return super()._one(request)

        calm = False

    moody = Moody(cut=0.1)
    path = tmp_path / "pool.jsonl"
    with pytest.raises(TtscaleError, match=r"2 blocks failed; the first, q3.*not today.*only these again"):
        draw(path, generator=moody)
    assert set(load_pool(path).questions) == {"q0", "q1", "q2", "q4", "q5"}
    moody.calm, moody.drawn = True, 0
    assert content(draw(path, generator=moody)) == content(draw(None))
    assert moody.drawn == 20


def test_a_failing_verifier_is_an_error_and_no_score(tmp_path: Path) -> None:
    class Broken(Examiner):
        def score(self, requests: Sequence[Score]) -> list[Verdict]:
            raise ValueError("out of red ink")

    with pytest.raises(TtscaleError, match="out of red ink"):
        draw_pool(problems(2), tmp_path / "p.jsonl", 4, generator=Student(), verifier=Broken(), progress=False)
    assert load_pool(tmp_path / "p.jsonl").questions == ()


def test_a_pool_without_a_verifier_has_no_scores() -> None:
    pool = draw_pool(problems(2), None, 4, generator=Student(), progress=False)
    assert all(one.scores == () for one in pool.drawn("q0"))
    assert all(math.isnan(score) for score in pool.graded()[0].scores)
    assert pool.models == {"generator": "student", "verifier": None, "reviser": None, "comparator": None}


def test_many_chains_are_out_at_once() -> None:
    """One attempt of each at a time fills a batch only where there are as many chains as samples otherwise."""

    class Counting(Pupil):
        most = 0

        def revise(self, requests: Any, /) -> Any:
            self.most = max(self.most, len(requests))
            return super().revise(requests)

    pupil = Counting()
    draw_pool(problems(300), None, 4, kind="chains", length=3, reviser=pupil, progress=False)
    assert pupil.most == 300 // 4 * 4


def test_chains_are_those_of_sequential_revision(tmp_path: Path) -> None:
    path = tmp_path / "chains.jsonl"
    arguments = {"generator": Student(), "verifier": Examiner(), "reviser": Pupil(), "progress": False}
    chains = draw_pool(problems(3), path, 2, kind="chains", length=5, **arguments)  # type: ignore[arg-type]
    more = draw_pool(problems(3), path, 4, kind="chains", length=5, **arguments)  # type: ignore[arg-type]
    assert (chains.size, more.size) == (2, 4)
    for problem in problems(3):
        result = ttscale.solve(
            ttscale.Question(problem.id, problem.prompt),
            20,
            strategy=ttscale.SequentialRevision(5 / 4),
            generator=Student(),
            verifier=Examiner(),
            reviser=Pupil(),
        )
        texts = [one.text for chain in range(4) for one in more.chain(problem.id, chain)]
        assert texts == [candidate.text for candidate in result.candidates]
        assert more.chain(problem.id, 1) == chains.chain(problem.id, 1)
    assert [[len(chain.correct) for chain in own] for own in more.graded_chains()] == [[5] * 4] * 3
    with pytest.raises(ValueError, match="length: 5 there, 6 now"):
        draw_pool(problems(3), path, 2, kind="chains", length=6, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"samples": 0}, "samples must be a positive integer"),
        ({"samples": True}, "samples must be a positive integer"),
        ({"kind": "trees"}, "kind must be"),
        ({"kind": "chains"}, "needs a reviser"),
        ({"kind": "chains", "reviser": Pupil(), "length": 0}, "length must be"),
        ({"kind": "chains", "reviser": Pupil(), "temperature": 1.0}, "a reviser has its own temperature"),
        ({"seed": 0.5}, "seed must be an integer"),
        ({"temperature": math.nan}, "temperature must be a finite number"),
        ({"temperature": -1.0}, "temperature must be a finite number"),
        ({"temperature": "hot"}, "temperature must be a finite number"),
        ({"temperature": True}, "temperature must be a finite number"),
    ],
)
def test_bad_arguments_are_refused_before_there_is_a_file(
    tmp_path: Path, arguments: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        draw_pool(problems(2), tmp_path / "p", **({"generator": Student()} | arguments))  # type: ignore[arg-type]
    assert not (tmp_path / "p").exists()


def test_reading_a_file_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"there is no pool at nowhere\.jsonl"):
        load_pool("nowhere.jsonl")
