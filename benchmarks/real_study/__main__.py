"""Run the study, or some stages of it; each can be stopped and started again.

    python -m benchmarks.real_study [STAGE ...] --work DIR [--jobs N] [--reduced]

Without a stage: all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

from benchmarks.real_study import analyse, draw, gate, matched, questions, reviser, times, transfer, verifiers
from benchmarks.real_study.plan import (
    DELIMITER,
    FULL,
    PROMPT,
    REDUCED,
    RESULTS,
    RIGHT,
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


def smaller(folder: Path, plan: Plan) -> None:
    """The smaller model, if there is one."""
    if plan.layers is None:
        return
    out = matched.folder_of(folder)
    matched.cut(model_folder(), out / "base", plan.layers)
    split(out, plan)
    sft(out, plan, out / "base")


def sft(folder: Path, plan: Plan, base: Path | None = None) -> None:
    """The generator, from worked solutions; ``base`` None is the pre-trained model."""
    wanted = {row.id for row in plan.rows(folder, "sft")}
    given = [e for e in read_solutions(folder / "questions" / "sft.jsonl") if e.id in wanted]
    with plain_attention():
        train_sft(
            base or model_folder(),
            given,
            folder / "generator",
            recipe=plan.sft_recipe,
            prompt=PROMPT,
            delimiter=DELIMITER,
            progress=False,
        )


def pools(folder: Path, plan: Plan) -> None:
    """Solutions of the training and the validation questions."""
    for part, samples in (("train", plan.train_samples), ("validation", plan.validation_samples)):
        drawn = pool(folder, plan, part, samples).of(problems_of(plan.rows(folder, part)))
        right = [float(one.correct.mean()) for one in drawn.graded()]
        print(f"{part}: {len(right)} questions, pass@1 {sum(right) / len(right):.3f}", flush=True)


def train_verifiers(folder: Path, plan: Plan) -> None:
    """The model of right solutions."""
    train(folder, plan, RIGHT)


def train_heads(folder: Path, plan: Plan) -> None:
    """The other recipes, heads on the generator's trunk."""
    for name in plan.recipes:
        if name != RIGHT:
            train(folder, plan, name)


def train(folder: Path, plan: Plan, name: str) -> None:
    """A verifier; what is trained already is left as it is."""
    with plain_attention():
        verifiers.train(name, folder, plan)


def rank(folder: Path, plan: Plan) -> None:
    """Every verifier on the validation questions."""
    found = gate.measure(folder, plan, draw.scorers(folder, plan))
    for name, row in found["rows"].items():
        print(f"{name:45} {json.dumps(row['pair accuracy'])}")


def train_reviser(folder: Path, plan: Plan) -> None:
    """Every reviser, and its chains on the validation questions."""
    for name in plan.revisers:
        with plain_attention():
            reviser.train(folder, plan, name)
    for name, steps in reviser.measure(folder, plan).items():
        for step in steps:
            print(f"{name:25} {json.dumps(step)}")


def samples(folder: Path, plan: Plan) -> None:
    """Samples of the test questions."""
    draw.samples(folder, plan)
    draw.more_samples(folder, plan)


def judge_samples(folder: Path, plan: Plan) -> None:
    """The verifiers' scores of the test samples."""
    draw.scores(folder, plan)


def searches(folder: Path, plan: Plan) -> None:
    """Searches over steps with the verifier that ranked best."""
    draw.searches(folder, plan, draw.main_arms(plan), draw.asked(folder, plan))


def more_searches(folder: Path, plan: Plan) -> None:
    """Other searches, on fewer questions."""
    draw.searches(folder, plan, draw.more_arms(plan), draw.asked(folder, plan)[: plan.many_questions])


def revisions(folder: Path, plan: Plan) -> None:
    """Chains of revisions on the test questions."""
    for length in plan.lengths:
        drawn = draw.revisions(folder, plan, length)
        if plan.judge_attempts:
            draw.attempt_scores(folder, plan, drawn)


def aggregation(folder: Path, plan: Plan) -> None:
    """Recursive aggregation by the reviser, where other searches are drawn too."""
    if plan.more_arms:
        draw.aggregation(folder, plan)


def against_larger(folder: Path, plan: Plan) -> None:
    """The generator's greedy answers, and the smaller model's samples."""
    if plan.layers is not None:
        matched.answers(folder, plan)
        matched.samples(folder, plan)
        matched.sizes(folder)


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


Stage = Callable[[Path, Plan], None]
STAGES: dict[str, tuple[Stage, tuple[str, ...]]] = {
    "split": (split, ()),
    "sft": (sft, ("split",)),
    "pools": (pools, ("sft",)),
    "verifiers": (train_verifiers, ("pools",)),
    "heads": (train_heads, ("pools",)),
    "gate": (rank, ("verifiers", "heads")),
    "searches": (searches, ("gate",)),
    "reviser": (train_reviser, ("pools",)),
    "revisions": (revisions, ("reviser", "gate")),
    "more": (more_searches, ("gate",)),
    "aggregation": (aggregation, ("reviser",)),
    "samples": (samples, ("sft",)),
    "smaller": (smaller, ("split",)),
    "scores": (judge_samples, ("samples", "gate")),
    "matched": (against_larger, ("sft", "smaller")),
    "transfer": (other_questions, ("gate",)),
}
"""What each stage does, and the stages it builds on; of those that could run, the first runs first."""
STAGES["analyse"] = (write_results, tuple(STAGES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--work", type=Path, required=True, help="folder for models, pools and records")
    parser.add_argument("--reduced", action="store_true", help="twenty questions, N = 4: shows that every stage runs")
    parser.add_argument("--jobs", type=int, default=1, help="stages that run at the same time, one thread each")
    options = parser.parse_args()
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"unknown stage {sorted(unknown)[0]!r}; known: {', '.join(STAGES)}")
    asked = [name for name in STAGES if name in options.stages] or [*STAGES]
    if BF16:  # for training: half the time; twenty times as long on a CPU without it
        os.environ.setdefault("ACCELERATE_MIXED_PRECISION", "bf16")
    if options.jobs > 1:
        side_by_side(asked, options)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    for name in asked:
        work = partial(STAGES[name][0], options.work, REDUCED if options.reduced else FULL)
        print(times.timed(options.work, name, work), flush=True)


def side_by_side(asked: Sequence[str], options: argparse.Namespace) -> None:
    """Each stage in a process of its own, as soon as those that it builds on have ended; none more after a failure."""
    command = [sys.executable, "-m", "benchmarks.real_study", "--work", str(options.work)]
    command += ["--reduced"] if options.reduced else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    waiting, running = [*asked], dict[Future[int], str]()
    with ThreadPoolExecutor(options.jobs) as processes:
        while waiting or running:
            open_ = {*waiting, *running.values()}
            ready = [name for name in waiting if not open_ & {*STAGES[name][1]}]
            for name in ready[: options.jobs - len(running)]:
                waiting.remove(name)
                work = partial(subprocess.call, [*command, name], env=environment)
                running[processes.submit(work)] = name
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for one in ended:
                name = running.pop(one)
                if one.result():
                    sys.exit(f"stage {name} failed; what has ended is kept, and the same command goes on from there")


if __name__ == "__main__":
    main()
