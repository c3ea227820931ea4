"""The four commands, on the bundled models and a few questions: what they print, write, resume and refuse."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from ttscale import Question, reference
from ttscale.api.batch import BatchAllocation
from ttscale.cli.main import main
from ttscale.evaluation import load_pool, load_records
from ttscale.evaluation.collect.arms import arms_of
from ttscale.evaluation.collect.sweeps import fitted_arms
from ttscale.evaluation.report.settings import StudySettings
from ttscale.strategies import Beam, ComputeOptimalScheduler, MajorityVote, Policy, SequentialRevision


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """What a command prints as JSON; it must succeed and say nothing on standard error."""
    assert main([str(argument) for argument in (*arguments, "--json")]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return json.loads(shown.out)


def test_eval(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = run(capsys, "eval", "--strategy", "majority_vote", "--budget", 2, "--limit", 4, "--resume", tmp_path / "e")
    records = load_records(tmp_path / "e")
    assert found["strategy"] == "majority_vote"
    assert (found["questions"], found["failed"]) == (4, 0)
    assert found["accuracy"] == sum(record.correct for record in records) / 4
    assert found["cost"]["generations"] == 2
    assert set(records.questions) == {problem.id for problem in reference.questions(4)}


def test_eval_by_default_solves_as_solve_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "--budget", "4", "--limit", "2"]) == 0
    shown = capsys.readouterr().out
    assert "2 questions, 1 seed(s)" in shown
    assert "ComputeOptimalScheduler(policy=Policy(...), probe=None, aggregate='last')      4  " in shown


def test_a_model_of_ones_own_is_module_and_attribute(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_to_eval.py").write_text(
        "from ttscale.testing import FakeGenerator\ndef make(): return FakeGenerator('Answer: 11')\n"
    )
    (tmp_path / "q.jsonl").write_text(
        '{"question": "How much?", "answer": "11"}\n{"question": "And?", "answer": "2"}\n'
    )
    monkeypatch.chdir(tmp_path)
    model = ("--generator", "mine_to_eval:make", "--data", "q.jsonl")
    assert run(capsys, "eval", *model, "--budget", 2)["accuracy"] == 0.5
    (found,) = run(capsys, "sweep", *model, "--budgets", 2, "--strategies", "majority_vote")["cells"]
    assert found["accuracy"] == 0.5


def test_processes_make_a_model_of_ones_own_for_themselves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock cannot be sent to another process, nor can a class of a module that only this folder has."""
    (tmp_path / "mine_to_report.py").write_text(
        "import os\nfrom pathlib import Path\nfrom threading import Lock\n"
        "from ttscale import Verdict\nfrom ttscale.testing import FakeGenerator\n"
        "Path(f'made.{os.getpid()}').touch()\n"
        "class Writer(FakeGenerator):\n    def __init__(self):\n"
        "        super().__init__('Answer: 11')\n        self.lock = Lock()\n"
        "class Judge:\n    def score(self, requests):\n"
        "        return [Verdict((0.5,) * len(request.candidate.steps)) for request in requests]\n"
    )
    rows = [f'{{"question": "How much is {i}?", "answer": "{11 + i % 2}"}}' for i in range(4)]
    (tmp_path / "q.jsonl").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    own = ("--generator", "mine_to_report:Writer", "--verifier", "mine_to_report:Judge", "--data", "q.jsonl")
    assert run(capsys, "report", "--reduced", *own, "--budgets", "1,4", "--processes", 2)["questions"] == 4
    assert len(list(tmp_path.glob("made.*"))) == 2


def test_a_model_that_ray_workers_make_is_not_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take memory, and of the same device where the workers run here too."""
    (tmp_path / "mine_on_ray.py").write_text("made = []\nclass Mine:\n    def __init__(self): made.append(self)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sent: list[Any] = []

    def stopped(*_: object, generator: object, **__: object) -> None:
        sent.append(generator)
        raise ValueError("enough")

    monkeypatch.setattr("ttscale.evaluation.commands.sweep", stopped)
    own = ("--generator", "mine_on_ray:Mine", "--strategies", "majority_vote", "--limit", "1")
    assert main(["sweep", "--executor", "ray", *own]) == 2
    made = sys.modules["mine_on_ray"].made
    assert not made
    assert [pickle.loads(pickle.dumps(sent[0]))()] == made


def test_eval_on_a_file_and_what_the_bundled_models_cannot_answer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text('{"question": "Compute 3+4 * 2", "answer": "11"}\n{"question": "Who was Euler?", "answer": "he"}\n')
    id_ = Question.of("Who was Euler?").id
    for command in (
        ["eval", "--strategy", "best_of_n", "--budget"],
        ["sweep", "--strategies", "best_of_n", "--budgets"],
    ):
        assert main([*command, "4", "--data", str(data), "--json"]) == 1
        shown = capsys.readouterr()
        found = json.loads(shown.out)
        assert (found["questions"], found["failed"]) == (1, 1)
        (failure,) = found["failures"]
        assert (failure["question"], failure["prompt"]) == (id_, "Who was Euler?")
        assert failure["error"].startswith("OutOfDomainError: ")
        assert shown.err.startswith("ttscale: 1 searches failed and are left out")
        assert f"\nfailed: {id_} (Who was Euler?): OutOfDomainError: " in shown.err
    data.write_text('{"question": "Who was Euler?", "answer": "he"}\n')
    assert main(["eval", "--data", str(data), "--strategy", "best_of_n", "--budget", "4"]) == 1
    shown = capsys.readouterr()
    assert f"failed: {id_} (Who was Euler?)" in shown.err
    assert "every question failed, all 1; the first" in shown.err


def test_sweep_compares_and_resumes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["sweep", "--strategies", "majority_vote weighted_best_of_n beam:width=2", "--budgets", "1,4"]
    arguments += ["--against", "majority_vote", "--limit", "3", "--seeds", "2", "--resume", str(tmp_path / "s.jsonl")]
    found = run(capsys, *arguments)
    assert [(cell["strategy"], cell["budget"]) for cell in found["cells"]] == [
        (name, budget) for name in ("majority_vote", "weighted_best_of_n", "beam:width=2") for budget in (1, 4)
    ]
    assert ["gain" in cell for cell in found["cells"]] == [False, False, True, True, True, True]
    assert found["cells"][2]["gain"] == 0  # one solution is one solution
    before = (tmp_path / "s.jsonl").read_bytes()
    assert run(capsys, *arguments) == found
    assert (tmp_path / "s.jsonl").read_bytes() == before
    assert len(load_records(tmp_path / "s.jsonl")) == 3 * 2 * 2 * 3
    assert main(arguments) == 0
    assert "beam:width=2" in capsys.readouterr().out


def test_fit_policy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["fit-policy", "--budgets", "4", "--probe", "2", "--bins", "2", "--limit", "5"]
    arguments += ["--out", str(tmp_path / "new" / "policy.json"), "--resume", str(tmp_path / "s.jsonl")]
    found = run(capsys, *arguments)
    policy = Policy.load(tmp_path / "new" / "policy.json")
    assert found["policy"] == policy.to_json()
    assert (policy.probe, policy.budgets, len(policy.thresholds)) == (2, (4,), 1)
    models = dict(policy.provenance)["models"]
    assert set(models) == {"generator", "verifier", "reviser"}
    assert all("ttscale.reference/" in name and "@" in name for name in models.values())
    assert [cell["strategy"] for cell in found["cells"]] == [
        "fitted scheduler (cross-validated)",
        "weighted best-of-N",
    ]
    assert main(arguments) == 0
    assert "policy of 2 difficulty bins written to" in capsys.readouterr().out
    # It serves these models without a warning.
    assert (
        main(["eval", "--strategy", f"compute_optimal:policy={tmp_path / 'new' / 'policy.json'}", "--limit", "1"]) == 0
    )
    assert capsys.readouterr().err == ""


def test_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["report", "--reduced", "--budgets", "1,4", "--samples", "4", "--limit", "4", "--out", tmp_path / "r"]
    found = run(capsys, *arguments, "--processes", 2)
    assert Path(found["html"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "ttscale.reference/generator" in Path(found["markdown"]).read_text(encoding="utf-8")
    assert Policy.load(found["policy"]).budgets == (1, 4)
    assert load_pool(tmp_path / "r" / "pool.jsonl").size == 4
    assert found["headline"][0]["ours"] == "compute-optimal, probe paid, N = 1"
    assert main([str(argument) for argument in arguments]) == 2
    assert "holds a report already; go on with it by --resume" in capsys.readouterr().err
    again = run(capsys, *arguments[:-2], "--resume", tmp_path / "r", "--processes", 1)
    assert again == found


@pytest.mark.parametrize(
    ("arguments", "seeds", "pool_seed"),
    [
        ([], (0, 1, 2), 1000),
        (["--reduced"], (0,), 1000),
        (["--seed", "1000"], (1000, 1001, 1002), 1003),
        (["--seed", "999", "--seeds", "2", "--reduced"], (999, 1000), 1001),
    ],
)
def test_the_pool_of_a_report_has_a_seed_of_its_own(
    arguments: list[str],
    seeds: tuple[int, ...],
    pool_seed: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[StudySettings] = []

    def stopped(_problems: object, _folder: object, settings: StudySettings, **_: object) -> None:
        asked.append(settings)
        raise ValueError("enough")

    monkeypatch.setattr("ttscale.evaluation.commands.run_study", stopped)
    assert main(["report", "--out", str(tmp_path), "--limit", "1", "--processes", "1", *arguments]) == 2
    assert [(settings.seeds, settings.pool_seed) for settings in asked] == [(seeds, pool_seed)]


@pytest.mark.parametrize(
    ("command", "default"), [("sweep", "1)"), ("fit-policy", "1)"), ("report", "3, with --reduced")]
)
def test_the_help_states_how_many_seeds(command: str, default: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"how many, from --seed on (default: {default}" in shown
    assert ("the exit code is 1" in shown) == (command == "sweep")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", "--data", "nowhere.jsonl"], "no file 'nowhere.jsonl'"),
        (["eval", "--limit", "0"], "limit must be"),
        (["eval", "--budget", "0"], "budget must be"),
        (["eval", "--strategy", "beem"], "did you mean beam"),
        (["eval", "--strategy", "beam:depth=3"], "'depth=3' is no setting of beam; write"),
        (["eval", "--strategy", "compute_optimal:policy=nowhere.json"], "nowhere.json"),
        (["sweep", "--budgets", "4;8"], "--budgets must be integers separated by commas"),
        (["sweep", "--strategies", "beam", "--against", "dvts"], "--against 'dvts' is none of beam"),
        (["sweep", "--seeds", "0"], "--seeds must be at least 1"),
        (["report", "--processes", "0"], "--processes must be at least 1"),
        (["fit-policy", "--budgets", "2,4"], "--probe must leave something of the largest budget, 4; got 4"),
        (["fit-policy", "--bins", "0"], "--bins must be at least 1; got 0"),
        (["fit-policy", "--limit", "1"], "fit-policy needs at least 2 questions"),
        (["fit-policy", "--limit", "9"], "9 questions are too few for --bins 5"),
        (["sweep", "--strategies", "sequential_revision:ratio=abc"], "ratio must be a number"),
        (["eval", "--strategy", "adaptive_consistency:confidence=abc"], "confidence must lie between"),
        (["fit-policy", "--out", "."], "--out . is a folder"),
        (["report", "--budgets", "3,5"], "powers of 2"),
        (["report", "--out", "a", "--resume", "b"], "give one"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert not list(tmp_path.iterdir())


def test_another_data_set_in_the_same_file_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data, results = tmp_path / "mine.jsonl", tmp_path / "s.jsonl"
    arguments = ["eval", "--data", str(data), "--strategy", "majority_vote", "--budget", "1", "--resume", str(results)]
    data.write_text('{"id": "a", "question": "Compute 3 + 4 * 2", "answer": "11"}\n')
    assert main(arguments) == 0
    capsys.readouterr()
    data.write_text('{"id": "a", "question": "Compute 3 + 4 * 5", "answer": "23"}\n')
    assert main(arguments) == 2
    assert "question 'a' with another text or reference answer" in capsys.readouterr().err


def test_strategies_as_words(tmp_path: Path) -> None:
    policy = Policy((), (1,), ((MajorityVote(),),))
    policy.save(tmp_path / "p.json")
    found = arms_of(
        "majority-vote beam:width=sqrt,max_rounds=9; sequential_revision:ratio=0.25 batch_allocation:probe=2 "
        f"compute_optimal:probe=3,policy={tmp_path / 'p.json'}"
    )
    roles: Any = dict.fromkeys(("generator", "verifier", "reviser"))
    assert [arm.strategy for arm in fitted_arms(found, [4], roles, False, "min")] == [
        MajorityVote(),
        Beam("sqrt", 9, aggregate="min"),
        SequentialRevision(0.25, aggregate="min"),
        BatchAllocation(2),
        ComputeOptimalScheduler(policy, 3),
    ]
    assert [arm.name for arm in found[:2]] == ["majority-vote", "beam:width=sqrt,max_rounds=9"]
    assert [arm.strategy for arm in arms_of("majority_vote,weighted_best_of_n")] == [
        "majority_vote",
        "weighted_best_of_n",
    ]
    with pytest.raises(ValueError, match="unknown strategy 'beem'"):
        arms_of("beam beem")
