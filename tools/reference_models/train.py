"""The training loop of the reference models: batches by length, Muon, mixed precision, checkpoints, resume, a log.

Knows: documents with a loss mask, or any loss function over a batch. Must not know: where documents come from.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from tools.reference_models.documents import Document
from tools.reference_models.model import Llama
from tools.reference_models.optimizer import Muon
from tools.reference_models.precision import mixed
from torch import Tensor, nn


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn."""

    steps: int
    lr: float = 4e-3
    warmup: int = 100
    decay: float = 0.5
    """The last share of the steps, over which the learning rate falls linearly to zero."""
    batch_tokens: int = 8192
    weight_decay: float = 0.01
    seed: int = 0
    save_every: int = 200
    stop: int | None = None
    """Leave after this many steps, in the middle of the schedule; a later call with a larger one goes on."""


class Batch(NamedTuple):
    """Documents padded together."""

    ids: Tensor
    """(rows, length)"""
    counts: Tensor
    """(rows, length), bool: is predicting this token part of the loss?"""
    values: Tensor
    """(rows, length, channels): whatever else the loss needs; no channels in plain language modelling"""


Loss = Callable[[Any, Batch], tuple[Tensor, int]]
"""The loss of a model on a batch, and how many tokens it was measured on."""


def next_token_loss(model: Llama, batch: Batch) -> tuple[Tensor, int]:
    """Mean cross entropy over the counted tokens."""
    ids, counts = batch.ids, batch.counts
    hidden = model(ids[:, :-1])
    wanted = counts[:, 1:]
    logits = model.logits(hidden[wanted]).float()
    return F.cross_entropy(logits, ids[:, 1:][wanted]), int(wanted.sum())


def batches(documents: list[Document], batch_tokens: int, rng: random.Random) -> list[Batch]:
    """Documents of similar length padded together, about ``batch_tokens`` per batch, in random order."""
    order = sorted(range(len(documents)), key=lambda i: (len(documents[i].ids), rng.random()))
    out: list[Batch] = []
    rows: list[Document] = []
    for i in reversed(order):
        rows.append(documents[i])
        if len(rows) * len(rows[0].ids) >= batch_tokens:
            out.append(pad(rows))
            rows = []
    if rows and len(rows) * len(rows[0].ids) > batch_tokens // 2:
        out.append(pad(rows))
    rng.shuffle(out)
    return out


def pad(rows: list[Document]) -> Batch:
    length = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    counts = torch.zeros(len(rows), length, dtype=torch.bool)
    channels = len(rows[0].values[0]) if rows[0].values else 0
    values = torch.zeros(len(rows), length, channels)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        counts[i, : len(row.ids)] = torch.tensor(row.counts)
        if row.values:
            values[i, : len(row.ids)] = torch.tensor(row.values)
    return Batch(ids, counts, values)


def rate(plan: Plan, step: int) -> float:
    start = plan.steps * (1 - plan.decay)
    falling = 1.0 if step < start else max(0.0, (plan.steps - step) / max(1.0, plan.steps - start))
    return min(1.0, (step + 1) / plan.warmup) * falling


def train(
    model: nn.Module,
    chunks: Callable[[int], list[Document]],
    plan: Plan,
    folder: Path,
    loss: Loss = next_token_loss,
    extra: list[Tensor] | None = None,
) -> dict[str, float]:
    """Learn for ``plan.steps`` batches; ``chunks(i)`` gives the i-th lot of documents.

    State goes to ``folder/state.pt``; an interrupted training started again goes on from there. Returns the record
    (also in ``folder/record.json``).
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "blocks" in name]
    others = [p for name, p in model.named_parameters() if not (p.ndim == 2 and "blocks" in name)] + (extra or [])
    muon = Muon(matrices, plan.lr, decay=plan.weight_decay)
    adam = torch.optim.AdamW(others, plan.lr, betas=(0.9, 0.95), weight_decay=0.0)
    at = {"step": 0, "chunk": 0, "inside": 0, "tokens": 0, "padded": 0, "seconds": 0.0}
    state_file = folder / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        muon.load_state_dict(state["muon"])
        adam.load_state_dict(state["adam"])
        for mine, kept in zip(extra or [], state["extra"], strict=True):
            mine.data.copy_(kept)
        at = state["at"]
    started, before = time.perf_counter(), at["seconds"]
    running = 0.0
    target = plan.steps if plan.stop is None else plan.stop
    while at["step"] < target:
        rng = random.Random(f"batches/{plan.seed}/{at['chunk']}")
        for batch in batches(chunks(int(at["chunk"])), plan.batch_tokens, rng)[int(at["inside"]) :]:
            factor = rate(plan, int(at["step"]))
            for optimizer in (muon, adam):
                for group in optimizer.param_groups:
                    group["lr"] = plan.lr * factor
            with mixed():
                value, counted = loss(model, batch)
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(others, 1.0)
            for optimizer in (muon, adam):
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            running = value.item() if running == 0 else 0.95 * running + 0.05 * value.item()
            at["step"] += 1
            at["inside"] += 1
            at["tokens"] += counted
            at["padded"] += batch.ids.numel()
            at["seconds"] = before + time.perf_counter() - started
            done = at["step"] >= target
            if at["step"] % 25 == 0 or done:
                with (folder / "log.jsonl").open("a") as log:
                    print(json.dumps({**at, "loss": round(running, 4), "lr": plan.lr * factor}), file=log)
            if at["step"] % plan.save_every == 0 or done:
                state = {"model": model.state_dict(), "muon": muon.state_dict(), "adam": adam.state_dict(), "at": at}
                torch.save({**state, "extra": [x.detach() for x in extra or []]}, folder / "state.tmp")
                (folder / "state.tmp").replace(state_file)
            if done:
                break
        else:
            at["chunk"] += 1
            at["inside"] = 0
    parameters = sum(p.numel() for p in model.parameters())
    flops = 6.0 * parameters * at["padded"]
    record = {**at, "loss": running, "flops": flops, "parameters": parameters, **asdict(plan)}
    (folder / "record.json").write_text(json.dumps(record, indent=1))
    return record
