"""Everything that is drawn on the test questions, after the gate: samples, searches, chains of revisions.

Knows pools, sweeps and the chosen verifier. Must not know what is read off them. Stored as it comes: a stage that was
stopped goes on where it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.real_study import gate, reviser, verifiers
from benchmarks.real_study.plan import HEAD, ORM, Plan
from benchmarks.real_study.solutions import SEED, examples, generator, pool, pool_file, problems_of, solution_of

from ttscale.evaluation import Arm, Pool, Records, draw_pool, load_pool, load_records, sweep
from ttscale.strategies import DVTS, Beam, Lookahead, ParticleFilter, Rebase, RecursiveAggregation
from ttscale.training import Problem
from ttscale.verifiers import ConfidenceVerifier

DONE = "ttscale_training.json"
"""A model whose training has not ended has none."""
AGGREGATION = "recursive aggregation"


def main_arms(plan: Plan) -> list[tuple[Arm, tuple[int, ...]]]:
    """The searches over steps that contrasts read or choose from, and the seeds of each."""
    large, most, once = plan.budgets[-1:], plan.rounds, plan.seeds[:1]
    found = [
        (Arm("beam", Beam(4, most), plan.budgets), plan.seeds),
        (Arm("lookahead k = 1", Lookahead(1, 4, most), large), once),
        (Arm("DVTS", DVTS(4, most), large), once),
    ]
    return found[: plan.main_arms]


def more_arms(plan: Plan) -> list[tuple[Arm, tuple[int, ...]]]:
    """The other searches, which are drawn on fewer questions."""
    large, most = plan.budgets[-1:], plan.rounds
    others = [
        Arm("beam, equal prefixes merged", Beam(4, most, merge=True), large),
        Arm("REBASE", Rebase(max_rounds=most), large),
        Arm("particle filter", ParticleFilter(max_rounds=most), large),
        Arm("lookahead k = 3", Lookahead(3, 4, most), large),
    ]
    return [(arm, plan.seeds[:1]) for arm in others[: plan.more_arms]]


def asked(folder: Path, plan: Plan) -> list[Problem]:
    """The test questions."""
    return problems_of(plan.rows(folder, "test"))


def samples(folder: Path, plan: Plan) -> Pool:
    """The test pool, with the generator's own confidence."""
    return pool(folder, plan, "test", plan.test_samples).of(asked(folder, plan))


def more_samples(folder: Path, plan: Plan) -> None:
    """More samples of some of the test questions."""
    problems = asked(folder, plan)[: plan.many_questions]
    own, judge, file = generator(folder, plan), ConfidenceVerifier(), pool_file(folder, "test")
    draw_pool(problems, file, plan.many_samples, generator=own, verifier=judge, seed=SEED, progress=False)


def searches(folder: Path, plan: Plan, arms: Sequence[tuple[Arm, Sequence[int]]], problems: Sequence[Problem]) -> None:
    """Records of these searches on these questions with the verifier that ranks best."""
    chosen = gate.chosen(folder)
    roles = {"generator": generator(folder, plan), "verifier": gate.serve(chosen, folder)}
    for arm, seed in [(arm, seed) for arm, seeds in arms for seed in seeds]:
        sweep(
            [arm],
            plan.budgets,
            problems,
            **roles,
            seeds=[seed],
            resume=searches_file(folder, chosen, seed),
            progress=False,
        )
        print(f"{arm.name}: seed {seed} drawn", flush=True)


def scores(folder: Path, plan: Plan) -> dict[str, list[float]]:
    """Final scores of every finished test sample, in the order of ``examples``: by the verifiers, and of their blends
    by the one that is used. Trained heads read the first few samples of each question."""
    drawn, problems = samples(folder, plan), asked(folder, plan)
    given, chosen = examples(drawn, problems), gate.chosen(folder)
    names = [name for name in scorers(folder, plan) if name not in (HEAD, ORM)]
    found, read = verifiers.final_scores(names, folder, given, drawn)
    for name in {HEAD, ORM} & {*scorers(folder, plan)}:
        first = examples(drawn, problems, plan.budgets[0])
        found[name] = verifiers.last(verifiers.scored(name, folder, first))
    return found | {chosen: gate.blended(chosen, folder, read)}


def scorers(folder: Path, plan: Plan) -> list[str]:
    """The trained verifiers that are there."""
    return [name for name in plan.recipes if (folder / "verifiers" / verifiers.slug(name) / DONE).is_file()]


def revisions(folder: Path, plan: Plan, length: int) -> Pool:
    """Chains of this length of the reviser on the test questions."""
    problems = asked(folder, plan)
    return reviser.chains(folder, plan, reviser.chosen(folder), "test", plan.attempts // length, length).of(problems)


def stored_revisions(folder: Path, plan: Plan) -> dict[int, Pool]:
    """The chains that were drawn to their end, by length."""
    problems = asked(folder, plan)
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
        for problem in asked(folder, plan)
        for chain in range(chains.size)
        for one in chains.chain(problem.id, chain)
        if one.finish == "stop" and one.text.strip()
    }
    read = verifiers.readings(folder, list(given.values()))
    return dict(zip(given, gate.blended(gate.chosen(folder), folder, read), strict=True))


def aggregation(folder: Path, plan: Plan) -> None:
    """Recursive aggregation on fewer questions; the reviser, which has seen right and wrong attempts, aggregates."""
    sweep(
        [aggregation_arm(plan)],
        plan.budgets,
        asked(folder, plan)[: plan.many_questions],
        reviser=reviser.serve(folder, plan, reviser.chosen(folder)),
        seeds=plan.seeds[:1],
        resume=folder / "aggregation.jsonl",
        progress=False,
    )


def aggregation_arm(plan: Plan) -> Arm:
    """At the largest budget."""
    return Arm(AGGREGATION, RecursiveAggregation(), plan.budgets[-1:])


def stored_searches(folder: Path, plan: Plan) -> tuple[Records | None, dict[str, list[int]]]:
    """The records of the searches, and for each arm the seeds with which it was drawn to its end at all its budgets:
    on all questions, or on those that have more samples."""
    ids = [problem.id for problem in asked(folder, plan)]
    files = [searches_file(folder, gate.chosen(folder), seed) for seed in plan.seeds] + [folder / "aggregation.jsonl"]
    kept = [one for file in files if file.is_file() for one in load_records(file) if one.question in {*ids}]
    seeds = defaultdict(list)
    arms = [(arm, ids) for arm, _ in main_arms(plan)]
    fewer = [*(arm for arm, _ in more_arms(plan)), aggregation_arm(plan)]
    for arm, own in [*arms, *((arm, ids[: plan.many_questions]) for arm in fewer)]:
        for seed in plan.seeds:
            found = {(one.budget, one.question) for one in kept if (one.arm, one.seed) == (arm.name, seed)}
            if found >= {(n, id) for n in arm.budgets or () for id in own}:
                seeds[arm.name].append(seed)
    return (Records(kept) if kept else None), dict(seeds)


def searches_file(folder: Path, chosen: str, seed: int) -> Path:
    """Where the records of searches with this verifier are kept."""
    return folder / f"searches-{verifiers.slug(chosen)}-{seed}.jsonl"
