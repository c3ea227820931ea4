"""What to use, in one line and one picture: accuracy against tokens, with the Pareto front.

Knows points: a strategy at a budget, what it cost and how often it was right. Must not know records or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ttscale.evaluation.report.figure_data import Figure, Panel, Series, series
from ttscale.evaluation.statistics import Interval


@dataclass(frozen=True, slots=True)
class Point:
    """One strategy at one budget, over the same questions as the other points."""

    name: str
    budget: int
    tokens: float
    """Sampled and verifier tokens per question."""
    accuracy: Interval

    def __str__(self) -> str:
        return f"{self.name} at N = {self.budget}, {self.accuracy} right, {_short(self.tokens)} tokens a question"


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats: cheapest first, each more accurate than all that cost no more."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.tokens, -point.accuracy.value)):
        if not best or point.accuracy.value > best[-1].accuracy.value:
            best.append(point)
    return best


def answer(points: Sequence[Point]) -> str:
    """The most accurate point, the cheaper of equals; and the best one for at most half of its tokens."""
    if not points:
        return "Nothing was measured."
    ahead = front(points)
    most = ahead[-1]
    text = f"On your questions: {most}."
    cheaper = [point for point in ahead if point.tokens <= most.tokens / 2]
    return f"{text} For at most half of the tokens: {cheaper[-1]}." if cheaper else text


def figure(points: Sequence[Point]) -> Figure:
    """Accuracy against tokens: a line for each strategy, and the Pareto front dashed."""
    lines = []
    for name in dict.fromkeys(point.name for point in points):
        own = sorted((point for point in points if point.name == name), key=lambda point: point.tokens)
        lines.append(series(name, [(point.tokens, point.accuracy) for point in own]))
    ahead = front(points)
    best = Series("Pareto front", tuple(p.tokens for p in ahead), tuple(p.accuracy.value for p in ahead), dashed=True)
    caption = (
        "Sampled and verifier tokens per question against the share of right answers, with 95% intervals over "
        "questions. Dashed: what no other strategy beats for the same or fewer tokens."
    )
    log = all(point.tokens > 0 for point in points)
    panel = Panel("", "tokens per question", "accuracy", (*lines, best), log_x=log)
    return Figure("pareto", "Accuracy against tokens", caption, (panel,))


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn figure: a notebook shows it, ``save`` writes it."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the SVG."""
        Path(path).write_text(self.svg, encoding="utf-8")


def _short(count: float) -> str:
    return f"{count:.0f}" if count < 1000 else f"{count / 1000:.1f}k"
