"""How likely a model begins its reply with each of a few words: what a judge needs, without sampling.

Knows: one forward and the last position's probabilities. Must not know: what is asked or judged.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from inspect import signature

import torch

from ttscale.core.cost import Cost
from ttscale.hf.context_length import changes_every_token, fresh_rotary, rescaled
from ttscale.hf.memory import batches, is_out_of_memory
from ttscale.hf.model import HFModel
from ttscale.hf.shared_kv.run_sequences import padded
from ttscale.hf.threads import suited_threads

FORWARD_TOKENS = 16_384
"""Padded tokens of one forward; halved where memory does not allow it."""

Odds = tuple[tuple[float, ...], Cost]


@torch.inference_mode()
def first_token_odds(model: HFModel, contexts: Sequence[tuple[int, ...]], options: Sequence[str]) -> list[Odds] | None:
    """For each context the probability of each option as the next token, in any case, with or without a space.

    None where the tokenizer cannot tell the options apart by their first token. Equal contexts are run once.
    """
    work = 2.0 * model.matmul_parameters * min(FORWARD_TOKENS, sum(map(len, contexts)))
    with model.lock, suited_threads(model.device, work):
        model.module.eval()
        return _odds(model, contexts, options)


def _odds(model: HFModel, contexts: Sequence[tuple[int, ...]], options: Sequence[str]) -> list[Odds] | None:
    names = [_ids(model, option) for option in options]
    if len(set().union(*names)) < sum(map(len, names)):
        return None
    order = sorted(set(contexts), key=len)
    table: dict[tuple[int, ...], Odds] = {}
    config = model.config
    for place in batches(
        [len(context) for context in order], lambda: FORWARD_TOKENS, rescaled(config), changes_every_token(config)
    ):
        table |= zip(order[place], _forward(model, order[place], names), strict=True)
    replies = []
    for context in contexts:
        odds, cost = table[context]
        replies.append((odds, cost))
        table[context] = (odds, Cost())
    return replies


def _ids(model: HFModel, option: str) -> set[int]:
    """The tokens that spell the option whole; where there is none, the one that begins it."""
    spellings = [space + form for form in (option, option.lower(), option.upper()) for space in ("", " ")]
    spelled = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in spellings]
    return {ids[0] for ids in spelled if len(ids) == 1} or {spelled[0][0]}


def _forward(model: HFModel, contexts: Sequence[tuple[int, ...]], names: Sequence[set[int]]) -> list[Odds]:
    began = time.perf_counter()
    width = max(map(len, contexts))
    ids, mask = padded(contexts, model.device)
    fresh_rotary(model.module, model.config)
    ends = [len(c) - 1 for c in contexts]
    # The model's own logits, since some scale or cap what the head gives; only where a context ends, if it can do that.
    some = sorted(set(ends)) if "logits_to_keep" in signature(model.module.forward).parameters else list(range(width))
    kept = {"logits_to_keep": torch.tensor(some, device=model.device)} if len(some) < width else {}
    try:
        logits = model.module(input_ids=ids, attention_mask=mask, use_cache=False, **kept).logits
    except Exception as error:
        if len(contexts) == 1 or not is_out_of_memory(error):
            raise
        half = len(contexts) // 2
        return [*_forward(model, contexts[:half], names), *_forward(model, contexts[half:], names)]
    last = logits[torch.arange(len(contexts)), [some.index(end) for end in ends] if kept else ends]
    probabilities = last.float().softmax(-1)
    model.forwarded_tokens += sum(map(len, contexts))
    seconds = (time.perf_counter() - began) / len(contexts)
    return [
        (
            tuple(float(row[sorted(name)].sum()) for name in names),
            Cost(prompt_tokens=len(context), flops=model.flops(len(context), 0, len(some)), seconds=seconds),
        )
        for row, context in zip(probabilities, contexts, strict=True)
    ]
