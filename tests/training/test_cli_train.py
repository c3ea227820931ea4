"""``ttscale train``: help that can be followed, settings from flags and files, and the whole path from questions to
quality report."""

from __future__ import annotations

import argparse
import json
import re
import shlex

import pytest

from training.toys import TwoStep
from ttscale import reference
from ttscale.api import load_roles as _models
from ttscale.cli.train import COMMANDS, OVERVIEW, add_train_parser
from ttscale.training import commands as _commands


def parser():
    main = argparse.ArgumentParser(prog="ttscale")
    add_train_parser(main.add_subparsers())
    return main


def ttscale(*arguments):
    options = parser().parse_args(["train", *map(str, arguments)])
    return options.run(options)


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [{"question": f"What is {i} + {7 - i}?", "answer": "it is\n#### 7"} for i in range(24)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def toys(monkeypatch):
    """The generator named "toy" is the two-step toy; other names load as ever."""
    load = _models._load
    monkeypatch.setattr(
        _models, "_load", lambda role, obj, models: TwoStep() if obj == "toy" else load(role, obj, models)
    )


def test_every_command_in_the_overview_is_one_that_parses():
    examples = [
        line.strip() for line in OVERVIEW.replace("\\\n", "").splitlines() if line.strip().startswith("ttscale")
    ]
    assert len(examples) == 11
    for line in examples:
        if line.startswith("ttscale train"):
            parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_help_says_every_flag_and_its_default(command, capsys):
    with pytest.raises(SystemExit) as end:
        ttscale(command, "--help")
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for flag in next(c for c in COMMANDS if c.name == command).flags:
        assert f"--{flag.name.replace('_', '-')}" in shown
        if flag.default is not None:
            assert f"(default: {flag.default})" in shown
    assert callable(getattr(_commands, command.replace("-", "_")))


def test_from_questions_to_a_measured_verifier(questions, toys, base, tmp_path, capsys):
    rollouts, model = tmp_path / "r.jsonl", tmp_path / "prm"
    assert ttscale("rollouts", "--questions", questions, "--generator", "toy", "--out", rollouts, "--samples", 4) == 0
    assert "24 questions, 96 solutions" in capsys.readouterr().out
    config = tmp_path / "prm.toml"
    config.write_text("learning_rate = 3e-3\nbatch = 16\nmicro_batch = 16\nepochs = 9\ndropout = 0.0\n")
    ttscale("prm", "--config", config, "--epochs", 2, "--base", base, "--data", rollouts, "--out", model)
    shown = capsys.readouterr().out
    assert f"{rollouts}: 96 examples from 96 rows" in shown
    assert "pair_accuracy" in shown
    record = json.loads((model / "ttscale_training.json").read_text())
    assert record["identity"]["recipe"]["epochs"] == 2.0
    assert record["identity"]["recipe"]["learning_rate"] == 3e-3

    held = tmp_path / "held.jsonl"
    held.write_text("".join(json.dumps({"question": f"And {i}?", "answer": "7"}) + "\n" for i in range(6)))
    solutions = tmp_path / "held-rollouts.jsonl"
    flags = ("--samples", 8, "--estimate", "outcome")
    ttscale("rollouts", "--questions", held, "--generator", "toy", "--out", solutions, *flags)
    ttscale("quality", "--verifier", model, "--data", solutions, "--out", tmp_path / "report" / "q")
    report = json.loads((tmp_path / "report" / "q.json").read_text())
    assert report["pair_accuracy"]["value"] > 0.9
    assert "## Selection accuracy" in (tmp_path / "report" / "q.md").read_text()
    assert (tmp_path / "report" / "q.png").is_file()
    with pytest.raises(ValueError, match="were in the training data"):
        ttscale("quality", "--verifier", model, "--data", rollouts, "--out", tmp_path / "q")


def test_revisions(questions, toys, base, tmp_path, capsys):
    samples, data, model = tmp_path / "s.jsonl", tmp_path / "revisions.jsonl", tmp_path / "reviser"
    flags = ("--samples", 8, "--estimate", "outcome")
    ttscale("rollouts", "--questions", questions, "--generator", "toy", "--out", samples, *flags)
    ttscale("revision-data", "--data", samples, "--out", data)
    shown = capsys.readouterr().out
    assert re.search(r"revisions.jsonl: \d+ examples of 24 questions; attempts: \d+ with 0, ", shown)
    ttscale("reviser", "--base", base, "--data", data, "--out", model, "--epochs", 1, "--batch", 32)
    assert "validation loss" in capsys.readouterr().out
    assert (model / "ttscale.json").is_file()
    ttscale("orm", "--base", base, "--data", samples, "--out", tmp_path / "orm", "--epochs", 1, "--batch", 32)
    assert json.loads((tmp_path / "orm" / "ttscale_verifier.json").read_text())["kind"] == "orm"
    flags = ("--goal", "right", "--epochs", 1, "--batch", 32)
    ttscale("implicit", "--base", base, "--data", samples, "--out", tmp_path / "implicit", *flags)
    assert json.loads((tmp_path / "implicit" / "ttscale_verifier.json").read_text())["kind"] == "implicit"


def test_bundled_is_a_base_and_a_reference(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr("ttscale.training.implicit.train_implicit_prm", lambda base, *_, **rest: seen.update(rest))
    data = tmp_path / "d.jsonl"
    data.write_text(json.dumps({"prompt": "p", "steps": ["a"], "values": [1.0], "correct": True}) + "\n")
    flags = ("--base", "bundled", "--data", data, "--out", tmp_path / "m")
    ttscale("implicit", *flags)
    assert seen["reference"] is None
    ttscale("implicit", *flags, "--reference", "bundled")
    assert seen["reference"] == str(reference.path("generator"))
    ttscale("implicit", *flags, "--reference", "mine")
    assert seen["reference"] == "mine"


def test_labels_can_be_filtered_distilled_and_hardened(questions, toys, base, tmp_path, capsys, monkeypatch):
    rollouts = tmp_path / "r.jsonl"
    ttscale("rollouts", "--questions", questions, "--generator", "toy", "--out", rollouts, "--samples", 2)
    seen = []

    def train(base, examples, out, **_):
        seen.append([example.labels for example in examples])

    monkeypatch.setattr("ttscale.training.prm.train_prm", train)
    opinions = {"judge": lambda e: [1.0 if e.correct else 0.2] * 2, "teacher": lambda e: [0.6, 0.7]}
    monkeypatch.setattr(
        "ttscale.training.score_examples.verifier_scores", lambda name, rows: [opinions[name](e) for e in rows]
    )
    flags = ("--base", base, "--data", rollouts, "--out", tmp_path / "m")
    ttscale("prm", *flags)
    ttscale("prm", *flags, "--labels", "hard")
    ttscale("prm", *flags, "--labels", "outcome")
    ttscale("prm", *flags, "--distill-from", "teacher")
    ttscale("prm", *flags, "--consensus-with", "judge")
    soft, hard, outcome, taught, agreed = seen
    assert hard == [tuple(float(label > 0) for label in labels) for labels in soft]
    assert outcome == [(labels[-1],) * 2 for labels in soft]
    assert set(taught) == {(0.6, 0.7)}
    assert agreed == [labels for labels in soft if labels[-1] == 1.0 or labels[0] == 0.0]
    assert f"consensus on the first error: {len(agreed)} of 48 solutions" in capsys.readouterr().out
    with pytest.raises(ValueError, match="leave --labels out"):
        ttscale("prm", *flags, "--distill-from", "teacher", "--labels", "hard")


def test_a_teacher_is_asked_after_everything_else_is_checked(questions, toys, base, tmp_path, monkeypatch):
    rollouts, broken = tmp_path / "r.jsonl", tmp_path / "prompt.json"
    ttscale("rollouts", "--questions", questions, "--generator", "toy", "--out", rollouts, "--samples", 1)
    broken.write_text("{chat: true}")

    def asked(*_):
        raise AssertionError("the teacher was asked first")

    monkeypatch.setattr("ttscale.training.score_examples.verifier_scores", asked)
    flags = ("--base", base, "--data", rollouts, "--out", tmp_path / "m", "--distill-from", "teacher")
    for more, message in (
        (("--learning-rate", -1), "learning_rate must be positive"),
        (("--prompt", broken), f"--prompt {broken}: no prompt format in JSON: Expecting property name"),
        (("--test-questions", questions), r"are in the training data and in the test data"),
    ):
        with pytest.raises(ValueError, match=message):
            ttscale("prm", *flags, *more)


def test_the_bundled_verifier_is_not_measured_on_what_it_was_taught(tmp_path):
    taught = reference.questions(1, "train", 1)[0]
    row = {"id": "t", "prompt": taught.prompt, "steps": ["Answer: 1"], "values": [0.0], "correct": False, "answer": "1"}
    (tmp_path / "r.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match="1 of the questions, 't' first, are of the split that the bundled verifier"):
        ttscale("quality", "--data", tmp_path / "r.jsonl", "--out", tmp_path / "q")


def test_convert_counts_what_is_malformed(tmp_path, capsys):
    data, out = tmp_path / "trl.jsonl", tmp_path / "own.jsonl"
    data.write_text(json.dumps({"prompt": "p", "completions": ["a"], "labels": [True]}) + '\n{"prompt": "p"}\n')
    with pytest.raises(ValueError, match="has malformed rows"):
        ttscale("convert", "--data", data, "--format", "trl", "--out", out)
    assert not out.exists()
    ttscale("convert", "--data", data, "--format", "trl", "--out", out, "--allow-malformed")
    shown = capsys.readouterr().out
    assert "malformed: 1 (no list in 'completions'; rows 2)" in shown
    assert json.loads(out.read_text())["values"] == [1.0]
    ttscale("convert", "--data", out, "--to", "trl", "--out", tmp_path / "back.jsonl")
    assert json.loads((tmp_path / "back.jsonl").read_text())["labels"] == [True]
    with pytest.raises(ValueError, match="needs --neutral"):
        ttscale("convert", "--data", data, "--format", "prm800k", "--out", out)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.toml", "learn = 1", "unknown setting 'learn' for revision-data; known: data, out, max_attempts"),
        ("c.toml", 'max_attempts = "four"', "max_attempts must be a whole number; got 'four'"),
        ("c.toml", "max_attempts = true", "max_attempts must be a whole number; got True"),
        ("c.json", '{"last": "first"}', "last must be 'nearest' or 'random'; got 'first'"),
        ("c.json", "{", "could not read the config file"),
        ("c.yaml", "- 1", "must hold settings by name"),
        ("c.ini", "", "must end in .toml, .json, .yaml or .yml"),
        ("c.toml", 'data = "x"', "needs --out"),
    ],
)
def test_config_files_are_checked(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        ttscale("revision-data", "--config", tmp_path / name)


def test_a_yaml_config_with_dashes(tmp_path):
    (tmp_path / "c.yaml").write_text("data: nowhere.jsonl\nout: x\nmax-attempts: 2\n")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        ttscale("revision-data", "--config", tmp_path / "c.yaml")
