"""Every strategy at equal budgets: how often it is right and what that costs, on bundled models and in a toy world.

    python benchmarks/methods.py [--questions 16] [--toys 100] [--budgets 4,16,64] [--worlds bundled,toy] [--page PAGE]

Rows are stored in benchmarks/results/methods.json as they are measured, and a row that is there is not measured again;
``--fresh`` forgets them. Accuracy has a 95% bootstrap interval over questions. Tokens are sampled and verifier's tokens
per question, FLOPs and busy seconds likewise; on a busy machine the seconds say little.

``mixture`` draws half of its solutions from a second generator: the bundled one at temperature 0.6, or a toy whose
steps are right at 0.4. On the bundled models a comparator is their verifier, which weighs each solution by its score.
In the toy world (a step right at 0.6, four steps, lengths differ, verifier half noise) it is right at 0.8.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _stored import RESULTS, keep

import ttscale
from ttscale import Compare, Cost, Preference, Question, Score, reference
from ttscale.evaluation.statistics import mean_interval
from ttscale.hf import HFGenerator
from ttscale.strategies.names import STRATEGIES, strategy_named
from ttscale.testing import ToyLM, ToyWorld, toy_roles
from ttscale.verifiers import MixedGenerator

PATH = RESULTS / "methods.json"
SEED = 0


class ScoredComparator:
    """A comparator made of a verifier: each candidate's weight is the verifier's score."""

    name = "scored"

    def __init__(self, verifier: Any) -> None:
        self._verifier, self.worker = verifier, verifier.worker

    def compare(self, requests: Sequence[Compare], /) -> list[Preference]:
        verdicts = iter(self._verifier.score([Score(c) for request in requests for c in request.candidates]))
        replies = []
        for request in requests:
            own = [next(verdicts) for _ in request.candidates]
            scores = [verdict.step_scores[-1] + 1e-9 for verdict in own]
            cost = sum((verdict.cost for verdict in own), Cost())
            replies.append(Preference(tuple(score / sum(scores) for score in scores), cost))
        return replies


def bundled_roles(name: str) -> dict[str, Any]:
    """The models that ship; for a mixture, their generator twice."""
    roles: dict[str, Any] = {role: reference.load(role) for role in ("generator", "verifier", "reviser")}
    if name == "mixture":
        cooler = HFGenerator(reference.path("generator"), temperature=0.6)
        roles["generator"] = MixedGenerator({"own": roles["generator"], "cooler": cooler})
    return roles | {"comparator": ScoredComparator(roles["verifier"])}


def roles_of_toys(name: str) -> dict[str, Any]:
    """The toy world's roles; for a mixture, its generator and a worse one."""
    roles: dict[str, Any] = {**toy_roles(comparator=True)}
    if name == "mixture":
        own = roles["generator"]
        roles["generator"] = MixedGenerator({"own": own, "worse": ToyLM(replace(own.world, p=0.4))})
    return roles


def worlds(questions: int, toys: int) -> dict[str, tuple[list[Question], dict[str, str], Callable[[str], Any]]]:
    """By name the questions, their answers, and what makes the roles."""
    problems = reference.questions(questions, split="test", seed=SEED)
    toy = ToyWorld.questions(toys)
    return {
        "bundled": ([Question(p.id, p.prompt) for p in problems], {p.id: p.answer for p in problems}, bundled_roles),
        "toy": (toy, {q.id: ToyWorld.truth(q) for q in toy}, roles_of_toys),
    }


def measured(
    name: str, n: int, questions: list[Question], answers: dict[str, str], roles: Callable[[str], Any]
) -> dict[str, Any]:
    """One strategy at one budget."""
    results = ttscale.solve_all(questions, n, **roles(name), strategy=strategy_named(name), seed=SEED, progress=False)
    broken = [result.error for result in results if result.error is not None]
    if broken:
        raise broken[0]
    right = mean_interval(np.array([float(result.answer == answers[result.question.id]) for result in results]))
    cost = sum((result.cost for result in results), Cost())
    count = len(results)
    return {
        "strategy": name,
        "N": n,
        "accuracy": [round(value, 3) for value in (right.value, right.low, right.high)],
        "solutions": round(cost.generations / count, 1),
        "tokens": round(cost.sampled_tokens / count),
        "verifier tokens": round(cost.verifier_tokens / count),
        "FLOPs": float(f"{cost.flops / count:.3g}"),
        "seconds": round(cost.seconds / count, 3),
    }


def stored() -> dict[str, dict[str, Any]]:
    """The rows there are, by world and then by strategy and N."""
    parts = json.loads(PATH.read_text())["parts"] if PATH.is_file() else {}
    return {world: part["rows"] for world, part in parts.items()}


def page(path: Path) -> None:
    """Put one table, with the accuracies at every budget, between the marks of a page."""
    found = stored()
    columns = [(world, n) for world in found for n in sorted({row["N"] for row in found[world].values()})]
    names = list(dict.fromkeys(row["strategy"] for rows in found.values() for row in rows.values()))
    head = ["Strategy", *(f"{world}, N = {n}" for world, n in columns), "Tokens", "Verifier tokens", "FLOPs", "Seconds"]
    lines = ["", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in names:
        cells = [f"`{name}`"]
        for world, n in columns:
            row = found[world].get(f"{name} {n}")
            value, low, high = row["accuracy"] if row else (None, None, None)
            cells.append("" if row is None else f"{value:.2f} [{low:.2f}, {high:.2f}]")
        spent = found.get("toy", {}).get(f"{name} 16")
        cells += [f"{spent[key]:.3g}" for key in ("tokens", "verifier tokens", "FLOPs")] if spent else [""] * 3
        run = found.get("bundled", {}).get(f"{name} 16")
        cells.append(f"{run['seconds']:.2g}" if run else "")
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(
        "\nTokens and FLOPs are per question in the toy world at N = 16, seconds on the bundled models at N = 16."
    )
    text = path.read_text(encoding="utf-8")
    begin, end = "<!-- methods: begin -->", "<!-- methods: end -->"
    before, after = text.partition(begin)[0], text.partition(end)[2]
    path.write_text(before + begin + "\n".join(lines) + "\n\n" + end + after, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--toys", type=int, default=100)
    parser.add_argument("--budgets", default="4,16,64")
    parser.add_argument("--only", default=",".join(STRATEGIES))
    parser.add_argument("--worlds", default="bundled,toy")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    if options.fresh:
        PATH.unlink(missing_ok=True)
    titles = {
        "bundled": f"Bundled models, {options.questions} test questions",
        "toy": f"Toy world, {options.toys} questions",
    }
    found = stored()
    given = worlds(options.questions, options.toys)
    for n in map(int, options.budgets.split(",")):
        for world in options.worlds.split(","):
            rows = found.setdefault(world, {})
            for name in options.only.split(","):
                if f"{name} {n}" not in rows:
                    rows[f"{name} {n}"] = measured(name, n, *given[world])
                    print(world, json.dumps(rows[f"{name} {n}"]), flush=True)
                    keep(PATH, world, titles[world], rows, tiny=False)
    if options.page:
        page(options.page)


if __name__ == "__main__":
    main()
