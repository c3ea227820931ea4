"""From stored numbers to the tables of docs/performance.md, so that page and measurement cannot disagree.

    python benchmarks/performance_page.py [--results benchmarks/results] [--page docs/performance.md]

Knows: the JSON of ``hf_backend.py`` and ``engine_overhead.py``, the marks in the page, the targets. Must not know: how
anything is measured. A table stands between ``<!-- part: NAME -->`` and ``<!-- end -->``; all else is written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _stored import RESULTS

MARK = re.compile(r"(<!-- part: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
NOT_RUN = "not measured yet"

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """One thing that the backend was built to reach."""

    what: str
    part: str
    least: float | None
    """At least this; or, where it is None, at most ``most``."""
    most: float | None
    found: Callable[[Rows], float]


def _slower(row: str, base: str | None = None) -> Callable[[Rows], float]:
    return lambda rows: float(rows[row]["slower"] / (rows[base]["slower"] if base else 1.0))


def _cell(row: str, column: str) -> Callable[[Rows], float]:
    return lambda rows: float(rows[row][column])


def _largest(column: str) -> Callable[[Rows], float]:
    return lambda rows: max(float(row[column]) for row in rows.values())


def _growth(rows: Rows) -> float:
    """Cost of a request with 10,000 questions over the one with 10, the worse of the two strategies."""
    kinds = {name.rsplit(", ", 1)[0] for name in rows}
    cost = {name: float(row["us per request"]) for name, row in rows.items()}
    return max(cost[f"{kind}, 10,000 questions"] / cost[f"{kind}, 10 questions"] for kind in kinds)


def _peers(ours: str, theirs: str) -> Callable[[Rows], float]:
    """Their cost over ours on the size where we look worst."""
    sizes = ("256", "1,000")
    return lambda rows: min(
        float(rows[f"{n} nodes: {theirs}"]["us per node"]) / float(rows[f"{n} nodes: {ours}"]["us per node"])
        for n in sizes
    )


TARGETS = (
    Target(
        "best-of-64, prompt 32: faster than `generate`", "best_of_n", 4, None, _slower("llama8m, prompt 32: generate")
    ),
    Target("best-of-64, prompt 512: the same", "best_of_n", 20, None, _slower("llama8m, prompt 512: generate")),
    Target("beam: tokens forwarded / least", "beam", None, 1.05, _cell("ttscale", "/ (prompt + sampled)")),
    Target(
        "beam: faster than `generate` on re-sent prefixes", "beam", 5, None, _slower("generate on re-sent prefixes")
    ),
    Target(
        "beam: faster than a plain loop that prefills again",
        "beam",
        2,
        None,
        _slower("a loop over the model's own cache, prefilling again"),
    ),
    Target(
        "beam: faster than ttscale itself, prefilling again", "beam", 2, None, _slower("ttscale, prefixes run again")
    ),
    Target("verifier: tokens forwarded / least", "verify", None, 1.05, _cell("ttscale", "/ (prompt + steps)")),
    Target("verifier: faster than every prefix whole", "verify", 5, None, _slower("every prefix whole")),
    Target("32 questions together: useful tokens/s over one by one", "questions", 2, None, _slower("1 together")),
    Target(
        "a draw: faster than `torch.multinomial`, vocabulary 4,096",
        "sampling",
        1,
        None,
        _slower("vocabulary 4,096: multinomial"),
    ),
    Target("a draw: the same, vocabulary 151,936", "sampling", 1, None, _slower("vocabulary 151,936: multinomial")),
    Target("KV held / distinct tokens", "memory", None, 2, _largest("held / distinct")),
    Target("engine and strategy: microseconds per request", "engine", None, 50, _largest("us per request")),
    Target("the same: 10,000 questions over 10", "engine", None, 1.5, _growth),
    Target(
        "beam search of 8 levels: less per node than its_hub",
        "peers",
        1,
        None,
        _peers("ttscale, beam M = 4, 8 levels", "its_hub, beam M = 4, 8 levels"),
    ),
    Target(
        "beam search of 40 levels: less per node than its_hub",
        "peers",
        1,
        None,
        _peers("ttscale, beam M = 4, 40 levels", "its_hub, beam M = 4, 40 levels"),
    ),
    Target(
        "best of n: less per node than its_hub", "peers", 1, None, _peers("ttscale, best of n", "its_hub, best of n")
    ),
    Target(
        "beam search: less per node than treequest's breadth-first search",
        "peers",
        1,
        None,
        _peers("ttscale, beam M = 4, 8 levels", "treequest, breadth-first, in place"),
    ),
)


def write_page(page: str, parts: Mapping[str, Any]) -> str:
    """The page with every table as stored; a table whose part was not run says so."""

    def fill(match: re.Match[str]) -> str:
        name = match[2]
        if name == "targets":
            text = targets(parts)
        else:
            text = markdown(parts[name]["rows"]) if name in parts else f"{NOT_RUN.capitalize()}."
        return f"{match[1]}\n{text}\n\n{match[3]}"

    return MARK.sub(fill, page)


def targets(parts: Mapping[str, Any]) -> str:
    """What was to be reached beside what was measured."""
    lines = ["| | target | measured | |", "|---|--:|--:|---|"]
    for target in TARGETS:
        goal = f">= {target.least:g}" if target.least is not None else f"<= {target.most:g}"
        try:
            value = target.found(parts[target.part]["rows"])
        except KeyError:  # the part was not run, or not with the packages that this row needs
            lines.append(f"| {target.what} | {goal} | {NOT_RUN} | |")
            continue
        met = value >= target.least if target.least is not None else value <= (target.most or 0)
        lines.append(f"| {target.what} | {goal} | {number(value)} | {'met' if met else '**missed**'} |")
    return "\n".join(lines)


def markdown(rows: Rows) -> str:
    """One table: a line per row, a column for everything that any row has."""
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(number(row.get(column, "")) for column in columns) + " |")
    return "\n".join(lines)


def number(value: Any) -> str:
    """Three digits that count; whole numbers with their thousands set apart."""
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value).replace("|", "\\|")
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def read(results: Path) -> dict[str, Any]:
    """All stored parts of both benchmarks; numbers of tiny shapes are refused."""
    parts: dict[str, Any] = {}
    for name in ("hf_backend.json", "engine_overhead.json"):
        if (results / name).is_file():
            parts |= json.loads((results / name).read_text())["parts"]
    tiny = sorted(name for name, part in parts.items() if part["tiny"])
    if tiny:
        raise SystemExit(
            f"{', '.join(tiny)}: measured with --quick, in tiny shapes; such numbers do not go on the page"
        )
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    options.page.write_text(write_page(options.page.read_text(), read(options.results)))


if __name__ == "__main__":
    main()
