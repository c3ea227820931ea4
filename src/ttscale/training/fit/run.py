"""A training run from features to a folder that inference loads: refusals first, one record at the end.

Knows folders, records and the order of things. Must not know what a feature means. The folder holds ``checkpoints/``
while training goes on; when the record ``ttscale_training.json`` is there, the model is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from ttscale.core.checks import differences
from ttscale.core.idioms import needed
from ttscale.evaluation.problems.problem import WithQuestion
from ttscale.evaluation.problems.splits import E, fingerprints, sides
from ttscale.hf.model import default_device
from ttscale.training.fit.arguments import questions_of
from ttscale.training.fit.checkpoints import (
    ModelKind,
    architecture_of,
    check_ids,
    load_model,
    load_trained,
    pad_id,
    saved_dtype,
)
from ttscale.training.fit.objectives import Objective
from ttscale.training.fit.recipe import Recipe
from ttscale.training.fit.trainer import Evaluation, Feature, Fit, fit, needs_room

RECORD = "ttscale_training.json"
ONLY_MEMORY = ("micro_batch", "gradient_checkpointing")
"""Settings that may change between two starts of a run: when memory was short, say."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run did. It is stored as ``ttscale_training.json`` in the model's folder."""

    path: Path
    base: str
    step: int
    """Optimizer steps of the checkpoint that was taken."""
    validation_loss: float
    curve: tuple[Evaluation, ...]
    examples: int
    held_out: int
    skipped: dict[str, int]
    """Examples left out, by reason."""
    notes: tuple[str, ...]
    measured: dict[str, Any]
    """What was measured on the held-out questions with the chosen checkpoint."""
    seconds: float

    def __str__(self) -> str:
        lines = [
            f"{self.path}: step {self.step} of {self.curve[-1].step}, validation loss {self.validation_loss:.4f}, "
            f"{self.examples} examples, {self.held_out} held out, {self.seconds:.0f} s"
        ]
        lines += [f"left out: {count} {reason}" for reason, count in self.skipped.items()]
        lines += [f"{name}: {value}" for name, value in self.measured.items()]
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True, slots=True)
class Data:
    """Features of the two sides, what was left out on the way, and the questions they came from."""

    training: Sequence[Feature]
    held_out: Sequence[Feature]
    skipped: Mapping[str, int]
    questions: Sequence[str]
    """Fingerprints of the training questions and of the held-out ones."""

    def digest(self) -> str:
        """A hash of everything that is trained and validated on. (Not ``reference``, which a model computed.)"""
        hashed = hashlib.blake2b(digest_size=16)
        for side in (self.training, self.held_out):
            for feature in side:
                kept = {name: value for name, value in feature.items() if name != "reference"}
                hashed.update(json.dumps(kept, sort_keys=True).encode() + b"\n")
            hashed.update(b"\n")
        return hashed.hexdigest()


FinishModel = Callable[[Any, Path], dict[str, Any]]
"""Called with the chosen model and its folder before it is saved: may adjust it, writes its settings, measures it."""


def run(
    base: str | os.PathLike[str],
    out: str | os.PathLike[str],
    task: ModelKind,
    objective: Objective,
    data: Data,
    tokenizer: Any,
    recipe: Recipe,
    settings: Mapping[str, Any],
    finish: FinishModel,
    progress: bool,
) -> TrainingResult:
    """Train, choose, finish, save. The same call again goes on after a kill, and does nothing when all is done."""
    with needed("training needs accelerate: pip install 'ttscale[train]'"):
        from accelerate import PartialState
    processes = PartialState()
    folder = Path(out)
    started = time.monotonic()
    identity: dict[str, Any] = {
        "base": os.path.realpath(base) if os.path.isdir(base) else os.fspath(base),
        "architecture": architecture_of(base),
        "recipe": {name: value for name, value in asdict(recipe).items() if name not in ONLY_MEMORY},
        "settings": dict(settings),
        "data": data.digest(),
    }
    identity = json.loads(json.dumps(identity))
    done = _finished(folder, identity)
    checkpoints = folder / "checkpoints"
    if done is not None:
        if processes.is_main_process:
            shutil.rmtree(checkpoints, ignore_errors=True)  # left by a kill between the record and this line
        return done
    _check_unfinished(checkpoints, identity)
    check_ids(base, tokenizer, (*data.training, *data.held_out))
    model = load_model(base, task, recipe)
    if processes.is_main_process:
        with needs_room(folder, "nothing was begun", "the training then begins"):
            _write(checkpoints / "run.json", identity)
    processes.wait_for_everyone()
    went = fit(model, data.training, data.held_out, objective, recipe, checkpoints, pad_id(tokenizer), progress)
    del model
    if processes.is_main_process:
        measured = _save(base, folder, task, went, recipe, tokenizer, finish)
        result = _result(base, folder, went, data, measured, time.monotonic() - started)
        _write(folder / RECORD, _record(result, identity, data))
        shutil.rmtree(checkpoints)
    processes.wait_for_everyone()
    return read_result(folder)


def _save(
    base: str | os.PathLike[str],
    folder: Path,
    task: ModelKind,
    went: Fit,
    recipe: Recipe,
    tokenizer: Any,
    finish: FinishModel,
) -> dict[str, Any]:
    """Write the chosen model whole; returns what was measured on it."""
    trained = load_trained(base, went.checkpoint, task, recipe).to(default_device())
    trained = trained.to(saved_dtype(base)).to(torch.float32)  # measured and calibrated as it will be read again
    with needs_room(folder, "training is done and its checkpoint is safe", "the model is then saved"):
        measured = finish(trained, folder)
        trained.to(saved_dtype(base)).save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
    return measured


def _result(
    base: str | os.PathLike[str], folder: Path, went: Fit, data: Data, measured: dict[str, Any], seconds: float
) -> TrainingResult:
    chosen = went.curve[went.chosen]
    return TrainingResult(
        path=folder,
        base=os.fspath(base),
        step=chosen.step,
        validation_loss=chosen.loss,
        curve=went.curve,
        examples=len(data.training),
        held_out=len(data.held_out),
        skipped=dict(data.skipped),
        notes=() if went.turned else ("The validation loss was still falling at the end: more epochs may help.",),
        measured=measured,
        seconds=seconds,
    )


def read_result(folder: str | os.PathLike[str]) -> TrainingResult:
    """The record of a finished run."""
    row = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))["result"]
    curve = tuple(Evaluation(**point) for point in row.pop("curve"))
    notes = tuple(row.pop("notes"))
    return TrainingResult(**{**row, "path": Path(folder)}, curve=curve, notes=notes)


def split(
    base: str | os.PathLike[str],
    examples: Sequence[E],
    validation: Iterable[E] | None,
    test: Iterable[WithQuestion],
    recipe: Recipe,
) -> tuple[list[E], list[E]]:
    """(training, held-out) examples: no question on two sides, none of ``test`` in the lessons of the base either."""
    measured = questions_of(test)
    check_untrained(base, measured)
    return sides(examples, validation, measured, recipe.held_out, recipe.seed)


def check_untrained(folder: str | os.PathLike[str], questions: Iterable[WithQuestion]) -> None:
    """Refuse to measure a checkpoint trained here on questions it was trained on. Silent where there is no record."""
    seen = seen_by(Path(folder))
    shared = sorted({q.id for q in questions if set(fingerprints([q])) & seen})
    if shared:
        raise ValueError(
            f"{len(shared)} of the questions were in the training data of {os.fspath(folder)!r}: "
            f"{', '.join(map(repr, shared[:5]))}{' ...' if len(shared) > 5 else ''}; "
            "numbers measured on them would mean nothing: use other questions"
        )


def seen_by(folder: Path) -> set[str]:
    """Fingerprints of the questions that a checkpoint trained here was trained on; none where there is no record."""
    record = folder / RECORD
    return set(json.loads(record.read_text(encoding="utf-8"))["training_questions"]) if record.is_file() else set()


def _finished(folder: Path, identity: Mapping[str, Any]) -> TrainingResult | None:
    if not (folder / RECORD).is_file():
        if any(folder.glob("*.safetensors")) and not (folder / "checkpoints").is_dir():
            raise ValueError(f"{folder} already holds a model that was not trained here; choose another folder")
        return None
    stored = json.loads((folder / RECORD).read_text(encoding="utf-8"))["identity"]
    _compare(stored, identity, folder, "holds a model that was trained")
    return read_result(folder)


def _check_unfinished(checkpoints: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to go on with another run's checkpoints."""
    mark = checkpoints / "run.json"
    if mark.is_file() and any(checkpoints.glob("checkpoint-*")):
        stored = json.loads(mark.read_text(encoding="utf-8"))
        _compare(stored, identity, checkpoints.parent, "holds an unfinished run that was begun")


def _compare(stored: Mapping[str, Any], identity: Mapping[str, Any], folder: Path, what: str) -> None:
    if any(stored.get(name) != identity[name] for name in identity):
        details = []
        for name, now in identity.items():
            before = stored.get(name)
            if isinstance(before, dict) and isinstance(now, dict):
                details += differences(before, now)
            elif name == "data" and before != now:
                details.append("other examples")
            else:
                details += differences({name: before}, {name: now})
        raise ValueError(
            f"{folder} {what} differently ({'; '.join(details)}); use the same settings, or another folder"
        )


def _record(result: TrainingResult, identity: Mapping[str, Any], data: Data) -> dict[str, Any]:
    row = asdict(result) | {"path": str(result.path)}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    seen = sorted({*data.questions, *seen_by(Path(result.base))})  # what the base was trained on, it has seen too
    return {"result": row, "identity": identity, "versions": versions, "training_questions": seen}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(part, path)
