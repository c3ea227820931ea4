"""The stages of the build, in order, with every number that shaped the bundled weights.

Knows: which model starts from which, on what data, for how long. Must not know: how training or sampling work.
Every stage writes into its own folder of OUT and is skipped when its result is there; training inside a stage resumes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import torch

from ttscale.reference._problems import questions
from ttscale.reference.build import collect, documents, evaluate, implicit, model, revision, train
from ttscale.reference.build.documents import Document, Mix
from ttscale.reference.build.model import Llama, Shape
from ttscale.reference.build.sampler import Sampler
from ttscale.reference.build.train import Plan

SHAPE = Shape(width=160, layers=5, heads=4, hidden=416)


def weights(folder: Path) -> Llama:
    """The model that a stage left in ``folder``, in full precision."""
    found = Llama(SHAPE)
    found.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return found


def finish(made: Llama, folder: Path) -> None:
    torch.save(made.state_dict(), folder / "weights.tmp")
    (folder / "weights.tmp").replace(folder / "weights.pt")


def learn(start: Llama, mix: Mix, plan: Plan, folder: Path) -> Llama:
    """Train on documents of one mix."""
    train.train(start, lambda index: documents.chunk(mix, index), plan, folder)
    return start


def arithmetic(out: Path) -> None:
    """A model that solves without slips: first whole solutions, then solutions and drills. Everything starts here."""
    torch.manual_seed(0)
    first = learn(
        Llama(SHAPE),
        Mix(several=0.0, only_correct=True, seed=7),
        Plan(steps=2000, stop=600, lr=4e-3, warmup=100, decay=0.5, batch_tokens=8192),
        out / "arithmetic" / "solutions",
    )
    drills = Mix(several=0.0, only_correct=True, seed=11, drills=0.6)
    for stop in (600, 800):  # the generator starts from the first, the verifier from the second
        plan = Plan(steps=20_000, stop=stop, lr=3e-3, warmup=50, decay=0.0, batch_tokens=4096, seed=11)
        first = learn(first, drills, plan, out / "arithmetic" / "drills")
        (out / "arithmetic" / str(stop)).mkdir(exist_ok=True)
        finish(first, out / "arithmetic" / str(stop))


def generator(out: Path) -> None:
    """The slipping student's imitator; half of its documents hold two to five attempts at one question."""
    made = learn(
        weights(out / "arithmetic" / "600"),
        Mix(several=0.5, seed=21, drills=0.3),
        Plan(steps=2000, lr=3e-3, warmup=50, decay=0.5, batch_tokens=4096, seed=21),
        out / "generator",
    )
    finish(made, out / "generator")


def verifier(out: Path) -> None:
    """The implicit verifier: outcomes of the student's solutions, first against the generator, then on its own."""
    torch.manual_seed(0)
    made = weights(out / "arithmetic" / "800")
    rows = collect.taught(questions(2500, "train", seed=501), 16, 501)
    lot = implicit.documents(rows, weights(out / "generator"))
    bias, scale = torch.nn.Parameter(torch.tensor(0.0)), torch.nn.Parameter(torch.tensor(0.6))
    train.train(
        made,
        lambda index: implicit.shuffled(lot, 1, index, 2000),
        Plan(steps=700, lr=1.5e-3, warmup=30, decay=0.7, batch_tokens=4096, seed=31),
        out / "verifier" / "ratio",
        implicit.make_loss(bias, scale, keep=0.5, last=2.0, reference_weight=1.0),
        [bias, scale],
    )
    torch.manual_seed(0)
    rows = collect.taught(questions(6000, "train", seed=701), 16, 701)
    more = implicit.documents(rows, None)
    bias, scale = torch.nn.Parameter(torch.tensor(2.0)), torch.nn.Parameter(torch.tensor(0.6))

    def chunk(index: int) -> list[Document]:
        rng = random.Random(f"v3/{index}")
        return implicit.shuffled(more, 1, index, 1500) + [implicit.drill(rng) for _ in range(300)]

    train.train(
        made,
        chunk,
        Plan(steps=900, lr=2e-3, warmup=30, decay=0.7, batch_tokens=4096, seed=32),
        out / "verifier" / "alone",
        implicit.make_loss(bias, scale, keep=0.5, last=2.0, reference_weight=0.0),
        [bias, scale],
    )
    finish(made, out / "verifier")


def pool(out: Path, split: str, count: int, samples: int, seed: int) -> list[collect.Sampled]:
    """Samples of the generator on a split, drawn once."""
    file = out / "pools" / f"{split}-{count}-{samples}-{seed}.jsonl"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        sampler = Sampler(weights(out / "generator"))
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        collect.write(part, collect.sample(sampler, questions(count, split, seed=seed), samples, seed))
        part.replace(file)
    return list(collect.read_rows(file))


def calibration(out: Path) -> tuple[float, float]:
    """Scale and bias of the verifier, from outcomes on validation questions."""
    rows = pool(out, "validation", 200, 16, 5)
    return implicit.calibrate(rows, implicit.scores(weights(out / "verifier"), None, rows))


def reviser(out: Path) -> None:
    """The paper's 3.8 on graded attempts; then contexts that mix right and wrong; then its own right and wrong ones."""
    rows = solved(collect.taught(questions(3000, "train", seed=601), 12, 601))

    def wrong_ones(index: int, count: int = 1000) -> list[Document]:
        rng = random.Random(f"rev/{index}")
        made = [revision.document(rng, rows[int(rng.random() * len(rows))], again=0.5) for _ in range(count)]
        return [document for document in made if document is not None]

    made = weights(out / "generator")
    plan = Plan(steps=900, lr=2e-3, warmup=30, decay=0.6, batch_tokens=4096, seed=41)
    train.train(made, wrong_ones, plan, out / "reviser" / "wrong")

    more = collect.taught(questions(8000, "train", seed=801), 16, 801)
    plan = Plan(steps=700, lr=2e-3, warmup=30, decay=0.7, batch_tokens=4096, seed=42)
    train.train(made, mixed(more, wrong=0.75, copied=0.3), plan, out / "reviser" / "mixed")

    problems = [problem for level in (2, 3, 4, 5) for problem in questions(600, "train", level, seed=901)]
    own = collect.sample(Sampler(made), problems, 8, 901)
    own += collect.taught(questions(1500, "train", seed=902), 16, 902)
    plan = Plan(steps=400, lr=1.5e-3, warmup=30, decay=0.7, batch_tokens=4096, seed=42)
    train.train(made, mixed(own, wrong=0.4, copied=0.45), plan, out / "reviser" / "own")
    finish(made, out / "reviser")


def solved(rows: list[collect.Sampled]) -> list[collect.Sampled]:
    """The questions that at least one solution answers rightly."""
    return [row for row in rows if any(right for _, _, right in row.solutions)]


def mixed(rows: list[collect.Sampled], wrong: float, copied: float) -> Callable[[int], list[Document]]:
    """Lots of chains whose contexts mix right and wrong attempts."""
    usable = solved(rows)

    def chunk(index: int, count: int = 1000) -> list[Document]:
        rng = random.Random(f"rev2/{index}")
        made = [
            revision.mixed_document(rng, usable[int(rng.random() * len(usable))], wrong, copied) for _ in range(count)
        ]
        return [document for document in made if document is not None]

    return chunk


def measure(out: Path) -> None:
    """The numbers of the model card, on test questions."""
    scale, bias = calibration(out)
    rows = pool(out, "test", 500, 16, 0)
    report = {
        "search": evaluate.search_report(weights(out / "generator"), weights(out / "verifier"), rows, scale, bias, 0),
        "revision": evaluate.revision_report(weights(out / "reviser"), 500, 8, 0),
        "training": evaluate.records(out),
        "calibration": {"scale": scale, "bias": bias},
    }
    (out / "results.json").write_text(json.dumps(report, indent=1) + "\n")


def export(out: Path, into: Path) -> None:
    """Write the three models as users load them."""
    for name in ("generator", "verifier", "reviser"):
        model.save(weights(out / name), into / name)
    implicit.save_calibration(into / "verifier", *calibration(out))


STAGES: dict[str, Callable[[Path], None]] = {
    "arithmetic": arithmetic,
    "generator": generator,
    "verifier": verifier,
    "reviser": reviser,
    "measure": measure,
    "export": lambda out: export(out, out / "models"),
}


def run(names: list[str], out: Path, log: Callable[[str], None] = print) -> None:
    """Run stages in order; one that is done is skipped."""
    unknown = sorted(set(names) - set(STAGES))
    if unknown:
        raise ValueError(f"Unknown stage {unknown[0]!r}; choose among {', '.join(STAGES)}.")
    for name, stage in STAGES.items():
        if names and name not in names:
            continue
        done = out / name / "done.json"
        if done.exists():
            log(f"{name}: done before")
            continue
        log(f"{name}: running")
        (out / name).mkdir(parents=True, exist_ok=True)
        stage(out)
        done.write_text(json.dumps({"stage": name}) + "\n")
