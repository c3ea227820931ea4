"""The revisers: as in the paper, taught to keep what is right, and from worked solutions too; and their chains.

Knows training calls and pools of chains. The baseline of all it claims is its own first attempt, which sees none.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.real_study.plan import KEEP, TEMPERATURE, WORKED, Plan
from benchmarks.real_study.solutions import DTYPE, examples, pool, problems_of
from benchmarks.real_study.verifiers import gold, slug

from ttscale.evaluation import Pool, along_the_chain, draw_pool
from ttscale.hf import HFModel, HFReviser
from ttscale.training import RevisionExample, build_revision_data, train_reviser

CONTEXT = 4


def data(folder: Path, plan: Plan, name: str) -> list[RevisionExample]:
    """Revisions of the training questions that have right and wrong solutions, at most ``plan.revisions``, equal
    examples once."""
    drawn = pool(folder, plan, "train", plan.train_samples)
    given = examples(drawn, problems_of(plan.rows(folder, "train")))
    if name == WORKED:
        asked = {e.id for e in given}
        given += [e for e in gold(folder, plan) if e.id in asked]
    sides: dict[str, set[bool | None]] = defaultdict(set)
    for example in given:
        sides[example.id].add(example.correct)
    mixed = [e for e in given if len(sides[e.id]) == 2]
    made = build_revision_data(mixed, max_attempts=CONTEXT, keep=KEEP[name])
    by_question: dict[str, list[RevisionExample]] = defaultdict(list)
    for example in dict.fromkeys(made):
        by_question[example.id].append(example)
    turns = sorted((place, example.id, example) for own in by_question.values() for place, example in enumerate(own))
    return [example for _, _, example in turns][: plan.revisions]


def train(folder: Path, plan: Plan, name: str) -> Any:
    """Train a reviser from the generator."""
    recipe = plan.reviser_recipe
    test = problems_of([*plan.rows(folder, "test"), *plan.rows(folder, "validation")])
    given, out = data(folder, plan, name), folder / "revisers" / slug(name)
    return train_reviser(folder / "generator", given, out, test=test, recipe=recipe, progress=False)


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    """How the attempts of chains of four at the validation questions do, for each reviser that is there; kept. Empty
    where no chains are planned."""
    problems = problems_of(plan.rows(folder, "validation"))
    found: dict[str, Any] = {}
    for name in plan.revisers:
        if (folder / "revisers" / slug(name) / "ttscale_training.json").is_file():
            found[name] = []
        if name in found and plan.validation_chains:
            drawn = chains(folder, plan, name, "validation", plan.validation_chains, CONTEXT).of(problems)
            found[name] = [asdict(step) for step in along_the_chain(drawn.graded_chains())]
    (folder / "revisers.json").write_text(json.dumps(found))
    return found


def chosen(folder: Path) -> str:
    """The reviser whose fourth attempts are best on the validation questions."""
    found = json.loads((folder / "revisers.json").read_text())
    return max(found, key=lambda name: float(found[name][-1]["pass_at_1"]["value"]) if found[name] else 0.0)


def chains(folder: Path, plan: Plan, name: str, part: str, count: int, length: int) -> Pool:
    """``count`` chains of ``length`` attempts at each question of a part, unjudged; the first attempts of a chain are
    the same whatever its length."""
    own = serve(folder, plan, name)
    problems = problems_of(plan.rows(folder, part))
    file = chains_file(folder, name, part, length)
    return draw_pool(problems, file, count, kind="chains", length=length, reviser=own, progress=False)


def serve(folder: Path, plan: Plan, name: str) -> HFReviser:
    """The reviser of that name at the study's temperature."""
    model = HFModel(folder / "revisers" / slug(name), dtype=DTYPE)
    return HFReviser(model, temperature=TEMPERATURE, max_new_tokens=plan.longest)


def chains_file(folder: Path, name: str, part: str, length: int) -> Path:
    """Where chains of this length are kept."""
    return folder / "pools" / f"{part}-{slug(name)}-{length}.jsonl"


def rows(folder: Path) -> dict[str, Any]:
    """What ``measure`` found, and which reviser it chose."""
    file = folder / "revisers.json"
    return {"chosen": chosen(folder), "rows": json.loads(file.read_text())} if file.is_file() else {}
