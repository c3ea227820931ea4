"""Draws the small pictures of the strategy pages: ``python tools/strategy_drawings.py`` fills docs/strategies/drawings.

A picture is a tree that grows to the right, one column a step. Dots are filled by score; hollow ones were dropped, the
ringed one won, dashed lines are rollouts that only judge. Colours follow the reader's light or dark mode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "docs" / "strategies" / "drawings"
DX, DY, MARGIN, RADIUS = 62, 24, 26, 7

STYLE = """
.l { stroke: #8a93a3; stroke-width: 1.6; fill: none } .d { stroke-dasharray: 3 3 }
.n { stroke: #3b4657; stroke-width: 1.4 } .hi { fill: #3f9a55 } .mid { fill: #d9b44a } .lo { fill: #d9695f }
.off { fill: none; stroke-dasharray: 2 2 } .win { fill: none; stroke: #1a56b0; stroke-width: 2.4 }
.root { fill: #3b4657 }
text { font: 12px system-ui, sans-serif; fill: #3b4657 }
@media (prefers-color-scheme: dark) { .n { stroke: #c6cedb } .l { stroke: #7b8698 } .root { fill: #c6cedb }
.win { stroke: #8ab4f8 } text { fill: #c6cedb } }
"""


@dataclass
class Dot:
    """One draw: ``look`` is "hi", "mid", "lo" (its score), "off" (dropped) or "root"; ``win`` rings it."""

    look: str = "mid"
    below: list[Dot] = field(default_factory=list)
    win: bool = False
    dashed: bool = False
    note: str = ""
    x: float = 0.0
    y: float = 0.0


def grow(*below: Dot, look: str = "root", **rest: object) -> Dot:
    """A dot with children."""
    return Dot(look, list(below), **rest)  # type: ignore[arg-type]


def chain(*looks: str, win: int | None = None, dashed: bool = False) -> Dot:
    """Dots one after another; ``win`` is the index of the winner."""
    dots = [Dot(look, win=i == win, dashed=dashed) for i, look in enumerate(looks)]
    for one, following in pairwise(dots):
        one.below.append(following)
    return dots[0]


def place(dot: Dot, depth: int = 0, row: int = 0) -> int:
    """Set the places below ``dot``; returns the next free row."""
    dot.x = MARGIN + depth * DX
    first = row
    for child in dot.below:
        row = place(child, depth + 1, row)
    row = max(row, first + 1)
    dot.y = (dot.below[0].y + dot.below[-1].y) / 2 if dot.below else MARGIN / 2 + first * DY + 6
    return row


def svg(root: Dot, title: str, captions: tuple[str, ...] = ()) -> str:
    """The picture; captions stand under its columns, from the root on."""
    rows = place(root)
    dots = [root]
    for dot in dots:
        dots += dot.below
    width = max(dot.x + (24 + 7 * len(dot.note) if dot.note else MARGIN) for dot in dots)
    height = rows * DY + 16 + (20 if captions else 0)
    parts = []
    for dot in dots:
        for child in dot.below:
            middle = (dot.x + child.x) / 2
            dashed = " d" if child.dashed else ""
            parts.append(
                f'<path class="l{dashed}" '
                f'd="M{dot.x} {dot.y}C{middle} {dot.y} {middle} {child.y} {child.x} {child.y}"/>'
            )
    for dot in dots:
        parts.append(f'<circle class="n {dot.look}" cx="{dot.x}" cy="{dot.y}" r="{RADIUS}"/>')
        if dot.win:
            parts.append(f'<circle class="win" cx="{dot.x}" cy="{dot.y}" r="{RADIUS + 4}"/>')
        if dot.note:
            parts.append(f'<text x="{dot.x + 16}" y="{dot.y + 4}">{dot.note}</text>')
    for column, caption in enumerate(captions):
        parts.append(f'<text text-anchor="middle" x="{MARGIN + column * DX}" y="{height - 6}">{caption}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{title}"><title>{title}</title><style>{STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def samples(*dots: Dot) -> Dot:
    """Whole solutions side by side."""
    return grow(*dots)


def drawings() -> dict[str, tuple[Dot, str]]:
    """Name of the page -> (picture, what it shows)."""
    answers = [("18", True), ("19", False), ("18", True), ("18", True), ("7", False)]
    scored = [("hi", "18: .9"), ("mid", "19: .5"), ("mid", "18: .6"), ("lo", "7: .1")]
    return {
        "majority_vote": (
            samples(*(Dot("mid" if won else "off", note=text, win=i == 0) for i, (text, won) in enumerate(answers))),
            "Five solutions; three of them say 18, and 18 wins",
        ),
        "best_of_n": (
            samples(*(Dot(look, note=note, win=i == 0) for i, (look, note) in enumerate(scored))),
            "Four scored solutions; the one with the highest score wins",
        ),
        "weighted_best_of_n": (
            samples(
                Dot("mid", note="18: .6", win=True),
                Dot("mid", note="18: .5"),
                Dot("hi", note="7: .9"),
                Dot("lo", note="19: .2"),
            ),
            "Scores of equal answers add up: 18 has 1.1 and beats 7 with 0.9",
        ),
        "beam": (
            grow(
                Dot("off"),
                grow(Dot("off"), grow(Dot("mid"), Dot("hi", win=True), look="hi"), look="hi"),
                Dot("off"),
                grow(grow(Dot("lo"), Dot("mid"), look="mid"), Dot("off"), look="mid"),
            ),
            "Four first steps; the best two go on with two children each, until all have ended",
        ),
        "dvts": (
            grow(
                grow(Dot("off"), grow(Dot("hi", win=True), look="hi"), look="mid"),
                grow(grow(Dot("mid"), look="mid"), Dot("off"), look="mid"),
                grow(Dot("off"), grow(Dot("lo"), look="lo"), look="lo"),
            ),
            "Three independent subtrees; each keeps its single best child",
        ),
        "lookahead": (
            grow(
                grow(chain("lo", "lo", dashed=True), look="off"),
                grow(chain("hi", "hi", dashed=True), look="hi", win=True),
                grow(chain("mid", "mid", dashed=True), look="off"),
            ),
            "Each step is rolled out a few steps further; the score at the end of the rollout judges the step",
        ),
        "sequential_revision": (
            grow(chain("lo", "mid", "hi", "hi", win=3), chain("lo", "lo", "mid", "mid")),
            "Two chains of four attempts; each attempt sees the earlier ones of its chain",
        ),
        "compute_optimal": (
            grow(
                Dot("mid", note="probe"),
                Dot("lo", note="probe"),
                grow(
                    grow(Dot("off"), Dot("hi", win=True), look="hi"),
                    Dot("off"),
                    look="mid",
                    note="",
                ),
            ),
            "A few solutions are drawn as a probe; the difficulty they show picks the strategy for the rest",
        ),
        "adaptive_consistency": (
            samples(
                Dot("mid", note="18", win=True),
                Dot("mid", note="18"),
                Dot("mid", note="18"),
                Dot("off", note="not drawn"),
            ),
            "The vote is decided after three draws, so the fourth is not drawn",
        ),
        "adaptive_scheduler": (
            grow(
                grow(grow(Dot("hi", win=True), look="mid"), look="mid"),
                Dot("lo"),
                Dot("off", note="stops when more would not pay"),
            ),
            "Draws in rounds, looks at the scores after each, and stops or changes strategy",
        ),
        "rebase": (
            grow(
                grow(Dot("hi", win=True), Dot("mid"), Dot("mid"), look="hi"),
                grow(Dot("lo"), look="mid"),
                Dot("off"),
            ),
            "Children are shared out in proportion to the softmax of the scores: three, one and none",
        ),
        "particle_filter": (
            grow(
                grow(grow(Dot("hi", win=True), Dot("mid"), look="hi"), Dot("mid"), look="hi"),
                grow(Dot("mid"), look="mid"),
                Dot("off"),
            ),
            "Particles are drawn anew in proportion to their weights after every step",
        ),
        "mcts": (
            grow(
                grow(grow(Dot("hi", win=True), Dot("off"), look="hi"), Dot("mid"), look="mid"),
                Dot("lo"),
            ),
            "The tree grows where its value is high or where little is known",
        ),
        "ab_mcts": (
            grow(
                grow(chain("hi", "hi", win=1), look="mid"),
                grow(Dot("mid"), look="mid"),
                Dot("lo"),
                Dot("mid"),
            ),
            "Each draw either opens a new solution (wider) or refines an old one (deeper)",
        ),
        "recursive_aggregation": (
            grow(
                grow(Dot("mid"), Dot("hi", win=True), look="lo"),
                grow(Dot("mid"), look="mid"),
                grow(Dot("hi"), look="lo"),
            ),
            "A population of solutions is written anew, each from a few of the last round",
        ),
        "tournament": (
            grow(
                grow(chain("hi", "hi", win=1), look="hi"),
                Dot("off"),
                grow(Dot("off"), look="mid"),
                Dot("off"),
            ),
            "Solutions meet in pairs; winners meet winners",
        ),
        "confidence_vote": (
            samples(
                Dot("hi", note="18, sure", win=True), Dot("hi", note="18, sure"), Dot("off", note="7, unsure: no vote")
            ),
            "Only solutions that the model was confident of vote",
        ),
        "first_finished": (
            grow(chain("mid", "mid", win=1), chain("mid", "mid"), chain("mid", "mid", "off", "off")),
            "The shortest solutions vote; the others are cancelled",
        ),
        "best_of_n_stopping": (
            samples(Dot("mid"), Dot("lo"), Dot("hi", win=True), Dot("off", note="the expected gain does not pay")),
            "Draws while the expected gain in score is worth the price",
        ),
        "thinking_budget": (
            grow(chain("mid", "mid", "mid", "hi", win=3)),
            "The thinking block is capped, or extended, and then the answer follows",
        ),
        "mixture": (
            grow(
                Dot("mid", note="model A"),
                Dot("hi", note="model B", win=True),
                Dot("mid", note="model B"),
                Dot("lo", note="model A"),
            ),
            "Several models draw solutions of one question",
        ),
    }


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (root, title) in drawings().items():
        (OUT / f"{name}.svg").write_text(svg(root, title), encoding="utf-8")


if __name__ == "__main__":
    main()
