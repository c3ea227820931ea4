"""Everything that is drawn on the test questions, after the gate: samples, searches, chains of revisions.

Knows pools, sweeps and the chosen verifier. Must not know what is read off them. Stored as it comes: a stage that was
stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from benchmarks.real_study import gate, reviser, verifiers
from benchmarks.real_study.plan import BLEND, RIGHT, RIGHT_ALONE, Plan
from benchmarks.real_study.solutions import examples, generator, pool, problems_of
from benchmarks.real_study.verifiers import feature, sigmoid

from ttscale.evaluation import Arm, Pool, Records, load_pool, load_records, sweep
from ttscale.strategies import Beam, Lookahead

LENGTHS = (4, 1)
"""Lengths of chains; there are as many chains as ``plan.attempts`` allows."""


def search_arms(plan: Plan) -> list[Arm]:
    """The searches over steps."""
    large = plan.budgets[-1:]
    return [
        Arm("beam", Beam(4), plan.budgets),
        Arm("lookahead k = 1", Lookahead(1, 4), large),
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
        resume=searches_file(folder, chosen),
        progress=False,
    )


def scores(folder: Path, plan: Plan) -> dict[str, list[float]]:
    """Final scores of every finished test sample, in the order of ``examples``, by every verifier that ranked above
    chance on the validation questions, and what the blend is made of."""
    ranked = json.loads((folder / "gate.json").read_text())
    blend, rows = ranked["blend"], ranked["rows"]
    above = [name for name in scorers(folder, plan) if (rows[name]["pair accuracy"] or {"low": 0.0})["low"] > 0.5]
    names = {*above, *([RIGHT] if RIGHT_ALONE in blend["parts"] else [])}
    drawn = samples(folder, plan)
    given = examples(drawn, problems_of(plan.rows(folder, "test")))
    found = verifiers.final_scores(sorted(names), folder, given, drawn)
    odds = np.array([[feature(name, score) for score in found[name]] for name in blend["parts"]])
    found[BLEND] = sigmoid(blend["bias"] + np.array(blend["weights"]) @ odds).tolist()
    return found


def scorers(folder: Path, plan: Plan) -> list[str]:
    """The trained verifiers that are there."""
    return [name for name in plan.recipes if (folder / "verifiers" / verifiers.slug(name)).is_dir()]


def revisions(folder: Path, plan: Plan, length: int) -> Pool:
    """Chains of this length of the reviser on the test questions."""
    problems = problems_of(plan.rows(folder, "test"))
    return reviser.chains(folder, plan, "test", plan.attempts // length, length).of(problems)


def stored_revisions(folder: Path, plan: Plan) -> dict[int, Pool]:
    """The chains that were drawn to their end, by length."""
    problems = problems_of(plan.rows(folder, "test"))
    found = {}
    for length in LENGTHS:
        file = reviser.chains_file(folder, "test", length)
        if file.is_file():
            pool = load_pool(file)
            if (
                set(pool.questions) >= {one.id for one in problems}
                and pool.of(problems).size >= plan.attempts // length
            ):
                found[length] = pool.of(problems)
    return found


def stored_searches(folder: Path, plan: Plan, chosen: str) -> tuple[Records | None, list[str]]:
    """The records of the searches, and the arms that were drawn to their end at all their budgets."""
    file = searches_file(folder, chosen)
    if not file.is_file():
        return None, []
    records = load_records(file)
    asked = {row.id for row in plan.rows(folder, "test")}
    drawn = Counter((record.arm, record.budget) for record in records if record.question in asked)
    wanted = len(asked) * len(plan.seeds)
    names = [arm.name for arm in search_arms(plan) if all(drawn[arm.name, n] == wanted for n in arm.budgets or ())]
    return records, names


def searches_file(folder: Path, chosen: str) -> Path:
    """Where the records of searches with this verifier are kept."""
    return folder / f"searches-{verifiers.slug(chosen)}.jsonl"
