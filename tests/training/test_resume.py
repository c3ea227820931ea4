"""A run that is killed and started again ends exactly like one that was not; the checkpoint taken follows the curve."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from training.conftest import make_tokenizer, save_model
from ttscale.core.errors import TtscaleError
from ttscale.training.data.examples import StepExample
from ttscale.training.fit import run as _run
from ttscale.training.fit import trainer as _fit
from ttscale.training.fit.recipe import Recipe
from ttscale.training.fit.run import check_untrained
from ttscale.training.fit.trainer import Evaluation, choose
from ttscale.training.prm import train_prm

EXAMPLES = [
    StepExample(f"{q}", f"What is {q}?", ("think\n", f"Answer: {a}"), (0.5, float(a == 7)), a == 7, str(a))
    for q in range(12)
    for a in (7, 8)
]
RECIPE = Recipe(learning_rate=1e-3, batch=8, micro_batch=4, epochs=3, dropout=0.1, evaluate_every=2, patience=9)


class Killed(BaseException):
    """Not an Exception, so that nothing on the way handles it."""


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    return train_prm(base, EXAMPLES, tmp_path_factory.mktemp("whole") / "m", recipe=RECIPE, progress=False)


@pytest.mark.parametrize("dies_at", [1, 3, 5])
def test_resumed_training_equals_uninterrupted_training(base, whole, tmp_path, monkeypatch, dies_at):
    """Dropout, shuffling and accumulation included: the weights are equal bit by bit."""
    steps = 0

    def training_step(self, *arguments, step=Trainer.training_step, **keywords):
        nonlocal steps
        if self.state.global_step == dies_at:
            raise Killed
        steps += 1
        return step(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", training_step)
        with pytest.raises(Killed):
            train_prm(base, EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    assert steps == 2 * dies_at  # two micro-batches per step
    result = train_prm(base, EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    assert (result.step, result.validation_loss, result.curve) == (whole.step, whole.validation_loss, whole.curve)
    assert same(weights(tmp_path / "m"), weights(whole.path))


def killed_before_it_was_saved(base, folder, recipe, monkeypatch):
    """What a run ends with that was killed after its last step and started again; training again is a failure."""
    with monkeypatch.context() as patch:
        patch.setattr("ttscale.training.fit.run.load_trained", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            train_prm(base, EXAMPLES, folder, recipe=recipe, progress=False)
        patch.undo()
        patch.setattr(Trainer, "training_step", lambda *_, **__: pytest.fail("trained again"))
        return train_prm(base, EXAMPLES, folder, recipe=recipe, progress=False)


def test_a_run_killed_before_it_was_saved_trains_no_further(base, whole, tmp_path, monkeypatch):
    result = killed_before_it_was_saved(base, tmp_path / "m", RECIPE, monkeypatch)
    assert result.curve == whole.curve
    assert same(weights(tmp_path / "m"), weights(whole.path))


def test_part_of_an_epoch_ends_after_its_last_step(base, tmp_path, monkeypatch):
    recipe = Recipe(learning_rate=1e-3, batch=8, micro_batch=8, epochs=1.5, dropout=0.0, evaluate_every=2, patience=9)
    result = killed_before_it_was_saved(base, tmp_path / "m", recipe, monkeypatch)
    assert [point.step for point in result.curve] == [2, 4, 5]


def test_a_run_that_diverges_says_so_and_keeps_what_it_had(base, tmp_path, monkeypatch):
    def total(self, *arguments, total=_fit._Trainer._total, **keywords):
        loss, outputs = total(self, *arguments, **keywords)
        return loss * (float("nan") if self.state.global_step > 2 else 1.0), outputs

    monkeypatch.setattr(_fit._Trainer, "_total", total)
    with pytest.raises(TtscaleError, match=r"diverged at step 4: .* is nan.*lower learning_rate than 0\.001"):
        train_prm(base, EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    assert [path.name for path in (tmp_path / "m" / "checkpoints").glob("checkpoint-*")] == ["checkpoint-2"]


def test_a_run_may_go_on_with_smaller_micro_batches(base, whole, tmp_path, monkeypatch):
    """Out of memory in the middle: the rest is done in halves, with the same examples in each step."""
    plain = {name: getattr(RECIPE, name) for name in RECIPE.__slots__} | {"dropout": 0.0}
    unbroken = train_prm(base, EXAMPLES, tmp_path / "a", recipe=Recipe(**plain), progress=False)

    def training_step(self, *arguments, step=Trainer.training_step, **keywords):
        if self.state.global_step == 3:
            raise RuntimeError("out of memory")
        return step(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", training_step)
        with pytest.raises(RuntimeError, match="out of memory"):
            train_prm(base, EXAMPLES, tmp_path / "b", recipe=Recipe(**plain), progress=False)
    halves = Recipe(**plain | {"micro_batch": 2})
    resumed = train_prm(base, EXAMPLES, tmp_path / "b", recipe=halves, progress=False)
    assert [p.loss for p in resumed.curve] == pytest.approx([p.loss for p in unbroken.curve], abs=2e-4)


def test_a_torn_checkpoint_is_passed_over(base, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("ttscale.training.fit.run.load_trained", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            train_prm(base, EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    folders = sorted((tmp_path / "m" / "checkpoints").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    (folders[-1] / "trainer_state.json").write_text('{"log_his')
    shutil.rmtree(folders[-2])
    result = train_prm(base, EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    assert result.curve == whole.curve
    assert same(weights(tmp_path / "m"), weights(whole.path))


def test_micro_batches_change_nothing_but_rounding(base, tmp_path, monkeypatch):
    """Losses and gradient norms too: Adam would hide a gradient that is wrong by a factor."""
    logged = []

    def log(self, logs, *arguments, log=_fit._Trainer.log, **keywords):
        logged.append([logs[name] for name in ("loss", "grad_norm") if name in logs])
        return log(self, logs, *arguments, **keywords)

    monkeypatch.setattr(_fit._Trainer, "log", log)
    plain = {name: getattr(RECIPE, name) for name in RECIPE.__slots__} | {"dropout": 0.0, "evaluate_every": 1}
    runs = []
    for micro_batch in (1, 8):
        recipe = Recipe(**plain | {"micro_batch": micro_batch, "epochs": 1})
        result = train_prm(base, EXAMPLES, tmp_path / str(micro_batch), recipe=recipe, progress=False)
        runs.append([p.loss for p in result.curve] + [value for row in logged for value in row])
        logged.clear()
    assert len(runs[0]) > 6
    assert runs[0] == pytest.approx(runs[1], rel=1e-4)


def test_a_full_disk_keeps_the_last_checkpoint(base, whole, tmp_path, monkeypatch):
    saves = 0

    def save(self, *arguments, save=Trainer._save_checkpoint, **keywords):
        nonlocal saves
        saves += 1
        if saves == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_checkpoint", save)
        with pytest.raises(OSError, match="The disk is full; the last complete checkpoint is safe") as error:
            train_prm(base, EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    assert error.value.errno == errno.ENOSPC
    train_prm(base, EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    assert same(weights(tmp_path / "m"), weights(whole.path))


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.ENOSPC),
        (OSError(errno.EFBIG, "File too large"), errno.EFBIG),
        (OSError(errno.EACCES, "Permission denied"), None),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (RuntimeError("Error while serializing: I/O error: File too large (os error 27)"), errno.EFBIG),
        (RuntimeError("[enforce fail] . unexpected pos 105088 vs 104976"), errno.EFBIG),
        (RuntimeError("out of memory"), None),
    ],
)
def test_a_full_disk_or_a_limit_is_known_by_errno_or_by_its_words(error, number, tmp_path):
    told = _fit.no_room(error, tmp_path, "nothing is lost", "it goes on")
    assert (told and told.errno) == number
    assert told is None or ("nothing is lost" in str(told) and str(tmp_path) in str(told))


def test_a_full_disk_is_known_by_its_fullness(tmp_path, monkeypatch):
    """torch says only "unexpected pos" when it cannot write."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    told = _fit.no_room(RuntimeError("unexpected pos 149888 vs 149780"), tmp_path, "", "")
    assert told is not None
    assert told.errno == errno.ENOSPC


def test_an_error_before_the_folder_is_there_is_told_as_it_is(tmp_path):
    assert _fit.no_room(PermissionError(errno.EACCES, "Permission denied"), tmp_path / "m" / "n", "", "") is None
    with pytest.raises(PermissionError), _fit.needs_room(tmp_path / "m", "", ""):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_another_runs_checkpoints_are_refused(base, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("ttscale.training.fit.run.load_trained", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            train_prm(base, EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    before = sorted(path.name for path in (tmp_path / "m" / "checkpoints").iterdir())
    with pytest.raises(ValueError, match=r"holds an unfinished run that was begun differently \(other examples\)"):
        train_prm(base, EXAMPLES[:-1], tmp_path / "m", recipe=RECIPE, progress=False)
    config = json.loads((Path(base) / "config.json").read_text())
    shutil.copytree(base, tmp_path / "other")
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))
    with pytest.raises(ValueError, match="hidden_size: 32 there, 64 now"):
        train_prm(tmp_path / "other", EXAMPLES, tmp_path / "m", recipe=RECIPE, progress=False)
    assert sorted(path.name for path in (tmp_path / "m" / "checkpoints").iterdir()) == before


def test_another_training_of_the_base_is_not_the_base(tmp_path, monkeypatch):
    """Same shape, same place, other weights: adapters of the one are none of the other."""
    mine = save_model(tmp_path / "base", make_tokenizer())
    recipe = Recipe(batch=16, epochs=1, evaluate_every=1, lora_rank=2)
    with monkeypatch.context() as patch:
        patch.setattr("ttscale.training.fit.run.load_trained", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            train_prm(mine, EXAMPLES, tmp_path / "m", recipe=recipe, progress=False)
    save_model(tmp_path / "base", make_tokenizer(), seed=1)
    with pytest.raises(ValueError, match=r"unfinished run that was begun differently \(weights: "):
        train_prm(mine, EXAMPLES, tmp_path / "m", recipe=recipe, progress=False)


def curve(*losses):
    return [Evaluation(10 * i, loss) for i, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "after_best", "chosen"),
    [
        ((3.0, 2.0, 2.5, 2.6), 0, 1),
        ((3.0, 2.0, 2.5, 2.6), 1, 2),
        ((3.0, 2.0, 2.5, 2.6), 2, 3),
        ((3.0, 2.0, 1.0), 1, 2),
        ((1.0,), 1, 0),
        ((2.0, 2.0), 0, 0),
    ],
)
def test_the_checkpoint_follows_the_curve(losses, after_best, chosen):
    assert choose(curve(*losses), after_best) == chosen


def test_training_ends_when_the_validation_loss_has(base, tmp_path, monkeypatch):
    """The loss is made to rise after the second evaluation: patience 2 ends it at the fourth."""
    losses = iter([3.0, 2.0, 2.1, 2.2, 1.0, 1.0, 1.0])

    def evaluate(self, *_, **__):
        metrics = {"eval_loss": next(losses)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    monkeypatch.setattr(_fit._Trainer, "evaluate", evaluate)
    recipe = Recipe(batch=4, epochs=9, evaluate_every=1, patience=2, after_best=1)
    result = train_prm(base, EXAMPLES, tmp_path / "m", recipe=recipe, progress=False)
    assert [(p.step, p.loss) for p in result.curve] == [(1, 3.0), (2, 2.0), (3, 2.1), (4, 2.2)]
    assert (result.step, result.notes) == (3, ())


def test_what_a_base_was_trained_on_stays_known(base, tmp_path):
    quick = Recipe(learning_rate=1e-3, batch=8, micro_batch=4, epochs=1, evaluate_every=5)
    others = [replace(e, id=f"o{e.id}", prompt=f"Other {e.prompt}") for e in EXAMPLES]
    train_prm(base, EXAMPLES, tmp_path / "first", recipe=quick, progress=False)
    train_prm(tmp_path / "first", others, tmp_path / "second", recipe=quick, progress=False)
    with pytest.raises(ValueError, match="were in the training data"):
        check_untrained(tmp_path / "second", EXAMPLES)
    with pytest.raises(ValueError, match="were in the training data"):
        train_prm(tmp_path / "first", others, tmp_path / "third", recipe=quick, test=EXAMPLES, progress=False)


def test_checkpoints_that_a_kill_left_behind_are_removed(base, tmp_path, monkeypatch):
    quick = Recipe(learning_rate=1e-3, batch=8, micro_batch=4, epochs=1, evaluate_every=5)

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(_run.shutil, "rmtree", killed)
        with pytest.raises(Killed):
            train_prm(base, EXAMPLES, tmp_path / "m", recipe=quick, progress=False)
    assert (tmp_path / "m" / "checkpoints").is_dir()
    train_prm(base, EXAMPLES, tmp_path / "m", recipe=quick, progress=False)
    assert not (tmp_path / "m" / "checkpoints").exists()
