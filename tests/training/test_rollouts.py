"""Rollouts: values with a closed form, merging, and a file that survives a kill, a full disk and a second start."""

from __future__ import annotations

import asyncio
import errno
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from training.toys import TwoStep
from ttscale import answers
from ttscale.core.errors import RoleError
from ttscale.core.requests import Completion
from ttscale.core.types import Key, Step
from ttscale.testing import FakeGenerator
from ttscale.training import judge, quality_report, read_rollouts, write_examples
from ttscale.training.data.rollouts import collect_rollouts
from ttscale.verifiers import FunctionVerifier

QUESTIONS = [(f"What is {i} + {7 - i}?", "7") for i in range(6)]


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def solutions(path):
    return [row for row in lines(path)[1:] if "done" not in row]


def collect(path, questions=QUESTIONS, generator=None, **options):
    options = {"samples": 4, "rollouts": 8, "progress": False} | options
    return collect_rollouts(generator or TwoStep(), questions, path, **options)


def test_values_meet_the_closed_form(tmp_path):
    """1600 rollouts of each prefix: the mean is within 4 standard errors (4 * sqrt(.1875 / 1600) = .043)."""
    generator = TwoStep()
    collect(tmp_path / "r.jsonl", QUESTIONS[:4], generator, samples=8, rollouts=400)
    for state, value in generator.after.items():
        prefixes = {row["id"]: row for row in solutions(tmp_path / "r.jsonl") if row["steps"][0] == f"{state}\n"}
        rights = [row["n_correct"][0] for row in prefixes.values()]
        assert len(rights) == 4  # each state occurs for each question; by luck it fails for one seed in 32
        assert sum(rights) / 1600 == pytest.approx(value, abs=4 * math.sqrt(0.1875 / 1600))


def test_a_sure_generator_gives_exact_values(tmp_path):
    generator = TwoStep(first=1.0, after={"good": 1.0})
    collect(tmp_path / "r.jsonl", [("q?", "7"), ("r?", "8")], generator, samples=1, rollouts=3)
    first, second = solutions(tmp_path / "r.jsonl")
    assert first == {
        "id": first["id"],
        "prompt": "q?",
        "sample": 0,
        "steps": ["good\n", "Answer: 7"],
        "values": [1.0, 1.0],
        "n_rollouts": [3, 1],
        "n_correct": [3, 1],
        "answer": "7",
        "correct": True,
        "reference": "7",
        "finish": "stop",
        "policy": "two-step",
        "seed": 0,
    }
    assert (second["values"], second["n_correct"], second["correct"]) == ([0.0, 0.0], [0, 0], False)


def test_equal_prefixes_are_continued_once(tmp_path):
    generator = TwoStep()
    summary = collect(tmp_path / "r.jsonl", generator=generator, samples=16, rollouts=8)
    assert len({(row["id"], row["steps"][0]) for row in solutions(tmp_path / "r.jsonl")}) == 12
    assert (summary.prefixes, summary.merged, summary.rollouts) == (12, 6 * 16 - 12, 12 * 8)
    assert len(generator.asked) == 6 * 16 + 12 * 8
    assert len({request.key for request in generator.asked}) == len(generator.asked)
    assert summary.cost.generations == 6 * 16
    for id in ids(tmp_path):  # a merged prefix has one value
        for state in ("good\n", "bad\n"):
            rows = [r for r in solutions(tmp_path / "r.jsonl") if r["id"] == id and r["steps"][0] == state]
            assert len({row["n_correct"][0] for row in rows}) == 1


def ids(tmp_path):
    return [row["done"] for row in lines(tmp_path / "r.jsonl") if "done" in row]


@pytest.mark.parametrize("together", [1, 2, 100])
def test_the_file_does_not_depend_on_the_batch(tmp_path, together):
    collect(tmp_path / "a.jsonl", together=4)
    collect(tmp_path / "b.jsonl", together=together)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_an_asynchronous_generator_gives_the_same_file(tmp_path):
    class Later(TwoStep):
        async def sample(self, requests):
            assert len({request.question.id for request in requests}) == 1
            await asyncio.sleep(0)
            return super().sample(requests)

    collect(tmp_path / "a.jsonl")
    collect(tmp_path / "b.jsonl", generator=Later())
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_the_outcome_is_broadcast_without_further_draws(tmp_path):
    generator = TwoStep()
    summary = collect(tmp_path / "r.jsonl", generator=generator, estimate="outcome")
    assert (len(generator.asked), summary.rollouts) == (6 * 4, 0)
    for row in solutions(tmp_path / "r.jsonl"):
        assert row["n_rollouts"] == [1, 1]
        assert row["values"] == [float(row["correct"])] * 2


def test_shared_prefixes_average_the_solutions_through_them(tmp_path):
    generator = TwoStep()
    collect(tmp_path / "r.jsonl", QUESTIONS[:1], generator=generator, samples=32, estimate="shared")
    rows = solutions(tmp_path / "r.jsonl")
    assert len(generator.asked) == 32
    for state in ("good\n", "bad\n"):
        through = [row for row in rows if row["steps"][0] == state]
        right = sum(row["correct"] for row in through)
        for row in through:
            assert (row["n_rollouts"], row["n_correct"]) == ([len(through), 1], [right, int(row["correct"])])


def test_a_shared_prefix_counts_solutions_without_an_answer_as_it_is_told(tmp_path):
    """Half of all solutions state no answer: the values of "good" and "bad" are half of .75 and .25, or those."""
    for unparsable, share in (("wrong", 0.5), ("drop", 1.0)):
        path = tmp_path / f"{unparsable}.jsonl"
        options = {"generator": TwoStep(unparsable=0.5), "estimate": "shared", "unparsable_rollouts": unparsable}
        collect(path, QUESTIONS[:1], samples=400, **options)
        value = {row["steps"][0]: row["values"][0] for row in solutions(path)}
        assert value == {
            "good\n": pytest.approx(0.75 * share, abs=0.12),
            "bad\n": pytest.approx(0.25 * share, abs=0.12),
        }


def test_unparsable_solutions_are_dropped_or_wrong(tmp_path):
    generator = TwoStep(first=1.0, after={"good": 1.0}, unparsable=0.5)
    dropped = collect(tmp_path / "drop.jsonl", generator=generator, samples=16)
    kept = collect(tmp_path / "keep.jsonl", generator=generator, samples=16, unparsable="wrong")
    assert dropped.solutions + dropped.dropped == kept.solutions == 96
    assert 24 < dropped.dropped < 72  # half; 5 standard errors
    assert all(row["answer"] == "7" for row in solutions(tmp_path / "drop.jsonl"))
    silent = [row for row in solutions(tmp_path / "keep.jsonl") if row["answer"] is None]
    assert {(row["correct"], row["n_rollouts"][1], row["n_correct"][1]) for row in silent} == {(False, 1, 0)}
    assert len(silent) == dropped.dropped


def test_unparsable_rollouts_are_wrong_or_not_counted(tmp_path):
    generator = TwoStep(first=1.0, after={"good": 1.0}, unparsable=0.5)
    collect(tmp_path / "wrong.jsonl", generator=generator, rollouts=16)
    collect(tmp_path / "drop.jsonl", generator=generator, rollouts=16, unparsable_rollouts="drop")
    wrong, drop = solutions(tmp_path / "wrong.jsonl"), solutions(tmp_path / "drop.jsonl")
    assert {row["n_rollouts"][0] for row in wrong} == {16}
    assert all(row["n_correct"][0] == row["n_rollouts"][0] < 16 for row in drop)
    assert [row["n_correct"] for row in wrong] == [row["n_correct"] for row in drop]

    nothing = TwoStep(first=1.0, after={"good": 1.0}, unparsable=1.0)
    options = {"unparsable": "wrong", "unparsable_rollouts": "drop", "samples": 1}
    collect(tmp_path / "none.jsonl", generator=nothing, **options)
    assert all(row["values"] == [None, 0.0] for row in solutions(tmp_path / "none.jsonl"))


def test_a_question_without_a_usable_solution_is_still_done(tmp_path):
    generator = TwoStep(unparsable=1.0)
    summary = collect(tmp_path / "r.jsonl", generator=generator)
    assert (summary.questions, summary.solutions, summary.dropped) == (6, 0, 24)
    before = len(generator.asked)
    collect(tmp_path / "r.jsonl", generator=generator)
    assert len(generator.asked) == before


def test_white_space_is_never_a_step(tmp_path):
    class Blank(TwoStep):
        def one(self, request):
            return Completion((Step("\n"), Step("a\n", (1,)), Step(" \n", (2,)), Step("Answer: 7", (3,))), "stop")

    collect(tmp_path / "r.jsonl", QUESTIONS[:1], Blank(), samples=1, rollouts=1)
    assert solutions(tmp_path / "r.jsonl")[0]["steps"] == ["\na\n \n", "Answer: 7"]


def cut_points(data):
    """Offsets to tear the file at: in the header, after it, in the middle of lines, at line ends, at the end."""
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    return [0, 5, *ends, *(end - 3 for end in ends[1:]), len(data) // 2]


def test_resuming_a_torn_file_gives_the_uninterrupted_one(tmp_path):
    collect(tmp_path / "whole.jsonl", QUESTIONS[:3])
    whole = (tmp_path / "whole.jsonl").read_bytes()
    for cut in cut_points(whole):
        torn = tmp_path / "torn.jsonl"
        torn.write_bytes(whole[:cut])
        generator = TwoStep()
        collect(torn, QUESTIONS[:3], generator)
        assert torn.read_bytes() == whole
        finished = sum("done" in json.loads(line) for line in whole[:cut].splitlines() if line.endswith(b"}"))
        assert len({request.question.id for request in generator.asked}) == 3 - finished


def test_more_questions_can_follow(tmp_path):
    collect(tmp_path / "a.jsonl", QUESTIONS[:2])
    summary = collect(tmp_path / "a.jsonl")
    collect(tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (summary.questions, summary.new_questions) == (6, 4)
    assert str(summary).startswith(f"{tmp_path / 'a.jsonl'}: 6 questions, 24 solutions (")


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
from training.toys import TwoStep
from training.test_rollouts import QUESTIONS, collect

class Mortal(TwoStep):
    def sample(self, requests):
        if self.calls == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().sample(requests)

collect({path!r}, generator=Mortal(), together=1)
"""


def test_a_killed_process_loses_only_the_question_it_was_at(tmp_path):
    path = str(tmp_path / "killed.jsonl")
    code = KILLED.format(here=str(Path(__file__).parents[1]), path=path)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert sum("done" in row for row in lines(path)) == 2
    collect(path)
    collect(tmp_path / "whole.jsonl")
    assert Path(path).read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(tmp_path, monkeypatch):
    path = tmp_path / "full.jsonl"
    written = 0

    def write(file, data, write=os.write):
        nonlocal written
        room = 4000 - written
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = write(file, data[:room])
        written += done
        return done

    monkeypatch.setattr(os, "write", write)
    message = r"could not write \(No space left on device\)\. What was written before is safe"
    with pytest.raises(OSError, match=message) as error:
        collect(path)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(path))
    monkeypatch.undo()
    assert sum("done" in row for row in lines(path)) == 3
    collect(path)
    collect(tmp_path / "whole.jsonl")
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


class Choosy(TwoStep):
    """Fails on some questions, by the number in them."""

    def __init__(self, *bad):
        super().__init__()
        self.bad = bad

    def one(self, request):
        if request.question.prompt[8] in self.bad:
            raise RuntimeError("out of memory")
        return super().one(request)


def test_a_question_that_fails_loses_no_other(tmp_path):
    path = tmp_path / "r.jsonl"
    with pytest.raises(RoleError, match=r"1 of 6 questions failed.* The first to fail was '\w+': .* out of memory"):
        collect(path, generator=Choosy("2"))
    assert [row["prompt"][8] for row in lines(path) if "done" in row] == ["0", "1", "3", "4", "5"]
    summary = collect(path)
    assert (summary.questions, summary.new_questions) == (6, 1)
    collect(tmp_path / "whole.jsonl")
    assert sorted(path.read_text().splitlines()) == sorted((tmp_path / "whole.jsonl").read_text().splitlines())


def test_a_broken_generator_is_given_up(tmp_path):
    questions = [(f"What is {i} + 0?", "7") for i in range(100)]
    generator = Choosy(*"123456789")
    with pytest.raises(RoleError, match="10 questions in a row failed"):
        collect(tmp_path / "r.jsonl", questions, generator, together=1)
    assert sum("done" in row for row in lines(tmp_path / "r.jsonl")) == 1


def test_too_few_replies_are_the_generators_fault(tmp_path):
    class Short(TwoStep):
        def sample(self, requests):
            return super().sample(requests)[:-1]

    with pytest.raises(RoleError, match=r"sample\(\) returned 3 replies for 4 requests"):
        collect(tmp_path / "r.jsonl", generator=Short())


@pytest.mark.parametrize(("name", "value"), [("temperature", -1), ("temperature", math.nan), ("seed", 1.5)])
def test_settings_that_no_draw_could_have_are_refused_before_the_file_is_made(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        collect(tmp_path / "r.jsonl", **{name: value})
    assert not (tmp_path / "r.jsonl").exists()


def test_other_settings_or_questions_are_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    collect(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="begun with other settings \\(rollouts: 8 there, 9 now\\)"):
        collect(path, rollouts=9)
    with pytest.raises(ValueError, match="has another text or reference answer"):
        collect(path, [(QUESTIONS[0][0], "8")])
    (tmp_path / "other.jsonl").write_text('{"prompt": "x"}\n')
    with pytest.raises(ValueError, match="is not a rollout file"):
        collect(tmp_path / "other.jsonl")
    (tmp_path / "text.md").write_text("my notes")
    with pytest.raises(ValueError, match="is not a rollout file"):
        collect(tmp_path / "text.md")
    assert (tmp_path / "text.md").read_text() == "my notes"
    assert path.read_bytes() == before


def test_the_header_is_held_to_behind_an_empty_line_too(tmp_path):
    path = tmp_path / "r.jsonl"
    collect(path)
    path.write_bytes(b"\n" + path.read_bytes())
    with pytest.raises(ValueError, match="begun with other settings \\(rollouts: 8 there, 9 now\\)"):
        collect(path, rollouts=9)
    assert collect(path).new_questions == 0


def test_a_questions_own_rule_goes_with_its_solutions(tmp_path):
    """Rounded to a whole number, 6.9 and 7.2 are one answer: it has two votes, and 3 has one."""
    path, row = tmp_path / "r.jsonl", {"id": "q", "question": "How many?", "answer": "7", "answers": answers.number(0)}
    drawn = FakeGenerator(["Answer: 3", "Answer: 6.9", "Answer: 7.2"])
    collect(path, [row], drawn, samples=3, estimate="outcome")
    with pytest.raises(ValueError, match="or another answer rule, than the one given now"):
        collect(path, [row | {"answers": None}], drawn, samples=3, estimate="outcome")
    write_examples(read_rollouts(path).examples, tmp_path / "again.jsonl")
    for file in (path, tmp_path / "again.jsonl"):
        examples = read_rollouts(file).examples
        assert [example.correct for example in examples] == [False, True, True]
        report = quality_report(judge(FunctionVerifier(lambda candidate: 0.5), examples), budgets=(3,))
        assert report.selection[0].accuracy["majority"].value == 1.0


def test_a_damaged_middle_is_not_taken_for_a_torn_end(tmp_path):
    path = tmp_path / "r.jsonl"
    collect(path)
    damaged = path.read_bytes().split(b"\n")
    damaged[3] = damaged[3][:20]
    path.write_bytes(b"\n".join(damaged))
    with pytest.raises(ValueError, match="line 4, is damaged"):
        collect(path)
    assert path.read_bytes() == b"\n".join(damaged)


def test_two_writers_are_refused(tmp_path):
    class Nested(TwoStep):
        def sample(self, requests):
            with pytest.raises(RuntimeError, match="another process is writing to"):
                collect(tmp_path / "r.jsonl")
            return super().sample(requests)

    collect(tmp_path / "r.jsonl", generator=Nested())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be a positive integer; got 0"),
        ({"rollouts": 1.5}, "rollouts must be a positive integer; got 1.5"),
        ({"estimate": "guess"}, "estimate must be one of rollouts, shared, outcome; got 'guess'"),
        ({"unparsable": "keep"}, "unparsable must be one of drop, wrong"),
        ({"together": 0}, "together must be a positive integer"),
    ],
)
def test_bad_arguments_are_refused_before_a_file_is_made(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        collect(tmp_path / "r.jsonl", **options)
    assert not (tmp_path / "r.jsonl").exists()


def test_keys_are_the_address_of_the_draw(tmp_path):
    generator = TwoStep()
    row = {"id": "q", "question": "q?", "answer": "7"}
    collect(tmp_path / "r.jsonl", [row], generator, samples=2, rollouts=2, seed=5)
    assert [request.key for request in generator.asked[:2]] == [Key((5, "q", "solution", i)) for i in range(2)]
    assert generator.asked[2].key == Key((5, "q", "solution", 0, "step", 1, "rollout", 0))


def test_half_a_character_in_a_question_or_a_solution_ends_nothing(tmp_path):
    class Broken(TwoStep):
        def one(self, request):
            reply = super().one(request)
            return replace(reply, steps=(Step("\ud800" + reply.steps[0].text, (1,)), *reply.steps[1:]))

    path, questions = tmp_path / "r.jsonl", [("Is \ud800 right?", "7"), ("And this?", "7")]
    collect(path, questions, Broken(), estimate="outcome")
    assert {row["prompt"] for row in solutions(path)} == {"Is \ufffd right?", "And this?"}
    assert all(row["steps"][0].startswith("\ufffd") for row in solutions(path))
    before = path.read_bytes()
    collect(path, questions, Broken(), estimate="outcome")
    assert path.read_bytes() == before


class OneSlow(TwoStep):
    """Question 0 takes its time, and every question after ``good`` fails."""

    def __init__(self, good):
        super().__init__()
        self.good, self.released = good, asyncio.Event()

    async def sample(self, requests):
        number = int(requests[0].question.prompt.split()[1])
        if number == 0:
            await self.released.wait()
        if number > self.good:
            raise ValueError("broken")
        return [self.one(request) for request in requests]


def test_a_slow_question_keeps_few_others_off_the_disk(tmp_path):
    path, most = tmp_path / "r.jsonl", [0]

    class Watched(OneSlow):
        async def sample(self, requests):
            number = int(requests[0].question.prompt.split()[1])
            if number == 39:
                most[0] = sum("done" in row for row in lines(path))
                self.released.set()
            return await super().sample(requests)

    problems = [(f"q {i} .", "7") for i in range(40)]
    collect_rollouts(Watched(99), problems, path, samples=2, rollouts=2, together=4, progress=False)
    assert most[0] >= 39 - 3 * 4
    plain = tmp_path / "plain.jsonl"
    collect_rollouts(TwoStep(), problems, plain, samples=2, rollouts=2, together=4, progress=False)
    assert sorted(path.read_text().splitlines()) == sorted(plain.read_text().splitlines())


def test_what_is_finished_is_written_before_giving_up(tmp_path):
    path = tmp_path / "r.jsonl"
    problems = [(f"q {i} .", "7") for i in range(100)]
    with pytest.raises(RoleError, match="10 questions in a row failed"):
        collect_rollouts(OneSlow(30), problems, path, samples=2, rollouts=2, together=4, progress=False)
    assert sum("done" in row for row in lines(path)) == 30
