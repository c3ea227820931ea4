"""The records of a sweep: one per strategy, budget, seed and question; and the tables read off them.

Knows records, arrays and the one plot of them. Must not know models, engines or stored files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ttscale.core.cost import Cost
from ttscale.core.errors import TtscaleError
from ttscale.core.idioms import needed
from ttscale.evaluation.report.matplotlib import to_svg
from ttscale.evaluation.report.pareto import Plot, Point, answer, figure
from ttscale.evaluation.statistics import Floats, Interval, mean_interval, paired_difference


@dataclass(frozen=True, slots=True)
class Record:
    """How one strategy did on one question. Two records are equal when everything but the clock agrees."""

    arm: str
    """The name of the strategy in the sweep."""
    strategy: str
    """The strategy itself, as it prints: the same arm with other settings is another strategy."""
    budget: int
    seed: int
    question: str
    digest: str
    """A hash of the question's text and reference answer."""
    models: str
    """A hash of the labels of the models that took part."""
    answer: str | None
    score: float | None
    correct: bool
    cost: Cost
    difficulty: float | None = None
    """For a scheduler: 1 minus the mean verifier score of its probe. None where nothing was probed."""
    note: str = ""
    """What the strategy decided on the way, in a few words."""
    among: str = ""
    """For a batch allocation, a hash of the questions that shared the budget: the question's part depends on them."""

    @property
    def key(self) -> str:
        return record_key(self.arm, self.budget, self.seed, self.question, self.among)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Record:
        """The record in JSON data."""
        return Record(**{**data, "cost": Cost(**data["cost"])})


def record_key(arm: str, budget: int, seed: int, question: str, among: str = "") -> str:
    """What identifies a record in its file."""
    return json.dumps([arm, budget, seed, question, *([among] if among else [])], ensure_ascii=False)


class Records:
    """The records of a sweep, in the order of arms, budgets, seeds and questions.

    Questions that lack a record anywhere (they failed) are left out of every table, so that all arms are measured on
    the same ones; ``incomplete`` names them.
    """

    def __init__(
        self,
        records: Iterable[Record],
        questions: Sequence[str] | None = None,
        failed: Mapping[str, Exception] = {},
        cells: Sequence[tuple[str, int]] = (),
        seeds: Sequence[int] = (),
    ) -> None:
        """``questions``, ``cells`` (arm, budget) and ``seeds`` are what was asked for, beyond what records show."""
        self._by_key: dict[tuple[str, int, int, str], Record] = {}
        for one in records:
            known = self._by_key.setdefault((one.arm, one.budget, one.seed, one.question), one)
            if known.among != one.among:
                raise ValueError(
                    f"there are two records of {one.arm!r} at N = {one.budget}, seed {one.seed}, question "
                    f"{one.question!r}, made among different questions; call sweep(..., resume=FILE) with the "
                    "questions that are meant: it reads theirs"
                )
        found = self._by_key.values()
        self.cells = tuple(dict.fromkeys([*cells, *((record.arm, record.budget) for record in found)]))
        self.arms = tuple(dict.fromkeys(arm for arm, _ in self.cells))
        self.seeds = tuple(sorted({*seeds, *(record.seed for record in found)}))
        asked = dict.fromkeys(record.question for record in found) if questions is None else dict.fromkeys(questions)
        self.failed = dict(failed)
        self.incomplete = tuple(
            question
            for question in asked
            if any(
                (arm, budget, seed, question) not in self._by_key for arm, budget in self.cells for seed in self.seeds
            )
        )
        left_out = set(self.incomplete)
        self.questions = tuple(question for question in asked if question not in left_out)

    @property
    def failed_questions(self) -> dict[str, Exception]:
        """The questions on which a search failed, with the first error of each."""
        found: dict[str, Exception] = {}
        for key, error in self.failed.items():
            found.setdefault(json.loads(key)[3], error)
        return found

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._by_key.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Records) and self._by_key == other._by_key

    __hash__ = None  # type: ignore[assignment]

    def budgets(self, arm: str) -> tuple[int, ...]:
        """The budgets an arm was run with, ascending."""
        return tuple(sorted(budget for name, budget in self.cells if name == arm))

    def get(self, arm: str, budget: int, seed: int, question: str) -> Record:
        """One record; ``KeyError`` says what there is."""
        try:
            return self._by_key[arm, budget, seed, question]
        except KeyError:
            raise KeyError(
                f"no record of {arm!r} at N = {budget}, seed {seed}, question {question!r}; the arms are "
                f"{', '.join(self.arms)} and the seeds {', '.join(map(str, self.seeds))}"
            ) from None

    def matrix(
        self, arm: str, budget: int, value: Callable[[Record], float], questions: Sequence[str] | None = None
    ) -> Floats:
        """One value of every record of a cell: an array [questions, seeds]."""
        chosen = self.questions if questions is None else questions
        return np.array(
            [[value(self.get(arm, budget, seed, question)) for seed in self.seeds] for question in chosen],
            dtype=np.float64,
        ).reshape(len(chosen), len(self.seeds))

    def correct(self, arm: str, budget: int, questions: Sequence[str] | None = None) -> Floats:
        """1 where the answer was right, else 0: an array [questions, seeds]."""
        return self.matrix(arm, budget, lambda record: float(record.correct), questions)

    def accuracy(self, arm: str, budget: int, questions: Sequence[str] | None = None) -> Interval:
        """The share of right answers, with its interval over questions; ``TtscaleError`` where all of them failed."""
        self._check_any()
        return mean_interval(self.correct(arm, budget, questions))

    def gain(self, ours: tuple[str, int], theirs: tuple[str, int], questions: Sequence[str] | None = None) -> Interval:
        """How much more accurate one (arm, budget) is than another on the same questions and seeds."""
        self._check_any()
        return paired_difference(self.correct(*ours, questions), self.correct(*theirs, questions))

    def _check_any(self) -> None:
        if self.failed and not self.questions:
            key, error = next(iter(self.failed.items()))
            raise TtscaleError(
                f"every question failed, all {len(self.incomplete)}; the first, {key}: {type(error).__name__}: {error}"
            ) from error

    def mean_cost(self, arm: str, budget: int) -> dict[str, float]:
        """Mean cost per question of a cell, by field of ``Cost``."""
        costs = [
            asdict(self.get(arm, budget, seed, question).cost) for question in self.questions for seed in self.seeds
        ]
        return {name: float(np.mean([cost[name] for cost in costs])) for name in asdict(Cost())} if costs else {}

    def points(self) -> list[Point]:
        """Every (arm, budget) with its accuracy and its tokens per question, sampled and the verifier's."""
        found = []
        for arm, budget in self.cells:
            cost = self.mean_cost(arm, budget)
            tokens = cost.get("sampled_tokens", 0.0) + cost.get("verifier_tokens", 0.0)
            found.append(Point(arm, budget, tokens, self.accuracy(arm, budget)))
        return found

    def summary(self) -> str:
        """In one or two sentences what to use: the most accurate arm, and the best for half of its tokens."""
        return answer(self.points())

    def _repr_html_(self) -> str:
        """What a notebook shows: what to use, and a row for each arm and budget."""
        points = self.points() if self.questions else []
        rows = "".join(
            f"<tr><td>{escape(point.name)}</td><td>{point.budget}</td><td>{point.accuracy}</td>"
            f"<td>{point.tokens:.0f}</td></tr>"
            for point in points
        )
        head = "<tr><th>strategy</th><th>N</th><th>accuracy</th><th>tokens a question</th></tr>"
        names = escape(", ".join(self.failed_questions))
        failed = f"<p>Left out, since they failed: {names}</p>" if names else ""
        return f"<p>{escape(answer(points))}</p><table>{head}{rows}</table>{failed}"

    def plot(self, path: str | Path | None = None) -> Plot:
        """Accuracy against tokens with the Pareto front; ``path`` also writes the SVG. Needs matplotlib."""
        drawn = Plot(to_svg(figure(self.points())))
        if path is not None:
            drawn.save(path)
        return drawn

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``, one row per record; the fields of the cost are columns ``cost_...``."""
        with needed("a DataFrame needs pandas: pip install pandas"):
            import pandas
        rows = []
        for record in self:
            row = record.to_json()
            cost = row.pop("cost")
            rows.append(row | {f"cost_{name}": value for name, value in cost.items()})
        return pandas.DataFrame(rows)

    def only(self, arms: Iterable[str]) -> Records:
        """The records of some arms."""
        chosen = set(arms)
        return Records(
            [record for record in self if record.arm in chosen],
            [*self.questions, *self.incomplete],
            self.failed,
            [cell for cell in self.cells if cell[0] in chosen],
            self.seeds,
        )

    def joined(self, other: Records) -> Records:
        """Both together."""
        return Records(
            [*self, *other],
            list(dict.fromkeys([*self.questions, *self.incomplete, *other.questions, *other.incomplete])),
            {**self.failed, **other.failed},
            [*self.cells, *other.cells],
            [*self.seeds, *other.seeds],
        )
