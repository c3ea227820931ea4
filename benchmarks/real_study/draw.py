"""Everything that is drawn on the test questions, after the gate: samples, searches, chains of revisions.

Knows pools, sweeps and the chosen verifier. Must not know what is read off them. Stored as it comes: a stage that was
stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

from benchmarks.real_study import gate, reviser, verifiers
from benchmarks.real_study.plan import Plan
from benchmarks.real_study.solutions import SEED, examples, generator, pool, pool_file, problems_of, solution_of

from ttscale.evaluation import Arm, Pool, Records, draw_pool, load_pool, load_records, sweep
from ttscale.strategies import DVTS, Beam, Lookahead, ParticleFilter, Rebase
from ttscale.verifiers import ConfidenceVerifier


def search_arms(plan: Plan) -> list[list[Arm]]:
    """The searches over steps, in the order in which they are drawn: those that the contrasts need first."""
    large, most = plan.budgets[-1:], plan.rounds
    return [
        [Arm("beam", Beam(4, most), plan.budgets), Arm("lookahead k = 1", Lookahead(1, 4, most), large)],
        [
            Arm("DVTS", DVTS(4, most), large),
            Arm("beam, equal prefixes merged", Beam(4, most, merge=True), large),
            Arm("REBASE", Rebase(max_rounds=most), large),
            Arm("particle filter", ParticleFilter(max_rounds=most), large),
            Arm("lookahead k = 3", Lookahead(3, 4, most), large),
        ][: plan.more_arms],
    ]


def samples(folder: Path, plan: Plan) -> Pool:
    """The test pool, with the generator's own confidence."""
    return pool(folder, plan, "test", plan.test_samples).of(problems_of(plan.rows(folder, "test")))


def more_samples(folder: Path, plan: Plan) -> None:
    """More samples of the test questions, one question after the other; those that have them all count at large N."""
    problems = problems_of(plan.rows(folder, "test"))
    own, judge, file = generator(folder, plan), ConfidenceVerifier(), pool_file(folder, "test")
    draw_pool(problems, file, plan.many_samples, generator=own, verifier=judge, seed=SEED, progress=False)


def searches(folder: Path, plan: Plan) -> None:
    """Records of every search on the test questions with the verifier that ranks best, seed by seed."""
    chosen = gate.chosen(folder)
    roles = {"generator": generator(folder, plan), "verifier": gate.serve(chosen, folder)}
    for arms, seed in [(arms, seed) for seed in plan.seeds for arms in search_arms(plan) if arms]:
        sweep(
            arms,
            plan.budgets,
            problems_of(plan.rows(folder, "test")),
            **roles,
            seeds=[seed],
            resume=searches_file(folder, chosen, seed),
            progress=False,
        )
        print(f"{', '.join(arm.name for arm in arms)}: seed {seed} drawn", flush=True)


def scores(folder: Path, plan: Plan) -> dict[str, list[float]]:
    """Final scores of every finished test sample, in the order of ``examples``: by the verifiers that rank above
    chance on the validation questions, and of the blends by the one that is used."""
    chosen, rows = gate.chosen(folder), json.loads((folder / "gate.json").read_text())["rows"]
    drawn = samples(folder, plan)
    given = examples(drawn, problems_of(plan.rows(folder, "test")))
    found, read = verifiers.final_scores(scorers(folder, plan), folder, given, drawn)
    found = {name: own for name, own in found.items() if (rows[name]["pair accuracy"] or {"low": 0.0})["low"] > 0.5}
    return found if chosen in found else found | {chosen: gate.blended(chosen, folder, read)}


def scorers(folder: Path, plan: Plan) -> list[str]:
    """The trained verifiers that are there."""
    return [name for name in plan.recipes if (folder / "verifiers" / verifiers.slug(name)).is_dir()]


def revisions(folder: Path, plan: Plan, length: int) -> Pool:
    """Chains of this length of the reviser on the test questions."""
    problems = problems_of(plan.rows(folder, "test"))
    return reviser.chains(folder, plan, reviser.chosen(folder), "test", plan.attempts // length, length).of(problems)


def stored_revisions(folder: Path, plan: Plan) -> dict[int, Pool]:
    """The chains that were drawn to their end, by length."""
    problems = problems_of(plan.rows(folder, "test"))
    found = {}
    for length in plan.lengths:
        file = reviser.chains_file(folder, reviser.chosen(folder), "test", length)
        if file.is_file():
            pool = load_pool(file)
            if (
                set(pool.questions) >= {one.id for one in problems}
                and pool.of(problems).size >= plan.attempts // length
            ):
                found[length] = pool.of(problems)
    return found


def attempt_scores(folder: Path, plan: Plan, chains: Pool) -> dict[tuple[str, str], float]:
    """The chosen blend's final score of every finished attempt of these chains, by (question, text)."""
    given = {
        (problem.id, one.text): solution_of(problem, one)
        for problem in problems_of(plan.rows(folder, "test"))
        for chain in range(chains.size)
        for one in chains.chain(problem.id, chain)
        if one.finish == "stop" and one.text.strip()
    }
    read = verifiers.readings(folder, list(given.values()))
    return dict(zip(given, gate.blended(gate.chosen(folder), folder, read), strict=True))


def stored_searches(folder: Path, plan: Plan) -> tuple[Records | None, dict[str, list[int]]]:
    """The records of the searches, and for each arm the seeds with which it was drawn to its end at all its budgets."""
    chosen, asked = gate.chosen(folder), {row.id for row in plan.rows(folder, "test")}
    kept, seeds = [], defaultdict(list)
    for seed in plan.seeds:
        if not searches_file(folder, chosen, seed).is_file():
            continue
        records = [one for one in load_records(searches_file(folder, chosen, seed)) if one.question in asked]
        kept += records
        for arm in (arm for arms in search_arms(plan) for arm in arms):
            counts = Counter(one.budget for one in records if one.arm == arm.name)
            if all(counts[n] == len(asked) for n in arm.budgets or ()):
                seeds[arm.name].append(seed)
    return (Records(kept) if kept else None), dict(seeds)


def searches_file(folder: Path, chosen: str, seed: int) -> Path:
    """Where the records of searches with this verifier are kept."""
    return folder / f"searches-{verifiers.slug(chosen)}-{seed}.jsonl"
