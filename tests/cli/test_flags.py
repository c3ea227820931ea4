"""Flags that name models, files of settings, and what a slip of the keyboard is told."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from real_models import model_folder
from ttscale.api.load_roles import roles_at_hand
from ttscale.cli.main import main, make_parser
from ttscale.cli.models import named_object, roles_of
from ttscale.cli.parser import with_config
from ttscale.core.cost import Price
from ttscale.verifiers import JudgeVerifier, PromptedComparator


def options(*words: str) -> argparse.Namespace:
    return make_parser().parse_args(["solve", "q", *words])


def test_a_server_is_a_url_and_a_name() -> None:
    generator: Any = roles_of(options("--base-url", "http://localhost:1/v1", "--model", "m", "--temperature", "0.5"))[
        "generator"
    ]
    assert type(generator).__name__ == "OpenAIGenerator"
    limited: Any = roles_of(
        options("--base-url", "http://localhost:1/v1", "--model", "m", "--max-new-tokens", "5", "--top-p", "0.5")
    )["generator"]
    assert limited.sampling["max_new_tokens"] == 5
    pool: Any = roles_of(options("--base-url", "http://a:1/v1,http://b:1/v1", "--model", "m"))["generator"]
    assert pool.connection.endpoints == ("http://a:1/v1", "http://b:1/v1")
    priced: Any = roles_of(options("--base-url", "http://a:1/v1", "--model", "m", "--price", "0.5,2"))["generator"]
    assert priced._price == Price(0.5, 2.0)
    with pytest.raises(ValueError, match="--price is what a server takes"):
        roles_of(options("--price", "0.5,2"))
    with pytest.raises(ValueError, match=r"'0\.5' must be IN,OUT"):
        roles_of(options("--base-url", "http://a:1/v1", "--model", "m", "--price", "0.5"))
    with pytest.raises(ValueError, match="--base-url needs --model"):
        roles_of(options("--base-url", "http://localhost:1/v1"))


def test_a_judge_is_the_generator_itself_or_another_model() -> None:
    server = ("--base-url", "http://localhost:1/v1", "--model", "m")
    assert isinstance(roles_of(options(*server, "--judge"))["verifier"], JudgeVerifier)
    assert isinstance(roles_of(options(*server, "--judge", "other"))["verifier"], JudgeVerifier)
    with pytest.raises(ValueError, match="give one of them"):
        roles_of(options(*server, "--judge", "--verifier", "x"))
    with pytest.raises(ValueError, match="--judge needs a model"):
        roles_of(options("--judge"))


def test_what_compares_is_the_generator_another_model_or_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ("--base-url", "http://localhost:1/v1", "--model", "m")
    assert roles_of(options(*server))["comparator"] is None
    for words in (("--comparator",), ("--comparator", "other")):
        assert isinstance(roles_of(options(*server, *words))["comparator"], PromptedComparator)
    with pytest.raises(ValueError, match="--comparator needs a model"):
        roles_of(options("--comparator"))
    (tmp_path / "mine_to_compare.py").write_text("class Better:\n    def compare(self, requests): return []\n")
    monkeypatch.chdir(tmp_path)
    assert type(roles_of(options("--comparator", "mine_to_compare:Better"))["comparator"]).__name__ == "Better"


def at_hand(*words: str) -> dict[str, Any]:
    roles = roles_of(options(*words))
    return {str(role): obj for role, obj in roles_at_hand(**roles).items()}


def test_settings_of_the_bundled_generator_leave_the_other_bundled_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Greedy draws of one question are all alike; the verifier and the scheduler are still the bundled ones."""
    assert set(at_hand("--temperature", "0.5")) == {"generator", "verifier", "reviser"}
    command = ["solve", "Compute 2 + 3 * 4", "--budget", "4", "--json", "--strategy", "weighted_best_of_n"]
    assert main([*command, "--temperature", "0", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len({candidate["text"] for candidate in found["candidates"]}) == 1
    assert found["cost"]["verifier_calls"] > 0
    assert main([*command[:5], "--max-new-tokens", "64", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["strategy"].startswith("ComputeOptimalScheduler")


def test_settings_go_to_the_models_that_are_named() -> None:
    folder = str(model_folder())
    limits = ("--max-new-tokens", "20", "--device", "cpu", "--dtype", "float32")
    alone = at_hand("--reviser", folder, *limits)
    assert set(alone) == {"reviser"}
    assert alone["reviser"].sampling["max_new_tokens"] == 20
    both = at_hand("--generator", folder, "--reviser", folder, *limits)
    assert both["reviser"].sampling["max_new_tokens"] == both["generator"].sampling["max_new_tokens"] == 20
    assert both["reviser"].model is both["generator"].model
    judged = at_hand("--generator", folder, "--judge", folder, "--dtype", "float16")
    (judge,) = judged["verifier"].members
    assert judge.model is judged["generator"].model
    assert str(judge.model.dtype) == "torch.float16"
    itself = at_hand("--generator", folder, "--judge")
    assert itself["verifier"].members == (itself["generator"],)


def test_a_verifier_of_ones_own_is_module_and_attribute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_to_judge.py").write_text(
        "class Judge:\n    def score(self, requests): return []\njudge = Judge()\ndef make(): return judge\n"
        "def needs(what): return judge\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    for name in ("mine_to_judge:judge", "mine_to_judge:Judge", "mine_to_judge:make"):
        assert type(roles_of(options("--verifier", name))["verifier"]).__name__ == "Judge"
    with pytest.raises(ValueError, match="mine_to_judge:nobody"):
        roles_of(options("--verifier", "mine_to_judge:nobody"))
    assert named_object("mine_to_judge:needs").__name__ == "needs"  # what it would be called with, nobody knows


def test_a_file_of_settings_and_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('budget = 5\nmax_new_tokens = 9\nquiet = true\njson = false\nstrategy = "beam"\n', encoding="utf-8")
    words = with_config(["solve", "q", "--config", str(path), "--budget", "7"], make_parser())
    found = make_parser().parse_args(words)
    assert (found.budget, found.max_new_tokens, found.quiet, found.json, found.strategy) == (7, 9, True, False, "beam")
    path.write_text('judge = true\ninput = ["a.jsonl", "b.jsonl"]\n', encoding="utf-8")
    found = make_parser().parse_args(with_config(["solve", "--config", str(path), "--quiet"], make_parser()))
    assert (found.judge, found.input, found.question) == ("", ["a.jsonl", "b.jsonl"], None)
    path.write_text("judge = true\ncomparator = true\n", encoding="utf-8")
    found = make_parser().parse_args(with_config(["solve", "q", "--config", str(path)], make_parser()))
    assert (found.judge, found.comparator, found.question) == ("", "", "q")
    path.write_text("budget = [1, 2]\n", encoding="utf-8")
    with pytest.raises(ValueError, match="budget takes one value; got"):
        with_config(["solve", "q", "--config", str(path)], make_parser())
    path.write_text("bugdet = 5\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'bugdet' is no setting of ttscale solve; did you mean budget"):
        with_config(["solve", "q", f"--config={path}"], make_parser())


SERVED = ("--base-url", "http://localhost:1/v1", "--model", "m")
WRONG = {
    "no question": (["solve"], "give a question, or --input FILE"),
    "both": (["solve", "q", "--input", "x"], "give a question, or --input FILE"),
    "flag": (["solve", "q", "--budgt", "5"], "did you mean --budget?"),
    "flag of another command": (
        ["serve", "--temperature", "1"],
        "(--temperature is a flag of solve); see ttscale serve --help",
    ),
    "flag of a command's command": (
        ["train", "prm", "--bsae", "x"],
        "(did you mean --base?); see ttscale train prm --help",
    ),
    "folder of questions": (["solve", "--input", "."], ". is a folder: name its files, as in '*.jsonl'"),
    "domain in the shell": (["solve", "Who are you?"], "or --generator in the shell"),
    "abbreviation": (["solve", "q", "--bud", "5"], "unrecognized arguments: --bud"),
    "command": (["slove", "q"], "did you mean solve?"),
    "number": (["solve", "q", "--budget", "many"], "invalid int value: 'many'"),
    "budget": (["solve", "Compute 1 + 2 + 3", "--budget", "0"], "budget must be an integer from 1"),
    "strategy": (["solve", "q", "--strategy", "self-consistency"], "did you mean majority_vote?"),
    "setting": (["solve", "q", "--strategy", "beam:wdth=2"], "no setting of beam"),
    "folder": (["solve", "q", "--generator", "./no/such/folder"], "there is no such folder"),
    "verifier folder": (["solve", "q", "--verifier", "./no/such/folder"], "there is no such folder"),
    "folder and settings": (["solve", "q", "--generator", "./no/such", "--temperature", "1"], "no such folder"),
    "comparator of eval": (["eval", "--strategy", "tournament", "--comparator", "./nowhere"], "no such folder"),
    "comparator of sweep": (["sweep", "--comparator", "http://localhost:1/v1"], "PromptedComparator"),
    "url": (["solve", "q", "--generator", "http://localhost:8000/v1"], "is a URL"),
    "prompt": (["solve", "q", "--generator", "x/y", "--prompt", "nothing"], "neither a file nor one of qwen-math"),
    "input": (["solve", "--input", "no-such.jsonl"], "no input file 'no-such.jsonl'"),
    "resume": (["solve", "--input", __file__, "--resume"], "--resume needs --output"),
    "shard": (["solve", "--input", __file__, "--shard", "4/4"], "--shard must be i/n"),
    "config": (["solve", "q", "--config", "no-such.toml"], "no-such.toml"),
    "domain": (["solve", "What is the capital of France?"], "give your own model"),
    "trace": (["view", "no-such.jsonl"], "no-such.jsonl"),
    "generator's url": (["solve", "q", "--generator", "http://a:1/v1"], "give --base-url http://a:1/v1 and --model"),
    "judge": (["solve", "q", "--generator", "x/y", "--verifier", "judge"], "for a generator that judges give --judge"),
    "bundled prompt": (["solve", "Compute 1 + 2 + 3", "--prompt", "qwen-math"], "--prompt needs --generator"),
    "bundled domain": (["solve", "Who are you?", "--max-new-tokens", "64"], "give your own model"),
    "shard of one": (["solve", "q", "--shard", "1/2"], "--shard 1/2 is a share of the questions of --input"),
    "dollars": (["solve", "q", "--generator", "x/y", "--max-dollars", "1"], "--max-dollars goes by what the server"),
    "device of one's own": (
        ["solve", "q", *SERVED, "--device", "cpu", "--verifier", "ttscale.verifiers:ConfidenceVerifier"],
        "--device is for models that run here",
    ),
    "own dollars": (["solve", "q", "--verifier", "no.such:judge", "--max-dollars", "1"], "No module named 'no'"),
    "all dollars": (["solve", "--input", __file__, "--total-dollars", "1"], "give --price IN,OUT"),
    "trace's folder": (["solve", "Compute 1 + 2 + 3", "--trace", "no/such/t.jsonl"], "--trace no/such/t.jsonl must be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_says_what_to_do(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, says = WRONG[name]
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(stop.code or 0)
    shown = capsys.readouterr()
    assert code == 2
    assert says in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize(("prompt", "mark"), [("qwen-math", "\n\n"), ("four-shot", "\n")])
def test_a_family_by_name_brings_what_ends_its_steps(prompt: str, mark: str) -> None:
    server = ("--base-url", "http://localhost:1/v1", "--model", "m")
    generator: Any = roles_of(options(*server, "--prompt", prompt))["generator"]
    assert generator.settings.delimiter == mark


def test_without_arguments_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "solve" in capsys.readouterr().out
