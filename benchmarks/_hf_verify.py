"""What verifying costs: a process reward model over a beam search, alone and on the generator's trunk."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from _hf_decode import Found, decode, forget, step_lengths
from _hf_models import Numbers, Size, interleaved, network, served, tokens

from ttscale import Candidate, Key, Question, Step
from ttscale.core.requests import Score
from ttscale.core.selection import Aggregate
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import LinearHead
from ttscale.hf.verifiers.scorer import Scorer
from ttscale.prompts.verifier_layouts import Encoded


class Reads:
    """An adapter of a process reward model whose steps are lists of numbers; scores are read at each step's end."""

    aggregate: Aggregate = "last"

    def __init__(self, prompt: tuple[int, ...], width: int) -> None:
        torch.manual_seed(1)
        self._prompt = list(prompt)
        self.head = LinearHead((torch.randn(2, width) / 16, torch.zeros(2)))

    def encode(self, question: str, steps: Sequence[str], attempts: Sequence[str] = (), /) -> Encoded:
        ids, reads = list(self._prompt), []
        for step in steps:
            ids += Numbers()(step)["input_ids"]
            reads.append(len(ids) - 1)
        return Encoded(ids, reads)

    def read(self, hidden: torch.Tensor, /) -> torch.Tensor:
        return self.head.logits(hidden).softmax(-1)[:, 1]


def verify(size: Size) -> Found:
    """A process reward model over that beam search: new steps only, against every prefix whole."""
    prompt = tokens(size.of(128, 16), 2)
    module = network("llama8m", size)
    width = module.config.hidden_size
    incremental, whole = served(module), served(module, shared_kv=False)
    waves: dict[int, list[list[Candidate]]] = {}
    forwarded: dict[str, int] = {}
    least = 0

    def run(name: str, model: HFModel, index: int) -> None:
        nonlocal least
        before, scorer = model.forwarded_tokens, Scorer(model, Reads(prompt, width))
        if model is incremental:
            forget(model)
        if index not in waves:
            waves[index] = _waves(size, index)
        for candidates in waves[index]:
            if model is whole:
                scorer = Scorer(model, Reads(prompt, width))
            scorer.score([Score(candidate) for candidate in candidates])
        forwarded[name] = model.forwarded_tokens - before
        least = len(prompt) + sum(len(c.steps[-1].tokens) for candidates in waves[index] for c in candidates)

    made: Found = interleaved(
        {
            "ttscale": lambda i: run("ttscale", incremental, i),
            "every prefix whole": lambda i: run("every prefix whole", whole, i),
        },
        size.rounds,
        ["ttscale"],
    )
    for name, row in made.items():
        row |= {"tokens forwarded": forwarded[name], "/ (prompt + steps)": forwarded[name] / least}
    return made


def _waves(size: Size, index: int) -> list[list[Candidate]]:
    """Ten waves of 64 candidates, 16 of each wave continued four times."""
    rng, made, n = random.Random(index), [], size.of(64, 8)
    prefixes: list[tuple[Step, ...]] = [()] * n
    for wave in range(size.of(10, 3)):
        wanted = step_lengths(size, index, wave)
        grown = [(*prefixes[i], _step(tokens(wanted[i], rng.randrange(1 << 30)))) for i in range(n)]
        made.append([Candidate(Question("q", "q"), Key((wave, i)), steps) for i, steps in enumerate(grown)])
        prefixes = [steps for steps in rng.sample(grown, n // 4) for _ in range(4)]
    return made


def _step(ids: tuple[int, ...]) -> Step:
    return Step(Numbers().decode(list(ids)), ids)


def trunk(size: Size) -> Found:
    """Generator and verifier on one trunk, 4 rounds of that beam search: run once, against a trunk each."""
    module = network("llama8m", size)
    prompt, n, width = tokens(size.of(128, 16), 2), size.of(64, 8), module.config.hidden_size
    forwarded: dict[str, int] = {}
    sampled = 0

    def search(name: str, index: int, generator: HFModel, verifier: HFModel) -> None:
        nonlocal sampled
        models = {id(model): model for model in (generator, verifier)}.values()
        for model in models:
            forget(model)
        before = sum(model.forwarded_tokens for model in models)
        scorer, rng, sampled = Scorer(verifier, Reads(prompt, width)), random.Random(index), 0
        beams: list[tuple[Step, ...]] = [()] * n
        for wave in range(size.of(4, 2)):
            contexts = [(*prompt, *(token for step in steps for token in step.tokens)) for steps in beams]
            wanted = step_lengths(size, index, wave)
            rows = decode(generator, contexts, wanted, len(prompt), 100 * index + wave)
            sampled += sum(row.sampled for row in rows)
            grown = [(*steps, _step(tuple(row.tokens))) for steps, row in zip(beams, rows, strict=True)]
            scorer.score([Score(Candidate(Question("q", "q"), Key((i,)), steps)) for i, steps in enumerate(grown)])
            beams = [steps for steps in rng.sample(grown, n // 4) for _ in range(4)]
        forwarded[name] = sum(model.forwarded_tokens for model in models) - before

    one = served(module)
    two = served(module), served(module)
    names = "one trunk", "a trunk each"
    made: Found = interleaved(
        {names[0]: lambda i: search(names[0], i, one, one), names[1]: lambda i: search(names[1], i, *two)}, size.rounds
    )
    for name, row in made.items():
        row |= {
            "tokens forwarded": forwarded[name],
            "/ (prompt + sampled)": forwarded[name] / (len(prompt) + sampled),
        }
    return made
