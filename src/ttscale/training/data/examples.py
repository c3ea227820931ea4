"""Solutions with a label per step: the one form that all readers give and all verifier trainers take.

Knows labels and the ways to derive them from counts. Must not know models or other people's file formats (``readers``
does). Counts are kept beside labels, so that soft, hard and filtered labels can be derived from one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from ttscale.answers import MATHEMATICS, AnswerRule, name_of_rule, rule_called
from ttscale.core.checks import is_finite
from ttscale.core.types import Question
from ttscale.evaluation.problems.jsonl import write_rows


@dataclass(frozen=True, slots=True)
class StepExample:
    """One solution, step by step.

    ``labels`` are in [0, 1], one per step; None where a step has no label (it is then not trained on). ``attempts`` are
    the earlier attempts that stood in the context of a revision, oldest first.
    """

    id: str
    """Of the question."""
    prompt: str
    steps: tuple[str, ...]
    labels: tuple[float | None, ...]
    correct: bool | None = None
    """Whether the final answer is right; None where that is not known."""
    answer: str | None = None
    attempts: tuple[str, ...] = ()
    n_rollouts: tuple[int, ...] = ()
    n_correct: tuple[int, ...] = ()
    finish: Literal["stop", "length"] = "stop"
    """Whether it ended, or was cut off: then nobody wrote an end of sequence, and none is learnt or judged."""
    answers: AnswerRule = field(default=MATHEMATICS, compare=False, repr=False)
    """The answer rule of its question, by which its solutions vote."""

    def __post_init__(self) -> None:
        steps: Any = self.steps
        if isinstance(steps, str) or not all(isinstance(step, str) for step in steps):
            raise ValueError(f"an example of question {self.id!r} has the steps {steps!r}; give a tuple of texts")
        if not self.steps:
            raise ValueError(f"an example of question {self.id!r} has no step; leave it out")
        if len(self.labels) != len(self.steps):
            raise ValueError(
                f"an example of question {self.id!r} has {len(self.steps)} steps and {len(self.labels)} labels; "
                "give one label per step, None where there is none"
            )
        labels: tuple[Any, ...] = self.labels
        for label in labels:
            if label is not None and (not isinstance(label, Real) or not 0.0 <= float(label) <= 1.0):
                raise ValueError(f"an example of question {self.id!r} has the label {label!r}; labels are in [0, 1]")

    @property
    def text(self) -> str:
        return "".join(self.steps)

    def to_row(self) -> dict[str, Any]:
        """The example as a row of our own format (``read_rollouts`` reads it back)."""
        row: dict[str, Any] = {
            "id": self.id,
            "prompt": self.prompt,
            "steps": list(self.steps),
            "values": list(self.labels),
            "answer": self.answer,
            "correct": self.correct,
        }
        if self.n_rollouts:
            row |= {"n_rollouts": list(self.n_rollouts), "n_correct": list(self.n_correct)}
        if self.finish != "stop":
            row["finish"] = self.finish
        if self.attempts:
            row["attempts"] = list(self.attempts)
        if self.answers != MATHEMATICS:
            row["answers"] = name_of_rule(self.answers)
        return row


def write_examples(examples: Iterable[StepExample], path: str | Path) -> None:
    """Write examples as JSONL in our own format."""
    write_rows((example.to_row() for example in examples), path)


def hard_labels(examples: Iterable[StepExample], threshold: float = 0.0) -> list[StepExample]:
    """Labels of 0 or 1: a step is positive when its label is above ``threshold``.

    The default makes a Monte-Carlo step positive if *any* rollout from it was right, which beat higher thresholds in
    arXiv 2501.07301 (section 3.1.3).
    """
    return [
        replace(e, labels=tuple(None if label is None else float(label > threshold) for label in e.labels))
        for e in examples
    ]


def outcome_labels(examples: Iterable[StepExample]) -> list[StepExample]:
    """The outcome of the solution as the label of each of its steps: the cheap estimate, one rollout."""
    return [replace(e, labels=(_outcome(e),) * len(e.steps)) for e in examples]


def last_step_labels(examples: Iterable[StepExample]) -> list[StepExample]:
    """The outcome as the label of the last step, none elsewhere: what an ORM is trained on."""
    return [replace(e, labels=(None,) * (len(e.steps) - 1) + (_outcome(e),)) for e in examples]


def relabel(examples: Sequence[StepExample], scores: Sequence[Sequence[float]]) -> list[StepExample]:
    """The examples with a verifier's step scores as soft labels (distillation)."""
    relabelled = []
    for example, given in zip(examples, scores, strict=True):
        if len(given) != len(example.steps):
            raise ValueError(
                f"the verifier gave {len(given)} scores for the {len(example.steps)} steps of an example of question "
                f"{example.id!r}; distilling into a PRM needs a teacher with one score per step"
            )
        relabelled.append(replace(example, labels=tuple(map(float, given))))
    return relabelled


def consensus_filter(
    examples: Sequence[StepExample],
    opinions: Sequence[Sequence[float | bool]],
    *,
    threshold: float = 0.0,
    opinion_threshold: float = 0.5,
) -> list[StepExample]:
    """The examples for which labels and a second opinion agree on where the first error is (arXiv 2501.07301, 3.1.4).

    ``opinions``: a judge's or another verifier's score per step. A labelled step is an error when its label is not
    above ``threshold``, in an opinion when it is below ``opinion_threshold``. Labels stay as they are.
    """
    kept = []
    for example, opinion in zip(examples, opinions, strict=True):
        if len(opinion) != len(example.steps):
            raise ValueError(
                f"an opinion on question {example.id!r} has {len(opinion)} scores for {len(example.steps)} steps; "
                "give one per step"
            )
        ours = first_error([label is None or label > threshold for label in example.labels])
        theirs = first_error([score >= opinion_threshold for score in opinion])
        if ours == theirs:
            kept.append(example)
    return kept


def first_error(right: Sequence[bool]) -> int | None:
    """Index of the first False, or None."""
    return next((index for index, step in enumerate(right) if not step), None)


def example_from_row(row: Mapping[str, Any]) -> StepExample:
    """An example from a row of our own format; raises ``ValueError`` saying what is wrong with it."""
    prompt, steps, values = row.get("prompt"), row.get("steps"), row.get("values")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("no prompt")
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) and step for step in steps):
        raise ValueError("steps is not a list of texts")
    if not isinstance(values, list) or len(values) != len(steps):
        raise ValueError("values and steps differ in number")
    if not all(value is None or (is_finite(value) and 0 <= value <= 1) for value in values):
        raise ValueError("a value is not a number in [0, 1]")
    counts: list[tuple[int, ...]] = []
    for name in ("n_rollouts", "n_correct"):
        column = row.get(name, [])
        if not isinstance(column, list) or (column and len(column) != len(steps)) or not all(map(_is_count, column)):
            raise ValueError(f"{name} is not one count per step")
        counts.append(tuple(column))
    if any(right > all_ for all_, right in zip(*counts, strict=False)):
        raise ValueError("n_correct exceeds n_rollouts")
    correct = row.get("correct")
    if correct is not None and not isinstance(correct, bool):
        raise ValueError("correct is not true, false or null")
    answer, attempts, finish = row.get("answer"), row.get("attempts", []), row.get("finish", "stop")
    if finish not in ("stop", "length"):
        raise ValueError("finish is not stop or length")
    if answer is not None and not isinstance(answer, str):
        raise ValueError("answer is not a text or null")
    if not isinstance(attempts, list) or not all(isinstance(attempt, str) for attempt in attempts):
        raise ValueError("attempts is not a list of texts")
    return StepExample(
        id=id_in(row, prompt),
        prompt=prompt,
        steps=tuple(steps),
        labels=tuple(None if value is None else float(value) for value in values),
        correct=correct,
        answer=answer,
        attempts=tuple(attempts),
        n_rollouts=counts[0],
        n_correct=counts[1],
        finish=finish,
        answers=rule_called(str(row.get("answers"))),
    )


def id_in(row: Mapping[str, Any], prompt: str) -> str:
    """The question's id in a row; where there is none, a hash of its text."""
    id = row.get("id")
    if id is None:
        return Question.of(prompt).id
    if not isinstance(id, str | int | float):
        raise ValueError("id is not a text or a number")
    return str(id)


def _outcome(example: StepExample) -> float:
    if example.correct is None:
        raise ValueError(
            f"an example of question {example.id!r} does not say whether its answer is right; outcome labels need that"
        )
    return float(example.correct)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and is_finite(value) and value >= 0
