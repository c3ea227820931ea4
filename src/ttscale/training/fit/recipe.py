"""How to train: the numbers of the paper as data, for every trainer here. Knows no model and no data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias, get_args

from ttscale.core.checks import check_choice

Schedule: TypeAlias = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one training run. The defaults are the paper's for the PRM (Snell et al., appendix D)."""

    learning_rate: float = 3e-5
    batch: int = 128
    """Examples per optimizer step, over all devices."""
    micro_batch: int = 8
    """Examples run at once on a device; changes memory and speed only. The batch is made of as many as it takes."""
    epochs: float = 3.0
    """At most; the validation loss usually ends it earlier. (The paper does not report epochs.)"""
    dropout: float = 0.05
    """Set wherever the architecture has a dropout rate."""
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    held_out: float = 0.1
    """Share of the *questions* to validate on, when no validation set is given."""
    evaluate_every: int | None = None
    """Optimizer steps between evaluations (each writes a checkpoint); None: four evaluations per epoch."""
    patience: int = 3
    """Stop after this many evaluations without a lower validation loss."""
    after_best: int = 0
    """Take the checkpoint this many evaluations after the one with the lowest validation loss."""
    max_tokens: int | None = None
    """Examples longer than this are left out and counted, never cut; None: what the model can read."""
    lora_rank: int | None = None
    """Train low-rank adapters of this rank instead of all weights; merged at the end. They are on all linear layers;
    experts of a mixture that are stored as one tensor are none. Some such models take no dropout with adapters."""
    lora_alpha: int | None = None
    """None: twice the rank."""
    gradient_checkpointing: bool = False
    """Less memory for more time."""
    seed: int = 0

    def __post_init__(self) -> None:
        kinds: dict[str, tuple[Any, str, Any]] = {
            "int": (Integral, "an integer", int),
            "float": (Real, "a number", float),
        }
        for field in fields(self):
            value: Any = getattr(self, field.name)
            declared = str(field.type).split(" | ")
            if declared[0] not in kinds or (value is None and "None" in declared):
                continue
            kind, what, plain = kinds[declared[0]]
            if isinstance(value, bool) or not isinstance(value, kind):
                raise ValueError(f"{field.name} must be {what}, got {value!r}")
            object.__setattr__(self, field.name, plain(value))  # numpy's numbers cannot be written down
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2**32), got {self.seed}")
        for name in ("batch", "micro_batch", "patience", "evaluate_every", "max_tokens", "lora_rank", "lora_alpha"):
            value = getattr(self, name)
            if value is not None and not 1 <= value < inf:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("learning_rate", "epochs"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_steps"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name} must be finite and not negative, got {getattr(self, name)}")
        for name in ("dropout", "beta1", "beta2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not 0.0 < self.held_out < 1.0:
            raise ValueError(f"held_out must be a share between 0 and 1, got {self.held_out}")
        if not 0 <= self.after_best <= self.patience:
            raise ValueError(f"after_best must lie between 0 and patience ({self.patience}), got {self.after_best}")
        check_choice("schedule", self.schedule, get_args(Schedule))


PRM_RECIPE = Recipe()
"""Verifiers: appendix D of the paper."""

REVISION_RECIPE = Recipe(learning_rate=1e-5, dropout=0.0, after_best=1)
"""The reviser (Snell et al., section 6.1). The validation set is off-policy, so the paper takes a checkpoint slightly
after its loss begins to rise: here, one evaluation after the lowest."""

SFT_RECIPE = Recipe(learning_rate=1e-4, batch=16, epochs=1.0, dropout=0.0, schedule="linear", warmup_steps=10)
"""Fine-tuning a small generator on worked solutions. The numbers are our choice (docs/real-study.md), not the
paper's, whose generator comes fine-tuned."""

IMPLICIT_RECIPE = Recipe(learning_rate=1e-5, dropout=0.0)
"""Implicit PRMs. No dropout: it would be noise in one of the two likelihoods. The learning rate is our choice."""
