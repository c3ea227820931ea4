"""Chains of revisions from any reviser: what a revision ORM is trained on, and how a reviser is measured.

Knows the ``Reviser`` protocol, keys and grading. Must not know torch. A chain begins without attempts; each attempt is
written after the most recent finished ones, as in ``SequentialRevision``. The file is that of ``collect_rollouts``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator as PyGenerator
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ttscale.api.load_roles import open_role
from ttscale.core.checks import check_count, check_seed
from ttscale.core.cost import Cost
from ttscale.core.protocols import AnyReviser, name_of
from ttscale.core.requests import Completion, Request, Revise
from ttscale.core.types import Candidate
from ttscale.evaluation.problems.grading import right_answers
from ttscale.evaluation.problems.problem import AnyProblem, Problem, as_problems
from ttscale.training.data.rollouts import solution_row
from ttscale.training.data.run_searches import FileRow, Filled, QuestionRows, fill
from ttscale.training.data.step_values import fold


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """What decides the chains in the file; a second start must come with the same."""

    chains: int
    length: int
    context: int
    seed: int
    policy: str

    def __post_init__(self) -> None:
        for name, least in (("chains", 1), ("length", 1), ("context", 0)):
            check_count(name, getattr(self, name), least)
        check_seed(self.seed)


@dataclass(frozen=True, slots=True)
class ChainSummary:
    """What stands in the file: how the share of right answers moves along the chains."""

    path: Path
    questions: int
    attempts: int
    right_at: tuple[float, ...]
    """Share of right answers at each position of a chain; position 1 saw no attempt (pass@1 of the reviser)."""
    wrong_to_right: float | None
    """Of attempts that follow a wrong one, the share that is right; None when there are none."""
    right_to_wrong: float | None
    """Of attempts that follow a right one, the share that is wrong (38% in the paper)."""
    copies: float | None
    """Of attempts that saw a wrong one, the share that repeats one of those in its context."""
    cost: Cost
    seconds: float

    def __str__(self) -> str:
        shares = " ".join(f"{share:.3f}" for share in self.right_at)
        moves = {"wrong to right": self.wrong_to_right, "right to wrong": self.right_to_wrong, "copies": self.copies}
        said = ", ".join(f"{name} {'-' if share is None else f'{share:.3f}'}" for name, share in moves.items())
        return f"{self.path}: {self.questions} questions, {self.attempts} attempts, right by position {shares}; {said}."


def collect_chains(
    reviser: AnyReviser | str | Path,
    questions: Iterable[AnyProblem],
    path: str | Path,
    *,
    chains: int = 4,
    length: int = 8,
    context: int = 4,
    seed: int = 0,
    policy: str | None = None,
    together: int = 16,
    progress: bool = True,
) -> ChainSummary:
    """Write ``chains`` chains of ``length`` attempts at each question to a JSONL file, one row per attempt.

    The data of the revision ORM (Snell et al., section 6.1). ``reviser``: an object, a path or a Hugging Face id.
    ``questions``: whatever ``as_problems`` takes. A row has the fields of ``collect_rollouts``, with the outcome as the
    value of every step, and ``attempts``, ``chain`` and ``position``. Attempts without an answer are written too
    (``answer`` null, ``correct`` false), unless they are empty. If the file exists, its finished questions are kept;
    other settings are refused.
    """
    reviser = open_role("reviser", reviser)
    policy = policy or name_of(reviser)
    chosen = ChainSettings(chains, length, context, seed, policy)
    problems = as_problems(questions)
    settings = {"kind": "chains"} | asdict(chosen)
    search = partial(_search, chosen)
    return _summary(fill(path, settings, "reviser", reviser, problems, search, seed, together, progress), chosen)


def _search(
    chosen: ChainSettings, problem: Problem, root: Candidate
) -> PyGenerator[Sequence[Request], Sequence[Completion], QuestionRows]:
    """All chains side by side, one wave per position."""
    chains: list[list[Candidate]] = [[] for _ in range(chosen.chains)]
    for position in range(chosen.length):
        requests = []
        for number, attempts in enumerate(chains):
            finished = [replace(attempt, attempts=()) for attempt in attempts if attempt.done and attempt.steps]
            seen = tuple(finished[-chosen.context :]) if chosen.context else ()
            requests.append(Revise(seen or (root,), root.key.child("chain", number, position)))
        replies = yield requests
        for attempts, request, reply in zip(chains, requests, replies, strict=True):
            seen = tuple(attempt for attempt in request.attempts if attempt.steps)
            attempts.append(Candidate(root.question, request.key, fold(reply.steps), reply.finish, seen))
    rows = _rows(problem, [attempt for attempts in chains for attempt in attempts], chosen)
    return [row for row in rows if row["steps"]], _moves(rows)


def _rows(problem: Problem, attempts: Sequence[Candidate], chosen: ChainSettings) -> list[FileRow]:
    right = right_answers((attempt.answer for attempt in attempts), problem.answer, problem.answers)
    return [
        solution_row(
            problem,
            attempt,
            right[attempt.answer],
            [(1, int(right[attempt.answer]))] * len(attempt.steps),
            chosen.policy,
            chosen.seed,
            chain=number // chosen.length,
            position=number % chosen.length,
            attempts=[seen.text for seen in attempt.attempts],
        )
        for number, attempt in enumerate(attempts)
    ]


def _moves(rows: Sequence[FileRow]) -> dict[str, Any]:
    """Counts of one question that add up to the summary: per position, and from each attempt to the next."""
    right_at: dict[int, list[int]] = defaultdict(list)
    moves = {"after_wrong": 0, "wrong_to_right": 0, "after_right": 0, "right_to_wrong": 0, "saw_wrong": 0, "copied": 0}
    correct = {"".join(row["steps"]): row["correct"] for row in rows if row["finish"] == "stop"}
    for last, row in zip([None, *rows], rows, strict=False):
        right_at[row["position"]].append(int(row["correct"]))
        if last is not None and row["position"] > 0:
            before = last["correct"]
            moves["after_right" if before else "after_wrong"] += 1
            moves["right_to_wrong" if before else "wrong_to_right"] += int(row["correct"] != before)
        wrong = [attempt for attempt in row["attempts"] if not correct[attempt]]
        moves["saw_wrong"] += bool(wrong)
        moves["copied"] += "".join(row["steps"]) in wrong
    return {"attempts": len(rows), "right_at": [sum(right_at[p]) for p in sorted(right_at)], **moves}


def _summary(filled: Filled, chosen: ChainSettings) -> ChainSummary:
    closings = filled.closings
    total = {name: sum(c[name] for c in closings) for name in closings[0] if isinstance(closings[0][name], int)}
    right_at = [sum(c["right_at"][position] for c in closings) for position in range(chosen.length)]

    def share(part: str, whole: str) -> float | None:
        return total[part] / total[whole] if total[whole] else None

    return ChainSummary(
        path=filled.path,
        questions=len(closings),
        attempts=total["attempts"],
        right_at=tuple(right / (len(closings) * chosen.chains) for right in right_at),
        wrong_to_right=share("wrong_to_right", "after_wrong"),
        right_to_wrong=share("right_to_wrong", "after_right"),
        copies=share("copied", "saw_wrong"),
        cost=filled.cost,
        seconds=filled.seconds,
    )
