"""The command ``ttscale view``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ttscale
from ttscale.cli.main import main
from viz.toys import Toy


def test_a_trace_file_becomes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, page = tmp_path / "run.jsonl", tmp_path / "page.html"
    ttscale.solve_all(["A?", "B?"], 4, generator=Toy(), strategy="majority_vote", resume=trace, progress=False)
    assert main(["view", str(trace), "-o", str(page), "--no-open", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"page": str(page), "questions": 2}
    assert page.read_text(encoding="utf-8").count("<section ") == 2
    assert main(["view", str(trace), "-o", str(page), "--no-open", "--question", "B?"]) == 0
    assert capsys.readouterr().out == f"1 search in {page}\n"


def test_a_browser_opens_unless_told_not_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    ttscale.solve("A?", 2, generator=Toy(), strategy="majority_vote").trace.save(trace := tmp_path / "t.jsonl")
    assert main(["view", str(trace)]) == 0
    assert len(opened) == 1
    assert opened[0].startswith("file://")


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), ("{}", "not a ttscale trace")])
def test_what_cannot_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
) -> None:
    path = tmp_path / "t.jsonl"
    if content is not None:
        path.write_text(content + "\n", encoding="utf-8")
    assert main(["view", str(path), "--no-open"]) == 2
    assert says in capsys.readouterr().err
