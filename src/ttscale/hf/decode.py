"""The decode loop: draws in, sampled tokens out, any number of them at a time.

Knows: token ids, step ends, noise, rows. Must not know: text beyond step ends, questions, prompts, verifiers.
Rows enter as soon as their prefix is ready and there is room, and leave the moment they are finished.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from ttscale.hf.model import HFModel
from ttscale.hf.plain import PlainRunner, Prefix
from ttscale.hf.sampling import Filters, draw, uniforms
from ttscale.hf.steps import StepText


@dataclass(frozen=True, slots=True)
class Draw:
    """What to sample: a continuation of ``context`` with noise from ``seed``."""

    context: tuple[int, ...]
    seed: int
    temperature: float
    max_steps: int | None
    max_new_tokens: int


@dataclass(slots=True, eq=False)
class Row:
    """A draw in progress; finished when ``finish`` is set."""

    ticket: int
    draw: Draw
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    certainties: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Number of tokens up to the end of each complete step."""
    finish: Literal["open", "stop", "length"] | None = None
    sampled: int = 0
    """Tokens drawn, the end-of-sequence token included (``tokens`` leaves it out)."""
    cached: int = 0
    prefilled: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    prefix: Prefix | None = None


class Decoder:
    """Continuous batching over one model."""

    def __init__(self, model: HFModel, text: StepText, filters: Filters) -> None:
        self._model = model
        self._text = text
        self._filters = filters
        self._runner = PlainRunner(model)
        self._waiting: deque[Row] = deque()
        self._rows: list[Row] = []
        self._logits: torch.Tensor | None = None

    @property
    def active(self) -> bool:
        """Whether any row is waiting or running."""
        return bool(self._waiting or self._rows)

    def admit(self, rows: Sequence[Row]) -> None:
        """Take rows in; they start when there is room."""
        self._waiting.extend(rows)

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One pass of the loop; returns the rows that finished in it."""
        began = time.perf_counter()
        # 1) let waiting rows in, each distinct prefix prefilled once
        self._enter()
        working = list(self._rows)
        # 2) draw a token for every row
        self._draw()
        # 3) drop what finished
        finished = [row for row in self._rows if row.finish is not None]
        going = [i for i, row in enumerate(self._rows) if row.finish is None]
        if finished:
            self._runner.keep(going)
            self._rows = [self._rows[i] for i in going]
        # 4) run the new tokens
        self._logits = None
        if self._rows:
            tokens = torch.tensor([row.tokens[-1] for row in self._rows], device=self._model.device)
            lengths = [len(row.draw.context) + len(row.tokens) - 1 for row in self._rows]
            self._logits = self._runner.forward(tokens, lengths)
            for row, length in zip(self._rows, lengths, strict=True):
                row.flops += self._model.flops(1, length, 1)
        share = (time.perf_counter() - began) / max(1, len(working))
        for row in working:
            row.seconds += share
        return finished

    def _enter(self) -> None:
        logits = [] if self._logits is None else [self._logits]
        ready: dict[tuple[int, ...], Prefix] = {}
        while self._waiting and len(self._rows) < self._model.max_batch:
            row = self._waiting.popleft()
            context = row.draw.context
            prefix = ready.get(context)
            if prefix is None:
                prefix = ready[context] = self._runner.open(context)
                self._runner.advance(prefix)
                row.cached = prefix.cached
                row.prefilled = len(context) - row.cached
                row.flops += self._model.flops(row.prefilled, row.cached, 1 if row.prefilled else 0)
            else:
                row.cached = len(context)
            logits.append(self._runner.enter(prefix, 1))
            self._rows.append(row)
        self._logits = torch.cat(logits) if logits else None

    def _draw(self) -> None:
        if self._logits is None:
            return
        rows, device = self._rows, self._model.device
        noise = uniforms(
            np.array([row.draw.seed for row in rows], dtype=np.uint64),
            np.array([row.sampled for row in rows], dtype=np.uint64),
        )
        temperature = torch.tensor([row.draw.temperature for row in rows], dtype=torch.float32, device=device)
        logits = self._logits.float()
        tokens = draw(logits, torch.from_numpy(noise).to(device), temperature, self._filters)
        norm = logits.logsumexp(-1)
        logprobs = logits.gather(-1, tokens[:, None])[:, 0] - norm
        certainty = norm - logits.mean(-1) - float(np.log(logits.shape[-1]))
        # the one transfer of the step
        drawn = torch.stack([tokens.double(), logprobs.double(), certainty.double()]).tolist()
        for row, token, logprob, certain in zip(rows, *drawn, strict=True):
            self._take(row, int(token), logprob, certain)

    def _take(self, row: Row, token: int, logprob: float, certainty: float) -> None:
        """Add a token to its row and see whether a step or the row ends with it."""
        row.sampled += 1
        if token in self._model.eos_ids:
            row.finish = "stop"
            return
        row.tokens.append(token)
        row.logprobs.append(logprob)
        row.certainties.append(certainty)
        begin = row.ends[-1] if row.ends else 0
        if self._text.may_end(token):
            before = row.tokens[:begin] if begin >= 8 else [*row.draw.context[-8:], *row.tokens[:begin]]
            if self._text.ends(before, row.tokens[begin:]):
                row.ends.append(len(row.tokens))
                if row.draw.max_steps is not None and len(row.ends) >= row.draw.max_steps:
                    row.finish = "open"
                    return
        if row.sampled >= row.draw.max_new_tokens:
            row.finish = "length"
