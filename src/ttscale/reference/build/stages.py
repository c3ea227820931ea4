"""The stages of the build, in order, with every number that shaped the bundled weights.

Knows: which model starts from which, on what data, for how long. Must not know: how training or sampling work.
Every stage writes into its own folder of OUT and is skipped when its result is there; training inside a stage resumes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ttscale.reference.build import collect, documents, implicit, model, revision, train
from ttscale.reference.build.documents import Mix
from ttscale.reference.build.model import Llama, Shape
from ttscale.reference.build.sampler import Sampler
from ttscale.reference.build.train import Plan
from ttscale.reference._problems import questions

SHAPE = Shape(width=160, layers=5, heads=4, hidden=416)


def weights(folder: Path) -> Llama:
    """The model that a training left in ``folder``, in full precision."""
    found = Llama(SHAPE)
    found.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return found


def learn(start: Llama, mix: Mix, plan: Plan, folder: Path) -> Llama:
    """Train on documents of one mix and keep the weights beside the training state."""
    train.train(start, lambda index: documents.chunk(mix, index), plan, folder)
    torch.save(start.state_dict(), folder / "weights.pt")
    return start
