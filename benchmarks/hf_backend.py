"""What the Hugging Face backend saves: best-of-N, beams, verifying, many questions, sampling, memory, on one CPU core.

    python benchmarks/hf_backend.py [--only best_of_n beam ...] [--rounds 3] [--out benchmarks/results/hf_backend.json]

Random weights, so nothing is downloaded; lengths are drawn once (geometric, clipped) and imposed on every variant.
"slower" is the median over rounds of the ratio to the first line, all variants run in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import transformers
from _hf_models import AtLength, Numbers, interleaved, lengths, network, served, table, tokens

from ttscale import Candidate, Key, Question, Step
from ttscale._requests import Score
from ttscale.hf.backend import fast
from ttscale.hf.decode import Decoder, Draw, Row
from ttscale.hf.model import HFModel
from ttscale.hf.sampling import Filters, draw
from ttscale.hf.steps import StepText
from ttscale.hf.verifiers.adapter import Encoded, LinearHead
from ttscale.hf.verifiers.scorer import Scorer

Found = dict[str, dict[str, Any]]


def decode(
    model: HFModel, contexts: Sequence[tuple[int, ...]], wanted: Sequence[int], prompt: int, seed: int
) -> list[Row]:
    """Rows of given lengths through the decode loop, kept for continuation."""
    decoder = Decoder(model, StepText(model.tokenizer, None), Filters())
    rows = [
        Row(i, Draw(context, prompt, seed * 1_000_003 + i, 1.0, None, length, "benchmark"))
        for i, (context, length) in enumerate(zip(contexts, wanted, strict=True))
    ]
    decoder.admit(rows)
    while decoder.active:
        decoder.step()
    decoder.close()
    return rows


def forget(model: HFModel) -> None:
    own = fast(model)
    assert own is not None
    own.tree.evict()


def best_of_n(rounds: int) -> Found:
    """64 solutions of one prompt against ``model.generate(num_return_sequences=64)``."""
    cases = (("llama8m", 32), ("qwen8m", 128), ("llama8m", 512))
    return {k: row for name, length in cases for k, row in _best_of_64(name, length, rounds).items()}


def _best_of_64(name: str, prompt_length: int, rounds: int) -> Found:
    module = network(name)
    model = served(module)
    prompt = tokens(prompt_length, 1)

    def ours(index: int) -> None:
        forget(model)
        decode(model, [prompt] * 64, lengths(64, 50, 128, index), len(prompt), index)

    def generate(index: int, top_k: int = 0) -> None:
        wanted = lengths(64, 50, 128, index)
        stop = transformers.StoppingCriteriaList([AtLength(len(prompt), wanted)])
        ids = torch.tensor([prompt])
        module.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=top_k,
            num_return_sequences=64,
            max_new_tokens=max(wanted),
            stopping_criteria=stop,
            eos_token_id=None,
        )

    made = interleaved({"ttscale": ours, "generate": generate, "generate, top-k 50": lambda i: generate(i, 50)}, rounds)
    return {f"{name}, prompt {prompt_length}: {variant}": row for variant, row in made.items()}


def beam(rounds: int) -> Found:
    """N = 64, M = 4, 10 rounds, prompt of 128 tokens, steps of 30 tokens on average; random survivors."""
    module = network("llama8m")
    kept, forgetful = served(module), served(module)
    prompt = tokens(128, 2)

    def search(model: HFModel, index: int, again: bool) -> int:
        forget(model)
        before, sampled, rng = model.forwarded_tokens, 0, random.Random(index)
        prefixes = [prompt] * 64
        for wave in range(10):
            if again:
                forget(model)
            rows = decode(model, prefixes, lengths(64, 30, 60, 100 * index + wave), len(prompt), 100 * index + wave)
            sampled += sum(row.sampled for row in rows)
            survivors = rng.sample(rows, 16)
            prefixes = [row.draw.context + tuple(row.tokens) for row in survivors for _ in range(4)]
            decoded[id(model)] = (model.forwarded_tokens - before, len(prompt) + sampled)
        return sampled

    decoded: dict[int, tuple[int, int]] = {}

    def generate(index: int) -> None:
        rng = random.Random(index)
        prefixes = [list(prompt)]
        for wave in range(10):
            wanted = lengths(64, 30, 60, 100 * index + wave)
            width = max(map(len, prefixes))
            ids = torch.tensor([[0] * (width - len(p)) + p for p in prefixes])
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prefixes])
            stop = transformers.StoppingCriteriaList([AtLength(width, wanted)])
            out = module.generate(
                ids,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                num_return_sequences=64 // len(prefixes),
                max_new_tokens=max(wanted),
                stopping_criteria=stop,
                eos_token_id=None,
            ).tolist()
            full = [prefixes[i // (64 // len(prefixes))] + row[width : width + wanted[i]] for i, row in enumerate(out)]
            prefixes = rng.sample(full, 16)

    made: Found = interleaved(
        {
            "ttscale": lambda i: search(kept, i, False),
            "ttscale, prefixes run again": lambda i: search(forgetful, i, True),
            "generate on re-sent prefixes": generate,
        },
        rounds,
    )
    for name, model in (("ttscale", kept), ("ttscale, prefixes run again", forgetful)):
        run, least = decoded[id(model)]
        made[name] |= {"tokens forwarded": run, "/ (prompt+sampled)": run / least}
    return made


class Reads:
    """An adapter of a process reward model whose steps are lists of numbers."""

    aggregate = "last"

    def __init__(self, prompt: tuple[int, ...]) -> None:
        torch.manual_seed(1)
        self._prompt = list(prompt)
        self.head = LinearHead((torch.randn(2, 256) / 16, torch.zeros(2)))

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        ids, reads = list(self._prompt), []
        for step in steps:
            ids += Numbers()(step)["input_ids"]
            reads.append(len(ids) - 1)
        return Encoded(ids, reads)

    def read(self, hidden: torch.Tensor, /) -> torch.Tensor:
        return self.head.logits(hidden).softmax(-1)[:, 1]


def verify(rounds: int) -> Found:
    """A process reward model over such a beam search: new steps only, against every prefix again."""
    prompt = tokens(128, 2)
    module = network("llama8m")
    incremental, whole = served(module), served(module, shared_kv=False)
    waves: dict[int, list[list[Candidate]]] = {}
    counted: dict[str, float] = {}

    def scored(index: int) -> list[list[Candidate]]:
        """Ten waves of candidates of the search that this round stands for."""
        if index not in waves:
            rng, made = random.Random(index), []
            prefixes: list[tuple[Step, ...]] = [()] * 64
            for wave in range(10):
                grown = []
                for i, length in enumerate(lengths(64, 30, 60, 100 * index + wave)):
                    ids = tokens(length, hash((index, wave, i)))
                    grown.append((*prefixes[i], Step(Numbers().decode(list(ids)), ids)))
                made.append([Candidate(Question("q", "q"), Key((wave, i)), steps) for i, steps in enumerate(grown)])
                prefixes = [steps for steps in rng.sample(grown, 16) for _ in range(4)]
            waves[index] = made
        return waves[index]

    def run(model: HFModel, index: int, remember: bool) -> None:
        if remember:
            forget(model)
        before, scorer = model.forwarded_tokens, Scorer(model, Reads(prompt))
        for candidates in scored(index):
            if not remember:
                scorer = Scorer(model, Reads(prompt))
            scorer.score([Score(candidate) for candidate in candidates])
        least = len(prompt) + sum(len(c.steps[-1].tokens) for candidates in scored(index) for c in candidates)
        counted[f"run {remember}"], counted["least"] = model.forwarded_tokens - before, least

    made: Found = interleaved(
        {"ttscale": lambda i: run(incremental, i, True), "every prefix whole": lambda i: run(whole, i, False)}, rounds
    )
    for name, remember in (("ttscale", True), ("every prefix whole", False)):
        total = counted[f"run {remember}"]
        made[name] |= {"tokens forwarded": int(total), "/ (prompt+steps)": total / counted["least"]}
    return made


def questions(rounds: int) -> Found:
    """32 questions of 16 solutions each: all at once, 8 at a time, one at a time."""
    model = served(network("llama8m"))
    prompts = [tokens(32 + 3 * i, 10 + i) for i in range(32)]

    def run(index: int, together: int) -> None:
        forget(model)
        wanted = lengths(32 * 16, 50, 128, index)
        for begin in range(0, 32, together):
            decoder = Decoder(model, StepText(model.tokenizer, None), Filters())
            for q in range(begin, begin + together):
                decoder.admit(
                    [
                        Row(
                            i,
                            Draw(prompts[q], len(prompts[q]), q * 1000 + i, 1.0, None, wanted[16 * q + i], "benchmark"),
                        )
                        for i in range(16)
                    ]
                )
            while decoder.active:
                decoder.step()
            decoder.close()

    made: Found = interleaved({f"{n} together": lambda i, n=n: run(i, n) for n in (32, 8, 1)}, rounds)
    useful = sum(lengths(32 * 16, 50, 128, 0))
    for row in made.values():
        row["useful tokens/s"] = useful / row["seconds"]
    return made


def sampling(rounds: int) -> Found:
    """One draw for 64 rows: a hashed uniform and the inverse distribution, against torch.multinomial."""
    return {k: row for vocabulary in (4_096, 151_936) for k, row in _sampling(vocabulary, rounds).items()}


def _sampling(vocabulary: int, rounds: int) -> Found:
    logits = 3 * torch.randn(64, vocabulary)
    noise = torch.rand(64)

    def ours(index: int, filters: Filters = Filters()) -> None:  # noqa: B008
        draw(logits, noise, [1.0] * 64, filters)

    made = interleaved(
        {
            "inverse distribution": ours,
            "multinomial": lambda i: torch.multinomial(logits.softmax(-1), 1),
            "inverse distribution, top-k 50": lambda i: ours(i, Filters(top_k=50)),
            "inverse distribution, top-p 0.9": lambda i: ours(i, Filters(top_p=0.9)),
            "inverse distribution, min-p 0.05": lambda i: ours(i, Filters(min_p=0.05)),
            "top-p 0.9 by sorting, multinomial": lambda i: torch.multinomial(sorted_top_p(logits, 0.9), 1),
        },
        max(5, rounds),
    )
    return {f"vocabulary {vocabulary}: {name}": row for name, row in made.items()}


def sorted_top_p(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    ordered, at = logits.softmax(-1).sort(descending=True)
    return torch.zeros_like(logits).scatter(-1, at, ordered * (ordered.cumsum(-1) - ordered < top_p))


def memory(rounds: int) -> Found:
    """The most KV held during a best-of-N, in tokens of KV, against N copies of prompt and solution."""
    found: Found = {}
    model = served(network("llama8m"))
    for count, prompt_length in ((16, 512), (64, 512), (64, 2048)):
        forget(model)
        prompt, wanted = tokens(prompt_length, 3), lengths(count, 50, 128, 0)
        own = fast(model)
        assert own is not None
        per_token = 2 * own.shape.layers * own.shape.heads * own.shape.size * 4
        decoder = Decoder(model, StepText(model.tokenizer, None), Filters())
        decoder.admit(
            [Row(i, Draw(prompt, prompt_length, i, 1.0, None, length, "benchmark")) for i, length in enumerate(wanted)]
        )
        most = 0
        while decoder.active:
            decoder.step()
            most = max(most, decoder.kv_bytes)
        decoder.close()
        copies = count * (prompt_length + max(wanted))
        found[f"N = {count}, prompt {prompt_length}"] = {
            "KV tokens held": round(most / per_token),
            "prompt + solutions": prompt_length + sum(wanted),
            "N copies": copies,
        }
    return found


def roofline(rounds: int) -> Found:
    """A decode step of 64 and of 8 rows: multiplications and bytes that must be, over what was achieved."""
    model = served(network("llama8m"))
    return {f"{count} rows": _roofline(model, count) for count in (64, 8)}


def _roofline(model: HFModel, count: int) -> dict[str, float]:
    a, weight = torch.randn(64, 1024), torch.randn(1024, 1024)
    prompt = tokens(128, 4)
    forget(model)
    decoder = Decoder(model, StepText(model.tokenizer, None), Filters())
    decoder.admit([Row(i, Draw(prompt, 128, i, 1.0, None, 2000, "benchmark")) for i in range(count)])
    for _ in range(40):
        decoder.step()
    made = interleaved({"step": lambda i: decoder.step(), "matrix": lambda i: a @ weight}, 15)
    decoder.close()
    flops = count * model.flops(1, 128 + 50, 1)
    kv = 2 * 256 * 4 * 6 * (128 + 50 * count)
    peak = 2 * 64 * 1024 * 1024 / made["matrix"]["seconds"]
    return {
        "ms per step": 1e3 * made["step"]["seconds"],
        "GFLOP/s": flops / made["step"]["seconds"] / 1e9,
        "of a plain matmul's": flops / made["step"]["seconds"] / peak,
        "GB/s": (4 * model.matmul_parameters + kv) / made["step"]["seconds"] / 1e9,
    }


SECTIONS = {
    "best_of_n": best_of_n,
    "beam": beam,
    "verify": verify,
    "questions": questions,
    "sampling": sampling,
    "memory": memory,
    "roofline": roofline,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "hf_backend.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    stored = json.loads(options.out.read_text()) if options.out.is_file() else {"sections": {}}
    stored["versions"] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
    }
    for name in options.only:
        with torch.inference_mode():
            found = SECTIONS[name](options.rounds)
        table((SECTIONS[name].__doc__ or name).splitlines()[0], found)
        stored["sections"][name] = found
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
