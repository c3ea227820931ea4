"""A contrast: one finding of the paper, what was measured, and a verdict that counts how many were looked at.

Knows: differences with their intervals. Must not know: how anything was drawn. Of a finding with a sign, the question
is whether the difference is 0 (two-sided); of "level", whether it is above -MARGIN (one-sided). Holm's correction over
all primary contrasts decides: P below .05 is "same" or "opposite", by the side; all else is "not shown".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ttscale.evaluation.statistics import RESAMPLES, Floats, Interval

Expected = Literal["ahead", "behind", "level"]
MARGIN = 0.02
"""What counts as level: within two points."""
LEVEL = 0.05


@dataclass(frozen=True)
class Contrast:
    name: str
    paper: str
    """The paper's finding."""
    measured: str
    difference: float
    low: float
    high: float
    expected: Expected
    questions: int
    seeds: int
    p: float
    """Of this contrast alone."""
    p_holm: float = 1.0
    """Corrected for the contrasts beside it."""
    verdict: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def interval(self) -> Interval:
        return Interval(self.difference, self.low, self.high)


def paired_p_value(ours: Floats, theirs: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """P of a mean difference at least as large, either way, when each question's sign is a coin flip (sign-flip test).

    Both are [questions] or [questions, seeds]. The observed signs count as one of the flips, so that P is never 0.
    """
    differences = (ours - theirs).reshape(len(ours), -1).mean(axis=1)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, len(differences)))
    means = np.abs(signs @ differences)
    return float((1 + (means >= abs(differences.sum()) - 1e-9).sum()) / (1 + resamples))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P values adjusted for the number of claims (Holm 1979): below .05, the claim holds among all of them."""
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def judged(
    name: str,
    paper: str,
    measured: str,
    interval: Interval,
    expected: Expected,
    questions: int,
    seeds: int,
    p: float | None = None,
    note: str = "",
) -> Contrast:
    """A contrast without correction yet; without ``p`` the interval stands for a normal distribution."""
    if p is None or expected == "level":
        p = normal_p(interval, expected)
    return Contrast(
        name, paper, measured, interval.value, interval.low, interval.high, expected, questions, seeds, p, note=note
    )


def normal_p(interval: Interval, expected: Expected) -> float:
    """P from a 95% interval, taken for normal."""
    error = (interval.high - interval.low) / (2 * 1.959964)
    if error == 0:
        return 1.0 if interval.value == 0 and expected != "level" else 0.0
    if expected == "level":
        return 0.5 * math.erfc((interval.value + MARGIN) / error / math.sqrt(2))
    return math.erfc(abs(interval.value) / error / math.sqrt(2))


def corrected(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts with Holm's P values and their verdicts."""
    p_values = holm({one.name: one.p for one in contrasts})
    return [replace(one, p_holm=p_values[one.name], verdict=_verdict(one, p_values[one.name])) for one in contrasts]


def _verdict(one: Contrast, p: float) -> str:
    if one.expected == "level":
        return "same" if p < LEVEL else "opposite" if one.high < -MARGIN else "not shown"
    if p >= LEVEL:
        return "not shown"
    return "same" if (one.difference > 0) == (one.expected == "ahead") else "opposite"


def score(contrasts: Sequence[Contrast]) -> str:
    """How many came out how."""
    counts = {
        verdict: sum(one.verdict == verdict for one in contrasts) for verdict in ("same", "opposite", "not shown")
    }
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


ONE_SURVIVOR = "drawn with the earlier beam; at N = M = 4 one prefix survives a round, merged or not"
MERGED = "drawn with the earlier beam, which merged copies; the choice is among searches that include it"
PRIMARY: tuple[tuple[str, str, Expected, int, int, str], ...] = (
    ("beam, low budget", "beam search is far ahead of best-of-N at low budgets", "ahead", 500, 3, ONE_SURVIVOR),
    ("hardest questions", "nothing helps on the hardest questions", "level", 102, 3, ""),
    ("weighted vote", "weighted best-of-N is ahead of plain best-of-N", "ahead", 48, 1, ""),
    ("over-optimisation", "plain best-of-N by an outcome verifier falls at high N", "behind", 48, 1, ""),
    ("revising at all", "pass@1 rises along a chain of revisions", "ahead", 500, 1, ""),
    ("longer chains", "pass@1 keeps rising past the four attempts in the context", "ahead", 500, 1, ""),
    ("sequential against parallel, N = 16", "one chain is ahead of parallel revisions", "ahead", 500, 3, ""),
    ("easy questions revised, N = 16", "easy questions are best all sequential", "ahead", 199, 3, ""),
    ("a mix against one chain, N = 16", "a mix of both is the best overall", "ahead", 500, 3, ""),
    ("hard questions revised, N = 16", "hard questions are best with a mix", "ahead", 102, 3, ""),
    (
        "compute-optimal, oracle bins",
        "choosing a search per question at N is level with best-of-N at 4 N",
        "level",
        500,
        3,
        MERGED,
    ),
    ("predicted difficulty", "predicted bins do as well as oracle bins", "level", 500, 3, MERGED),
    (
        "compute-optimal ratio, predicted bins",
        "choosing a ratio per question at N beats parallel revisions at 4 N",
        "ahead",
        60,
        1,
        "",
    ),
)
"""Of the study's claims those that are primary, with the paper's finding, its side, questions, seeds, and a note.

One row per finding, the one with the most questions. Left out: identities (with this verifier the last step's score is
the smallest, so "last against min" is 0 by construction), rows that are one arm under several names, and the
comparison with a larger model, since that model is no better than the small one. The rule was written after the study
was drawn; the contrasts of ``step_search.py`` were fixed before."""
_INTERVAL = re.compile(r"(-?[0-9.]+) \[(-?[0-9.]+), (-?[0-9.]+)\]")


def primary(results: Mapping[str, Any], searched: Sequence[Contrast]) -> list[Contrast]:
    """The primary contrasts: those of the paper in ``searched``, and the study's, corrected together."""
    rows = {row[0]: row for row in results["parts"]["claims"]["rows"]}
    study = {name for name, *_ in PRIMARY}
    found = [one for one in searched if not one.paper.startswith("(") and one.name not in study]
    for name, paper, expected, questions, seeds, note in PRIMARY:
        if name in rows:
            match = _INTERVAL.fullmatch(rows[name][3])
            assert match is not None, rows[name]
            interval = Interval(*map(float, match.groups()))
            found.append(judged(name, paper, rows[name][2], interval, expected, questions, seeds, note=note))
    return corrected(found)


def stored(path: Path) -> list[Contrast]:
    """The contrasts in a stored file."""
    return [Contrast(**row) for row in json.loads(path.read_text(encoding="utf-8"))["contrasts"]]
