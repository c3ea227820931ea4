"""One training run on transformers' Trainer: evaluated, checkpointed, resumable, and ended by its validation loss.

Knows optimizers, checkpoints and loss curves. Must not know what is trained or where the data came from. Which
checkpoint is taken is computed from the curve alone, so a run that was killed and resumed ends like one that was not.
Over 300 lines because what a step learns from and how it is taken are checked together.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ttscale.core.errors import TtscaleError
from ttscale.training.fit.heap import ReturnMemory
from ttscale.training.fit.objectives import Collator, Objective
from ttscale.training.fit.recipe import Recipe

Feature = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The validation loss after ``step`` optimizer steps."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Fit:
    """How a run went, and the checkpoint that was taken."""

    curve: tuple[Evaluation, ...]
    chosen: int
    """Index into ``curve``."""
    checkpoint: Path
    turned: bool
    """Whether the validation loss had begun to rise when training ended."""


def fit(
    model: PreTrainedModel,
    training: Sequence[Feature],
    held_out: Sequence[Feature],
    objective: Objective,
    recipe: Recipe,
    folder: Path,
    pad: int,
    progress: bool,
) -> Fit:
    """Train ``model``, going on from the last complete checkpoint in ``folder`` if there is one."""
    arguments = _arguments(recipe, len(training), folder, progress)
    trainer = _Trainer(
        objective,
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=held_out,
        data_collator=Collator(pad),
        callbacks=[_StopWhenOver(recipe), ReturnMemory()],
    )
    trainer.remove_callback(PrinterCallback)  # without a progress bar, silence
    last = _last_checkpoint(folder)
    if last is None or not _ended(last, recipe):
        with needs_room(folder, "the last complete checkpoint is safe", "it goes on from there"):
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
    newest = _last_checkpoint(folder)
    if newest is None:
        raise RuntimeError(f"training wrote no checkpoint to {folder}")
    curve = _curve(_state_in(newest))
    chosen = choose(curve, recipe.after_best)
    turned = curve[_best(curve)].loss < curve[-1].loss
    return Fit(curve, chosen, folder / f"checkpoint-{curve[chosen].step}", turned)


def choose(curve: Sequence[Evaluation], after_best: int) -> int:
    """Index of the checkpoint to take: ``after_best`` evaluations after the lowest loss, or the last there is."""
    return min(_best(curve) + after_best, len(curve) - 1)


def _best(curve: Sequence[Evaluation]) -> int:
    return min(range(len(curve)), key=lambda index: (curve[index].loss, index))


def _over(curve: Sequence[Evaluation], recipe: Recipe) -> bool:
    """Whether the validation loss has not fallen for ``patience`` evaluations."""
    return bool(curve) and len(curve) - 1 - _best(curve) >= recipe.patience


def _curve(state: TrainerState) -> tuple[Evaluation, ...]:
    return tuple(Evaluation(int(row["step"]), row["eval_loss"]) for row in state.log_history if "eval_loss" in row)


def _state_in(checkpoint: Path) -> TrainerState:
    state: TrainerState = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return state


def _ended(checkpoint: Path, recipe: Recipe) -> bool:
    """Whether nothing follows a checkpoint: it was the last step, or the validation loss was over."""
    state = _state_in(checkpoint)
    return state.global_step >= state.max_steps or _over(_curve(state), recipe)


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end (its state is written last); torn ones are removed."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path, ignore_errors=True)  # another process may be at it too
            continue
        complete.append((int(path.name.split("-")[1]), path))
    return max(complete)[1] if complete else None


@contextmanager
def needs_room(folder: Path, safe: str, then: str) -> Iterator[None]:
    """Raises what ``no_room`` says of an error in the block, if it says anything."""
    try:
        yield
    except Exception as error:
        told = no_room(error, folder, safe, then)
        if told is None:
            raise
        raise told from error


def no_room(error: Exception, folder: Path, safe: str, then: str) -> OSError | None:
    """What to raise for an error that came of a full disk or of a limit on files; None for any other.

    torch and safetensors say so in words of their own. ``safe``: what is not lost; ``then``: what a new start does.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error) or _full(folder):
        number, what, remedy = errno.ENOSPC, "The disk is full", "Make room"
    elif number == errno.EFBIG or any(words in str(error) for words in ("File too large", "unexpected pos")):
        number, what, remedy = errno.EFBIG, "A file reached the limit on its size", "Raise it (ulimit -f)"
    else:
        return None
    return OSError(number, f"{what}; {safe}. {remedy} and start again with the same arguments: {then}", str(folder))


def _full(folder: Path) -> bool:
    there = next(place for place in (folder, *folder.parents) if os.path.exists(place))  # nothing may be written yet
    return shutil.disk_usage(there).free < 1 << 16


def _arguments(recipe: Recipe, examples: int, folder: Path, progress: bool) -> TrainingArguments:
    probe = TrainingArguments(output_dir=str(folder), report_to=[])  # knows how many devices there are
    devices = max(1, probe.world_size) * max(1, probe.n_gpu)
    per_device = max(1, recipe.batch // devices)
    micro = max(size for size in range(1, min(recipe.micro_batch, per_device) + 1) if per_device % size == 0)
    accumulate = per_device // micro
    steps_per_epoch = math.ceil(examples / (micro * devices * accumulate))
    every = recipe.evaluate_every or max(1, steps_per_epoch // 4)
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=recipe.micro_batch,
        gradient_accumulation_steps=accumulate,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        adam_beta1=recipe.beta1,
        adam_beta2=recipe.beta2,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(recipe.schedule, recipe.schedule),
        warmup_steps=recipe.warmup_steps,
        optim="adamw_torch",
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=recipe.patience + 1,
        logging_strategy="steps",
        logging_steps=every,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        disable_tqdm=not progress,
        report_to=[],
        seed=recipe.seed,
    )


class _StopWhenOver(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Ends training when the validation loss has; evaluates and saves the last step too."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True
        return control

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if _over(_curve(state), self._recipe):
            control.should_training_stop = True
        return control


class _Trainer(Trainer):  # type: ignore[misc,unused-ignore]
    """Trainer whose loss is an ``Objective``: exact means over accumulated batches, devices and the validation set."""

    def __init__(self, objective: Objective, **arguments: Any) -> None:
        # A loss function of our own tells every version of Trainer that the loss is already scaled for accumulation.
        super().__init__(compute_loss_func=lambda *_, **__: None, **arguments)
        self._objective = objective

    def get_batch_samples(self, *arguments: Any, **keywords: Any) -> tuple[list[Any], Any]:
        batches, _ = super().get_batch_samples(*arguments, **keywords)
        units = torch.tensor(sum(self._objective.count(batch) for batch in batches), device=self.args.device)
        if self.args.world_size > 1:
            units = self.accelerator.gather(units).sum()
        return batches, units

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        total, outputs = self._total(model, inputs)
        loss = total / num_items_in_batch * self.args.world_size  # gradients are averaged over processes
        return (loss, outputs) if return_outputs else loss

    def _total(self, model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        seen = {name: value for name, value in batch.items() if name not in self._objective.targets}
        with self._head_reads(model, batch):
            outputs = model(**seen)
        return self._objective.total(outputs.logits, batch), outputs

    @contextmanager
    def _head_reads(self, model: Any, batch: dict[str, Any]) -> Iterator[None]:
        """Give the head only the positions whose logits are read: over a vocabulary the others cost most of a step."""
        head = None
        if self._objective.reads is not None:
            read = self._objective.reads(batch)
            head = self.accelerator.unwrap_model(model).get_output_embeddings()
        if head is None or not read.any():
            yield
            return
        shape = read.shape

        def select(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden = arguments[0]
            return (hidden[read][None], *arguments[1:]) if hidden.shape[:2] == shape else arguments

        handle = head.register_forward_pre_hook(select)
        try:
            yield
        finally:
            handle.remove()

    def evaluate(self, *arguments: Any, **keywords: Any) -> dict[str, float]:
        """The mean validation loss over units, whatever the batch size."""
        model: Any = self.model
        model.eval()
        sums = torch.zeros(2, dtype=torch.float64)
        with torch.no_grad():
            for batch in self.get_eval_dataloader():
                batch = self._prepare_inputs(batch)
                with self.compute_loss_context_manager():
                    total, _ = self._total(model, batch)
                pair = torch.tensor([[float(total), float(self._objective.count(batch))]], device=self.args.device)
                sums += self.accelerator.gather(pair).sum(dim=0).double().cpu()
        loss = float(sums[0] / sums[1])
        if not math.isfinite(loss):
            raise TtscaleError(
                f"training diverged at step {self.state.global_step}: the validation loss is {loss}. Train again with "
                f"a lower learning_rate than {self.args.learning_rate:g}, in another folder. The checkpoints of "
                f"earlier steps, if there are any, stay in {self.args.output_dir}"
            )
        metrics = {"eval_loss": loss}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
