"""Everything that is drawn on the test questions, after the gate: samples, searches, chains of revisions.

Knows pools, sweeps and the chosen verifier. Must not know what is read off them. Stored as it comes: a stage that was
stopped goes on where it was.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from benchmarks.real_study import gate, reviser, verifiers
from benchmarks.real_study.plan import Plan
from benchmarks.real_study.solutions import examples, generator, pool, problems_of
from benchmarks.real_study.verifiers import BLEND, Blend, log_odds, sigmoid

from ttscale.evaluation import Arm, Pool, Records, sweep
from ttscale.strategies import DVTS, Beam, Lookahead

LENGTHS = {1: 16, 4: 4}
"""Length of a chain -> how many of them: 16 attempts in all."""


def search_arms(plan: Plan) -> list[Arm]:
    """The searches over steps; most important first, so that a study cut short has those."""
    large = plan.budgets[-1:]
    return [
        Arm("beam", Beam(4), plan.budgets),
        Arm("lookahead k = 1", Lookahead(1, 4), large),
        Arm("DVTS", DVTS(4), large),
        Arm("beam, merged", Beam(4, merge=True), large),
        Arm("lookahead k = 3", Lookahead(3, 4), large),
    ]


def samples(folder: Path, plan: Plan) -> Pool:
    """The test pool, with the generator's own confidence."""
    return pool(folder, plan, "test", plan.test_samples).of(problems_of(plan.rows(folder, "test")))


def searches(folder: Path, plan: Plan, chosen: str, arms: list[Arm]) -> Records:
    """Records of these arms on the test questions."""
    return sweep(
        arms,
        plan.budgets,
        problems_of(plan.rows(folder, "test")),
        generator=generator(folder),
        verifier=gate.serve(chosen, folder),
        seeds=plan.seeds,
        resume=folder / f"searches-{verifiers.slug(chosen)}.jsonl",
        progress=False,
    )


def scores(folder: Path, plan: Plan, names: list[str]) -> dict[str, list[float]]:
    """Final scores of every finished test sample by each trained verifier, in the order of ``examples``."""
    file = folder / "test-scores.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    problems = problems_of(plan.rows(folder, "test"))
    given = examples(samples(folder, plan), problems)
    for name in names:
        if name not in found:
            found[name] = [own[-1] for own in verifiers.verifier_scores(verifiers.serve(name, folder), given)]
            file.write_text(json.dumps(found))
    sums, means = gate.free(samples(folder, plan), [p.id for p in problems])
    found[verifiers.SUM] = [float(value) for value in _probabilities(sums)]
    found[verifiers.MEAN] = [float(value) for value in _probabilities(means)]
    blend = json.loads((folder / "gate.json").read_text()).get("blend")
    if blend and set(blend["parts"]) <= set(found):
        odds = [[log_odds(found[name][at]) for name in blend["parts"]] for at in range(len(given))]
        fitted = Blend([], blend["weights"], blend["bias"])
        found[BLEND] = [
            float(sigmoid(fitted.bias + sum(w * o for w, o in zip(fitted.weights, row, strict=True)))) for row in odds
        ]
    return found


def _probabilities(logs: list[float]) -> list[float]:
    return [math.exp(max(one, -700)) for one in logs]


def revisions(folder: Path, plan: Plan) -> dict[int, Pool]:
    """Chains of the reviser on the test questions, by length."""
    problems = problems_of(plan.rows(folder, "test"))
    return {
        length: reviser.chains(folder, plan, "test", count, length).of(problems) for length, count in LENGTHS.items()
    }
