"""From stored results to docs/reproduction.md and its figures, so that page and measurement cannot disagree.

Knows: the JSON of ``reproduction.py`` and the marks in the page. Must not know: how anything is measured. Between
``<!-- part: NAME -->`` and ``<!-- end -->`` stands what is generated; all else on the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _contrasts import Contrast, score

from ttscale.evaluation.report.figure_data import Figure, Panel, Series, table
from ttscale.evaluation.report.page import Report, Table

FORMAT = "ttscale-reproduction/1"
MARK = re.compile(r"(<!-- part: ([a-z0-9_]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def stored(report: Report, claims: Table, policy: Mapping[str, Any]) -> dict[str, Any]:
    """A report as JSON data: its tables and the data of its figures, by name."""
    parts: dict[str, Any] = {"claims": _table_data(claims)}
    for part in report.parts:
        name = part.name if isinstance(part, Figure) else slug(part.title)
        parts[name] = asdict(part) if isinstance(part, Figure) else _table_data(part)
    return {"format": FORMAT, "about": [list(pair) for pair in report.about], "parts": parts, "policy": dict(policy)}


def write_page(page: str, results: Mapping[str, Any], pictures: str = "figures") -> str:
    """The page with every part as stored; a mark for what the results lack says so."""

    def fill(match: re.Match[str]) -> str:
        name = match[2]
        if name == "about":
            lines = ["| | |", "|---|---|", *(f"| {key} | {_cell(value)} |" for key, value in results["about"])]
        elif name == "contrasts":
            lines = _contrasts(results["contrasts"])
        elif name not in results["parts"]:
            lines = ["Not part of this run."]
        elif "panels" in results["parts"][name]:
            lines = _figure(figure_of(results["parts"][name]), pictures)
        else:
            lines = _table(results["parts"][name])
        return "\n".join([match[1], *lines, "", match[3]])

    return MARK.sub(fill, page)


def figures_of(results: Mapping[str, Any], page: str) -> list[Figure]:
    """The figures in stored results that the page shows."""
    shown = {match[2] for match in MARK.finditer(page)}
    return [figure_of(part) for name, part in results["parts"].items() if "panels" in part and name in shown]


def figure_of(data: Mapping[str, Any]) -> Figure:
    """A figure from its JSON data."""
    panels = []
    for panel in data["panels"]:
        lines = [Series(**{key: _tuples(value) for key, value in one.items()}) for one in panel["series"]]
        panels.append(Panel(**{key: _tuples(value) for key, value in panel.items()} | {"series": tuple(lines)}))
    return Figure(data["name"], data["title"], data["caption"], tuple(panels))


def draw_figures(results: Mapping[str, Any], page: str, folder: Path) -> None:
    """Every figure of the page as SVG."""
    from ttscale.evaluation.report.matplotlib import to_svg

    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures_of(results, page):
        (folder / f"{figure.name}.svg").write_text(to_svg(figure), encoding="utf-8")


def slug(title: str) -> str:
    """A table's name: its title in lower case, joined by underscores, without numbers that depend on the run."""
    words = re.sub(r"for a model .*|, n = .*", "", title.lower())
    return re.sub(r"[^a-z]+", "_", words).strip("_")


def _contrasts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The score, and a line for each primary contrast."""
    found = [Contrast(**row) for row in rows]
    marks = {note: "ab"[i] for i, note in enumerate(dict.fromkeys(one.note for one in found if one.note))}
    header = ("finding of the paper", "measured here", "difference [95%]", "P (Holm)", "verdict")
    cells = [
        (
            one.paper,
            one.measured + (f" ({marks[one.note]})" if one.note else ""),
            str(one.interval),
            f"{one.p_holm:.3f}",
            one.verdict,
        )
        for one in found
    ]
    notes = [f"({mark}) {note[0].upper()}{note[1:]}." for note, mark in marks.items()]
    return [f"**{len(found)} findings: {score(found)}.**", "", *_markdown(header, cells), "", *notes]


def _table_data(part: Table) -> dict[str, Any]:
    return {
        "title": part.title,
        "header": list(part.header),
        "rows": [list(row) for row in part.rows],
        "note": part.note,
    }


def _table(data: Mapping[str, Any]) -> list[str]:
    note = ["", data["note"]] if data["note"] else []
    return [*_markdown(data["header"], data["rows"]), *note]


def _figure(figure: Figure, pictures: str) -> list[str]:
    lines = [f"![{figure.title}]({pictures}/{figure.name}.svg)", "", figure.caption]
    for panel in figure.panels:
        lines += ["", *([f"**{panel.title}**", ""] if panel.title else []), *_markdown(*table(panel))]
    return lines


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
