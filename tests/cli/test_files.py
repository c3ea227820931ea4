"""Files of questions in, files of answers out: every id once, resumable, settings checked."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ttscale
from ttscale.api import answer_files
from ttscale.api.answer_files import AnswerFiles
from ttscale.api.question_files import input_files, read_questions
from ttscale.cli.main import main
from ttscale.testing import FakeGenerator

OWN = """
import random, time
import ttscale

class Slow:
    def sample(self, requests):
        time.sleep(0.002)
        return [ttscale.Completion((ttscale.Step(f"Answer: {r.key.seed % 5}"),), "stop") for r in requests]

class Judge:
    def score(self, requests):
        return [ttscale.Verdict((0.5,)) for _ in requests]

judge = Judge()
"""


def rows(path: Path) -> list[dict[str, Any]]:
    files = sorted(path.glob("part-*")) if path.is_dir() else [path]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def write_questions(path: Path, n: int, start: int = 0) -> Path:
    lines = [json.dumps({"id": f"q{i}", "question": f"Compute {i % 9} + 2 * {i % 7 + 1}"}) for i in range(start, n)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_jsonl_in_and_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 6), tmp_path / "a.jsonl"
    command = ["solve", "--input", str(questions), "--output", str(out), "--budget", "2", "--quiet"]
    assert main(command) == 0
    found = {row["id"]: row for row in rows(out)}
    assert set(found) == {f"q{i}" for i in range(6)}
    assert "6 answers written" in capsys.readouterr().err
    (alone,) = ttscale.solve_all([ttscale.Question("q3", "Compute 3 + 2 * 4")], 2, progress=False)
    assert (found["q3"]["answer"], found["q3"]["score"]) == (alone.answer, alone.score)
    assert main(command) == 2
    assert "add --resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert "0 answers written" in capsys.readouterr().err
    assert main([*command, "--resume", "--budget", "4"]) == 2
    assert "was made with budget 2, this run has 4" in capsys.readouterr().err
    assert len(rows(out)) == 6


def test_rows_and_the_flag_say_what_counts_as_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "says.py").write_text(
        "import ttscale\nfrom ttscale.testing import FakeGenerator\n"
        "generator = FakeGenerator(lambda r: 'Option (B), since 7 > 5. {\"n\": 7}')\n"
    )
    monkeypatch.chdir(tmp_path)
    given = [{"id": "a", "question": "Which?"}, {"id": "b", "question": "Which?", "answers": "json(n)"}]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    command = ["solve", "--input", "q.jsonl", "--generator", "says:generator", "--budget", "1", "--quiet"]
    main([*command, "--output", "own.jsonl"])
    assert main([*command, "--output", "all.jsonl", "--answers", "regex(\\(([A-D])\\))"]) == 0
    assert {row["id"]: row["answer"] for row in rows(Path("own.jsonl"))}["b"] == "7"
    assert {row["id"]: row["answer"] for row in rows(Path("all.jsonl"))} == {"a": "B", "b": "B"}


def test_rules_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "Which?", "--answers", "chioce"]) == 2
    assert "did you mean 'choice'?" in capsys.readouterr().err
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "Which?", "answers": "numbr"}\n')
    with pytest.raises(ValueError, match=r"q\.jsonl, line 1: no answer rule is called 'numbr'; did you mean 'number'"):
        list(read_questions([str(path)]))


def test_a_row_may_hold_a_chat(tmp_path: Path) -> None:
    system, user = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 3?"}
    path = tmp_path / "q.jsonl"
    given = [{"id": "a", "messages": [system, user]}, {"prompt": [user]}, {"id": "a", "messages": [system, user]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    chat, alone = read_questions([str(path)])
    assert isinstance(chat.prompt, ttscale.Chat)
    assert chat.prompt.messages == (system, user)
    assert alone.id == ttscale.Question.of("What is 2 + 3?").id
    path.write_text(json.dumps({"messages": [user, {"role": "assistant", "content": "5"}]}) + "\n")
    with pytest.raises(ValueError, match=r"q\.jsonl, line 1: the last message, .* must be of role user"):
        list(read_questions([str(path)]))


def test_a_chat_that_asks_nothing_is_no_question(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": [image]}]}) + "\n")
    (shown,) = read_questions([str(path)])
    assert isinstance(shown.prompt, ttscale.Chat)
    assert shown.prompt.has_media
    path.write_text(json.dumps({"messages": [{"role": "user", "content": " "}]}) + "\n")
    with pytest.raises(ValueError, match=r"q\.jsonl, line 1: no question"):
        list(read_questions([str(path)]))


def test_two_chats_that_end_alike_are_two_questions(tmp_path: Path) -> None:
    user, path = {"role": "user", "content": "What is 2 + 3?"}, tmp_path / "q.jsonl"
    given = [{"id": "a", "messages": [{"role": "system", "content": text}, user]} for text in ("Be brief.", "Rhyme.")]
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    with pytest.raises(ValueError, match="line 2: another question has the id 'a' too"):
        list(read_questions([str(path)]))


def test_rows_go_to_standard_output_and_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('Compute 1 + 2 + 3\n{"problem": "Compute 2 + 2 * 2"}\n'))
    assert main(["solve", "--input", "-", "--budget", "2", "--quiet"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["answer"] for row in printed} == {"6"}
    assert len(printed) == 2


def test_errors_are_rows(tmp_path: Path) -> None:
    questions = tmp_path / "q.txt"
    questions.write_text("Compute 1 + 2 + 3\nWhat is love?\n", encoding="utf-8")
    assert main(["solve", "--input", str(questions), "--output", str(tmp_path / "a.jsonl"), "--budget", "1"]) == 1
    errors = {row["question"]: row["error"] for row in rows(tmp_path / "a.jsonl")}
    assert errors["Compute 1 + 2 + 3"] is None
    assert errors["What is love?"].startswith("OutOfDomainError")


def test_a_folder_of_shards_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_files, "SHARD", 4)
    write_questions(tmp_path / "b1.jsonl", 6)
    write_questions(tmp_path / "b2.jsonl", 11, start=6)
    out = tmp_path / "out"
    assert main(["solve", "--input", str(tmp_path / "b*.jsonl"), "--output", str(out), "--budget", "1", "--quiet"]) == 0
    names = sorted(file.name for file in out.iterdir())
    assert names == ["_settings.json", "part-00000.jsonl", "part-00001.jsonl", "part-00002.jsonl"]
    assert Counter(row["id"] for row in rows(out)) == {f"q{i}": 1 for i in range(11)}


def test_a_generator_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "our_models.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    questions, out = write_questions(tmp_path / "q.jsonl", 5), tmp_path / "out.jsonl"
    command = ["solve", "--input", str(questions), "--output", str(out), "--generator", "our_models:Slow", "--quiet"]
    assert main([*command, "--budget", "2"]) == 0
    assert {row["id"] for row in rows(out)} == {f"q{i}" for i in range(5)}
    capsys.readouterr()
    assert main([*command, "--temperature", "1", "--resume"]) == 2
    assert "--temperature is for models by name; set it in our_models:Slow" in capsys.readouterr().err


@pytest.mark.parametrize("n", [1, 3])
def test_shards_of_the_input_are_disjoint_and_complete(tmp_path: Path, n: int) -> None:
    files = [str(write_questions(tmp_path / "a.jsonl", 7)), str(write_questions(tmp_path / "b.jsonl", 12, start=7))]
    parts = [[question.id for question in read_questions(files, (i, n))] for i in range(n)]
    assert sorted(id_ for part in parts for id_ in part) == sorted(f"q{i}" for i in range(12))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_killed_at_any_moment_and_resumed_no_question_is_lost_or_answered_twice(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    questions, out = write_questions(tmp_path / "q.jsonl", 400), tmp_path / "out"
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import own
from ttscale.api import answer_files, stream
answer_files.SHARD = 37; stream.WINDOW = 8
from ttscale.cli.main import main
from ttscale.cli import solve
solve.roles_of = lambda options: {{"generator": own.Slow(), "verifier": None, "reviser": None}}
words = ["solve", "--input", {str(questions)!r}, "--output", {str(out)!r}]
sys.exit(main([*words, "--budget", "1", "--quiet", "--resume"]))
"""
    kills = 0
    for rest in range(12):
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        if rest < 10:
            wanted = 30 * (rest + 1)
            while process.poll() is None and (not out.exists() or sum(1 for _ in _lines(out)) < wanted):
                os.sched_yield()
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
        process.wait()
        if rest == 5:  # a row torn by the kill
            part = next(iter(out.glob("*.part")), None)
            if part is not None:
                with part.open("ab") as file:
                    file.write(b'{"id": "q39')
    assert kills >= 5
    assert Counter(row["id"] for row in rows(out)) == {f"q{i}": 1 for i in range(400)}


def _lines(out: Path) -> list[bytes]:
    found: list[bytes] = []
    for file in out.glob("part-*"):
        try:
            found += file.read_bytes().splitlines()
        except FileNotFoundError:  # it was renamed in between
            continue
    return found


def test_what_is_no_question_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    for text, says in [('{"q": 1}', "line 1: no question"), ('"a"\n{"question": ', "line 2: not JSON"), ("[1]", "")]:
        path.write_text(text, encoding="utf-8")
        if says:
            with pytest.raises(ValueError, match=says):
                list(read_questions([str(path)]))
    with pytest.raises(FileNotFoundError, match=r"no input file 'none\*'"):
        input_files(["none*"])
    path.write_text('[{"question": "a"}, {"question": "b"}]', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: a JSON array; give JSON lines"):
        list(read_questions([str(path)]))
    path.write_text('[\n  {"question": "a"},\n  {"question": "b"}\n]\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: a JSON array; give JSON lines"):
        list(read_questions([str(path)]))
    path.write_text("[1, 2] is what?", encoding="utf-8")
    assert [question.prompt for question in read_questions([str(path)])] == ["[1, 2] is what?"]
    (tmp_path / "q.csv").write_text("id,question\n1,hello\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"q\.csv is a table: write its rows as JSON lines"):
        input_files([str(tmp_path / "q.csv")])


def test_a_question_that_is_there_twice_is_asked_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text('{"question": "same"}\n{"id": "x", "question": "one"}\n', encoding="utf-8")
    second.write_text('"same"\n{"id": "x", "question": "one"}\n{"question": "last"}\n', encoding="utf-8")
    found = [question.prompt for question in read_questions([str(first), str(second)])]
    assert found == ["same", "one", "last"]
    shards = [question.prompt for i in range(2) for question in read_questions([str(first), str(second)], (i, 2))]
    assert sorted(shards) == sorted(found)
    second.write_text('{"id": "x", "question": "another"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: another question has the id 'x' too"):
        list(read_questions([str(first), str(second)]))


def test_a_pattern_leaves_folders_out(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = write_questions(tmp_path / "b", 1)
    assert input_files([str(tmp_path / "*")]) == [str(path)]
    with pytest.raises(FileNotFoundError, match="no input file"):
        input_files([str(tmp_path / "a*")])


@pytest.mark.parametrize("output", [[], ["--output", "out.jsonl"]], ids=["rows", "file"])
def test_an_input_without_a_question_is_no_silence(
    output: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.jsonl").touch()
    assert main(["solve", "--input", "q.jsonl", "--quiet", *output]) == 0
    assert capsys.readouterr().err.endswith("there is no question in q.jsonl\n")
    write_questions(tmp_path / "q.jsonl", 1)
    rest = [word.replace("out.jsonl", "rest.jsonl") for word in output]
    assert main(["solve", "--input", "q.jsonl", "--quiet", "--shard", "1/2", *rest]) == 0
    assert capsys.readouterr().err.endswith("there is no question in q.jsonl for shard 1/2\n")


def test_the_end_of_a_run_says_what_the_first_error_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models_of_text.py").write_text("class Texts:\n    def sample(self, requests):\n        return ['a']\n")
    monkeypatch.chdir(tmp_path)
    path = write_questions(tmp_path / "q.jsonl", 2)
    command = ["solve", "--input", str(path), "--generator", "models_of_text:Texts", "--budget", "1", "--quiet"]
    assert main([*command, "--output", "out.jsonl"]) == 1
    assert "2 of them errors (the first: RoleError: the generator" in capsys.readouterr().err


def test_a_malformed_row_lets_the_others_be_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models_of_ours.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    path = write_questions(tmp_path / "q.jsonl", 5)
    path.write_text(path.read_text(encoding="utf-8") + "{oh\n", encoding="utf-8")
    command = ["solve", "--input", str(path), "--generator", "models_of_ours:Slow", "--budget", "3", "--quiet"]
    assert main(command) == 2
    shown = capsys.readouterr()
    assert "line 6: not JSON" in shown.err
    printed = [json.loads(line) for line in shown.out.splitlines()]
    assert {row["id"]: sum(vote["count"] for vote in row["votes"]) for row in printed} == {f"q{i}": 3 for i in range(5)}
    assert main([*command, "--output", "out.jsonl"]) == 2
    assert {row["id"] for row in rows(tmp_path / "out.jsonl")} == {f"q{i}" for i in range(5)}


def test_questions_without_a_finished_solution_count_for_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models_cut.py").write_text(OWN.replace('"stop")', '"length")'), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    path = write_questions(tmp_path / "q.jsonl", 2)
    command = ["solve", "--input", str(path), "--generator", "models_cut:Slow", "--budget", "1", "--quiet"]
    assert main(command) == 1
    assert main([*command, "--output", "out.jsonl"]) == 1
    assert "2 answers written to out.jsonl, 0 of them errors, 2 without a finished solution" in capsys.readouterr().err


def test_parquet_shards_hold_the_same_rows_and_go_on_by_the_same_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyarrow import parquet

    monkeypatch.setattr(answer_files, "SHARD", 4)
    few, all_ = write_questions(tmp_path / "few.jsonl", 6), write_questions(tmp_path / "all.jsonl", 11)
    with all_.open("a", encoding="utf-8") as file:
        file.write('{"id": "love", "question": "What is love?"}\n')  # its row is an error
    common = ["--budget", "2", "--quiet", "--candidates"]
    main(["solve", "--input", str(all_), "--output", str(tmp_path / "lines"), *common])
    command = ["solve", "--output", str(tmp_path / "table"), *common, "--format", "parquet"]
    assert main([*command, "--input", str(few)]) == 0
    assert main([*command, "--input", str(all_)]) == 2
    assert "add --resume" in capsys.readouterr().err
    main([*command, "--input", str(all_), "--resume"])
    names = sorted(file.name for file in (tmp_path / "table").iterdir())
    assert names == ["_settings.json", *(f"part-0000{i}.parquet" for i in range(4))]
    table = parquet.read_table(tmp_path / "table").to_pylist()
    lines = rows(tmp_path / "lines")
    for row in (*table, *lines):
        row["cost"].pop("seconds")
    assert sorted(table, key=lambda row: row["id"]) == sorted(lines, key=lambda row: row["id"])


def test_a_kill_while_a_shard_becomes_parquet_loses_and_doubles_nothing(tmp_path: Path) -> None:
    results = ttscale.solve_all([f"Number {i}?" for i in range(5)], 1, generator=FakeGenerator("7"), progress=False)
    out = tmp_path / "out"
    with AnswerFiles(out, {}, resume=False) as answers:
        for result in results[:3]:
            answers.write(result)
    (out / "part-00000.jsonl").rename(out / "part-00000.jsonl.part")
    (out / "part-00000.parquet.tmp").write_bytes(b"half")  # before it had its name
    with AnswerFiles(out, {}, resume=True, parquet=True) as answers:
        assert [result.question in answers for result in results] == [True] * 3 + [False] * 2
        answers.write(results[3])
    (out / "part-00000.jsonl.part").write_text('{"id": "left over"}\n', encoding="utf-8")  # after it had its name
    with AnswerFiles(out, {}, resume=True, parquet=True) as answers:
        assert len(answers) == 4
        assert results[3].question in answers
    with pytest.raises(ValueError, match="name a folder"):
        AnswerFiles(tmp_path / "a.jsonl", {}, resume=False, parquet=True)


def test_a_total_limit_leaves_questions_for_the_next_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 12), tmp_path / "out"
    command = ["solve", "--input", str(questions), "--output", str(out), "--budget", "2", "--quiet", "--resume"]
    runs = 0
    while not out.exists() or len(rows(out)) < 12:
        assert main([*command, "--strategy", "majority_vote", "--total-tokens", "120"]) == 0
        runs += 1
        assert runs < 12
    assert runs > 1
    assert "--resume asks them again" in capsys.readouterr().err
    found = {row["id"]: row for row in rows(out)}
    assert all(row["stopped_by"] is None for row in found.values())
    (alone,) = ttscale.solve_all(
        [ttscale.Question("q3", "Compute 3 + 2 * 4")], 2, strategy="majority_vote", progress=False
    )
    assert found["q3"]["answer"] == alone.answer


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "part-00000.jsonl").write_text('{"no": "id"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: not a row of ours"):
        AnswerFiles(out, {}, resume=True)
    assert (out / "part-00000.jsonl").read_text(encoding="utf-8") == '{"no": "id"}\n'


def test_rows_hold_every_candidate_when_asked(tmp_path: Path) -> None:
    (result,) = ttscale.solve_all(["a"], 3, generator=FakeGenerator("Answer: 1"), progress=False)
    for brief in (True, False):
        path = tmp_path / f"{brief}.jsonl"
        with AnswerFiles(path, {}, resume=False, brief=brief) as answers:
            answers.write(result)
        assert ("candidates" in rows(path)[0]) == (not brief)


@pytest.mark.parametrize(("place", "parquet"), [("a.jsonl", False), ("out", False), ("out", True)])
def test_a_run_that_goes_on_asks_failed_questions_again(tmp_path: Path, place: str, parquet: bool) -> None:
    def says(request: ttscale.Sample) -> str:
        if request.question.id == "q1" and broken:
            raise RuntimeError("not today")
        return "7"

    asked = [ttscale.Question(f"q{i}", "Number?") for i in range(3)]
    found = []
    for broken in (True, False):
        with AnswerFiles(tmp_path / place, {}, resume=not broken, parquet=parquet) as answers:
            open_ = [question for question in asked if question not in answers]
            found.append([question.id for question in open_])
            for result in ttscale.solve_all(open_, 1, generator=FakeGenerator(says), progress=False):
                answers.write(result)
    assert found == [["q0", "q1", "q2"], ["q1"]]
    with AnswerFiles(tmp_path / place, {}, resume=True, parquet=parquet) as answers:
        assert len(answers) == 3
    if not parquet:
        assert {row["id"]: row["error"] for row in rows(tmp_path / place)} == dict.fromkeys(("q0", "q1", "q2"))
        assert len(rows(tmp_path / place)) == 3


def test_a_bad_row_of_the_input_costs_no_question_its_answer(tmp_path: Path) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 40), tmp_path / "a.jsonl"
    good = questions.read_text()
    command = ["solve", "--input", str(questions), "--output", str(out), "--budget", "2", "--quiet", "--resume"]
    questions.write_text(good + '{"foo": 1}\n')
    assert main(command) == 2
    assert all(row["answer"] is not None for row in rows(out))
    questions.write_text(good)
    assert main(command) == 0
    assert Counter(row["id"] for row in rows(out)) == {f"q{i}": 1 for i in range(40)}
    assert all(row["answer"] is not None for row in rows(out))


@pytest.mark.parametrize("flag", [["--output", "a.jsonl"], ["--resume"], ["--candidates"]])
def test_flags_of_files_are_refused_for_one_question(flag: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "Compute 1 + 2", *flag]) == 2
    assert f"{flag[0]} goes with --input FILE" in capsys.readouterr().err
