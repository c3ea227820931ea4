"""From candidates to verdicts: the trunk runs once over every distinct token, whatever family reads it.

Knows: adapters, the model's prefix tree. Must not know: formats of families, search.
What a search has scored already stays: keys and values in the model's prefix tree (within its memory budget), scores by
the ids they depend on. Within a call, sequences that begin alike are run as a tree, each shared run of tokens once.
How sequences are run is in ``shared_kv.run_sequences``.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from ttscale.core.cost import Cost
from ttscale.core.errors import RoleError, TooLongError
from ttscale.core.requests import Score, Verdict, where
from ttscale.core.types import said_steps
from ttscale.hf.known_logprobs import trim
from ttscale.hf.memory import Budget
from ttscale.hf.model import HFModel
from ttscale.hf.pick_runner import Found, found
from ttscale.hf.shared_kv.forward import SharedKV
from ttscale.hf.shared_kv.run_sequences import Run, SharedStretch, run_as_tree, run_whole
from ttscale.hf.threads import suited_threads
from ttscale.hf.verifiers.adapter import Adapter

FORWARD_TOKENS = 16_384
"""Padded tokens of one forward; halved where memory does not allow it."""


@dataclass(slots=True, eq=False)
class _Scored(Run):
    """A candidate's sequence, and the positions that still lack a score."""

    missing: list[int] = field(default_factory=list)
    found: dict[int, float] = field(default_factory=dict)


EncodedSteps: TypeAlias = tuple[tuple[int, ...], list[int | None]]
"""The token ids of a candidate, and the position to read each score at; None for a step that was all thought."""


class Scorer:
    """Scores candidates with one model and one adapter; ``thoughts`` shows them with what was only thought."""

    def __init__(self, model: HFModel, adapter: Adapter, thoughts: bool = False) -> None:
        self._thoughts = thoughts
        self._model = model
        self._adapter = adapter
        self._scores: OrderedDict[bytes, float] = OrderedDict()
        self._found: Found | None = None
        self._budget = Budget(FORWARD_TOKENS)

    @torch.inference_mode()
    def score(self, requests: Sequence[Score]) -> list[Verdict | Exception]:
        """One verdict per request. The work for what several requests share is charged to the first of them.

        A ``RoleError`` stands in the place of a candidate that cannot be judged.
        """
        with self._model.lock:
            return self._score(requests)

    def _score(self, requests: Sequence[Score]) -> list[Verdict | Exception]:
        model = found(self._model)
        if model is not self._found:  # the weights were changed in between
            self._scores.clear()
            self._adapter.head.refresh()
            self._found = model
        plans = [self._encode(request) for request in requests]
        work: dict[tuple[int, ...], _Scored] = {}
        for plan in plans:
            if isinstance(plan, Exception):
                continue
            ids, reads = plan
            missing = [read for read in reads if read is not None and self._recall(ids, read) is None]
            if missing:  # equal ids may come with other borders
                run = work.setdefault(ids, _Scored(ids, 0, 0))
                run.missing = sorted({*run.missing, *missing})
                run.first, run.end = run.missing[0], run.missing[-1] + 1
        if work:
            tokens = min(FORWARD_TOKENS, sum(run.end for run in work.values()))
            with suited_threads(self._model.device, 2.0 * self._model.body_parameters * tokens):
                self._run(model.shared, list(work.values()))
            self._budget.grow()
        replies: list[Verdict | Exception] = []
        for request, plan in zip(requests, plans, strict=True):
            replies.append(plan if isinstance(plan, Exception) else self._verdict(request, plan, work))
        trim(self._scores)
        return replies

    def _verdict(self, request: Score, plan: EncodedSteps, work: dict[tuple[int, ...], _Scored]) -> Verdict | Exception:
        """The scores at a candidate's positions, with what running it cost."""
        ids, reads = plan
        done = work.pop(ids, None)
        scores = [1.0 if read is None else self._recall(ids, read) for read in reads]
        for score in scores:
            if score is None or not 0 <= score <= 1:
                return RoleError(f"the verifier's score is {score} ({where(request)}): broken weights?")
        cost = Cost(verifier_tokens=done.tokens, flops=done.flops, seconds=done.seconds) if done else Cost()
        return Verdict(tuple(score for score in scores if score is not None), cost)

    def _encode(self, request: Score) -> EncodedSteps | RoleError:
        """The token ids of a candidate, and the position to read each score at; or why it cannot be judged."""
        candidate, model = request.candidate, self._model
        if not candidate.steps:
            return RoleError(f"cannot score a candidate without steps ({where(request)})")
        shown = said_steps(candidate, self._thoughts)
        earlier = [attempt for attempt in candidate.attempts if attempt.steps]
        attempts = [attempt.text if self._thoughts else attempt.spoken for attempt in earlier]
        try:
            ids, found = self._adapter.encode(
                candidate.question.prompt, [step for step in shown if step is not None], attempts
            )
        except ValueError as error:
            failed = RoleError(f"cannot lay out a solution for the verifier: {error} ({where(request)})")
            failed.__cause__ = error
            return failed
        if len(ids) > model.context_length:
            return TooLongError(
                f"the solution is {len(ids)} tokens long for the verifier, which reads at most {model.context_length} "
                f"({where(request)}); nothing is cut off, since scores would be lost: use shorter solutions"
            )
        places = iter(found)
        one_each = len(found) > 1  # a single score is that of the whole solution
        return tuple(ids), [None if step is None else next(places) for step in shown] if one_each else list(found)

    def _run(self, own: SharedKV | None, work: list[_Scored]) -> None:
        """Run what is missing and note the scores."""
        if own is None:
            run_whole(self._model, work, self._trunk, self._read, self._budget)
        else:
            for run in work:
                # The hidden state at the first missing position is needed, so that token itself is run again.
                run.node = own.tree.pin(own.tree.find(run.ids[: run.first]))
                run.begin = run.node.length
            run_as_tree(self._model, own, work, self._read, self._budget)
        for run in work:
            for read, score in run.found.items():
                self._scores[_digest(run.ids, read)] = score

    def _trunk(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Hidden states [sequences, longest, width] by the model's own forward; ids and mask [sequences, longest]."""
        hidden: Tensor = self._model.module.base_model(input_ids=ids, attention_mask=mask, use_cache=False)[0]
        return hidden

    def _read(self, pieces: list[SharedStretch[_Scored]], hidden: Tensor) -> None:
        """Scores that fall into these pieces, from their hidden states [pieces, longest, width].

        To six digits: the rest is the rounding noise of a batch.
        """
        for row, (group, length) in enumerate(pieces):
            begin = group[0].begin
            positions = sorted({p for run in group for p in run.missing if begin <= p < begin + length})
            if not positions:
                continue
            read: list[float] = self._adapter.read(hidden[row][[p - begin for p in positions]]).float().tolist()
            scores = dict(zip(positions, (round(s, 6) if math.isfinite(s) else s for s in read), strict=True))
            group[0].flops += 2.0 * self._adapter.head.matmul_parameters * len(positions)
            for run in group:
                run.found |= {position: scores[position] for position in run.missing if position in scores}

    def _recall(self, ids: tuple[int, ...], read: int) -> float | None:
        name = _digest(ids, read)
        if name not in self._scores:
            return None
        self._scores.move_to_end(name)
        return self._scores[name]


def _digest(ids: tuple[int, ...], read: int) -> bytes:
    """A name for the score at a position: it depends on the ids up to there, and on nothing else."""
    return hashlib.blake2b(array("q", ids[: read + 1]).tobytes(), digest_size=16).digest()
