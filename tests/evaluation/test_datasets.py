"""Rows become problems, whichever data set they are from; a row that cannot be used says where it stands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from real_data import data_file
from ttscale import reference
from ttscale.core.types import Question
from ttscale.evaluation.problems.datasets import from_hub, from_jsonl, from_reference, load
from ttscale.evaluation.problems.problem import Problem


def written(path: Path, *rows: object) -> Path:
    """A JSONL file of ``rows``; a string is a line as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def id_of(prompt: str) -> str:
    return Question.of(prompt).id


def test_plain_questions_and_answers(tmp_path: Path) -> None:
    path = written(
        tmp_path / "plain.jsonl",
        {"question": "1+1?", "answer": "2"},
        "",
        {"question": "1/2?", "answer": 0.5, "id": 7},
        {"prompt": "2+2?", "final_answer": 4, "level": 3, "subject": "Algebra"},
        {"question": "3+3?", "answer": "3+3 is six\n#### 6"},
        {"question": "4+4?", "answer": None, "solution": r"It is $\boxed{8}$."},
    )
    assert from_jsonl(path) == [
        Problem(id_of("1+1?"), "1+1?", "2"),
        Problem("7", "1/2?", "0.5"),
        Problem(id_of("2+2?"), "2+2?", "4", 3, "Algebra"),
        Problem(id_of("3+3?"), "3+3?", "6"),
        Problem(id_of("4+4?"), "4+4?", "8"),
    ]
    assert from_jsonl(path, limit=2) == from_jsonl(path)[:2]
    assert load(path) == from_jsonl(path)
    assert load(str(path), limit=1) == from_jsonl(path)[:1]


def test_the_question_of_a_problem_holds_no_answer() -> None:
    assert Problem("a", "1+1?", "2", 1).question == Question("a", "1+1?")


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"question": "1+1?", "answer": "2"}\r\n')
    assert from_jsonl(path) == [Problem(id_of("1+1?"), "1+1?", "2")]


GOOD = {"question": "1+1?", "answer": "2"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2, is not JSON"),
        ("[1]", "line 2: expected an object"),
        (
            {"answer": "2"},
            "line 2: a question is missing; expected a field named problem or question or prompt, found answer",
        ),
        ({"question": "2+2?"}, "line 2: a reference answer is missing; expected .* found question"),
        ({}, "found none"),
        ({"question": "", "answer": "2"}, "line 2 has no question: expected a text, got ''"),
        ({"question": 5, "answer": "2"}, "line 2 has no question: expected a text, got 5"),
        ({"question": "2+2?", "answer": ""}, "line 2: the reference answer '' cannot be read: it is empty"),
        ({"question": "2+2?", "answer": ["4"]}, r"line 2: the reference answer .*4.* is neither a text nor a number"),
        ({"question": "2+2?", "answer": True}, "line 2: the reference answer True is neither"),
        ('{"question": "2+2?", "answer": NaN}', "line 2: the reference answer nan is neither"),
        ({"question": "2+2?", "answer": r"\frac{4}{"}, "line 2: the reference answer .* do not match"),
        (
            {"question": "2+2?", "answer": "first\nthen"},
            "line 2: the reference 'first.nthen' is a text of several lines",
        ),
        ({"question": "2+2?", "answer": "4" * 2000}, "line 2: .* has 2,000 characters"),
        (
            {"question": "1+1?", "answer": "3"},
            "line 2: the question .* stands in .*line 1 already",
        ),
        (
            {"question": "2+2?", "answer": "4", "id": id_of("1+1?")},
            "line 2: the id '[0-9a-f]+' stands in .*line 1 already",
        ),
        ({"question": "2+2?", "answer": 10**2000}, "line 2: .* has 2,001 characters"),
        ('{"question": "2+2?", "answer": 1' + "0" * 5000 + "}", "line 2, is not JSON in UTF-8: Exceeds"),
        ('{"question": "2+2?", "answer": ' + "[" * 100_000 + "}", "line 2, is not JSON in UTF-8: it is nested"),
        ({"question": "2+2?", "answer": "#### "}, "line 2: the reference answer '####' cannot be read: it marks an"),
        ({"question": "2+2?", "answer": "4", "id": [1]}, r"line 2: an id must be a text or an integer, got \[1\]"),
    ],
)
def test_rows_that_cannot_be_used_say_where_they_stand(tmp_path: Path, row: object, message: str) -> None:
    path = written(tmp_path / "bad.jsonl", GOOD, row)
    with pytest.raises(ValueError, match=message):
        from_jsonl(path)
    assert from_jsonl(path, limit=1) == [Problem(id_of("1+1?"), "1+1?", "2")]


def test_a_file_that_is_no_text_or_empty_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bytes.jsonl"
    path.write_bytes(b'{"question": "\xff"}\n')
    with pytest.raises(ValueError, match="line 1, is not JSON"):
        from_jsonl(path)
    with pytest.raises(ValueError, match=r"there are no problems: .*empty\.jsonl is empty"):
        from_jsonl(written(tmp_path / "empty.jsonl"))


@pytest.mark.parametrize("limit", [0, -1, 1.5, True])
def test_limits_that_are_none(tmp_path: Path, limit: Any) -> None:
    with pytest.raises(ValueError, match="limit must be a positive integer"):
        from_jsonl(written(tmp_path / "one.jsonl", GOOD), limit=limit)
    with pytest.raises(ValueError, match="limit must be a positive integer"):
        load("reference", limit=limit)


@pytest.mark.parametrize(
    "source", ["math500", "./nowhere/questions", "nowhere.jsonl", "some/where/else", "data/x.jsonl"]
)
def test_an_unknown_source_is_told_from_a_hub_id(source: str) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        load(source)


def test_the_reference_benchmark() -> None:
    ours = from_reference(10, split="validation", level=2, seed=3)
    theirs = reference.questions(10, "validation", 2, 3)
    assert [(p.id, p.prompt, p.answer, p.level) for p in ours] == [(p.id, p.prompt, p.answer, p.level) for p in theirs]
    assert load("reference", limit=5) == from_reference(5)
    assert len(load("reference")) == 500


class Hub(ModuleType):
    """The package ``datasets`` as far as it is used: remembers what it was asked for."""

    def __init__(self, answer: list[dict[str, Any]] | Exception) -> None:
        super().__init__("datasets")
        self.answer = answer
        self.asked: list[tuple[str, str | None, str]] = []

    def load_dataset(self, hub_id: str, configuration: str | None, *, split: str) -> list[dict[str, Any]]:
        self.asked.append((hub_id, configuration, split))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_data_sets_of_the_hub_are_read_like_files(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub([{"problem": "1+1?", "answer": "2", "solution": "work", "level": 1, "unique_id": "a"}])
    monkeypatch.setitem(sys.modules, "datasets", hub)
    expected = [Problem("a", "1+1?", "2", 1)]
    assert load("math-500") == load("gsm8k") == load("somebody/something") == from_hub("x/y", split="train") == expected
    assert hub.asked == [
        ("HuggingFaceH4/MATH-500", None, "test"),
        ("openai/gsm8k", "main", "test"),
        ("somebody/something", None, "test"),
        ("x/y", None, "train"),
    ]


def test_errors_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", Hub([{"question": "1+1?"}]))
    with pytest.raises(ValueError, match="x/y, row 1: a reference answer is missing"):
        from_hub("x/y")
    monkeypatch.setitem(sys.modules, "datasets", Hub(ConnectionError("no network")))
    with pytest.raises(ValueError, match=r"could not load the data set 'x/y' .* no network"):
        from_hub("x/y")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="needs the package datasets: pip install"):
        from_hub("x/y")


def test_math_500() -> None:
    found = load(data_file("math500.jsonl"))
    assert len(found) == 500
    assert found[0].answer == r"\left( 3, \frac{\pi}{2} \right)"
    assert (found[0].id, found[0].level, found[0].subject) == ("test/precalculus/807.json", 2, "Precalculus")
    assert {problem.level for problem in found} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("name", ["gsm8k_test.jsonl", "gsm8k_model_solutions.jsonl"])
def test_gsm8k(name: str) -> None:
    found = load(data_file(name))
    assert len(found) == 1319
    assert [problem.answer for problem in found[:4]] == ["18", "3", "70000", "540"]
    assert {type(float(problem.answer.replace(",", ""))) for problem in found} == {float}


def test_omegaprm_samples() -> None:
    assert [problem.answer for problem in load(data_file("omegaprm_samples.jsonl"))][:1] == ["64"]
