"""The decode loop: draws in, sampled tokens out, any number of them at a time.

Knows: token ids, step ends, noise, rows. Must not know: text beyond step ends, questions, prompts, how KV is kept.
Rows enter as soon as their prefix is ready and there is room, and leave the moment they are finished; nothing waits for
the slowest. A row's tokens depend on its own draw only: its noise is a hash of its seed and of how many tokens it drew.
Over 300 lines because admitting, running and retiring rows share one state.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np
import torch

from ttscale.core.confidence import falls_below
from ttscale.core.errors import RoleError
from ttscale.hf.generation_config import LogitsProcessing
from ttscale.hf.memory import is_out_of_memory
from ttscale.hf.model import HFModel
from ttscale.hf.pick_runner import row_limit, runner
from ttscale.hf.runner import AnyRunner, Prefix
from ttscale.hf.sampling import Filters, confidence, draw, uniforms
from ttscale.hf.threads import suited_threads
from ttscale.prompts.drawn_steps import Drawn
from ttscale.prompts.steps import StepText

SMALLEST_CHUNK = 16
"""Prefix tokens a prefill is cut down to before its row is given up."""
PATIENCE = 8
"""Faults of a row on its own before it is given up: memory may come back, others use the device too."""
GROW_AFTER = 256
"""Forwards without a fault after which a reduced batch may grow again."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What to sample: a continuation of ``context`` with noise from ``seed``."""

    context: tuple[int, ...]
    prompt_tokens: int
    """How much of the context is the question's prompt; draws with equal prompts share what they can."""
    seed: int
    temperature: float
    max_steps: int | None
    max_new_tokens: int
    label: str
    """Names the question and key in errors."""
    opening: str = ""
    """A thinking tag that the prompt ends in: the solution's text begins with it, its tokens do not."""
    window: int | None = None
    """Tokens of a confidence window; None where nobody asked for confidence."""
    stop_below: float | None = None


@dataclass(slots=True, eq=False)
class Row(Drawn):
    """A draw in progress; it is over when ``finish`` or ``error`` is set."""

    ticket: int
    draw: Draw
    ends: list[int] = field(default_factory=list)
    """Number of tokens up to the end of each complete step."""
    finish: Literal["open", "stop", "length"] | None = None
    cut: int | None = None
    """Characters of the new text to keep, where a stop string ended it."""
    error: Exception | None = None
    eos: tuple[int, float] | None = None
    """The end-of-sequence token drawn, and its log-probability."""
    sampled: int = 0
    """Tokens drawn, the end-of-sequence token included (``tokens`` leaves it out)."""
    cached: int | None = None
    ran: int = 0
    """Context tokens run for this row; on a resumed row, its own tokens run again too."""
    ran_flops: float = 0.0
    forwarded: int = 0
    """Own tokens run one by one."""
    seconds: float = 0.0
    faults: int = 0
    """How often memory ran out for this row alone."""
    prefix: Prefix | None = None
    """The context it will start from, while it waits."""
    trunk: int = 0
    """Tokens of its context that all rows admitted with it share."""
    bound: int | None = None
    """Tokens beyond which it has lost its race and is cut off."""
    begin: int = 0
    """Own tokens that were in the prefix when the row entered the batch; more than 0 after running out of memory."""

    @property
    def over(self) -> bool:
        return self.finish is not None or self.error is not None


class Decoder:
    """Continuous batching over one model."""

    def __init__(
        self, model: HFModel, text: StepText, filters: Filters, processing: LogitsProcessing | None = None
    ) -> None:
        self._model = model
        self._text = text
        self._filters = filters
        self._processing = processing or None
        self._runner: AnyRunner = runner(model)
        self._waiting: deque[Row] = deque()
        self._running: list[Row] = []
        self._logits: torch.Tensor | None = None
        self._most = row_limit(model)
        self.limit = self._most
        """Rows decoded together at most; halved when memory runs out, doubled again after a while."""
        self._admitting: list[Row] = []
        self._prefilling = False
        self._since_fault = 0

    @property
    def active(self) -> bool:
        """Whether any row is waiting or running."""
        return bool(self._waiting or self._running)

    @property
    def live(self) -> int:
        """Tokens sampled by the rows that are running now."""
        return sum(row.sampled for row in list(self._running) if not row.over)

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values held now, by the prefix tree and by the running rows."""
        return self._runner.kv_bytes

    def admit(self, rows: Sequence[Row]) -> None:
        """Take rows in; they start when there is room. Rows of one prompt that come together share a trunk."""
        families: dict[tuple[int, ...], list[Row]] = {}
        for row in rows:
            families.setdefault(row.draw.context[: row.draw.prompt_tokens], []).append(row)
        for family in families.values():
            low, high = min(r.draw.context for r in family), max(r.draw.context for r in family)
            shared = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
            for row in family:
                row.trunk = shared
        self._waiting.extend(rows)

    def bound(self, ticket: int, tokens: int) -> None:
        """Cut off the row of this ticket once it has more than ``tokens``; one that has leaves in the next step."""
        for row in (*self._running, *self._waiting):
            if row.ticket == ticket:
                row.bound = tokens
                if len(row.tokens) > tokens and not row.over:
                    row.finish = "length"

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One pass of the loop; returns the rows that are over. Out of memory, it makes itself smaller and goes on."""
        with self._model.lock, suited_threads(self._model.device, self._work()):
            return self._pass()

    def _work(self) -> float:
        """FLOPs of this pass's larger forward, about: the rows' next tokens, or a chunk of a prefix."""
        waiting = next((row for row in self._waiting if row.prefix is None or not row.prefix.ready), None)
        prefill = (
            min(self._runner.chunk, len(waiting.draw.context)) if waiting and len(self._running) < self.limit else 0
        )
        return 2.0 * self._model.matmul_parameters * max(prefill, len(self._running))

    def _pass(self) -> list[Row]:
        began = time.perf_counter()
        working = self._running + list(islice(self._waiting, max(0, self.limit - len(self._running))))
        over: list[Row] = []
        try:
            # 1) run one chunk of the prefixes that waiting rows need, each distinct token once
            self._prefill()
            # 2) admit rows whose prefix is ready
            self._admit()
            # 3) draw a token for every row
            self._draw()
            # 4) retire what is finished
            over += self._retire()
            # 5) run the new tokens of the rest
            self._forward()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            over += self._recover(error)
        share = (time.perf_counter() - began) / max(1, len(working))
        for row in working:
            row.seconds += share
        return over

    @torch.inference_mode()
    def close(self) -> None:
        """Let go of everything on the device."""
        with self._model.lock:
            for row in self._waiting:
                if row.prefix is not None:
                    self._release(row)
            self._waiting.clear()
            self._running = []
            self._admitting = []
            self._logits = None
            self._runner.close()

    def _next_waiting(self) -> list[tuple[Row, Prefix]]:
        """The waiting rows there is room for, each with its prefix opened; equal contexts share one handle."""
        front = list(islice(self._waiting, max(0, self.limit - len(self._running))))
        handles = {row.prefix.tokens: row.prefix for row in front if row.prefix is not None}
        opened = []
        for row in front:
            if row.prefix is None:
                context = (*row.draw.context, *row.tokens)
                if context not in handles:
                    handles[context] = self._runner.open(context)
                row.prefix = handles[context]
                row.prefix.users += 1
            opened.append((row, row.prefix))
        return opened

    def _prefill(self) -> None:
        self._prefilling = True
        missing = list(dict.fromkeys(prefix for _, prefix in self._next_waiting() if not prefix.ready))
        if missing:
            self._runner.advance(missing)
        self._prefilling = False

    def _recover(self, error: Exception) -> list[Row]:
        """Out of memory: halve what did not fit; give up on a row only where it does not fit alone, again and again.

        All rows go back to the queue. What they have run is kept in the tree if there is room, else run again.
        """
        batch = len(self._running) + len(self._admitting)
        self._runner.shrink()
        self._requeue()
        self._since_fault = 0
        if self._prefilling and self._runner.chunk > SMALLEST_CHUNK:
            self._runner.chunk //= 2
        elif not self._prefilling and batch > 1:
            self.limit = max(1, batch // 2)
        else:
            self.limit = 1
            row = self._waiting[0]
            row.faults += 1
            if row.faults == PATIENCE:
                return [self._give_up(row, error)]
        return []

    def _give_up(self, row: Row, error: Exception) -> Row:
        self._waiting.popleft()
        row.error = RoleError(
            f"out of memory for {row.draw.label} with nothing else running: {error}; "
            "use a shorter prompt, a smaller dtype or a smaller model"
        )
        if row.prefix is not None:
            self._release(row)
        return row

    def _release(self, row: Row) -> None:
        """The row needs its prefix no more; the last of its users gives the handle back."""
        prefix, row.prefix = row.prefix, None
        if prefix is not None:
            prefix.users -= 1
            if not prefix.users:
                self._runner.release(prefix)

    def _admit(self) -> None:
        """Move waiting rows whose prefix is ready into the batch."""
        front = self._next_waiting()
        ready = [(row, prefix) for row, prefix in front if prefix.ready]
        self._admitting = [row for row, _ in ready]
        if not ready:
            return
        logits = self._runner.admit([prefix for _, prefix in ready], [row.trunk for row, _ in ready])
        self._logits = logits if self._logits is None else torch.cat((self._logits, logits))
        for _ in front:
            self._waiting.popleft()
        self._waiting.extendleft(row for row, prefix in reversed(front) if not prefix.ready)
        self._running += self._admitting
        self._admitting = []
        for row, prefix in ready:
            row.begin = len(row.tokens)
            row.ran += prefix.ran
            row.ran_flops += prefix.ran_flops
            if row.cached is None:
                row.cached = len(row.draw.context) - prefix.ran
            prefix.ran, prefix.ran_flops = 0, 0.0
            self._release(row)

    def _draw(self) -> None:
        if self._logits is None:
            return
        rows, device = self._running, self._model.device
        noise = uniforms(
            np.array([row.draw.seed for row in rows], dtype=np.uint64),
            np.array([row.sampled for row in rows], dtype=np.uint64),
        )
        temperature = [row.draw.temperature for row in rows]
        logits, allowed = self._logits, None
        if self._processing:
            ids = [(row.draw.prompt_tokens, [*row.draw.context, *row.tokens]) for row in rows]
            allowed = self._processing.apply(logits, ids)
        uniform = torch.from_numpy(noise).to(device)
        tokens, logprobs, certainty = draw(logits, uniform, temperature, self._filters, allowed)
        asked = any(row.draw.window for row in rows)
        sure = [confidence(logits).double()] if asked else []
        # the one transfer of the step
        drawn = torch.stack([tokens.double(), logprobs.double(), certainty.double(), *sure]).tolist()
        for i, row in enumerate(rows):
            if asked and row.draw.window and not row.over:
                row.confidences.append(drawn[3][i])
            self._append(row, int(drawn[0][i]), drawn[1][i], drawn[2][i])

    def _append(self, row: Row, token: int, logprob: float, certainty: float) -> None:
        """Add a token to its row and see whether a step or the row ends with it."""
        if row.finish is not None:  # lost its race since the last step
            return
        row.sampled += 1
        if logprob != logprob:
            row.error = RoleError(
                f"{self._model.name} gave logits that are no numbers (NaN) for {row.draw.label}; its weights are "
                "damaged, or overflow in this dtype"
            )
            return
        if token in self._model.eos_ids or token in self._text.stop_ids:
            row.finish = "stop"
            row.eos = (token, logprob)
            return
        row.tokens.append(token)
        row.logprobs.append(logprob)
        row.certainties.append(certainty)
        if self._text.may_end(token):
            self._end(row)
        lost = row.bound is not None and len(row.tokens) > row.bound
        if row.draw.window and row.draw.stop_below is not None:
            lost = lost or falls_below(row.confidences, row.draw.window, row.draw.stop_below)
        if row.finish is None and (lost or row.sampled >= row.draw.max_new_tokens):
            row.finish = "length"

    def _end(self, row: Row) -> None:
        """Check the text for a stop string or the end of a step."""
        begin = row.ends[-1] if row.ends else 0
        before = self._text.before(row.draw.context, row.tokens, begin)
        row.cut = self._text.stops(row.draw.context, row.tokens)
        if row.cut is not None:
            row.finish = "stop"
        elif self._text.ends(before, row.tokens[begin:]):
            row.ends.append(len(row.tokens))
            if row.draw.max_steps is not None and len(row.ends) >= row.draw.max_steps:
                row.finish = "open"

    def _retire(self) -> list[Row]:
        """Take finished rows out; rows from the back fill their places."""
        over = [row for row in self._running if row.over]
        if not over:
            return []
        self._store([i for i, row in enumerate(self._running) if row.finish == "open"])
        left = len(self._running) - len(over)
        spare = iter([i for i in range(len(self._running) - 1, left - 1, -1) if not self._running[i].over])
        index = [i if not self._running[i].over else next(spare) for i in range(left)]
        self._runner.keep(index)
        self._running = [self._running[i] for i in index]
        return over

    def _forward(self) -> None:
        self._logits = None
        if self._running:
            tokens = torch.tensor([row.tokens[-1] for row in self._running], device=self._model.device)
            self._logits = self._runner.forward(tokens)
            for row in self._running:
                if self._runner.whole:  # the sequence again, from its beginning
                    length = len(row.draw.context) + len(row.tokens)
                    row.ran_flops += self._model.flops(length, 0, length)
                else:
                    row.forwarded += 1
            self._since_fault += 1
            if self._since_fault % GROW_AFTER == 0 and self.limit < self._most:
                self.limit = min(self._most, 2 * self.limit)

    def _store(self, places: Sequence[int]) -> None:
        """Keep what these rows have run for those that will continue them, as far as memory allows."""
        try:
            for i in places:
                self._runner.store(i, self._running[i].tokens[self._running[i].begin :])
        except Exception as error:
            if not is_out_of_memory(error):
                raise

    def _requeue(self) -> None:
        """Put all running rows back in front of the queue, keeping their keys and values if there is room for them."""
        self._store(range(len(self._running)))
        self._runner.keep([])
        self._waiting.extendleft(reversed(self._running))
        self._running = []
        self._admitting = []
        self._logits = None
