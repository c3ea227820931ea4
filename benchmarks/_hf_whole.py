"""A whole `solve` on the bundled models, against the loops of its_hub and search-and-learn on the same models.

Both loops are restated here, because the packages reach models through a server or vLLM only: its_hub 1.2.0
(`BeamSearch.ainfer`, `BestOfN.ainfer`) and search-and-learn 6f81cac (`_beam_search`). What they keep: every prefix is
sent again for each step, and the verifier reads every solution whole. What they are given: one batch per level on the
same module (`generate`, padded on the left, a row stops at the delimiter), which is better than a request per sample.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import transformers
from _hf_decode import Found
from _hf_models import Size, interleaved

import ttscale
from ttscale import Candidate, Key, Question, Step, reference
from ttscale.core.requests import Score
from ttscale.hf import HFGenerator, HFModel, ImplicitVerifier
from ttscale.hf.known_logprobs import known
from ttscale.hf.pick_runner import open_shared_kv
from ttscale.prompts.tokenize import encode

LEVELS = 12
"""Steps at most: the longest reference solutions have ten."""
STEP_TOKENS = 48
WIDTH = 4
"""M."""


@dataclass
class Path:
    """A beam of the loops below."""

    steps: list[tuple[int, ...]] = field(default_factory=list)
    stopped: bool = False
    score: float = 0.0


class AtStepEnd(transformers.StoppingCriteria):
    """Ends a row at a delimiter, as a stop string of a server does."""

    def __init__(self, delimiter: int) -> None:
        self._delimiter = delimiter

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return input_ids[:, -1] == self._delimiter


class Peer:
    """The models as the peers' loops see them: text in, a step out; solutions in, scores out. Nothing is kept."""

    def __init__(self) -> None:
        generator = HFModel(str(reference.path("generator")), shared_kv=False)
        verifier = HFModel(str(reference.path("verifier")), shared_kv=False)
        self.settings = HFGenerator(generator)._sampler.settings
        self.module, self.tokenizer = generator.module, generator.tokenizer
        self.eos = int(self.tokenizer.eos_token_id)
        self.delimiter = int(self.tokenizer.convert_tokens_to_ids(reference.DELIMITER))
        self._verifier = ImplicitVerifier(verifier, generator)
        self._remembered = [known(model) for model in (verifier, generator)]
        self.sampled = 0

    @torch.inference_mode()
    def generate(self, prompts: list[list[int]], one_step: bool) -> list[tuple[tuple[int, ...], bool]]:
        """Each prompt continued, up to the end of a step or of the solution: (tokens, whether the solution ended)."""
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        out = self.module.generate(
            ids,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            temperature=self.settings.temperature,
            max_new_tokens=STEP_TOKENS if one_step else LEVELS * STEP_TOKENS,
            stopping_criteria=transformers.StoppingCriteriaList([AtStepEnd(self.delimiter)] if one_step else []),
            eos_token_id=self.eos,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        replies = []
        for row in out[:, width:].tolist():
            ends = [i for i, token in enumerate(row) if token == self.eos]
            steps = [i for i, token in enumerate(row) if one_step and token == self.delimiter]
            end = min([*ends, *[i + 1 for i in steps], len(row)])
            self.sampled += end + (end in ends)
            replies.append((tuple(row[:end]), end in ends))
        return replies

    def score(self, question: Question, paths: list[Path]) -> list[float]:
        """The last step's score of each solution, every one read whole."""
        for remembered in self._remembered:
            remembered.clear()
        decode = self.tokenizer.decode
        requests = []
        for i, path in enumerate(paths):
            steps = tuple(Step(decode(tokens), tokens) for tokens in path.steps)
            requests.append(Score(Candidate(question, Key((i,)), steps, "stop" if path.stopped else "open")))
        return [verdict.step_scores[-1] for verdict in self._verifier.score(requests)]

    def prompt(self, question: Question) -> list[int]:
        return encode(self.tokenizer, self.settings.prompt, question.prompt)

    def grow(self, question: Question, paths: list[Path]) -> None:
        """One more step for each path that has not stopped, and its score."""
        going = [path for path in paths if not path.stopped]
        prompt = self.prompt(question)
        replies = self.generate([prompt + [t for step in path.steps for t in step] for path in going], True)
        for path, (tokens, ended) in zip(going, replies, strict=True):
            if tokens:
                path.steps.append(tokens)
            path.stopped = ended or not tokens or len(path.steps) >= LEVELS
        scored = [path for path in going if path.steps]
        for path, score in zip(scored, self.score(question, scored), strict=True):
            path.score = score


def its_hub_beam(peer: Peer, question: Question, budget: int) -> None:
    """`BeamSearch.ainfer`: budget / width beams, the best `width` copied to the full budget after every level."""
    paths = [Path() for _ in range(budget // WIDTH)]
    while not all(path.stopped for path in paths):
        peer.grow(question, paths)
        best = sorted(paths, key=lambda path: path.score, reverse=True)[:WIDTH]
        paths = [copy.deepcopy(path) for _ in range(budget // WIDTH) for path in best]


def search_and_learn_beam(peer: Peer, question: Question, n: int) -> None:
    """`_beam_search`: n active beams, refilled at every level; the n / width best go on, finished ones leave."""
    active = [Path() for _ in range(n)]
    for _ in range(LEVELS):
        if len(active) != n:
            active = [copy.deepcopy(path) for path in (active * (n // len(active) + 1))[:n]]
        peer.grow(question, active)
        active = [path for path in active if not path.stopped]
        if not active:
            break
        active = sorted(active, key=lambda path: path.score)[-(n // WIDTH) :]


def best_of_n(peer: Peer, question: Question, budget: int) -> None:
    """`BestOfN.ainfer`: all samples in one batch, distinct ones scored."""
    replies = set(peer.generate([peer.prompt(question)] * budget, False))
    peer.score(question, [Path([tokens], ended) for tokens, ended in replies if tokens])


LOOPS: dict[str, dict[str, Callable[[Peer, Question, int], None]]] = {
    "beam": {"its_hub's beam": its_hub_beam, "search-and-learn's beam": search_and_learn_beam},
    "best_of_n": {"its_hub's best of n": best_of_n},
}


def whole(size: Size) -> Found:
    """A whole `solve` with the bundled models, questions of level 4, M = 4, against the loops of two peers."""
    peer = Peer()
    problems = reference.questions(max(3, size.rounds), split="test", level=4, seed=5)
    found: Found = {}
    for budget in (16, 64) if not size.tiny else (4,):
        for strategy, loops in LOOPS.items():
            sampled: dict[str, int] = {}
            ours = f"N = {budget}: ttscale, {strategy}"
            variants = {ours: partial(_ours, problems, sampled, ours, budget, strategy)}
            for name, loop in loops.items():
                label = f"N = {budget}: {name}"
                variants[label] = partial(_theirs, problems, sampled, label, budget, peer, loop)
            made: Found = interleaved(variants, size.rounds, [ours])
            for name, row in made.items():
                more = sampled[name] / sampled[ours]
                row |= {"sampled tokens": sampled[name], "slower per token": row["slower"] / more}
            found |= made
    return found


def _ours(problems: list[Any], sampled: dict[str, int], name: str, budget: int, strategy: str, index: int) -> None:
    for role in ("generator", "verifier"):
        model = reference.load(role).model
        own = open_shared_kv(model)
        if own is not None:
            own.tree.evict()  # nothing is known of the question
        known(model).clear()
    cost = ttscale.solve(problems[index].prompt, budget, strategy=strategy, seed=index).cost
    sampled[name] = cost.sampled_tokens


def _theirs(
    problems: list[Any], sampled: dict[str, int], name: str, budget: int, peer: Peer, loop: Any, index: int
) -> None:
    peer.sampled = 0
    torch.manual_seed(index)
    loop(peer, Question.of(reference.check(problems[index].prompt)), budget)
    sampled[name] = peer.sampled
