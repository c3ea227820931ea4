"""The reviser, as in the paper: trained on wrong attempts before a right one; and its chains.

Knows training calls and pools of chains. The baseline of all it claims is its own first attempt, which sees none.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.real_study.plan import LONGEST, TEMPERATURE, Plan
from benchmarks.real_study.solutions import examples, pool, problems_of

from ttscale.evaluation import Pool, draw_pool
from ttscale.hf import HFModel, HFReviser
from ttscale.training import RevisionExample, build_revision_data, train_reviser

CONTEXT = 4


def data(folder: Path, plan: Plan) -> list[RevisionExample]:
    """Revisions of the training questions that have right and wrong solutions, at most ``plan.revisions``, equal
    examples once."""
    drawn = pool(folder, plan, "train", plan.train_samples)
    given = examples(drawn, problems_of(plan.rows(folder, "train")))
    sides: dict[str, set[bool | None]] = defaultdict(set)
    for example in given:
        sides[example.id].add(example.correct)
    made = build_revision_data([e for e in given if len(sides[e.id]) == 2], max_attempts=CONTEXT)
    by_question: dict[str, list[RevisionExample]] = defaultdict(list)
    for example in dict.fromkeys(made):
        by_question[example.id].append(example)
    turns = sorted((place, example.id, example) for own in by_question.values() for place, example in enumerate(own))
    return [example for _, _, example in turns][: plan.revisions]


def train(folder: Path, plan: Plan) -> Any:
    """Train the reviser from the generator."""
    recipe = plan.reviser_recipe
    test = problems_of([*plan.rows(folder, "test"), *plan.rows(folder, "validation")])
    given = data(folder, plan)
    return train_reviser(folder / "generator", given, folder / "reviser", test=test, recipe=recipe, progress=False)


def chains(folder: Path, plan: Plan, part: str, count: int, length: int) -> Pool:
    """``count`` chains of ``length`` attempts at each question of a part, unjudged; the first attempts of a chain are
    the same whatever its length."""
    model = HFModel(folder / "reviser")
    own = HFReviser(model, temperature=TEMPERATURE, max_new_tokens=LONGEST)
    problems = problems_of(plan.rows(folder, part))
    file = chains_file(folder, part, length)
    return draw_pool(problems, file, count, kind="chains", length=length, reviser=own, progress=False)


def chains_file(folder: Path, part: str, length: int) -> Path:
    """Where chains of this length are kept."""
    return folder / "pools" / f"{part}-chains-{length}.jsonl"
