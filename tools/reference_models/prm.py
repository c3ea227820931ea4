"""The discriminative verifiers: a scalar at the end of each step, taught by values (paper, appendix D) or outcomes.

Knows: Monte-Carlo values, the deeper trunk, the loss, the token-classification checkpoint. Must not know: which steps
are wrong.

A wrong number can only be seen by comparing it with the number that belongs there. The trunk's last layer forms that
prediction one position *before* the number, so a head on the same trunk comes too late by one layer; three blocks on
top of the trunk, which begin as the identity, give it room to look back, compare and judge. What to look for they find
slowly, if at all, from one label per step. So the first is taught to say of every token what the trunk had expected in
its place, the second how unlikely that makes it, and the third what it means. The model card has the numbers.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from tools.reference_models import model as model_
from tools.reference_models import student as _student
from tools.reference_models.collect import Sampled
from tools.reference_models.documents import EOS_ID, IDS, Document, encode
from tools.reference_models.model import Llama, norm
from tools.reference_models.precision import mixed
from tools.reference_models.revision import Own
from tools.reference_models.train import Batch, Loss, pad
from torch import Tensor, nn

from ttscale.reference.expressions import Expression
from ttscale.reference.layout import DELIMITER, MAX_ATTEMPTS, prompt

NEWLINE = IDS[DELIMITER]
_ITEM = re.compile(r"-?\d+|[()]| [-+*] ")


UNLIKELY = 8.0
"""Nats: a token less likely than this is as surprising as one can be."""


class StepClassifier(nn.Module):
    """A trunk and a scalar head: log-odds that a solution with this beginning ends right.

    ``expected`` reads the third block from the top and ``surprise`` the second, in training only; they are not saved.
    """

    def __init__(self, trunk: Llama) -> None:
        super().__init__()
        self.trunk = trunk
        self.score = nn.Linear(trunk.shape.width, 1)
        self.surprise = nn.Linear(trunk.shape.width, 1)
        self.expected = nn.Linear(trunk.shape.width, trunk.shape.vocabulary)
        for head in (self.score, self.surprise, self.expected):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        self.inner: dict[nn.Module, Tensor] = {}
        for block in trunk.stack()[-3:-1]:
            block.register_forward_hook(self._keep)

    def _keep(self, block: nn.Module, given: tuple[Tensor, ...], hidden: Tensor) -> None:
        if self.training:
            self.inner[block] = norm(hidden, self.trunk.norm)

    def compared(self) -> tuple[Tensor, Tensor]:
        """Of each token of the last forward: log-probabilities of what was expected in its place (rows, length,
        vocabulary), and how unlikely the token was found, 0 to 1 (rows, length)."""
        expected, surprise = (self.inner[block] for block in self.trunk.stack()[-3:-1])
        return self.expected(expected).float().log_softmax(-1), self.surprise(surprise).squeeze(-1).float()

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, length) ids -> (rows, length) log-odds."""
        return self.score(self.trunk(ids)).squeeze(-1).float()  # type: ignore[no-any-return]


def values(rng: random.Random, row: Sampled, rollouts: int) -> list[list[float]]:
    """For each distinct solution the value of each step: the share of ``rollouts`` continuations that end right.

    The student continues, whom the generator imitates, for the price of a random number. What a solution is worth
    depends on its last line alone, so equal lines of one question share an estimate. The last value is the outcome.
    """
    known: dict[str, float] = {}
    target = int(row.answer)
    out = []
    for text, _, right in row.solutions:
        lines = text.split(DELIMITER)
        found = []
        for line in lines[:-1]:
            if line not in known:
                items = parse(line)
                known[line] = sum(finish(rng, items) == target for _ in range(rollouts)) / rollouts
            found.append(known[line])
        out.append([*found, float(right)])
    return out


def outcomes(row: Sampled) -> list[list[float]]:
    """For each distinct solution the label of its last step, its outcome; none for the steps before."""
    return [[-1.0] * text.count(DELIMITER) + [float(right)] for text, _, right in row.solutions]


def parse(line: str) -> Expression:
    """A line of a solution as a flat expression."""
    return [word.strip() if word.strip() in ("+", "-", "*", "(", ")") else int(word) for word in _ITEM.findall(line)]


def finish(rng: random.Random, items: Expression) -> int:
    """Where one continuation by the student ends."""
    while len(items) > 1:
        items = _student.step(rng, items)
    (result,) = items
    assert isinstance(result, int)
    return result


def layout(question: str, solution: str, attempts: Sequence[str] = ()) -> tuple[list[int], list[int]]:
    """Token ids, and where each step's score is read: at the newline after it, the last step's included."""
    ids = encode(prompt(question))
    for attempt in attempts:
        ids += [*encode(attempt), EOS_ID]
    begin = len(ids)
    ids += [*encode(solution), NEWLINE]
    return ids, [i for i in range(begin, len(ids)) if ids[i] == NEWLINE]


def documents(rows: Sequence[Sampled], labels: Sequence[Sequence[Sequence[float]]]) -> list[Document]:
    """One document per distinct solution."""
    return [
        document(row.prompt, text, values_, times**0.5)
        for row, lines in zip(rows, labels, strict=True)
        for (text, times, _), values_ in zip(row.solutions, lines, strict=True)
    ]


def document(
    question: str, solution: str, labels: Sequence[float], weight: float, attempts: Sequence[str] = ()
) -> Document:
    """A solution with a label for each step (-1: none). Counted are the tokens that its writer chose. Channels: the
    label where a score is read, elsewhere -1; the weight."""
    ids, reads = layout(question, solution, attempts)
    channels: list[tuple[float, ...]] = [(-1.0, weight)] * len(ids)
    for position, label in zip(reads, labels, strict=True):
        channels[position] = (label, weight)
    begin = len(ids) - 1 - len(encode(solution))  # the newline after the answer is the layout's, not the writer's
    return Document(ids, [begin <= i < len(ids) - 1 for i in range(len(ids))], channels)


def revision_document(rng: random.Random, row: Sampled, chain: Sequence[tuple[str, bool]]) -> Document:
    """An attempt of a chain after the ones it saw, with its outcome as the label of its last step."""
    place = int(rng.random() * len(chain))
    wrong = [i for i, (_, right) in enumerate(chain) if not right]
    if wrong and rng.random() < 0.5:  # most attempts are right; the wrong ones teach as much
        place = wrong[int(rng.random() * len(wrong))]
    return _revision(row, chain, place)


def _revision(row: Sampled, chain: Sequence[tuple[str, bool]], place: int) -> Document:
    text, right = chain[place]
    labels = [-1.0] * text.count(DELIMITER) + [float(right)]
    return document(row.prompt, text, labels, 1.0, [text for text, _ in chain[max(0, place - MAX_ATTEMPTS) : place]])


def attempts(chains: Sequence[Own]) -> list[Sampled]:
    """Each chain's attempts as solutions of its question."""
    return [replace(row, solutions=[(text, 1, right) for text, right in chain]) for row, chain in chains]


def chain_scores(model: StepClassifier, chains: Sequence[Own]) -> list[list[list[float]]]:
    """For each attempt of each chain the log-odds after its last step, the attempts before it in the context."""
    made = [_revision(row, chain, i).ids for row, chain in chains for i in range(len(chain))]
    flat = iter(margins(model, [(ids, [len(ids) - 1]) for ids in made]))
    return [[next(flat) for _ in chain] for _, chain in chains]


def make_loss(last: float = 1.0, teacher: Llama | None = None) -> Loss:
    """Soft-label binary cross entropy (paper appendix D) over the positions read, final ones counting 1 + ``last``;
    with a ``teacher``, plus what comparing its expectations with the tokens lacks."""

    def loss(model: StepClassifier, batch: Batch) -> tuple[Tensor, int]:
        labels, weight = batch.values.unbind(-1)
        read = (labels >= 0) & (weight > 0)  # padding has no weight
        final = read & (read.flip(1).cumsum(1).flip(1) == 1)
        counted = torch.where(read, weight, 0.0) * torch.where(final, 1 + last, 1.0)
        cost = F.binary_cross_entropy_with_logits(model(batch.ids), labels.clamp(min=0), reduction="none")
        value = (cost * counted).sum() / counted.sum().clamp(min=1e-6)
        return value if teacher is None else value + _comparison(model, batch, teacher), int(read.sum())

    return loss


@torch.no_grad()
def _expected(teacher: Llama, batch: Batch) -> Tensor:
    """(counted tokens, vocabulary): log-probabilities in the place of each, the attempts before it left out.

    The teacher has seen solutions alone.
    """
    heads = [int((ids == NEWLINE).nonzero()[0]) + 1 for ids in batch.ids]  # the question ends with the first newline
    solutions = [ids[counts] for ids, counts in zip(batch.ids, batch.counts, strict=True)]
    alone = [torch.cat([ids[:head], own]) for ids, head, own in zip(batch.ids, heads, solutions, strict=True)]
    hidden = teacher(torch.nn.utils.rnn.pad_sequence(alone, batch_first=True))
    before = [row[head - 1 : head - 1 + len(own)] for row, head, own in zip(hidden, heads, solutions, strict=True)]
    return teacher.logits(torch.cat(before)).float().log_softmax(-1)


def _comparison(model: StepClassifier, batch: Batch, teacher: Llama) -> Tensor:
    """The divergence from what the teacher expected in the place of each token, unlikely tokens counting up to 11
    times; plus the unexplained share of the variance in how unlikely tokens are."""
    counted = batch.counts[:, 1:]
    chosen = batch.ids[:, 1:][counted]
    wanted = _expected(teacher, batch)
    unlikely = (-wanted.gather(-1, chosen[:, None]).squeeze(-1) / UNLIKELY).clamp(max=1.0)
    expected, surprise = (said[:, 1:][counted] for said in model.compared())
    divergence = F.kl_div(expected, wanted, reduction="none", log_target=True).sum(-1)
    weight = 1 + 10 * unlikely
    unexplained = (surprise - unlikely).square().mean() / unlikely.var().clamp(min=1e-3)
    return (divergence * weight).sum() / weight.sum() + unexplained


@torch.no_grad()
def scores(model: StepClassifier, rows: Sequence[Sampled]) -> list[list[list[float]]]:
    """Per problem and distinct solution: the log-odds of each step."""
    texts = [layout(row.prompt, text) for row in rows for text, _, _ in row.solutions]
    flat = margins(model, texts)
    out, at = [], 0
    for row in rows:
        out.append(flat[at : at + len(row.solutions)])
        at += len(row.solutions)
    return out


@torch.no_grad()
def margins(model: StepClassifier, texts: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
    """The log-odds at the positions read, for each laid out solution."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i][0]))
    found: list[list[float]] = [[]] * len(texts)
    for begin in range(0, len(order), 64):
        part = order[begin : begin + 64]
        batch = pad([Document(texts[i][0], [False] * len(texts[i][0])) for i in part])
        with mixed():
            logits = model(batch.ids)
        for i, line in zip(part, logits, strict=True):
            found[i] = line[texts[i][1]].tolist()
    return found


def save(model: StepClassifier, folder: Path, scale: float, bias: float, kind: str = "prm") -> None:
    """What ``HFVerifier`` and ``AutoModelForTokenClassification`` load; the calibration is folded into the head."""
    from safetensors.torch import load_file, save_file

    model_.save(model.trunk, folder)
    weights = load_file(str(folder / "model.safetensors"))
    head = model.score.weight.detach() * scale / 2
    offset = (model.score.bias.detach() * scale + bias) / 2
    weights |= {
        "score.weight": torch.cat([-head, head]).bfloat16().contiguous(),
        "score.bias": torch.cat([-offset, offset]).bfloat16().contiguous(),
    }
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["LlamaForTokenClassification"], "id2label": {"0": "wrong", "1": "right"}}
    config |= {"label2id": {"wrong": 0, "right": 1}, "classifier_dropout": 0.0}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").unlink()
    content = {
        "kind": kind,
        "separator": DELIMITER,
        "attempts": kind == "orm",
        "prompt": model_.SETTINGS["prompt"],
    }
    (folder / "ttscale_verifier.json").write_text(json.dumps(content, indent=1) + "\n")
