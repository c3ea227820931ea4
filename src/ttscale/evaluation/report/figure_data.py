"""A figure as plain data: what is drawn, without how. Tables are made of the same data.

Knows numbers and words. Must not know matplotlib, records or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ttscale.evaluation.statistics import Interval


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one group of bars. ``low`` and ``high`` are empty where there is no interval."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    dashed: bool = False
    """A reference, drawn dashed."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One set of axes. ``ticks`` name the places 0, 1, 2, ... of a bar chart or of a line over names."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    kind: Literal["lines", "bars"] = "lines"
    log_x: bool = False
    ticks: tuple[str, ...] = ()
    ratios: bool = False
    """Whether x is a sequential : parallel ratio, written 1:4 or 4:1."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels side by side, with a caption that says what to see and where the paper has it."""

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]


def series(name: str, points: Sequence[tuple[float, Interval]], *, dashed: bool = False) -> Series:
    """A series from places and intervals."""
    return Series(
        name,
        tuple(float(x) for x, _ in points),
        tuple(one.value for _, one in points),
        tuple(one.low for _, one in points),
        tuple(one.high for _, one in points),
        dashed,
    )


def ratio_name(ratio: float) -> str:
    """A ratio as the paper writes it, 1:4 or 4:1."""
    return f"{ratio:g}:1" if ratio >= 1 else f"1:{1 / ratio:g}"


def table(panel: Panel) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the numbers in a panel: a row per series, a column per place."""
    places = sorted({x for one in panel.series for x in one.x})
    header = [
        panel.x,
        *(panel.ticks[int(x)] if panel.ticks else ratio_name(x) if panel.ratios else f"{x:.3g}" for x in places),
    ]
    rows = []
    for one in panel.series:
        cells = {
            x: f"{y:.3f}" + (f" [{one.low[i]:.3f}, {one.high[i]:.3f}]" if one.low else "")
            for i, (x, y) in enumerate(zip(one.x, one.y, strict=True))
        }
        rows.append([one.name, *(cells.get(x, "") for x in places)])
    return header, rows
