"""Monte-Carlo values of solution steps, from any generator (paper section 3.2 of the notes; Math-Shepherd's estimate).

Knows the ``Generator`` protocol, keys, and how to count right answers. Must not know torch, batches or devices. For
every question: sample solutions, cut each into its prefixes, continue each *distinct* prefix to the end some times, and
count how often the answer is right. The keys give the seeds, so the file is the same whatever the batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import chain
from operator import add
from pathlib import Path
from typing import Any, TypeAlias, get_args

from tqdm import tqdm

from ttscale._cost import Cost
from ttscale._requests import Completion, Sample
from ttscale._roles import AnyGenerator
from ttscale._types import Candidate, Key
from ttscale.training._ask import Ask, asker
from ttscale.training._rollout_file import RolloutFile
from ttscale.training._step_values import (
    Count,
    Estimate,
    Texts,
    Unparsable,
    distinct_prefixes,
    fold,
    step_counts,
)
from ttscale.training.problems import AnyProblem, Problem, as_problems, grade, question_of

Row: TypeAlias = dict[str, Any]


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
        for name in ("samples", "rollouts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
        choices = {"estimate": Estimate, "unparsable": Unparsable, "unparsable_rollouts": Unparsable}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}; got {getattr(self, name)!r}.")


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
    generator: AnyGenerator,
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
) -> RolloutSummary:
    """Sample ``samples`` solutions of each question, estimate the value of every step, append them to a JSONL file.

    ``questions``: whatever ``as_problems`` takes. ``rollouts``: continuations per distinct prefix. The last prefix of a
    solution is the solution: its value is its outcome, one count. ``unparsable``: what becomes of sampled solutions
    that state no final answer ("we found these to hurt", paper appendix D); ``unparsable_rollouts``: whether a
    continuation without an answer counts as wrong, or is not counted (a step none of whose rollouts count has the value
    null). ``temperature`` None is the generator's own. ``policy`` names the generator in the rows. ``together``
    questions are asked for at once: it changes speed and how much a kill loses, never the numbers.

    If the file exists, its finished questions are kept and the rest is drawn; other settings are refused. Each row has
    ``id, prompt, sample, steps, values, n_rollouts, n_correct, answer, correct, reference, finish, policy, seed``.
    """
    chosen = RolloutSettings(
        samples=samples,
        rollouts=rollouts,
        estimate=estimate,
        unparsable=unparsable,
        unparsable_rollouts=unparsable_rollouts,
        temperature=temperature,
        seed=seed,
        policy=policy or str(getattr(generator, "name", type(generator).__name__)),
    )
    if together < 1:
        raise ValueError(f"together must be at least 1, got {together}.")
    problems = as_problems(questions)
    cost, started = Cost(), time.monotonic()
    with RolloutFile(path, asdict(chosen)) as file, asker(generator, generator.sample) as ask:
        missing = [problem for problem in problems if not file.has(problem.id, problem.prompt, problem.answer)]
        done = len(problems) - len(missing)
        with tqdm(total=len(problems), initial=done, unit="question", disable=not progress) as bar:
            for first in range(0, len(missing), together):
                finished, spent = _collect(ask, missing[first : first + together], chosen)
                cost += spent
                for problem, rows, closing in finished:
                    file.append(problem.id, problem.prompt, problem.answer, rows, closing)
                    bar.update(1)
                rate = 1.0 / max(time.monotonic() - started, 1e-9)
                bar.set_postfix_str(f"{cost.steps * rate:.1f} steps/s, {cost.sampled_tokens * rate:.0f} tokens/s")
        return _summary(file, len(missing), cost, time.monotonic() - started)


def _collect(
    ask: Ask[Sample, Completion], problems: Sequence[Problem], chosen: RolloutSettings
) -> tuple[list[tuple[Problem, list[Row], Row]], Cost]:
    """(problem, its rows, its closing line) for each problem: one wave of solutions, one of continuations."""
    drawn, sampling = _sample(ask, problems, chosen)
    kept = [[s for s in solutions if s.steps and (s.answer or chosen.unparsable == "wrong")] for solutions in drawn]
    prefixes = [distinct_prefixes(solutions) if chosen.estimate == "rollouts" else {} for solutions in kept]
    endings, continuing = _continue(ask, prefixes, chosen)
    finished = []
    for problem, solutions, ends in zip(problems, kept, endings, strict=True):
        right = grade(chain((s.answer for s in solutions), *ends.values()), problem.answer)
        counts = step_counts(solutions, ends, right, chosen.estimate, chosen.unparsable_rollouts)
        rows = [_row(problem, s, right[s.answer], n, chosen) for s, n in zip(solutions, counts, strict=True)]
        finished.append((problem, rows, _closing(rows, ends, chosen)))
    return finished, sampling + continuing


def _sample(
    ask: Ask[Sample, Completion], problems: Sequence[Problem], chosen: RolloutSettings
) -> tuple[list[list[Candidate]], Cost]:
    """The sampled solutions of each problem."""
    requests = []
    for problem in problems:
        root = Candidate(question_of(problem), Key((chosen.seed, problem.id)))
        keys = [root.key.child("solution", i) for i in range(chosen.samples)]
        requests += [Sample(root, key, None, chosen.temperature) for key in keys]
    replies = ask(requests)
    drawn = [r.prefix.extend(r.key, fold(c.steps), c.finish) for r, c in zip(requests, replies, strict=True)]
    cost = _spent(replies) + Cost(generations=len(requests))
    n = chosen.samples
    return [drawn[first : first + n] for first in range(0, len(drawn), n)], cost


def _continue(
    ask: Ask[Sample, Completion], prefixes: Sequence[dict[Texts, Candidate]], chosen: RolloutSettings
) -> tuple[list[dict[Texts, list[str | None]]], Cost]:
    """For each problem and distinct prefix the final answers of its continuations."""
    requests, owners = [], []
    for problem, starts in enumerate(prefixes):
        for texts, start in starts.items():
            keys = [start.key.child("rollout", j) for j in range(chosen.rollouts)]
            requests += [Sample(start, key, None, chosen.temperature) for key in keys]
            owners += [(problem, texts)] * chosen.rollouts
    endings: list[dict[Texts, list[str | None]]] = [{texts: [] for texts in starts} for starts in prefixes]
    replies = ask(requests)
    for (problem, texts), request, completion in zip(owners, requests, replies, strict=True):
        ended = request.prefix.extend(request.key, completion.steps, completion.finish)
        endings[problem][texts].append(ended.answer)
    return endings, _spent(replies)


def _spent(replies: Sequence[Completion]) -> Cost:
    steps = sum(len(reply.steps) for reply in replies)
    return reduce(add, (reply.cost for reply in replies), Cost()) + Cost(steps=steps)


def _row(problem: Problem, solution: Candidate, right: bool, counts: Sequence[Count], chosen: RolloutSettings) -> Row:
    return {
        "id": problem.id,
        "prompt": problem.prompt,
        "sample": solution.key.path[-1],
        "steps": [step.text for step in solution.steps],
        "values": [correct / n if n else None for n, correct in counts],
        "n_rollouts": [n for n, _ in counts],
        "n_correct": [correct for _, correct in counts],
        "answer": solution.answer,
        "correct": right,
        "reference": problem.answer,
        "finish": solution.finish,
        "policy": chosen.policy,
        "seed": chosen.seed,
    }


def _closing(rows: Sequence[Row], endings: dict[Texts, list[str | None]], chosen: RolloutSettings) -> Row:
    return {
        "solutions": len(rows),
        "dropped": chosen.samples - len(rows),
        "right": sum(row["correct"] for row in rows),
        "prefixes": len(endings),
        "merged": sum(len(row["steps"]) - 1 for row in rows) - len(endings) if endings else 0,
        "rollouts": sum(len(answers) for answers in endings.values()),
    }


def _summary(file: RolloutFile, new_questions: int, cost: Cost, seconds: float) -> RolloutSummary:
    total: Counter[str] = Counter()
    for closing in file.done.values():
        total.update({name: n for name, n in closing.items() if isinstance(n, int)})
    return RolloutSummary(
        path=file.path,
        questions=len(file.done),
        solutions=total["solutions"],
        dropped=total["dropped"],
        prefixes=total["prefixes"],
        merged=total["merged"],
        rollouts=total["rollouts"],
        right=total["right"],
        new_questions=new_questions,
        cost=cost,
        seconds=seconds,
    )
