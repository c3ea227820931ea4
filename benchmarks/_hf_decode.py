"""What decoding costs: best-of-N, beam search, many questions, memory. Parts of ``hf_backend.py``.

Random weights; lengths are drawn once (geometric, clipped) and imposed on every variant, as an end-of-sequence token
would.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import transformers
from _hf_models import AtLength, Size, interleaved, lengths, network, served, tokens
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from ttscale.hf.decode import Decoder, Draw, Row
from ttscale.hf.model import HFModel
from ttscale.hf.pick_runner import open_shared_kv as fast
from ttscale.hf.sampling import Filters, draw, uniforms
from ttscale.hf.shared_kv import runner as fast_rows
from ttscale.prompts.steps import StepText

PAGE = 256
"""Tokens of a page of transformers' paged cache."""
Found = dict[str, dict[str, Any]]


class ToLength(Decoder):
    """A decode loop in which the imposed length ends a step: the row may be continued, as in a search."""

    def _append(self, row: Row, token: int, logprob: float, certainty: float) -> None:
        super()._append(row, token, logprob, certainty)
        if row.finish == "length":
            row.finish = "open"


def rows_of(contexts: Sequence[tuple[int, ...]], wanted: Sequence[int], prompt: int, seed: int) -> list[Row]:
    """A row per context that samples so many tokens."""
    return [
        Row(i, Draw(context, prompt, seed * 1_000_003 + i, 1.0, None, length, "benchmark"))
        for i, (context, length) in enumerate(zip(contexts, wanted, strict=True))
    ]


def decode(
    model: HFModel, contexts: Sequence[tuple[int, ...]], wanted: Sequence[int], prompt: int, seed: int
) -> list[Row]:
    """Rows of given lengths through the decode loop, kept in the tree so that they can be continued."""
    rows = rows_of(contexts, wanted, prompt, seed)
    decoder = ToLength(model, StepText(model.tokenizer, None), Filters())
    decoder.admit(rows)
    while decoder.active:
        for row in decoder.step():
            assert row.error is None, row.error
    decoder.close()
    return rows


def forget(model: HFModel) -> None:
    """Empty the prefix tree."""
    own = fast(model)
    assert own is not None
    own.tree.evict()


@torch.inference_mode()  # faster than the no_grad of ``generate`` itself
def generated(
    module: Any, prompts: Sequence[Sequence[int]], each: int, wanted: list[int], top_k: int = 0
) -> list[list[int]]:
    """What a user of transformers writes: ``generate`` over left-padded prompts; the new tokens of every row."""
    width = max(map(len, prompts))
    device = next(module.parameters()).device
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    out = module.generate(
        ids,
        attention_mask=mask,
        do_sample=True,
        top_k=top_k,
        num_return_sequences=each,
        max_new_tokens=max(wanted),
        stopping_criteria=transformers.StoppingCriteriaList([AtLength(width, wanted)]),
        eos_token_id=None,
    )
    return [row[width : width + length] for row, length in zip(out.tolist(), wanted, strict=True)]


@torch.inference_mode()
def looped(
    module: Any, prompts: Sequence[Sequence[int]], each: int, wanted: list[int], seed: int
) -> tuple[list[list[int]], int]:
    """A loop one would write over the model's own cache: unique prefixes run together, their KV repeated, finished rows
    dropped, our draw. The new tokens of every row, and how many tokens were run (padding not)."""
    width, made = max(map(len, prompts)), [list[int]() for _ in wanted]
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    position = (mask.cumsum(1) - 1).clamp(min=0)
    out = module(ids, attention_mask=mask, position_ids=position, use_cache=True, logits_to_keep=1)
    cache, forwarded, live = out.past_key_values, sum(map(len, prompts)), list(range(len(wanted)))
    of_row = torch.arange(len(wanted)) // each
    cache.reorder_cache(of_row)
    mask, position, logits = mask[of_row], position[of_row, -1:], out.logits[of_row, -1]
    while True:
        seeds, count = np.array([seed * 1_000_003 + row for row in live], np.uint64), len(made[live[0]])
        uniform = torch.from_numpy(uniforms(seeds, np.full(len(live), count, np.uint64)))
        drawn = draw(logits, uniform, [1.0] * len(live), Filters())[0]
        for row, token in zip(live, drawn.tolist(), strict=True):
            made[row].append(token)
        stay = [place for place, row in enumerate(live) if len(made[row]) < wanted[row]]
        if not stay:
            return made, forwarded
        if len(stay) < len(live):
            places, live = torch.tensor(stay), [live[place] for place in stay]
            cache.reorder_cache(places)
            mask, position, drawn = mask[places], position[places], drawn[places]
        mask, position = torch.cat([mask, torch.ones(len(live), 1, dtype=mask.dtype)], 1), position + 1
        forwarded += len(live)
        out = module(drawn[:, None], attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True)
        logits = out.logits[:, -1]


def solutions(size: Size, count: int, index: int) -> list[int]:
    """Lengths of solutions: mean 50, clipped at 128."""
    return lengths(count, size.of(50, 4), size.of(128, 8), index)


def step_lengths(size: Size, index: int, wave: int) -> list[int]:
    """Lengths of the steps of one wave of a beam search: mean 30, clipped at 60."""
    return lengths(size.of(64, 8), size.of(30, 4), size.of(60, 8), 100 * index + wave)


def continuous(module: Any, prompt: tuple[int, ...], wanted: list[int]) -> None:
    """transformers' own continuous batching with paged KV, rows forked from one prefill.

    It takes one length for all, so the mean is asked for, which suits it. On a CPU its cache gets the pages that are
    needed: by default it fills the free memory with zeros first, which takes longer than the rest.
    """
    length = round(sum(wanted) / len(wanted))
    config = transformers.GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        top_k=0,
        max_new_tokens=length,
        num_return_sequences=len(wanted),
        eos_token_id=-1,
        pad_token_id=0,
    )
    pages = len(wanted) * (2 + (len(prompt) + length) // PAGE)
    on_cpu = next(module.parameters()).device.type == "cpu"
    sized = ContinuousBatchingConfig(num_blocks=pages, max_batch_tokens=max(64, len(wanted))) if on_cpu else None
    out = module.generate_batch([list(prompt)], generation_config=config, continuous_batching_config=sized)
    made = [len(reply.generated_tokens) for reply in out.values()]
    assert made == [length] * len(wanted), made  # a failed request is not raised


def best_of_n(size: Size) -> Found:
    """64 solutions of one prompt, lengths of mean 50 clipped at 128, against `generate(num_return_sequences=64)`."""
    cases = (("llama8m", 32, True), ("qwen8m", 128, False), ("llama8m", 512, False))
    return {k: row for name, length, top in cases for k, row in _best_of_64(name, length, top, size).items()}


def _best_of_64(name: str, prompt_length: int, with_others: bool, size: Size) -> Found:
    module = network(name, size)
    model = served(module)
    prompt, count = tokens(size.of(prompt_length, prompt_length // 8), 1), size.of(64, 8)

    def ours(index: int) -> None:
        forget(model)
        decode(model, [prompt] * count, solutions(size, count, index), len(prompt), index)

    variants: dict[str, Callable[[int], Any]] = {
        "ttscale": ours,
        "generate": lambda i: generated(module, [prompt], count, solutions(size, count, i)),
    }
    if with_others:
        variants["generate, top-k 50"] = lambda i: generated(module, [prompt], count, solutions(size, count, i), 50)
        variants["generate_batch"] = lambda i: continuous(module, prompt, solutions(size, count, i))
    made = interleaved(variants, size.rounds, ["ttscale"])
    return {f"{name}, prompt {prompt_length}: {variant}": row for variant, row in made.items()}


def beam(size: Size) -> Found:
    """Beam search, N = 64, M = 4, 10 rounds, prompt of 128 tokens, steps of mean 30 tokens; survivors at random."""
    module = network("llama8m", size)
    kept, forgetful = served(module), served(module)
    prompt, n, waves = tokens(size.of(128, 16), 2), size.of(64, 8), size.of(10, 3)
    forwarded: dict[str, int] = {}
    sampled: dict[str, int] = {}
    share_at = fast_rows.SHARE_AT

    def search(name: str, model: HFModel, index: int, again: bool) -> None:
        fast_rows.SHARE_AT = 1 << 30 if again else share_at  # run again: every surviving prefix whole, by itself
        forget(model)
        before, rng = model.forwarded_tokens, random.Random(index)
        prefixes, sampled[name] = [prompt] * n, 0
        for wave in range(waves):
            if again:
                forget(model)
            rows = decode(model, prefixes, step_lengths(size, index, wave), len(prompt), 100 * index + wave)
            sampled[name] += sum(row.sampled for row in rows)
            survivors = rng.sample(rows, n // 4)
            prefixes = [row.draw.context + tuple(row.tokens) for row in survivors for _ in range(4)]
        forwarded[name] = model.forwarded_tokens - before

    def resent(name: str, run: Callable[..., tuple[list[list[int]], int]], index: int) -> None:
        """The same search by something that is given every prefix whole; ``run``: its rows, and the tokens it ran."""
        rng, prefixes = random.Random(index), [list(prompt)]
        forwarded[name] = sampled[name] = 0
        for wave in range(waves):
            wanted, each = step_lengths(size, index, wave), n // len(prefixes)
            out, ran = run(module, prefixes, each, wanted, 100 * index + wave)
            sampled[name] += sum(wanted)
            forwarded[name] += ran
            prefixes = rng.sample([prefixes[i // each] + row for i, row in enumerate(out)], n // 4)

    def generate(
        module: Any, prefixes: list[list[int]], each: int, wanted: list[int], _: int
    ) -> tuple[list[list[int]], int]:
        return generated(module, prefixes, each, wanted), n * (max(map(len, prefixes)) + max(wanted) - 1)

    by_hand = {"a loop over the model's own cache, prefilling again": looped, "generate on re-sent prefixes": generate}
    made: Found = interleaved(
        {
            "ttscale": lambda i: search("ttscale", kept, i, False),
            **{name: partial(resent, name, run) for name, run in by_hand.items()},
            "ttscale, prefixes run again": lambda i: search("ttscale, prefixes run again", forgetful, i, True),
        },
        size.rounds,
        ["ttscale", "ttscale, prefixes run again"],
    )
    fast_rows.SHARE_AT = share_at
    for name, row in made.items():
        least = len(prompt) + sampled[name]
        row |= {"tokens forwarded": forwarded[name], "/ (prompt + sampled)": forwarded[name] / least}
    return made


def questions(size: Size) -> Found:
    """32 questions of 16 solutions each: all at once, 8 at a time, one at a time."""
    model = served(network("llama8m", size))
    every, each = 32, size.of(16, 2)
    prompts = [tokens(size.of(32 + 3 * i, 4 + i), 10 + i) for i in range(every)]

    def run(index: int, together: int) -> None:
        forget(model)
        wanted = solutions(size, every * each, index)
        for begin in range(0, every, together):
            decoder = Decoder(model, StepText(model.tokenizer, None), Filters())
            for q in range(begin, begin + together):
                decoder.admit(rows_of([prompts[q]] * each, wanted[each * q : each * q + each], len(prompts[q]), q))
            while decoder.active:
                decoder.step()
            decoder.close()

    variants = {f"{n} together": partial(run, together=n) for n in (32, 8, 1)}
    made: Found = interleaved(variants, size.rounds, ["32 together"])
    useful = statistics.mean(sum(solutions(size, every * each, index)) for index in range(size.rounds))
    for row in made.values():
        row["useful tokens/s"] = useful / row["seconds"]
    return made


def memory(size: Size) -> Found:
    """The most KV held during a best-of-N, counted in tokens, against N copies of prompt and solution."""
    found: Found = {}
    model = served(network("llama8m", size))
    for count, prompt_length in ((16, 512), (64, 512), (64, 2048)) if not size.tiny else ((4, 64), (16, 64)):
        forget(model)
        prompt, wanted = tokens(prompt_length, 3), solutions(size, count, 0)
        own = fast(model)
        assert own is not None
        per_token = 2 * own.shape.layers * own.shape.heads * own.shape.size * 4
        decoder = Decoder(model, StepText(model.tokenizer, None), Filters())
        decoder.admit(rows_of([prompt] * count, wanted, prompt_length, 1))
        most = 0
        while decoder.active:
            decoder.step()
            most = max(most, decoder.kv_bytes)
        decoder.close()
        held, copies = round(most / per_token), count * (prompt_length + max(wanted))
        distinct = prompt_length + sum(wanted)
        found[f"N = {count}, prompt {prompt_length}"] = {
            "KV tokens held": held,
            "distinct tokens": distinct,
            "held / distinct": held / distinct,
            "N copies": copies,
            "N copies / held": copies / held,
        }
    return found
