"""Sweeps: a record for every search, the same after any kill, with shared draws or without, in several processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ttscale
from evaluation.killing import in_other_processes, killed, lines
from evaluation.worlds import Examiner, Pupil, Student, problems
from ttscale.core.cost import Cost
from ttscale.core.errors import TtscaleError
from ttscale.core.requests import Completion, FinishLine, Sample, Score, Search, Verdict
from ttscale.core.types import Candidate, Outcome, Step
from ttscale.evaluation import Arm, BatchAllocation, Record, Records, load_records, sweep
from ttscale.evaluation.collect.runner import Piece, together
from ttscale.evaluation.problems.problem import Problem
from ttscale.strategies import (
    AdaptiveConsistency,
    AdaptiveScheduler,
    Beam,
    BestOfN,
    ComputeOptimalScheduler,
    FirstFinished,
    Lookahead,
    MajorityVote,
    Policy,
    SequentialRevision,
    Tournament,
    WeightedBestOfN,
)
from ttscale.verifiers import FunctionComparator

ARMS = [
    Arm("majority", MajorityVote()),
    Arm("best", BestOfN()),
    Arm("weighted", WeightedBestOfN(), (1, 3, 8)),
    Arm("beam", Beam(2)),
    Arm("look", Lookahead(1)),
    Arm("revise", SequentialRevision(2.0)),
    Arm("optimal", ComputeOptimalScheduler()),
    Arm("adaptive", AdaptiveScheduler(first=2)),
    Arm("consistent", AdaptiveConsistency()),
    Arm("batch", BatchAllocation(probe=2), (4,)),
]
CELLS = [("majority", 2), ("weighted", 8), ("beam", 8), ("batch", 4)]


def run(path: Path | None, share: bool = True, generator: Student | None = None, count: int = 5) -> Records:
    return sweep(
        ARMS,
        [2, 8],
        problems(5)[:count],
        generator=generator or Student(cut=0.1),
        verifier=Examiner(),
        reviser=Pupil(),
        seeds=(0, 7),
        resume=path,
        share_draws=share,
        progress=False,
    )


def test_a_record_says_what_solve_would() -> None:
    records = run(None)
    for arm in ARMS:
        if isinstance(arm.strategy, BatchAllocation):
            continue
        for budget in arm.budgets or (2, 8):
            for seed in (0, 7):
                for problem in problems(5):
                    result = ttscale.solve(
                        ttscale.Question(problem.id, problem.prompt),
                        budget,
                        strategy=arm.strategy,
                        generator=Student(cut=0.1),
                        verifier=Examiner(),
                        reviser=Pupil(),
                        seed=seed,
                    )
                    record = records.get(arm.name, budget, seed, problem.id)
                    assert record.answer == result.answer
                    assert record.score == result.score
                    assert record.correct == (result.answer == problem.answer)
                    assert record.cost == result.cost


def test_a_comparator_plays_in_a_sweep_as_in_solve() -> None:
    longest = FunctionComparator(lambda shown: max(range(len(shown)), key=lambda i: len(shown[i].text)), name="longest")
    (problem,) = problems(1)
    records = sweep([Tournament()], [4], [problem], generator=Student(), comparator=longest, progress=False)
    (record,) = records
    question = ttscale.Question(problem.id, problem.prompt)
    alone = ttscale.solve(question, 4, generator=Student(), comparator=longest, strategy=Tournament())
    assert (record.answer, record.cost.verifier_calls) == (alone.answer, alone.cost.verifier_calls)
    with pytest.raises(ValueError, match="comparator"):
        sweep([Tournament()], [4], [problem], generator=Student(), progress=False)


def test_there_is_a_record_for_every_arm_budget_seed_and_question() -> None:
    records = run(None)
    cells = [(arm.name, budget) for arm in ARMS for budget in arm.budgets or (2, 8)]
    assert records.cells == tuple(cells)
    assert records.budgets("weighted") == (1, 3, 8)
    assert len(records) == len(cells) * 2 * 5
    assert records.questions == tuple(f"q{i}" for i in range(5))
    assert records.seeds == (0, 7)
    assert records.incomplete == ()


def test_sharing_draws_changes_no_record_and_saves_most_of_the_work() -> None:
    alone, together = Student(cut=0.1), Student(cut=0.1)
    assert run(None, share=False, generator=alone) == run(None, share=True, generator=together)
    assert together.drawn < 0.6 * alone.drawn


class Sprinter:
    """Its first draw says 0 in 5 tokens, the three others say 1 in more; a race that is lost stops there."""

    name = "sprinter"

    async def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        return [_sprint(request, 1000) for request in requests]

    async def race(self, requests: Sequence[Sample], line: FinishLine) -> list[Completion]:
        done: dict[Sample, Completion] = {}
        for tokens in range(1, 100):
            for request in requests:
                if request not in done and (_sprint(request, tokens).finish == "stop" or line.lost(tokens)):
                    done[request] = _sprint(request, tokens)
                    line.finished(done[request])
        return [done[request] for request in requests]


def _sprint(request: Sample, most: int) -> Completion:
    place = int(request.key.path[-1])
    length = (5, 30, 20, 40)[place]
    if most < length:
        return Completion((Step("so far"),), "length", Cost(sampled_tokens=most))
    return Completion((Step(f"Answer: {int(place > 0)}"),), "stop", Cost(sampled_tokens=length))


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("order", [("first", "majority"), ("majority", "first")])
def test_a_draw_that_lost_a_race_is_no_draw_of_another_arm(share: bool, order: tuple[str, str]) -> None:
    """Three of four votes say 1 in 95 tokens. The race is over after 5, and its three losers have drawn 6 each."""
    arms: dict[str, Any] = {"first": FirstFinished(1), "majority": MajorityVote()}
    records = sweep(
        {name: arms[name] for name in order},
        [4],
        [Problem(f"q{i}", f"question {i}?", "1") for i in range(3)],
        generator=Sprinter(),
        progress=False,
        share_draws=share,
    )
    assert (records.accuracy("majority", 4).value, records.mean_cost("majority", 4)["sampled_tokens"]) == (1.0, 95)
    assert (records.accuracy("first", 4).value, records.mean_cost("first", 4)["sampled_tokens"]) == (0.0, 5 + 3 * 6)


@pytest.mark.parametrize("moment", range(10))
def test_a_killed_sweep_goes_on_and_ends_with_the_same_records(tmp_path: Path, moment: int) -> None:
    """Killed at three random moments in a row, each of them inside or next to a write, then left to finish."""
    path = tmp_path / "sweep.jsonl"
    for again in range(3):
        assert killed(run, path, moment=moment + 10 * again) in (0, -9)
    assert 0 < lines(path) < 1 + len(run(None)) + 2 * 5  # the probes of the batch allocation are in the file too
    assert run(path) == run(None)
    assert set(load_records(path)) >= set(run(None))


def test_what_is_there_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    first = run(path)
    before = path.read_bytes()
    student = Student(cut=0.1)
    assert run(path, generator=student) == first
    assert (student.drawn, path.read_bytes()) == (0, before)


def test_processes_share_the_work(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    in_other_processes(run, *[(path,)] * 3)
    assert run(path) == run(None)
    keys = [record.key for record in load_records(path)]
    assert len(keys) == lines(path) - 1


class Counted(Student):
    """Notes every draw in a file that all processes append to."""

    def __init__(self, tally: Path) -> None:
        super().__init__(cut=0.1)
        self._tally = tally

    def sample(self, requests: Sequence[Sample]) -> list[Completion]:
        with open(self._tally, "a") as file:
            file.write("." * len(requests))
        return super().sample(requests)


def run_counted(path: Path, tally: Path) -> None:
    questions = problems(12)
    arms = {"majority": MajorityVote(), "best": BestOfN(), "weighted": WeightedBestOfN()}
    student = Counted(tally)
    sweep(arms, [4, 8], questions, generator=student, verifier=Examiner(), resume=path, progress=False)


def test_processes_do_not_draw_the_same_twice(tmp_path: Path) -> None:
    """Searches of one question share draws, so a question belongs to one process: 12 x 8 draws, whoever makes them."""
    in_other_processes(run_counted, *[(tmp_path / "sweep.jsonl", tmp_path / "tally")] * 3)
    assert len((tmp_path / "tally").read_text()) == 12 * 8


def test_few_questions_are_not_all_taken_by_the_first_process() -> None:
    def at_once(count: int) -> int:
        own = [Problem(f"q{i}", "?", "1") for i in range(count)]
        return together(
            [Piece(f"{problem.id}|{n}", problem, (0, problem.id), MajorityVote(), n) for problem in own for n in (1, 4)]
        )

    assert [at_once(count) for count in (1, 5, 20, 100, 1500)] == [1, 5, 8, 25, 48]


def test_progress_may_be_a_function(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def again() -> None:
        told.clear()
        student, tell = Student(), lambda done, total: told.append((done, total))
        sweep(["majority_vote"], [2], problems(5), generator=student, resume=tmp_path / "s", progress=tell)

    again()
    assert (told[0][0], told[-1], {total for _, total in told}) == (0, (5, 5), {5})
    again()
    assert told == [(5, 5)]


def test_a_failing_question_is_left_out_everywhere_named_and_tried_again(tmp_path: Path) -> None:
    class Moody(Student):
        calm = False

        def _one(self, request: Sample) -> Completion:
            if request.question.id == "q2" and not self.calm:
                raise RuntimeError("not today")
            return super()._one(request)

    path = tmp_path / "sweep.jsonl"
    moody = Moody(cut=0.1)
    with pytest.warns(UserWarning, match=r"searches failed and are left out; the first, .*not today"):
        records = run(path, generator=moody)
    assert records.questions == ("q0", "q1", "q3", "q4")
    assert records.incomplete == ("q2",)
    assert all('"q2"' in key for key in records.failed)
    assert records.correct("majority", 8).shape == (4, 2)
    moody.calm = True
    again = run(path, generator=moody)
    assert again.only(["beam"]) == run(None).only(["beam"])
    assert again.incomplete == ()


def test_a_failing_verifier_is_no_wrong_answer() -> None:
    class Broken(Examiner):
        def score(self, requests: Sequence[Score]) -> list[Verdict]:
            raise ValueError("out of red ink")

    with pytest.warns(UserWarning, match="out of red ink"):
        records = sweep(["best_of_n"], [2], problems(2), generator=Student(), verifier=Broken(), progress=False)
    assert (len(records), records.questions, records.incomplete) == (0, (), ("q0", "q1"))
    assert list(records.failed_questions) == ["q0", "q1"]
    cell = records.cells[0]
    with pytest.raises(TtscaleError, match=r"every question failed, all 2; the first, .*out of red ink"):
        records.accuracy(*cell)
    with pytest.raises(TtscaleError, match=r"every question failed, all 2; the first, .*out of red ink"):
        records.gain(cell, cell)


class Plain:
    """A strategy of one's own that says neither what it needs nor how it prints."""

    def search(self, root: Candidate, budget: int, /) -> Search[Outcome]:
        return (yield from WeightedBestOfN().search(root, budget))


@dataclass(frozen=True)
class Printed(Plain):
    size: int = 1


def test_a_strategy_that_does_not_say_what_it_needs_may_ask_everybody() -> None:
    given = {"generator": Student(), "verifier": Examiner(), "progress": False}
    mine = sweep({"mine": Plain()}, [4], problems(3), **given)  # type: ignore[arg-type]
    ours = sweep({"mine": WeightedBestOfN()}, [4], problems(3), **given)  # type: ignore[arg-type]
    assert [(one.answer, one.score) for one in mine] == [(one.answer, one.score) for one in ours]


@pytest.mark.parametrize(
    "strategy",
    [Plain(), ComputeOptimalScheduler(Policy((), (1,), ((Plain(),),)))],
)
def test_a_strategy_that_prints_its_address_is_not_stored(tmp_path: Path, strategy: ttscale.Strategy) -> None:
    given = {"generator": Student(), "verifier": Examiner(), "progress": False, "resume": tmp_path / "s"}
    with pytest.raises(ValueError, match=r"arm 'mine' prints as <.* make it a frozen dataclass or give it a __repr__"):
        sweep({"mine": strategy}, [4], problems(1), **given)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()
    sweep({"mine": Printed()}, [4], problems(1), **given)  # type: ignore[arg-type]


def test_another_strategy_under_the_same_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"

    def one(strategy: ttscale.Strategy, count: int = 2, **models: object) -> Records:
        given = {"generator": Student(), "verifier": Examiner()} | models
        return sweep({"mine": strategy}, [2], problems(2)[:count], resume=path, progress=False, **given)  # type: ignore[arg-type]

    one(Beam(2))
    with pytest.raises(ValueError, match=r"arm 'mine' with the strategy Beam\(width=2.*give the arm another name"):
        one(Beam(4))
    other = type("Other", (Student,), {"name": "other"})()
    with pytest.raises(ValueError, match=r"made with the generator 'student', and this run has 'other'"):
        one(Beam(2), generator=other)
    changed = [Problem("q0", "0.5 of 9", "109")]
    with pytest.raises(ValueError, match="question 'q0' with another text or reference answer"):
        sweep({"mine": Beam(2)}, [2], changed, generator=Student(), verifier=Examiner(), resume=path, progress=False)


def test_another_policy_under_the_same_name_is_refused(tmp_path: Path) -> None:
    def one(strategy: ttscale.Strategy, provenance: dict[str, str]) -> Records:
        policy = Policy((), (1,), ((strategy,),), provenance=provenance)
        arms = {"optimal": ComputeOptimalScheduler(policy, probe=1)}
        given = {"generator": Student(), "verifier": Examiner(), "progress": False}
        return sweep(arms, [4], problems(2), resume=tmp_path / "s", **given)  # type: ignore[arg-type]

    first = one(Beam(2), {"data": "a"})
    assert one(Beam(2), {"data": "b"}) == first
    with pytest.raises(ValueError, match="give the arm another name"):
        one(Beam(4), {"data": "a"})


def test_a_model_that_joined_later_is_told_apart_too(tmp_path: Path) -> None:
    """Its first run puts it into the header, so that no arm of the file is ever made with another one."""
    path = tmp_path / "sweep.jsonl"

    def one(strategy: str | SequentialRevision, reviser: Pupil) -> None:
        sweep([strategy], [2], problems(2), generator=Student(), reviser=reviser, resume=path, progress=False)

    one("majority_vote", Pupil())
    one("sequential_revision", Pupil())
    before = path.read_bytes()
    for strategy in (SequentialRevision(), SequentialRevision(2.0)):
        with pytest.raises(ValueError, match=r"made with the reviser 'pupil', and this run has 'other'"):
            one(strategy, type("Other", (Pupil,), {"name": "other"})())
    assert path.read_bytes() == before
    assert set(load_records(path).arms) == {"majority_vote", "sequential_revision"}


def test_records_of_a_file_without_that_header_know_their_models(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"

    def one(reviser: Pupil) -> None:
        given = {"generator": Student(), "reviser": reviser, "progress": False}
        sweep(["sequential_revision"], [2], problems(2), resume=path, **given)  # type: ignore[arg-type]

    one(Pupil())
    path.write_text(path.read_text().replace('"models":{"reviser":"pupil"}', '"models":{}'))
    with pytest.raises(ValueError, match="that other models made"):
        one(type("Other", (Pupil,), {"name": "other"})())


def test_records_made_among_different_questions_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    few = run(path, count=4)
    assert load_records(path).get("batch", 4, 0, "q0") == few.get("batch", 4, 0, "q0")
    run(path, count=5)
    with pytest.raises(ValueError, match=r"two records of 'batch' at N = 4, seed 0, question 'q0', made among differ"):
        load_records(path)
    assert run(path, count=4) == few


def test_more_questions_may_join_later(tmp_path: Path) -> None:
    """A batch allocation depends on all its questions: its records are made anew, the others are kept."""
    path = tmp_path / "sweep.jsonl"
    few = run(path, count=4)
    student = Student(cut=0.1)
    assert run(path, generator=student) == run(None)
    assert student.drawn < 0.5 * 735
    assert run(path, count=4) == few


def test_a_verifier_says_how_its_scores_aggregate() -> None:
    examiner = Examiner()
    examiner.aggregate = "min"  # type: ignore[attr-defined]
    records = sweep({"named": "best_of_n", "made": BestOfN()}, [4], problems(2), generator=Student(), verifier=examiner)
    assert {record.arm: record.strategy for record in records} == {
        "named": "BestOfN(aggregate='min')",
        "made": "BestOfN(aggregate='last')",
    }


def test_a_policy_for_other_models_warns() -> None:
    policy = Policy((), (1,), ((WeightedBestOfN(),),), provenance={"models": {"generator": "somebody else"}})
    with pytest.warns(UserWarning, match=r"fitted for other models: generator 'somebody else', not 'student'"):
        sweep({"s": ComputeOptimalScheduler(policy)}, [2], problems(1), generator=Student(), verifier=Examiner())
    with pytest.warns(UserWarning, match=r"fitted for other models: generator 'somebody else', not 'student'"):
        ttscale.solve("0.5 of 1", 2, strategy=ComputeOptimalScheduler(policy), generator=Student(), verifier=Examiner())
    own = Policy((), (1,), ((WeightedBestOfN(),),), provenance={"models": {"generator": "student"}})
    sweep({"s": ComputeOptimalScheduler(own)}, [2], problems(1), generator=Student(), verifier=Examiner())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"strategies": []}, "strategies must be"),
        ({"strategies": "beam"}, "strategies must be"),
        ({"strategies": ["beem"]}, "did you mean beam"),
        ({"strategies": [Arm("a", Beam()), Arm("a", BestOfN())]}, "two arms are called 'a'"),
        ({"strategies": [Arm("a", Beam(), ())]}, "has no budget"),
        ({"strategies": ["sequential_revision"]}, "needs a reviser"),
        ({"budgets": []}, "has no budget"),
        ({"budgets": [0]}, "budget must be an integer from 1"),
        ({"seeds": ()}, "seeds must be distinct"),
        ({"seeds": 3}, "seeds must be a list of integers; got 3"),
        ({"budgets": 4}, "budgets must be a list of integers; got 4"),
        ({"seeds": (1, 1)}, "seeds must be distinct"),
        ({"executor": "dask"}, 'executor must be "local" or "ray"'),
        ({"problems": []}, "there are no problems"),
        ({"problems": "q.jsonl"}, r"not the path 'q.jsonl': read it, evaluation\.load"),
        ({"problems": None}, "problems must be a list of problems; got None"),
        ({"problems": [("a", "1"), ("a", "2")]}, "problem 2: .* stands in problem 1 already, with another answer"),
        ({"problems": [Problem("x", "2 of 1", "1"), Problem("x", "3 of 1", "1")]}, "the id 'x' stands in problem 1"),
        ({"problems": [Problem("x", "2 of 1", "")]}, r"problem 1 \(id 'x'\): the reference answer '' cannot be read"),
        ({"problems": [Problem("x", "2 of 1", "\\frac{1}{")]}, "cannot be read: its braces"),
        ({"problems": [Problem("x", "2 of 1", "first this\nthen that")]}, "states no final answer"),
        ({"problems": [Problem("x", " ", "1")]}, "has no question"),
        ({"problems": [("a", [5])]}, "is neither a text nor a number"),
        ({"problems": [{"question": "a"}]}, "a reference answer is missing"),
        ({"generator": 5}, "generator must be an object with a method sample"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], said: str) -> None:
    given: dict[str, object] = {
        "strategies": ["beam"],
        "budgets": [2],
        "problems": problems(2),
        "generator": Student(),
        "verifier": Examiner(),
    }
    with pytest.raises(ValueError, match=said):
        sweep(**(given | arguments))  # type: ignore[arg-type]


def test_records_go_through_json() -> None:
    for record in run(None):
        assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_tables() -> None:
    def record(arm: str, seed: int, question: str, correct: bool, tokens: int) -> Record:
        return Record(arm, arm, 4, seed, question, "d", "m", "1", 0.5, correct, Cost(sampled_tokens=tokens))

    right = {"a": [True, True, False], "b": [False, True, False]}
    records = Records(
        record(arm, seed, f"q{i}", own[i] and (seed == 0 or i == 1), 10 + i)
        for arm, own in right.items()
        for seed in (0, 1)
        for i in range(3)
    )
    assert records.correct("a", 4).tolist() == [[1, 0], [1, 1], [0, 0]]
    assert records.accuracy("a", 4).value == pytest.approx(0.5)
    assert records.gain(("a", 4), ("b", 4)).value == pytest.approx(1 / 6)
    assert records.gain(("a", 4), ("b", 4), ["q1", "q2"]).value == 0
    assert records.mean_cost("b", 4)["sampled_tokens"] == 11
    assert records.only(["b"]).arms == ("b",)
    assert records.only(["b"]).joined(records.only(["a"])) == records
    with pytest.raises(KeyError, match="no record of 'c' at N = 4"):
        records.get("c", 4, 0, "q0")


def test_questions_without_all_records_are_left_out_of_every_table() -> None:
    full = [record for record in run(None) if record.arm in ("majority", "beam")]
    holed = [r for r in full if (r.arm, r.budget, r.seed, r.question) != ("beam", 8, 7, "q1")]
    records = Records(holed, [f"q{i}" for i in range(5)])
    assert records.incomplete == ("q1",)
    assert records.correct("majority", 2).shape == (4, 2)


def test_a_strategy_that_fails_before_its_first_wave_costs_its_question_only() -> None:
    @dataclass(frozen=True)
    class Eager:
        needs = frozenset({"generator"})

        def search(self, root: Candidate, budget: int) -> Search[Outcome]:
            if root.question.id == asked[1].id:
                raise ZeroDivisionError("no")
            return MajorityVote().search(root, budget)

    asked = problems(3)
    with pytest.warns(UserWarning, match="1 "):
        records = sweep({"eager": Eager()}, [2], asked, generator=Student(), progress=False)
    assert list(records.questions) == [asked[0].id, asked[2].id]
    assert "ZeroDivisionError" in str(next(iter(records.failed.values())))


def test_another_strategy_under_the_same_name_is_refused_at_another_budget_too(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    options: Any = {"generator": Student(), "verifier": Examiner(), "resume": path, "progress": False}
    sweep({"a": Beam(4)}, [1], problems(2), **options)
    with pytest.raises(ValueError, match="give the arm another name"):
        sweep({"a": Beam(2)}, [4], problems(2), **options)
    assert [record.budget for record in load_records(path)] == [1, 1]


def test_probes_of_another_strategy_are_refused_before_anything_is_allotted(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    options: Any = {"generator": Student(), "verifier": Examiner(), "resume": path, "progress": False}
    sweep({"a": BatchAllocation()}, [8], problems(2), **options)
    kept = [line for line in path.read_text().splitlines(keepends=True) if json.loads(line).get("arm") != "a"]
    path.write_text("".join(kept))  # as after a kill between the probes and the rest
    assert {record.arm for record in load_records(path)} == {"a: probe"}
    with pytest.raises(ValueError, match="the arm 'a: probe' with the strategy"):
        sweep({"a": BatchAllocation(strategy=BestOfN())}, [8], problems(2), **options)
