"""A report as a page: tables and figures in self-contained HTML, and the same in Markdown.

Knows figures, tables and words. Must not know where the numbers come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape as _e
from pathlib import Path

from ttscale.evaluation.report.figure_data import Figure, table
from ttscale.evaluation.report.matplotlib import to_svg

STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --soft: #56606b; --page: #fff; --head: #f4f6f8; --line: #dde2e7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --soft: #a6b0ba; --page: #16191d; --head: #22272d; --line: #3a424b; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: var(--ink);
  background: var(--page); overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.2em; border-top: 1px solid var(--line); padding-top: 1em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .3em .7em; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
.about td { white-space: normal; } .about td:first-child { white-space: nowrap; }
th { background: var(--head); } svg { max-width: 100%; height: auto; }
figure { margin: 1em 0; padding: 6px; background: #fff; border-radius: 6px; box-sizing: border-box; width: fit-content;
  max-width: 100%; overflow-x: auto; }
@media (max-width: 44em) { svg { max-width: none; } }
p.answer { font-size: 18px; }
summary h2 { display: inline; border: 0; font-size: 18px; }
details.part { border-top: 1px solid var(--line); padding: .6em 0; }
.scroll { overflow-x: auto; } details { margin: .5em 0; } p.caption, .note { color: var(--soft); }
"""
"""Figures keep a white ground in dark mode too, since they are drawn in dark ink. On a phone they keep their size and
scroll, so that their words can be read."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table under a heading of its own."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says: a title, how it was made, and its parts in order."""

    title: str
    about: tuple[tuple[str, str], ...]
    """(name, value) pairs: models, data, seeds, versions, the command."""
    parts: tuple[Table | Figure, ...]
    """The first is shown, the others are folded."""
    answer: str = ""
    """What to use, before everything else."""


def write_report(report: Report, folder: str | Path) -> tuple[Path, Path]:
    """Write ``report.html``, which needs no other file, and ``report.md`` with its figures as SVG beside it.

    Without matplotlib the figures are left out, and both say so; their numbers are in the tables.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    svgs: dict[str, str] = {}
    with suppress(ImportError):
        svgs = {part.name: to_svg(part) for part in report.parts if isinstance(part, Figure)}
    page, text = place / "report.html", place / "report.md"
    page.write_text(to_html(report, svgs), encoding="utf-8")
    if svgs:
        (place / "figures").mkdir(exist_ok=True)
    for name, svg in svgs.items():
        (place / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
    text.write_text(to_markdown(report, {name: f"figures/{name}.svg" for name in svgs}), encoding="utf-8")
    return page, text


def to_html(report: Report, svgs: dict[str, str]) -> str:
    """The report as one HTML page; ``svgs`` are the drawn figures by name."""
    out = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{_e(report.title)}</title>",
        f"<meta name=viewport content='width=device-width, initial-scale=1'><style>{STYLE}</style>",
        f"<main><h1>{_e(report.title)}</h1>",
        f"<p class=answer>{_e(report.answer)}</p>" if report.answer else "",
    ]
    if not svgs and any(isinstance(part, Figure) for part in report.parts):
        out.append(f"<p class=note>{_e(NO_PLOTS)}</p>")
    for number, part in enumerate(report.parts):
        body = _html_part(part, svgs)
        if number == 0:
            out += [f"<h2>{_e(part.title)}</h2>", *body]
            out.append(
                f"<details><summary>How it was measured</summary>"
                f"<div class=about>{_html_table('How it was measured', ('', ''), report.about)}</div></details>"
            )
        else:
            out += [f"<details class=part><summary><h2>{_e(part.title)}</h2></summary>", *body, "</details>"]
    return "\n".join(line for line in out if line) + "</main></html>\n"


def _html_part(part: Table | Figure, svgs: dict[str, str]) -> list[str]:
    if isinstance(part, Table):
        return [
            _html_table(part.title, part.header, part.rows),
            f"<p class=note>{_e(part.note)}</p>" if part.note else "",
        ]
    out = [f"<p class=caption>{_e(part.caption)}</p>"]
    if part.name in svgs:
        out.append(f'<figure tabindex=0 aria-label="{_e(part.title)}">{svgs[part.name]}</figure>')
    for panel in part.panels:
        title = f"Numbers{': ' + panel.title if panel.title else ''}"
        out.append(f"<details><summary>{_e(title)}</summary>{_html_table(title, *table(panel))}</details>")
    return out


def to_markdown(report: Report, pictures: dict[str, str]) -> str:
    """The report in Markdown; ``pictures`` are the paths of the figures by name."""
    answer = [report.answer, ""] if report.answer else []
    out = [f"# {report.title}", "", *answer, *(f"- {name}: {value}" for name, value in report.about), ""]
    if not pictures and any(isinstance(part, Figure) for part in report.parts):
        out += [NO_PLOTS, ""]
    for part in report.parts:
        out += [f"## {part.title}", ""]
        if isinstance(part, Table):
            out += [*_markdown_table(part.header, part.rows), "", *([part.note, ""] if part.note else [])]
            continue
        out += [part.caption, ""]
        if part.name in pictures:
            out += [f"![{part.title}]({pictures[part.name]})", ""]
        for panel in part.panels:
            out += [*([f"**{panel.title}**", ""] if panel.title else []), *_markdown_table(*table(panel)), ""]
    return "\n".join(out).rstrip() + "\n"


NO_PLOTS = "Figures are left out because matplotlib is not installed: pip install 'ttscale[plot]'."


def _html_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls sideways by itself, by keyboard too, under the name that a screen reader says."""
    head = "".join(f"<th>{_e(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{_e(cell)}</td>' for cell in row)}</tr>" for row in rows)
    frame = f'<div class=scroll tabindex=0 role=group aria-label="{_e(title)}">'
    return f"{frame}<table>{f'<tr>{head}</tr>' if any(header) else ''}{body}</table></div>"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
