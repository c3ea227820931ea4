"""Run the study, or one stage of it; each can be stopped and started again.

    python -m benchmarks.real_study [STAGE ...] --work DIR [--reduced]

Stages: split sft pools verifiers gate reviser draw analyse page. Without one, all of them in this order.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.real_study import gate, questions, verifiers
from benchmarks.real_study.plan import DELIMITER, FULL, PROMPT, REDUCED, Plan, model_folder, natural_questions
from benchmarks.real_study.solutions import pool, problems_of

from ttscale.training import read_solutions, train_sft

TRAINED = (verifiers.HEAD, verifiers.RIGHT, verifiers.ORM, verifiers.RATIO, verifiers.DISTILLED)


def split(folder: Path, plan: Plan) -> None:
    """The questions into their four parts."""
    questions.write(questions.split(natural_questions()), folder / "questions")


def sft(folder: Path, plan: Plan) -> None:
    """The generator, from worked solutions."""
    wanted = {row.id for row in plan.rows(folder, "sft")}
    given = [e for e in read_solutions(folder / "questions" / "sft.jsonl") if e.id in wanted]
    out, recipe = folder / "generator", plan.sft_recipe
    train_sft(model_folder(), given, out, recipe=recipe, prompt=PROMPT, delimiter=DELIMITER, progress=False)


def pools(folder: Path, plan: Plan) -> None:
    """Solutions of the training and the validation questions."""
    for part, samples in (("train", plan.train_samples), ("validation", plan.validation_samples)):
        drawn = pool(folder, plan, part, samples).of(problems_of(plan.rows(folder, part)))
        right = [float(one.correct.mean()) for one in drawn.graded()]
        print(f"{part}: {len(right)} questions, pass@1 {sum(right) / len(right):.3f}", flush=True)


def train_verifiers(folder: Path, plan: Plan) -> None:
    """Every trained recipe."""
    for name in TRAINED:
        began = time.process_time()
        verifiers.train(name, folder, plan)
        print(f"{name}: {time.process_time() - began:.0f} CPU seconds", flush=True)


def rank(folder: Path, plan: Plan) -> None:
    """Every verifier on the validation questions."""
    there = [name for name in TRAINED if (folder / "verifiers" / verifiers.slug(name)).is_dir()]
    names = [*verifiers.FREE, *there, *([verifiers.RIGHT_ALONE] if verifiers.RIGHT in there else [])]
    found = gate.measure(folder, plan, names)
    for name, row in found["rows"].items():
        print(f"{name:45} {json.dumps(row['pair accuracy'])}")


STAGES: dict[str, Callable[[Path, Plan], None]] = {
    "split": split,
    "sft": sft,
    "pools": pools,
    "verifiers": train_verifiers,
    "gate": rank,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--work", type=Path, required=True, help="folder for models, pools and records")
    parser.add_argument("--reduced", action="store_true", help="twenty questions, N = 4: shows that every stage runs")
    options = parser.parse_args()
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"unknown stage {sorted(unknown)[0]!r}; known: {', '.join(STAGES)}")
    for name in options.stages or STAGES:
        began, cpu = time.monotonic(), time.process_time()
        STAGES[name](options.work, REDUCED if options.reduced else FULL)
        print(f"{name}: {time.process_time() - cpu:.0f} CPU seconds, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
