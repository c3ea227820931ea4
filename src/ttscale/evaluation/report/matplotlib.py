"""Draws figures with matplotlib (extra ``plot``). Knows colours and axes, and nothing of what is shown."""

from __future__ import annotations

import io
import re
from typing import Any

from ttscale.core.idioms import needed
from ttscale.evaluation.report.figure_data import Figure, Panel, ratio_name

COLOURS = ("#2f6fb2", "#d9822b", "#3a9a5b", "#b23a48", "#7a5aa6", "#8c6d46", "#d06ba6", "#6f7a86", "#a3a02f", "#2aa3a3")
MARKERS = "osD^vP*Xhd"
INK = "#333333"
MOST_TICKS = 14
LETTERS_PER_INCH = 13


def to_svg(figure: Figure) -> str:
    """The figure as an SVG element to put into a page; the same data give the same text."""
    with needed("drawing needs matplotlib: pip install 'ttscale[plot]'"):
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as Canvas
    with matplotlib.rc_context({"svg.hashsalt": figure.name, "svg.fonttype": "none", "font.size": 9}):
        count = len(figure.panels)
        canvas = Canvas(figsize=(4.6 * count if count > 1 else 6.4, 3.9), layout="constrained")
        axes = canvas.subplots(1, count, squeeze=False)[0]
        for axis, panel in zip(axes, figure.panels, strict=True):
            _draw_panel(axis, panel)
        handles, labels = [], []
        for axis in axes:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                if label not in labels:
                    handles.append(handle)
                    labels.append(label)
        if len({tuple(one.name for one in panel.series) for panel in figure.panels}) == 1:
            longest = max(map(len, labels), default=0)
            columns = max(1, int(canvas.get_figwidth() * LETTERS_PER_INCH / (longest + 6)))
            canvas.legend(handles, labels, loc="outside lower center", ncols=min(4, columns), frameon=False)
        else:
            for axis in axes:
                if axis.get_legend_handles_labels()[0]:
                    axis.legend(frameon=False, fontsize=7)
        out = io.StringIO()
        backend: Any = FigureCanvasSVG(canvas)
        backend.print_svg(out, metadata={"Date": None, "Creator": None})
    return re.sub(r"^.*?(?=<svg)", "", out.getvalue(), flags=re.DOTALL)


def _draw_panel(axis: Any, panel: Panel) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator

    references = sum(one.dashed for one in panel.series)
    for place, one in enumerate(panel.series):
        colour = INK if one.dashed and references == 1 else COLOURS[place % len(COLOURS)]
        if panel.kind == "bars":
            width = 0.8 / len(panel.series)
            x = [value + width * (place - (len(panel.series) - 1) / 2) for value in one.x]
            axis.bar(x, one.y, width, label=one.name, color=colour, alpha=0.7)  # so that intervals show inside bars
            if one.low:
                spread = [
                    [y - low for y, low in zip(one.y, one.low, strict=True)],
                    [high - y for y, high in zip(one.y, one.high, strict=True)],
                ]
                axis.errorbar(x, one.y, spread, fmt="none", ecolor=INK, elinewidth=1)
            continue
        style = "--" if one.dashed else "-"
        marker = MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]  # a second round of colours has other markers
        axis.plot(one.x, one.y, style, marker=marker, markersize=3.5, label=one.name, color=colour)
        if one.low:
            axis.fill_between(one.x, one.low, one.high, color=colour, alpha=0.12, linewidth=0)
    if panel.log_x:
        places = sorted({x for one in panel.series for x in one.x})
        axis.set_xscale("log")
        axis.minorticks_off()
        if not panel.ratios and any(x != int(x) or x > 10_000 for x in places):
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        elif len(places) <= MOST_TICKS:
            axis.set_xticks(places, [ratio_name(x) if panel.ratios else f"{x:g}" for x in places])
    if panel.ticks:
        axis.set_xticks(range(len(panel.ticks)), panel.ticks)
    axis.set_xlabel(panel.x)
    axis.set_ylabel(panel.y)
    axis.set_title(panel.title)
    axis.grid(alpha=0.25)
