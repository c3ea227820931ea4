"""Losses against the formula written out, and sums that do not depend on padding or on the batch."""

from __future__ import annotations

import math

import pytest
import torch

from ttscale.training.fit.objectives import (
    IGNORE,
    STEP_BCE,
    TOKEN_CE,
    Collator,
    before_labels,
    implicit_bce,
    sequence_logprobs,
    step_margin,
)


def test_the_step_loss_is_soft_binary_cross_entropy():
    logits = torch.tensor([[[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]]])
    labels = torch.tensor([[0.9, IGNORE, 0.25]])
    p = [1 / (1 + math.exp(-1.0)), 0.5]
    expected = sum(-(y * math.log(q) + (1 - y) * math.log(1 - q)) for y, q in zip([0.9, 0.25], p, strict=True))
    assert float(STEP_BCE.total(logits, {"labels": labels})) == pytest.approx(expected)
    assert STEP_BCE.count({"labels": labels}) == 2


def test_a_label_of_nine_tenths_is_learned_as_nine_tenths():
    """The least loss of soft labels is at their mean: gradient descent ends at sigmoid(margin) = 0.9."""
    margin = torch.zeros(1, 1, 2, requires_grad=True)
    optimizer = torch.optim.SGD([margin], lr=1.0)
    for _ in range(400):
        optimizer.zero_grad()
        STEP_BCE.total(margin, {"labels": torch.tensor([[0.9]])}).backward()
        optimizer.step()
    assert float(margin.detach().softmax(-1)[0, 0, 1]) == pytest.approx(0.9, abs=1e-4)


def test_the_margin_is_the_log_odds_of_the_second_label():
    logits = torch.randn(3, 2)
    assert torch.allclose(torch.sigmoid(step_margin(logits)), logits.softmax(-1)[:, 1])


def slow_logprob(logits, labels):
    total = 0.0
    for t in range(len(labels) - 1):
        if labels[t + 1] != IGNORE:
            total += float(logits[t].log_softmax(-1)[labels[t + 1]])
    return total


def test_token_losses_sum_the_labelled_tokens():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5))
    labels[0, :3] = IGNORE
    labels[1, 4] = IGNORE
    rows = [slow_logprob(logits[i], labels[i].tolist()) for i in range(2)]
    assert float(TOKEN_CE.total(logits, {"labels": labels})) == pytest.approx(-sum(rows), rel=1e-5)
    assert TOKEN_CE.count({"labels": labels}) == 2 + 3
    assert sequence_logprobs(logits, labels).tolist() == pytest.approx(rows, rel=1e-5)
    alone = logits[before_labels({"labels": labels})][None]
    assert alone.shape[1] == 2 + 3
    assert float(TOKEN_CE.total(alone, {"labels": labels})) == pytest.approx(-sum(rows), rel=1e-5)
    assert sequence_logprobs(alone, labels).tolist() == pytest.approx(rows, rel=1e-5)
    batch = {"labels": labels, "reference": torch.tensor([-1.0, -2.0]), "outcome": torch.tensor([1.0, 0.0])}
    right, wrong = (1 / (1 + math.exp(-0.5 * (row - ref))) for row, ref in zip(rows, [-1.0, -2.0], strict=True))
    objective = implicit_bce(0.5)
    assert float(objective.total(logits, batch)) == pytest.approx(-math.log(right) - math.log(1 - wrong), rel=1e-5)
    assert objective.count(batch) == 2


def test_batches_are_padded_on_the_right_and_masked():
    features = [
        {"input_ids": [5, 6], "labels": [0.5, 0.25], "outcome": 1.0},
        {"input_ids": [7], "labels": [1.0], "outcome": 0.0},
    ]
    batch = Collator(pad=3)(features)
    assert batch["input_ids"].tolist() == [[5, 6], [7, 3]]
    assert batch["labels"].tolist() == [[0.5, 0.25], [1.0, -100.0]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["outcome"].tolist() == [1.0, 0.0]
