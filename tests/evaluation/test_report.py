"""The report as a page: whole without any other file, the same numbers in both formats, fine without matplotlib."""

from __future__ import annotations

import builtins
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ttscale.evaluation import Report, Table, write_report
from ttscale.evaluation.report.figure_data import Figure, Panel, Series

BEST = Series("best", (1, 4), (0.25, 1))
REPORT = Report(
    "Test-time compute & more",
    (("data", "toy <1>"), ("seeds", "0, 1")),
    (
        Table("Costs", ("strategy", "tokens"), (("a|b", "12"), ("<i>", "3")), "A note."),
        Figure(
            "curve", "A curve", "What to see.", (Panel("left", "N", "accuracy", (Series("best", (1, 4), (0.25, 1)),)),)
        ),
    ),
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href") and tag != "use"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    page, _ = write_report(REPORT, tmp_path / "deep" / "report")
    tags = Tags()
    tags.feed(page.read_text(encoding="utf-8"))
    assert "svg" in tags.tags
    assert not {"script", "img", "link", "iframe"} & set(tags.tags)
    assert tags.sources == []
    assert not re.search(r"@import|url\(http", page.read_text(encoding="utf-8"))
    for said in ("Test-time compute & more", "toy <1>", "Costs", "a|b", "<i>", "A note.", "What to see.", "0.250"):
        assert said in tags.text


def test_markdown_has_the_same_numbers_and_names_its_pictures(tmp_path: Path) -> None:
    _, text = write_report(REPORT, tmp_path)
    assert text.read_text(encoding="utf-8") == (
        "# Test-time compute & more\n\n- data: toy <1>\n- seeds: 0, 1\n\n## Costs\n\n"
        "| strategy | tokens |\n| --- | --- |\n| a\\|b | 12 |\n| <i> | 3 |\n\nA note.\n\n"
        "## A curve\n\nWhat to see.\n\n![A curve](figures/curve.svg)\n\n**left**\n\n"
        "| N | 1 | 4 |\n| --- | --- | --- |\n| best | 0.250 | 1.000 |\n"
    )
    assert (tmp_path / "figures" / "curve.svg").read_text(encoding="utf-8").startswith("<svg")


def test_without_matplotlib_there_are_still_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *arguments: Any, **more: Any) -> ModuleType:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    page, text = write_report(REPORT, tmp_path)
    for path in (page, text):
        content = path.read_text(encoding="utf-8")
        assert "matplotlib is not installed: pip install" in content
        assert "0.250" in content
        assert "svg" not in content.split("</style>")[-1]
    assert not (tmp_path / "figures").exists()
    from ttscale.evaluation.report import matplotlib as _draw

    figure = REPORT.parts[1]
    assert isinstance(figure, Figure)
    with pytest.raises(ImportError, match=r"ttscale\[plot\]"):
        _draw.to_svg(figure)
