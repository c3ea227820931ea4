"""The discriminative verifiers of the build: values, layout, loss and the checkpoint, each against a slower way."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tools.reference_models import collect, evaluate, grow, model, prm, tokenizer, train
from tools.reference_models.documents import encode
from tools.reference_models.model import Llama, Shape
from transformers import AutoModelForTokenClassification

from ttscale import Candidate, Key, Question, Score, Step
from ttscale.hf import HFVerifier
from ttscale.hf.verifiers.families.ttscale import StepEncoder
from ttscale.hf.verifiers.input_format import VerifierFormat
from ttscale.prompts.layouts import PromptFormat

TINY = Shape(width=16, layers=2, heads=2, hidden=32, positions=1024)
QUESTION = "Compute 1 + 2 + 3"
RIGHT, WRONG = "3 + 3\n6\nAnswer: 6", "3 + 3\n7\nAnswer: 7"
ROW = collect.Sampled(QUESTION, "6", 1, [(RIGHT, 3, True), (WRONG, 1, False)])
FORM = VerifierFormat(prompt=PromptFormat.from_json(model.SETTINGS["prompt"]), attempts=True)  # type: ignore[arg-type]


def tiny() -> prm.StepClassifier:
    torch.manual_seed(0)
    return prm.StepClassifier(grow.deepen(Llama(TINY), 1))


def steps(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_a_line_is_read_as_it_was_shown() -> None:
    assert prm.parse("-5 - -36 * (7 + 12)") == [-5, "-", -36, "*", "(", 7, "+", 12, ")"]


def test_the_value_of_a_step_is_the_chance_to_end_right() -> None:
    """6 * 7 is misremembered with chance .6; 4,000 rollouts, five standard errors of .008."""
    row = collect.Sampled("Compute 6 * 7 + 0 * 1", "42", 1, [("6 * 7\n48\nAnswer: 48", 1, False)])
    (found,) = prm.values(random.Random(0), row, 4000)
    assert found[0] == pytest.approx(0.4, abs=0.04)
    assert found[1:] == [0.0, 0.0]


def test_equal_lines_of_a_question_share_one_estimate() -> None:
    right, wrong = prm.values(random.Random(0), ROW, 7)
    assert right[0] == wrong[0]
    assert (right[1:], wrong[1:]) == ([1.0, 1.0], [0.0, 0.0])


@pytest.mark.parametrize("attempts", [[], [WRONG], [WRONG, RIGHT]])
def test_the_layout_is_the_one_that_verifiers_are_served_with(attempts: list[str]) -> None:
    assert prm.layout(QUESTION, RIGHT, attempts) == StepEncoder(tokenizer.make(), FORM)(
        QUESTION, steps(RIGHT), attempts
    )


def test_the_loss_is_soft_cross_entropy_with_the_last_step_counted_twice() -> None:
    made, labels = tiny(), [0.9, 0.25, 1.0]
    batch = train.pad(
        [prm.document(QUESTION, RIGHT, labels, 1.0), prm.document(QUESTION, "6\nAnswer: 6", [0.5, 0.0], 4.0)]
    )
    found, read = prm.make_loss(last=1.0)(made, batch)
    long, short = prm.margins(made.float(), [prm.layout(QUESTION, RIGHT), prm.layout(QUESTION, "6\nAnswer: 6")])
    margins, targets = torch.tensor([*long, *short]), torch.tensor([*labels, 0.5, 0.0])
    weights = torch.tensor([1.0, 1.0, 2.0, 4.0, 8.0])
    costs = F.binary_cross_entropy_with_logits(margins, targets, reduction="none")
    assert read == 5
    assert found.item() == pytest.approx(float((costs * weights).sum() / weights.sum()), abs=0.01)  # margins: bfloat16


@torch.no_grad()
def test_comparing_is_taught_of_every_token_that_the_writer_chose_and_of_no_other() -> None:
    """Against a loop over tokens: what was expected (divergence, rare tokens weigh more), how unlikely it was (R²)."""
    made, short = tiny(), "6\nAnswer: 6"
    torch.manual_seed(1)
    teacher = Llama(TINY)
    torch.nn.init.normal_(teacher.embedding.weight, std=0.5)  # an untrained one expects everything alike
    for head in (made.expected, made.surprise):
        torch.nn.init.normal_(head.weight, std=0.5)
    batch = train.pad([prm.document(QUESTION, text, [0.5] * (text.count("\n") + 1), 1.0) for text in (RIGHT, short)])
    plain, _ = prm.make_loss()(made, batch)
    found, _ = prm.make_loss(teacher=teacher)(made, batch)

    divergences, weights, told, known = [], [], [], []
    head = len(prm.layout(QUESTION, "6")[0]) - 2
    for text in (RIGHT, short):
        ids = prm.layout(QUESTION, text)[0][:-1]
        hidden = made.trunk.embedding(torch.tensor([ids]))
        length = len(ids)
        mask = torch.full((length, length), -1e9).triu(1).expand(TINY.heads, -1, -1)
        inner = []
        for block in made.trunk.stack():
            hidden = block(hidden, made.trunk.cos[:length], made.trunk.sin[:length], mask)
            inner.append(model.norm(hidden, made.trunk.norm)[0])
        for i in range(head, length):
            wanted = teacher.logits(teacher(torch.tensor([ids[:i]]))[0, -1]).log_softmax(-1)
            said = made.expected(inner[-3][i]).log_softmax(-1)
            divergences.append(float((wanted.exp() * (wanted - said)).sum()))
            known.append(min(1.0, -float(wanted[ids[i]]) / prm.UNLIKELY))
            weights.append(1 + 10 * known[-1])
            told.append(float(made.surprise(inner[-2][i])))
    assert len(known) == len(encode(RIGHT)) + len(encode(short))
    divergence = sum(d * w for d, w in zip(divergences, weights, strict=True)) / sum(weights)
    error = torch.tensor(told) - torch.tensor(known)
    unexplained = float(error.square().mean() / torch.tensor(known).var())
    assert (found - plain).item() == pytest.approx(divergence + unexplained, rel=1e-4)


def test_a_revision_is_labelled_at_its_end_with_what_it_saw_before_it() -> None:
    chain = [(WRONG, False), (WRONG, False), (RIGHT, True)]
    rng, seen = random.Random(0), set()
    for _ in range(60):
        made = prm.revision_document(rng, ROW, chain)
        assert made.values is not None
        labels = [value[0] for value in made.values]
        assert [label for label in labels if label >= 0] == labels[-1:]
        text = collect.decode(made.ids)
        seen.add((text.count("<eos>"), labels[-1]))
        assert text.endswith((RIGHT if labels[-1] else WRONG) + "\n")
    assert seen == {(0, 0.0), (1, 0.0), (2, 1.0)}


def test_a_saved_verifier_scores_as_it_did_in_training(tmp_path: Path) -> None:
    made = tiny()
    torch.nn.init.normal_(made.score.weight, std=0.5)
    prm.save(made, tmp_path / "prm", scale=0.7, bias=-0.3)
    ids, reads = prm.layout(QUESTION, RIGHT)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path / "prm", dtype=torch.float32)
    with torch.inference_mode():
        plain = loaded(torch.tensor([ids])).logits.softmax(-1)[0, reads, 1]
        expected = torch.sigmoid(0.7 * made(torch.tensor([ids]))[0, reads] - 0.3)
    assert torch.allclose(plain, expected, atol=0.02)  # saved in bfloat16
    candidate = Candidate(Question("q", QUESTION), Key((0, "q", 0)), tuple(map(Step, steps(RIGHT))), "stop")
    verdict = HFVerifier(str(tmp_path / "prm")).score([Score(candidate)])[0]
    assert verdict.step_scores == pytest.approx(plain.tolist(), abs=1e-4)


def test_the_outcome_is_the_label_of_the_last_step_only() -> None:
    assert prm.outcomes(ROW) == [[-1.0, -1.0, 1.0], [-1.0, -1.0, 0.0]]


def test_an_attempt_of_a_chain_is_scored_after_those_that_it_saw() -> None:
    made = tiny().eval()
    chain = [(WRONG, False), (RIGHT, True), (WRONG, False)]
    (found,) = prm.chain_scores(made, [(ROW, chain)])
    texts = [text for text, _ in chain]
    for i, text in enumerate(texts):
        ids, reads = prm.layout(QUESTION, text, texts[:i])
        assert found[i] == pytest.approx(prm.margins(made, [(ids, reads)])[0][-1:], abs=0.02)  # bfloat16, other batches
    assert prm.attempts([(ROW, chain)])[0].solutions == [(WRONG, 1, False), (RIGHT, 1, True), (WRONG, 1, False)]


def test_a_report_on_chains_ranks_within_a_chain() -> None:
    other = [(RIGHT, True), (WRONG, False), (RIGHT, True)]
    rows = prm.attempts([(ROW, [(WRONG, False), (RIGHT, True), (RIGHT, True)]), (ROW, other)])
    report = evaluate.chain_report(rows, [[[-2.0], [1.0], [0.0]], [[5.0], [6.0], [7.0]]], 1.0, 0.0)
    assert report["pair accuracy"] == pytest.approx((1.0 + 0.5) / 2)
    assert report["selection"] == {"3": {"majority": 1.0, "weighted": 1.0, "best": 1.0, "oracle": 1.0}}
