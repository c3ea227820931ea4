"""How likely a model begins its reply with each of a few words: what a judge needs, without sampling.

Knows: one forward and the last position's probabilities. Must not know: what is asked or judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature

import torch
from torch import Tensor

from ttscale.core.cost import Cost
from ttscale.hf.memory import Budget
from ttscale.hf.model import HFModel
from ttscale.hf.shared_kv.run_sequences import Run, SharedStretch, run_whole
from ttscale.hf.threads import suited_threads

FORWARD_TOKENS = 16_384
"""Padded tokens of one forward; halved where memory does not allow it."""

Odds = tuple[tuple[float, ...], Cost]


@dataclass(slots=True, eq=False)
class _Asked(Run):
    """A context, and how likely each option is after it."""

    odds: tuple[float, ...] = ()


@torch.inference_mode()
def first_token_odds(model: HFModel, contexts: Sequence[tuple[int, ...]], options: Sequence[str]) -> list[Odds] | None:
    """For each context the probability of each option as the next token, in any case, with or without a space.

    None where the tokenizer cannot tell the options apart by their first token. Equal contexts are run once.
    """
    names = [_ids(model, option) for option in options]
    if len(set().union(*names)) < sum(map(len, names)):
        return None
    work = {context: _Asked(context, 0, len(context)) for context in contexts}
    # The model's own logits, since some scale or cap what the head gives; only where a context ends, if it can do that.
    keeps = "logits_to_keep" in signature(model.module.forward).parameters

    def forward(ids: Tensor, mask: Tensor) -> Tensor:
        """Logits [sequences, vocabulary] where each context ends."""
        ends = (mask.sum(1) - 1).tolist()
        some = sorted(set(ends)) if keeps else list(range(ids.shape[1]))
        kept = {"logits_to_keep": torch.tensor(some, device=ids.device)} if keeps else {}
        logits: Tensor = model.module(input_ids=ids, attention_mask=mask, use_cache=False, **kept).logits
        return logits[torch.arange(len(ends)), [some.index(end) for end in ends]]

    def read(pieces: list[SharedStretch[_Asked]], logits: Tensor) -> None:
        lengths = [length for _, length in pieces]
        positions = len(set(lengths)) if keeps else max(lengths)
        for ((run, *_), _), row in zip(pieces, logits.float().softmax(-1), strict=True):
            run.odds = tuple(float(row[sorted(name)].sum()) for name in names)
            run.flops += model.flops(0, 0, positions)

    tokens = min(FORWARD_TOKENS, sum(map(len, contexts)))
    with model.lock, suited_threads(model.device, 2.0 * model.matmul_parameters * tokens):
        model.module.eval()
        run_whole(model, list(work.values()), forward, read, Budget(FORWARD_TOKENS))
    spent = {
        context: Cost(prompt_tokens=run.tokens, flops=run.flops, seconds=run.seconds) for context, run in work.items()
    }
    return [(work[context].odds, spent.pop(context, Cost())) for context in contexts]


def _ids(model: HFModel, option: str) -> set[int]:
    """The tokens that spell the option whole; where there is none, the one that begins it."""
    spellings = [space + form for form in (option, option.lower(), option.upper()) for space in ("", " ")]
    spelled = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in spellings]
    return {ids[0] for ids in spelled if len(ids) == 1} or {spelled[0][0]}
