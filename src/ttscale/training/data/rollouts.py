"""Monte-Carlo values of solution steps, from any generator (Snell et al., appendix D; Math-Shepherd's estimate).

Knows the ``Generator`` protocol, keys, and how to count right answers. Must not know torch, batches or devices. For
every question: sample solutions, cut each into its prefixes, continue each *distinct* prefix to the end some times, and
count how often the answer is right. The keys give the seeds, so the file is the same whatever the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator as PyGenerator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from ttscale.api.settings import Executor
from ttscale.core.checks import check_choice, check_count, check_seed
from ttscale.core.cost import Cost
from ttscale.core.protocols import AnyGenerator
from ttscale.core.requests import Completion, Request, Sample, check_temperature
from ttscale.core.types import Candidate
from ttscale.evaluation.problems.grading import right_answers
from ttscale.evaluation.problems.problem import AnyProblem, Problem, as_problems
from ttscale.training.data.rollout_file import graded_by
from ttscale.training.data.run_searches import FileRow, Filled, QuestionRows, fill, workers_of
from ttscale.training.data.step_values import (
    Estimate,
    RightOf,
    Texts,
    Unparsable,
    distinct_prefixes,
    fold,
    step_counts,
)


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """What decides the numbers in the file; a second start must come with the same."""

    samples: int
    rollouts: int
    estimate: Estimate
    unparsable: Unparsable
    unparsable_rollouts: Unparsable
    temperature: float | None
    seed: int
    policy: str

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("samples", "rollouts"):
            check_count(name, getattr(self, name))
        check_temperature(self.temperature)
        choices = {"estimate": Estimate, "unparsable": Unparsable, "unparsable_rollouts": Unparsable}
        for name, allowed in choices.items():
            check_choice(name, getattr(self, name), get_args(allowed))


@dataclass(frozen=True, slots=True)
class RolloutSummary:
    """What stands in the file, and what this run added to it."""

    path: Path
    questions: int
    solutions: int
    """Solutions written, over all questions of the file."""
    dropped: int
    """Solutions left out because they state no answer or have no step."""
    prefixes: int
    """Distinct prefixes that were continued."""
    merged: int
    """Prefixes that were equal to one already continued, and cost nothing."""
    rollouts: int
    right: int
    """Written solutions whose answer is right."""
    new_questions: int
    cost: Cost
    """Spent by this run, as the generator reports it."""
    seconds: float

    def __str__(self) -> str:
        rate = self.cost.sampled_tokens / self.seconds if self.seconds else 0.0
        return (
            f"{self.path}: {self.questions} questions, {self.solutions} solutions ({self.right} right, {self.dropped} "
            f"dropped), {self.prefixes} prefixes ({self.merged} merged), {self.rollouts} rollouts. This run: "
            f"{self.new_questions} questions, {self.cost.sampled_tokens} tokens in {self.seconds:.1f} s ({rate:.0f}/s)."
        )


def collect_rollouts(
    generator: AnyGenerator | str | Path,
    questions: Iterable[AnyProblem],
    path: str | Path,
    *,
    samples: int = 16,
    rollouts: int = 16,
    estimate: Estimate = "rollouts",
    unparsable: Unparsable = "drop",
    unparsable_rollouts: Unparsable = "wrong",
    temperature: float | None = None,
    seed: int = 0,
    policy: str | None = None,
    together: int = 16,
    progress: bool = True,
    executor: Executor = "local",
    workers: int = 2,
    ray_options: Mapping[str, Any] | None = None,
) -> RolloutSummary:
    """Sample ``samples`` solutions of each question, estimate the value of every step, append them to a JSONL file.

    ``generator``: an object, a path or a Hugging Face id. ``questions``: whatever ``as_problems`` takes. ``rollouts``:
    continuations per distinct prefix. The last prefix of a solution is the solution: its value is its outcome, one
    count. ``unparsable``: what becomes of sampled solutions that state no final answer ("we found these to hurt", paper
    appendix D); ``unparsable_rollouts``: whether a continuation without an answer counts as wrong, or is not counted (a
    step without any that counts has the value null). ``temperature`` None is the generator's own. ``policy`` names the
    generator in the rows. ``together`` questions are asked for at once: it changes speed and how much a kill loses,
    never the numbers. ``executor="ray"`` sends them to ``workers`` actors of a Ray cluster, as ``solve_all`` does; the
    generator may then be a function that makes one.

    If the file exists, its finished questions are kept and the rest is drawn; other settings are refused. A question
    the generator fails on is left out, and a ``RoleError`` at the end says so. Each row has ``id, prompt, sample,
    steps, values, n_rollouts, n_correct, answer, correct, reference, finish, policy, seed``, and ``answers``, the name
    of the question's answer rule, where it is not the mathematical one.
    """
    problems = as_problems(questions)
    with workers_of("generator", generator, executor, workers, ray_options) as (obj, name, crew):
        chosen = RolloutSettings(
            samples=samples,
            rollouts=rollouts,
            estimate=estimate,
            unparsable=unparsable,
            unparsable_rollouts=unparsable_rollouts,
            temperature=temperature,
            seed=seed,
            policy=policy or name,
        )
        search = partial(_search, chosen)
        found = fill(path, asdict(chosen), "generator", obj, problems, search, seed, together, progress, crew)
    return _summary(found)


def _search(
    chosen: RolloutSettings, problem: Problem, root: Candidate
) -> PyGenerator[Sequence[Request], Sequence[Completion], QuestionRows]:
    """Two waves: the solutions, and the continuations of their distinct prefixes."""
    keys = [root.key.child("solution", i) for i in range(chosen.samples)]
    replies = yield [Sample(root, key, None, chosen.temperature) for key in keys]
    drawn = [root.extend(key, fold(reply.steps), reply.finish) for key, reply in zip(keys, replies, strict=True)]
    kept = [s for s in drawn if s.steps and (s.answer is not None or chosen.unparsable == "wrong")]
    starts = distinct_prefixes(kept) if chosen.estimate == "rollouts" else {}
    requests = [
        Sample(start, start.key.child("rollout", j), None, chosen.temperature)
        for start in starts.values()
        for j in range(chosen.rollouts)
    ]
    replies = (yield requests) if requests else []
    answers = [r.prefix.extend(r.key, c.steps, c.finish).answer for r, c in zip(requests, replies, strict=True)]
    n = chosen.rollouts
    endings = {texts: answers[n * place : n * (place + 1)] for place, texts in enumerate(starts)}
    right = right_answers(chain((s.answer for s in kept), answers), problem.answer, problem.answers)
    counts = step_counts(kept, drawn, endings, right, chosen.estimate, chosen.unparsable_rollouts)
    rows = [
        solution_row(problem, s, right[s.answer], c, chosen.policy, chosen.seed, sample=s.key.path[-1])
        for s, c in zip(kept, counts, strict=True)
    ]
    return rows, _closing(rows, endings, chosen)


def solution_row(
    problem: Problem, solution: Candidate, right: bool, counts: Sequence[RightOf], policy: str, seed: int, **own: Any
) -> FileRow:
    """A row of the file; ``counts`` are (n_rollouts, n_correct) of each step, ``own`` this kind of file's fields."""
    return {
        "id": problem.id,
        "prompt": problem.prompt,
        **own,
        "steps": [step.text for step in solution.steps],
        "values": [correct / n if n else None for n, correct in counts],
        "n_rollouts": [n for n, _ in counts],
        "n_correct": [correct for _, correct in counts],
        "answer": solution.answer,
        "correct": right,
        **graded_by(problem),
        "finish": solution.finish,
        "policy": policy,
        "seed": seed,
    }


def _closing(
    rows: Sequence[FileRow], endings: Mapping[Texts, Sequence[str | None]], chosen: RolloutSettings
) -> FileRow:
    return {
        "solutions": len(rows),
        "dropped": chosen.samples - len(rows),
        "right": sum(row["correct"] for row in rows),
        "prefixes": len(endings),
        "merged": sum(len(row["steps"]) - 1 for row in rows) - len(endings) if endings else 0,
        "rollouts": sum(len(answers) for answers in endings.values()),
    }


def _summary(filled: Filled) -> RolloutSummary:
    total: Counter[str] = Counter()
    for closing in filled.closings:
        total.update({name: n for name, n in closing.items() if isinstance(n, int)})
    return RolloutSummary(
        path=filled.path,
        questions=len(filled.closings),
        solutions=total["solutions"],
        dropped=total["dropped"],
        prefixes=total["prefixes"],
        merged=total["merged"],
        rollouts=total["rollouts"],
        right=total["right"],
        new_questions=filled.new,
        cost=filled.cost,
        seconds=filled.seconds,
    )
