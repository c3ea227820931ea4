"""The implicit verifier: a language model read against the generator, taught by outcomes only.

Knows: the log-ratio formula (arXiv 2412.01981), its loss and its calibration. Must not know: which steps are wrong.

A model trained on right solutions, divided by the generator, is Bayes' rule for the value of a prefix:
p(step | prefix, right) / p(step | prefix) = V(prefix + step) / V(prefix). Starting there, the sum of log-ratios up to
the end of each step is taught by cross entropy to predict the outcome of the solution.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from tools.reference_models import documents as documents_
from tools.reference_models.collect import Sampled
from tools.reference_models.documents import EOS_ID, IDS, Document, encode
from tools.reference_models.model import Llama
from tools.reference_models.sampler import token_log_probabilities
from tools.reference_models.train import Batch
from torch import Tensor

from ttscale.hf.verifiers.implicit import Curve, bend
from ttscale.reference.layout import prompt

NEWLINE = IDS["\n"]
CURVE: Curve = "log"
"""Expected calibration error .02 instead of .05; the ranking is the same."""
SCALE = 1.0
"""The slope of the sigmoid during training; calibration fits the one that is served."""


def documents(rows: Sequence[Sampled], reference: Llama | None) -> list[Document]:
    """One document per distinct solution. Channels: the reference's log-probability of the token; at the end of a
    step the share of right ones among the samples that share this prefix, elsewhere -1; the sample count; whether the
    whole solution is right."""
    texts, spans = [], []
    for row in rows:
        head = encode(prompt(row.prompt))
        for text, _, _ in row.solutions:
            texts.append([*head, *encode(text), EOS_ID])
            spans.append(len(head))
    found = token_log_probabilities(reference, texts) if reference else [torch.zeros(len(ids)) for ids in texts]
    out: list[Document] = []
    at = 0
    for row in rows:
        totals: dict[tuple[int, ...], list[float]] = {}
        here = texts[at : at + len(row.solutions)]
        for ids, (_, times, right) in zip(here, row.solutions, strict=True):
            for end in ends(ids, spans[at]):
                total = totals.setdefault(tuple(ids[: end + 1]), [0.0, 0.0])
                total[0] += times * right
                total[1] += times
        for ids, (_, times, right) in zip(here, row.solutions, strict=True):
            marks = set(ends(ids, spans[at]))
            values: list[tuple[float, ...]] = [(0.0, -1.0, float(times), float(right))]
            for i in range(1, len(ids)):
                label = -1.0
                if i in marks:
                    good, all_ = totals[tuple(ids[: i + 1])]
                    label = good / all_
                values.append((float(found[at][i - 1]), label, float(times), float(right)))
            out.append(Document(ids, [i >= spans[at] for i in range(len(ids))], values))
            at += 1
    return out


def ends(ids: Sequence[int], start: int) -> list[int]:
    """Positions of the last token of each step: newlines, and the token before <eos>."""
    return [i for i in range(start, len(ids)) if ids[i] == NEWLINE] + [len(ids) - 2]


def make_loss(  # type: ignore[no-untyped-def]
    bias: Tensor, scale: Tensor, keep: float = 0.1, last: float = 1.0, reference_weight: float = 1.0
):
    """Cross entropy of sigmoid(scale * running sum + bias) with the value of every prefix, the whole solution counting
    ``last`` times more; plus ``keep`` times the next-token loss on right solutions, which holds it a language model."""

    def loss(model: Llama, batch: Batch) -> tuple[Tensor, int]:
        logits = model.logits(model(batch.ids[:, :-1])).float()
        mine = -F.cross_entropy(logits.transpose(1, 2), batch.ids[:, 1:], reduction="none")
        inside = batch.counts[:, 1:] & (batch.ids[:, 1:] != EOS_ID)
        reference, labels, times, right = batch.values[:, 1:].unbind(-1)
        sums = torch.where(inside, mine - reference_weight * reference, 0.0).cumsum(1)
        final = F.pad(batch.ids[:, 2:], (0, 1)) == EOS_ID
        weight = torch.where(labels >= 0, times.sqrt(), 0.0) * torch.where(final, 1 + last, 1.0)
        z = scale * sums + bias
        value = (F.binary_cross_entropy_with_logits(z, labels.clamp(min=0), reduction="none") * weight).sum()
        value = value / weight.sum().clamp(min=1)
        good = inside * right * times.sqrt()
        return value - keep * (mine * good).sum() / good.sum().clamp(min=1), int(inside.sum())

    return loss


def drill(rng: random.Random) -> Document:
    """Bare arithmetic without slips, which counts in the next-token loss only."""
    made = documents_.drill(rng, slips=False, negative=0.2)
    return Document(made.ids, made.counts, [(0.0, -1.0, 1.0, 1.0)] * len(made.ids))


def scores(
    model: Llama, reference: Llama | None, rows: Sequence[Sampled], reference_weight: float = 0.0
) -> list[list[list[float]]]:
    """Per problem and distinct solution: the running sums at the end of each step. Without a weight for it the
    reference is not read."""
    texts, starts = [], []
    for row in rows:
        head = encode(prompt(row.prompt))
        for text, _, _ in row.solutions:
            texts.append([*head, *encode(text), EOS_ID])
            starts.append(len(head))
    values = token_log_probabilities(model, texts)
    if reference is not None and reference_weight:
        others = token_log_probabilities(reference, texts)
        values = [a - reference_weight * b for a, b in zip(values, others, strict=True)]
    flat = []
    for ids, start, line in zip(texts, starts, values, strict=True):
        sums = line[start - 1 :].cumsum(0)
        flat.append([float(sums[end - start]) for end in ends(ids, start)])
    out, at = [], 0
    for row in rows:
        out.append(flat[at : at + len(row.solutions)])
        at += len(row.solutions)
    return out


def bent(sums: list[list[list[float]]]) -> list[list[list[float]]]:
    """The sums as the served sigmoid reads them: on the logarithmic curve."""
    return [[[bend(total, CURVE) for total in line] for line in lines] for lines in sums]


def calibrate(rows: Sequence[Sampled], margins: list[list[list[float]]]) -> tuple[float, float]:
    """The scale and bias of the served sigmoid: logistic regression of the outcome on the margin of the last step."""
    x, y, w = [], [], []
    for row, lines in zip(rows, margins, strict=True):
        for (_, times, right), line in zip(row.solutions, lines, strict=True):
            x.append(line[-1])
            y.append(float(right))
            w.append(float(times))
    tx, ty, tw = torch.tensor(x).double(), torch.tensor(y).double(), torch.tensor(w).double()
    weights = torch.tensor([0.5, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = (F.binary_cross_entropy_with_logits(weights[0] * tx + weights[1], ty, reduction="none") * tw).sum()
        value = value / tw.sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    scale, bias = weights.detach().tolist()
    return scale, bias


def save_calibration(folder: Path, scale: float, bias: float, reference_weight: float = 0.0) -> None:
    """Write the file that ``ImplicitVerifier`` reads."""
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(bias)):
        raise ValueError(f"The calibration failed: scale {scale}, bias {bias}.")
    content = {
        "kind": "implicit",
        "version": 1,
        "reference": "../generator",
        "reference_weight": reference_weight,
        "scale": scale,
        "bias": bias,
        "curve": CURVE,
        "eos": False,
    }
    (folder / "ttscale_verifier.json").write_text(json.dumps(content, indent=1) + "\n")


def shuffled(made: list[Document], seed: int, index: int, count: int) -> list[Document]:
    """The index-th lot of ``count`` documents of an endless shuffled repetition."""
    per = max(1, len(made) // count)
    order = list(range(len(made)))
    random.Random(f"implicit/{seed}/{index // per}").shuffle(order)
    at = (index % per) * count
    return [made[i] for i in order[at : at + count]]
