"""The stages of the build, in order, with every number that shaped the bundled weights.

Knows: which model starts from which, on what data, for how long. Must not know: how training or sampling work.
Every stage writes into its own folder of OUT and is skipped when its result is there; training inside a stage resumes.
Over 300 lines: the whole recipe stands in one file, in order.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import torch
from tools.reference_models import collect, documents, evaluate, grow, implicit, model, prm, revision, train
from tools.reference_models.artifacts import (
    EXTRA,
    SHAPE,
    classifier,
    finish,
    harder,
    lots,
    many_chains,
    one_of,
    own_chains,
    pool,
    shipped,
    solved,
    weights,
)
from tools.reference_models.documents import Document, Mix
from tools.reference_models.model import Llama
from tools.reference_models.sampler import Sampler
from tools.reference_models.train import Plan

from ttscale.reference.problems import questions

REVISER_TEMPERATURE = 0.5


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


def calibration(out: Path, name: str = "verifier") -> tuple[float, float]:
    """Scale and bias of a verifier, from outcomes on validation questions."""
    rows = pool(out, "validation", 500, 16, 5)
    return implicit.calibrate(rows, margins(out, name, rows))


def margins(out: Path, name: str, rows: list[collect.Sampled]) -> list[list[list[float]]]:
    """What a verifier says of each step of each solution, before calibration."""
    if name == "verifier":
        return implicit.bent(implicit.scores(shipped(out / name), None, rows))
    return prm.scores(classifier(out / name), rows)


def reviser(out: Path) -> None:
    """Graded attempts, then whole chains of its own, the last two rounds averaged.

    How the rounds compare on validation questions goes to ``reviser/results.json``.
    """
    if not (out / "reviser" / "own" / "weights.pt").exists():
        _on_attempts(out / "reviser")
    _on_chains(out / "reviser")
    rounds = ("own", "kept", "u1", "v1", "")
    report = {name or "mean": _by_temperature(shipped(out / "reviser" / name)) for name in rounds}
    (out / "reviser" / "results.json").write_text(json.dumps(report, indent=1) + "\n")


def _on_attempts(folder: Path) -> None:
    """The paper's 3.8 on graded attempts; then contexts that mix right and wrong; then its own right and wrong ones."""
    rows = solved(collect.taught(questions(3000, "train", seed=601), 12, 601))
    made = weights(folder.parent / "generator")
    plan = Plan(steps=900, lr=2e-3, warmup=30, decay=0.6, batch_tokens=4096, seed=41)
    train.train(
        made, lots("rev", lambda rng: revision.document(rng, one_of(rng, rows), again=0.5)), plan, folder / "wrong"
    )

    more = solved(collect.taught(questions(8000, "train", seed=801), 16, 801))
    plan = Plan(steps=700, lr=2e-3, warmup=30, decay=0.7, batch_tokens=4096, seed=42)
    train.train(
        made,
        lots("rev2", lambda rng: revision.mixed_document(rng, one_of(rng, more), wrong=0.75, copied=0.3)),
        plan,
        folder / "mixed",
    )

    problems = [problem for level in (2, 3, 4, 5) for problem in questions(600, "train", level, seed=901)]
    own = collect.sample(Sampler(made), problems, 8, 901)
    own = solved(own + collect.taught(questions(1500, "train", seed=902), 16, 902))
    plan = Plan(steps=400, lr=1.5e-3, warmup=30, decay=0.7, batch_tokens=4096, seed=42)

    def sampled(rng: random.Random) -> Document | None:
        return revision.mixed_document(rng, one_of(rng, own), wrong=0.4, copied=0.45)

    train.train(made, lots("rev2", sampled), plan, folder / "own")
    finish(made, folder / "own")


def _on_chains(folder: Path) -> None:
    """First to keep what is right; then, in two rounds, to revise a first attempt that stays the student's.

    Each round leaves noise of its own; the mean of the last two turns a right attempt wrong less often than either.
    """
    made = shipped(folder / "own")
    chains = many_chains(folder / "kept.jsonl", made, 6000, 1301, student_first=False)
    draw = harder(chains, 0, 0.4)
    train.train(
        made,
        lots("own chains", lambda rng: revision.own_document(rng, draw(rng))),
        Plan(steps=1300, lr=1.2e-3, warmup=30, decay=0.9, batch_tokens=4096, seed=43),
        folder / "kept",
    )
    finish(made, folder / "kept")
    for name, seed, alone in (("u1", 1401, 0.12), ("v1", 1501, 0.15)):
        chains = many_chains(folder / f"{name}.jsonl", made, 6000, seed, student_first=True)
        plan = Plan(steps=2000, lr=1.2e-3, warmup=30, decay=0.9, batch_tokens=4096, seed=seed)
        train.train(made, _later(name, chains, alone), plan, folder / name)
        finish(made, folder / name)
    finish(grow.mean_of([weights(folder / name) for name in ("u1", "v1")]), folder)


def _by_temperature(made: Llama) -> dict[str, object]:
    """Chains of a reviser on validation questions, hot and as it ships."""
    sampler = Sampler(made, 192, revision.LONGEST_CHAIN)
    problems = questions(300, "validation", seed=78)
    return {
        f"temperature {temperature}": evaluate.revision_report(revision.chains(sampler, problems, 8, 9, temperature))
        for temperature in (1.0, REVISER_TEMPERATURE)
    }


def _later(name: str, chains: list[revision.Own], alone: float) -> Callable[[int], list[Document]]:
    draw = harder(chains, 1, 0.3)
    return lots(f"own chains/{name}", lambda rng: revision.later_document(rng, draw(rng), alone, apart=0.25))


def step_verifier(out: Path) -> None:
    """The discriminative PRM: soft Monte-Carlo values of the steps, three blocks on top of the verifier's trunk.

    Outcomes of the generator's own samples join them: it slips in ways that the student, whose solutions have the
    values, does not. What the verifier expects of each token is taught beside.
    """
    torch.manual_seed(0)
    base = shipped(out / "verifier")
    rows = collect.taught(questions(8000, "train", seed=1001), 16, 1001)
    rng = random.Random("prm")
    lot = prm.documents(rows, [prm.values(rng, row, 16) for row in rows])
    rows = pool(out, "train", 3000, 16, 1002)
    lot += prm.documents(rows, [prm.outcomes(row) for row in rows])
    made = prm.StepClassifier(grow.deepen(base, EXTRA))
    train.train(
        made,
        lambda index: implicit.shuffled(lot, 1, index, 2000),
        Plan(steps=4500, lr=3e-3, warmup=30, decay=0.7, batch_tokens=4096, seed=51, save_every=50),
        out / "prm",
        prm.make_loss(teacher=base),
    )
    finish(made, out / "prm")


def revision_orm(out: Path) -> None:
    """The paper's separate verifier for revisions: the PRM taught by the outcomes of the reviser's own chains, the
    earlier attempts in its context. The chains are drawn at temperature 1, where more attempts are wrong."""
    chains = own_chains(out / "orm" / "chains.jsonl", shipped(out / "reviser"), 600, 6, seed=1101)

    def one(rng: random.Random) -> Document | None:
        return prm.revision_document(rng, *one_of(rng, chains))

    made = classifier(out / "prm")
    plan = Plan(steps=1200, lr=1.5e-3, warmup=15, decay=0.7, batch_tokens=4096, seed=61, save_every=50)
    train.train(made, lots("orm", one), plan, out / "orm", prm.make_loss(teacher=shipped(out / "verifier")))
    finish(made, out / "orm")


def ladder(out: Path) -> None:
    """A generator 14 times as large, for the comparison at equal FLOPs: the small one, grown, and taught on.

    The same lessons from nothing would cost 14 times what they cost the small one. It does not ship, its results do.
    """
    torch.manual_seed(0)
    made = grow.deepen(grow.widen(shipped(out / "generator"), 3, noise=0.05), EXTRA)
    plan = Plan(steps=40, lr=1e-3, warmup=5, decay=0.7, batch_tokens=4096, seed=71, save_every=10)
    learn(made, Mix(several=0.5, seed=71, drills=0.3), plan, out / "ladder")
    model.save(made, out / "models" / "large")


def measure(out: Path) -> None:
    """The numbers of the model card, on test questions."""
    rows = pool(out, "test", 500, 16, 0)
    report: dict[str, object] = {}
    for name in ("verifier", "prm"):
        report[name] = evaluate.search_report(
            shipped(out / "generator"), rows, margins(out, name, rows), *calibration(out, name)
        )
    sampler = Sampler(shipped(out / "reviser"), 192, revision.LONGEST_CHAIN)
    chains = revision.chains(sampler, questions(500, "test", seed=0), 8, 0, REVISER_TEMPERATURE)
    report["revision"] = evaluate.revision_report(chains)
    report["chains"] = on_chains(out)
    report["training"] = evaluate.records(out)
    (out / "results.json").write_text(json.dumps(report, indent=1) + "\n")


def export(out: Path) -> None:
    """Write the models as users load them."""
    into = out / "models"
    for name, temperature in (("generator", 1.0), ("verifier", 1.0), ("reviser", REVISER_TEMPERATURE)):
        model.save(weights(out / name), into / name, temperature)
    implicit.save_calibration(into / "verifier", *calibration(out))
    prm.save(classifier(out / "prm"), into / "prm", *calibration(out, "prm"))
    prm.save(classifier(out / "orm"), into / "orm", *orm_calibration(out), kind="orm")


def orm_calibration(out: Path) -> tuple[float, float]:
    """Scale and bias of the revision ORM, from the outcomes of the reviser's chains on validation questions."""
    chains = chain_pool(out, "validation", 200, 5)
    return implicit.calibrate(prm.attempts(chains), prm.chain_scores(classifier(out / "orm"), chains))


def chain_pool(out: Path, split: str, count: int, seed: int) -> list[revision.Own]:
    """Chains of the reviser on a split, drawn once, at temperature 1, where more attempts are wrong."""
    file = out / "pools" / f"{split}-chains-{count}-{seed}.jsonl"
    return own_chains(file, shipped(out / "reviser"), count, 6, seed, split)


def on_chains(out: Path) -> dict[str, object]:
    """How the verifiers rank the attempts of a chain: two see one attempt at a time, the ORM those before it too."""
    chains = chain_pool(out, "test", 500, 0)
    rows = prm.attempts(chains)
    report: dict[str, object] = {
        name: evaluate.chain_report(rows, margins(out, name, rows), *calibration(out, name))
        for name in ("verifier", "prm")
    }
    scores = prm.chain_scores(classifier(out / "orm"), chains)
    return report | {"orm": evaluate.chain_report(rows, scores, *orm_calibration(out))}


STAGES: dict[str, Callable[[Path], None]] = {
    "arithmetic": arithmetic,
    "generator": generator,
    "verifier": verifier,
    "prm": step_verifier,
    "reviser": reviser,
    "orm": revision_orm,
    "export": export,
    "measure": measure,
    "ladder": ladder,
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
