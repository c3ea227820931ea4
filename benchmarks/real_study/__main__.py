"""Run the study, or one stage of it; each can be stopped and started again.

    python -m benchmarks.real_study [STAGE ...] --work DIR [--reduced]

Stages: split sft larger pools verifiers gate reviser samples searches revisions more matched transfer
analyse. Without one: all.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.real_study import analyse, draw, gate, matched, questions, reviser, transfer, verifiers
from benchmarks.real_study.plan import (
    DELIMITER,
    FULL,
    PROMPT,
    REDUCED,
    RESULTS,
    Plan,
    model_folder,
    natural_questions,
)
from benchmarks.real_study.solutions import BF16, pool, problems_of
from torch.nn.attention import SDPBackend, sdpa_kernel

from ttscale.training import read_solutions, train_sft

plain_attention = partial(sdpa_kernel, SDPBackend.MATH)
"""For training: the fused backward on a CPU in bf16 sets up a matrix product for every head of every row."""


def split(folder: Path, plan: Plan) -> None:
    """The questions into their four parts."""
    questions.write(questions.split(natural_questions()), folder / "questions")


def sft(folder: Path, plan: Plan) -> None:
    """The generator, from worked solutions."""
    fine_tune(folder, plan, model_folder(), folder / "generator")


def larger(folder: Path, plan: Plan) -> None:
    """The larger model, if there is one, fine-tuned on the same solutions in the same way."""
    if plan.larger is not None:
        fine_tune(folder, plan, model_folder(plan.larger), folder / "larger")


def fine_tune(folder: Path, plan: Plan, base: Path, out: Path) -> None:
    """A pre-trained model into one that solves the study's questions."""
    wanted = {row.id for row in plan.rows(folder, "sft")}
    given = [e for e in read_solutions(folder / "questions" / "sft.jsonl") if e.id in wanted]
    with plain_attention():
        train_sft(base, given, out, recipe=plan.sft_recipe, prompt=PROMPT, delimiter=DELIMITER, progress=False)


def pools(folder: Path, plan: Plan) -> None:
    """Solutions of the training and the validation questions."""
    for part, samples in (("train", plan.train_samples), ("validation", plan.validation_samples)):
        drawn = pool(folder, plan, part, samples).of(problems_of(plan.rows(folder, part)))
        right = [float(one.correct.mean()) for one in drawn.graded()]
        print(f"{part}: {len(right)} questions, pass@1 {sum(right) / len(right):.3f}", flush=True)


def train_verifiers(folder: Path, plan: Plan) -> None:
    """Every trained recipe."""
    for name in plan.recipes:
        began = time.process_time()
        with plain_attention():
            verifiers.train(name, folder, plan)
        print(f"{name}: {time.process_time() - began:.0f} CPU seconds", flush=True)


def rank(folder: Path, plan: Plan) -> None:
    """Every verifier on the validation questions."""
    found = gate.measure(folder, plan, draw.scorers(folder, plan))
    for name, row in found["rows"].items():
        print(f"{name:45} {json.dumps(row['pair accuracy'])}")


def train_reviser(folder: Path, plan: Plan) -> None:
    """Every reviser, and its chains on the validation questions."""
    for name in plan.revisers:
        began = time.process_time()
        with plain_attention():
            reviser.train(folder, plan, name)
        print(f"{name}: {time.process_time() - began:.0f} CPU seconds", flush=True)
    for name, steps in reviser.measure(folder, plan).items():
        for step in steps:
            print(f"{name:25} {json.dumps(step)}")


def samples(folder: Path, plan: Plan) -> None:
    """Samples of the test questions, with each trained verifier's scores."""
    draw.samples(folder, plan)
    draw.scores(folder, plan)


def searches(folder: Path, plan: Plan) -> None:
    """Searches over steps with the verifier that ranked best."""
    draw.searches(folder, plan)


def revisions(folder: Path, plan: Plan) -> None:
    """Chains of revisions on the test questions."""
    for length in plan.lengths:
        began = time.process_time()
        drawn = draw.revisions(folder, plan, length)
        if plan.judge_attempts:
            draw.attempt_scores(folder, plan, drawn)
        print(f"chains of {length}: {time.process_time() - began:.0f} CPU seconds", flush=True)


def larger_answers(folder: Path, plan: Plan) -> None:
    """The larger model's greedy answers to the test questions, and what a sample of the generator costs."""
    if plan.larger is not None:
        matched.answers(folder, plan)
        matched.prices(folder, plan)


def more_samples(folder: Path, plan: Plan) -> None:
    """More samples of the test questions, with scores, and recursive aggregation."""
    draw.more_samples(folder, plan)
    draw.scores(folder, plan)
    draw.aggregation(folder, plan)


def other_questions(folder: Path, plan: Plan) -> None:
    """Samples of SVAMP and GSM8K."""
    for name in transfer.FILES:
        if transfer.problems(name, plan):
            transfer.samples(folder, plan, name)
            transfer.judged(folder, plan, name)


def write_results(folder: Path, plan: Plan) -> None:
    """``real_study.json``: into the repository for the full study, else into the work folder."""
    file = RESULTS if plan is FULL else folder / RESULTS.name
    file.write_text(json.dumps(analyse.results(folder, plan), indent=1) + "\n", encoding="utf-8")


if BF16:  # for training: half the time; twenty times as long on a CPU without it
    os.environ.setdefault("ACCELERATE_MIXED_PRECISION", "bf16")

STAGES: dict[str, Callable[[Path, Plan], None]] = {
    "split": split,
    "sft": sft,
    "larger": larger,
    "pools": pools,
    "verifiers": train_verifiers,
    "gate": rank,
    "reviser": train_reviser,
    "samples": samples,
    "searches": searches,
    "revisions": revisions,
    "more": more_samples,
    "matched": larger_answers,
    "transfer": other_questions,
    "analyse": write_results,
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
        note(options.work / "times.json", name, time.process_time() - cpu)
        print(f"{name}: {time.process_time() - cpu:.0f} CPU seconds, {time.monotonic() - began:.0f} s", flush=True)


def note(file: Path, stage: str, seconds: float) -> None:
    """Add to the CPU seconds of a stage; a stage that was stopped has only those of its finished starts."""
    times = json.loads(file.read_text()) if file.is_file() else {}
    times[stage] = round(times.get(stage, 0) + seconds)
    file.write_text(json.dumps(times))


if __name__ == "__main__":
    main()
