"""The command line: what people and machines read, exit codes, errors without tracebacks. Uses the bundled models."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

import ttscale
from ttscale import Candidate, Completion, Key, Question, RoleError, Step
from ttscale.cli.main import main
from ttscale.cli.solve import as_text
from ttscale.testing import FakeGenerator


def test_solve_prints_the_answer_the_votes_and_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "Compute (17 + 5) * 3 - 48", "--budget", "16"]) == 0
    shown = capsys.readouterr()
    assert "answer      18\n" in shown.out
    assert "confidence  " in shown.out
    assert "16 generations" in shown.out
    assert "strategy    ComputeOptimalScheduler(policy=..., probe=None, aggregate='last'): " in shown.out
    assert shown.err == ""


def test_one_solution_alone_is_not_called_unanimous(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "Compute 2 + 3 * 4", "--budget", "1"]) == 0
    shown = capsys.readouterr().out
    assert "answer      14\n" in shown
    assert "confidence" not in shown


def test_json_is_one_object_with_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "Compute 2 + 3 * 4", "--budget", "4", "--strategy", "best-of-n", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["answer"] == "14"
    assert len(result["candidates"]) == 4
    assert result["cost"]["generations"] == 4
    assert result["cost"]["verifier_calls"] == 4
    assert sum(vote["count"] for vote in result["votes"]) <= 4


def test_a_strategy_may_have_settings(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["solve", "Compute 2 + 3 * 4", "--budget", "4", "--json", "--strategy"]
    assert main([*arguments, "beam:width=2"]) == 0
    assert "Beam(width=2" in json.loads(capsys.readouterr().out)["strategy"]
    assert main([*arguments, "beam:breadth=2"]) == 2
    assert "no setting of beam" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["solve", "  "], "question"),
        (["solve", "Compute 1 + 2", "--budget", "0"], "budget must be an integer from 1 to"),
        (["solve", "Compute 1 + 2", "--strategy", "beem"], "did you mean beam"),
        (["solve", "What is the capital of France?"], "generator="),
        (["solve", "Compute 1 + 2", "--generator", "./no-such-model"], "no-such-model"),
        (["solve", "Compute 1 + 2", "--max-tokens", "-3"], "tokens"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.startswith("ttscale: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


@pytest.mark.parametrize("budget", ["3.0", "1e3", "True", "", "many"])
def test_a_budget_that_is_no_integer_is_refused_by_the_parser(budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["solve", "Compute 1 + 2", "--budget", budget])
    assert stopped.value.code == 2
    assert f"--budget: invalid int value: {budget!r}" in capsys.readouterr().err


@pytest.mark.parametrize("budget", ["-1", str(2**40)])
def test_a_budget_out_of_range_is_refused(budget: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "Compute 1 + 2", "--budget", budget]) == 2
    assert f"budget must be an integer from 1 to 65536 (whole solutions); got {budget}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "ttscale: interrupted\n"),
        (RoleError("the generator broke\nin the middle"), 1, "ttscale: the generator broke in the middle\n"),
        (ValueError("no such model"), 2, "ttscale: no such model\n"),
        (OSError(28, "No space left on device"), 2, "ttscale: [Errno 28] No space left on device\n"),
        (RuntimeError(), 1, "ttscale: RuntimeError\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_goes_wrong_is_one_line_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("ttscale.cli.solve.solve", fails)
    assert main(["solve", "Compute 1 + 2"]) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", said)


def test_a_question_without_any_answer_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = ttscale.solve("?", 2, generator=FakeGenerator(Completion((Step("1"),), "length")))
    monkeypatch.setattr("ttscale.cli.solve.solve", lambda *_, **__: cut)
    assert main(["solve", "?"]) == 1
    assert capsys.readouterr().out.startswith("No finished solution.\n")


def test_a_limit_is_named_in_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    main(["solve", "Compute 1 + 2 + 3", "--budget", "64", "--max-tokens", "60"])
    assert "stopped by  the limit on tokens" in capsys.readouterr().out


def test_the_installed_command_runs() -> None:
    done = subprocess.run([sys.executable, "-m", "ttscale", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ttscale ")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("solve", "eval", "sweep", "fit-policy", "report", "train"))


def test_an_answer_the_terminal_cannot_write_is_spelled_and_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model writes "≤" where the locale knows ASCII only; what was computed must still be shown."""
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    generator = FakeGenerator("x \u2264 2\nAnswer: \u221a2")
    monkeypatch.setattr(
        "ttscale.cli.solve.solve", lambda question, budget, **_: ttscale.solve(question, generator=generator)
    )
    assert main(["solve", "Which?"]) == 0
    sys.stdout.flush()
    assert written.getvalue().startswith(rb"x \u2264 2")
    assert rb"answer      \u221a2" in written.getvalue()


def test_free_text_without_an_answer_is_shown_whole() -> None:
    from ttscale.api.result import Result
    from ttscale.core.cost import Cost
    from ttscale.core.trace import Trace

    question = Question.of("Tell me a story")
    story = Candidate(question, Key((0,)), (Step("Once upon a time."),), "stop")
    result = Result(question, None, story.text, 0.7, (story,), (0.7,), "BestOfN()", Cost(), Trace(question))
    assert as_text(result).splitlines()[0] == "Once upon a time."


def test_a_vote_is_one_line_of_the_table() -> None:
    answers = ["1\n+ 2", "x" * 200]
    generator = FakeGenerator([f"\\boxed{{{answer}}}" for answer in answers])
    shown = as_text(ttscale.solve("Why?", 2, generator=generator, strategy="majority_vote", progress=False))
    assert "               1 + 2   50%  1" in shown.splitlines()
    assert f"            {'x' * 57}...   50%  1" in shown.splitlines()
