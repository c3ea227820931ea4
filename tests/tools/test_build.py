"""The build's own tools: loss masks, batches, resume, sampling with merged prefixes, selection numbers."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tools.reference_models import artifacts, collect, documents, evaluate, grow, implicit, revision, stages, train
from tools.reference_models import model as network
from tools.reference_models.documents import EOS_ID, Mix, encode
from tools.reference_models.model import Llama, Shape
from tools.reference_models.sampler import Sampler, token_log_probabilities
from tools.reference_models.train import Plan
from transformers import AutoModelForCausalLM

from ttscale import reference

TINY = Shape(width=16, layers=2, heads=2, hidden=32, positions=1024)


def tiny(seed: int = 0) -> Llama:
    torch.manual_seed(seed)
    return Llama(TINY)


def test_the_network_is_the_llama_of_transformers(tmp_path: Path) -> None:
    """Saved, loaded by transformers and by the build: the same logits, up to rounding in float32."""
    network.save(tiny(), tmp_path)
    ids = torch.tensor([encode("<bos>Compute 1 + 2 + 3\n3 + 3\n6\nAnswer: 6<eos>")])
    ours = network.load(tmp_path)
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(str(tmp_path), dtype=torch.float32)(ids).logits
        assert torch.allclose(ours.logits(ours(ids)), theirs, atol=1e-5)


def test_the_loss_is_on_solutions_and_their_ends_only() -> None:
    made = documents.solution_document("Compute 1 + 2 + 3", ["3 + 3\n6\nAnswer: 6", "6\nAnswer: 6"], [False, True])
    text = collect.decode(made.ids)
    assert text == "<bos>Compute 1 + 2 + 3\n3 + 3\n6\nAnswer: 6<eos>6\nAnswer: 6<eos>"
    assert (
        collect.decode([i for i, counted in zip(made.ids, made.counts, strict=True) if counted]) == "6\nAnswer: 6<eos>"
    )


def test_documents_of_only_right_solutions_are_right() -> None:
    for made in documents.chunk(Mix(several=0.5, only_correct=True, seed=1), 0, 25):
        question, *attempts = collect.decode(made.ids).removeprefix("<bos>").removesuffix("<eos>").split("<eos>")
        prompt, first = question.split("\n", 1)
        for attempt in [first, *attempts]:
            assert int(reference.answer_of(attempt) or "") == eval(prompt.removeprefix("Compute "))


def test_a_chunk_of_documents_is_a_function_of_its_index() -> None:
    mix = Mix(seed=3, drills=0.2)
    assert documents.chunk(mix, 4, 10) == documents.chunk(mix, 4, 10)
    assert documents.chunk(mix, 4, 10) != documents.chunk(mix, 5, 10)


def test_training_that_stops_and_goes_on_equals_training_that_does_not(tmp_path: Path) -> None:
    def chunks(index: int) -> list[documents.Document]:
        return documents.chunk(Mix(seed=2), index, 20)

    whole, parts = tiny(), tiny()
    train.train(whole, chunks, Plan(steps=7, batch_tokens=512, warmup=2), tmp_path / "whole")
    for stop in (3, 7):
        plan = Plan(steps=7, batch_tokens=512, warmup=2, stop=stop, save_every=2)
        train.train(tiny(1) if stop == 7 else parts, chunks, plan, tmp_path / "parts")
    kept = torch.load(tmp_path / "parts" / "state.pt", weights_only=True)["model"]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, kept[name]), name


def test_sampling_with_merged_prefixes_has_the_models_distribution() -> None:
    """Two-token outcomes of a random model against their exact probabilities; 5 standard errors."""
    model = tiny()
    prompt = encode(reference.prompt("Compute 1 + 2 + 3"))
    n = 3000
    drawn = Sampler(model, capacity=64, longest=64).sample([prompt], n, seed=1, limit=2, eos=-1)
    assert drawn == [Counter()]  # cut off: nothing ends, nothing is returned
    ended = Sampler(model, capacity=64, longest=64).sample([prompt], n, seed=1, limit=1)[0]
    with torch.no_grad():
        probability = float(torch.softmax(model.logits(model(torch.tensor([prompt])))[0, -1], -1)[EOS_ID])
    error = (probability * (1 - probability) / n) ** 0.5
    assert abs(ended[()] / n - probability) < 5 * error + 0.002  # the sampler computes in bfloat16


def test_no_sample_is_lost_when_the_batch_is_full() -> None:
    prompts = [encode(reference.prompt(f"Compute {n} + 2 + 3")) for n in range(5)]
    model = tiny()
    with torch.no_grad():
        model.embedding.weight[EOS_ID] += 3 * model.norm  # so that every sample ends soon
    for capacity in (3, 7, 64):
        drawn = Sampler(model, capacity=capacity, longest=400).sample(prompts, 20, seed=3, limit=300)
        assert sum(sum(counter.values()) for counter in drawn) >= 95


def test_token_log_probabilities_are_those_of_the_model() -> None:
    model = tiny()
    rows = [encode("<bos>Compute 1 + 2\n3<eos>"), encode("<bos>12\n")]
    for row, found in zip(rows, token_log_probabilities(model, rows), strict=True):
        exact = F.log_softmax(model.logits(model(torch.tensor([row[:-1]])))[0], -1)
        expected = exact[torch.arange(len(row) - 1), torch.tensor(row[1:])]
        assert torch.allclose(found, expected, atol=0.05)  # bfloat16


def test_values_of_merged_prefixes_are_shares_of_right_samples() -> None:
    row = collect.Sampled(
        "Compute 1 + 2 + 3", "6", 1, [("3 + 3\n6\nAnswer: 6", 3, True), ("3 + 3\n7\nAnswer: 7", 1, False)]
    )
    right, wrong = implicit.documents([row], None)
    labels = [value[1] for value in right.values or [] if value[1] >= 0]
    assert labels == [0.75, 1.0, 1.0]
    assert [value[1] for value in wrong.values or [] if value[1] >= 0] == [0.75, 0.0, 0.0]


def test_the_verifiers_loss_has_the_value_written_down_by_hand() -> None:
    model, row = tiny(), collect.Sampled("Compute 1 + 2 + 3", "6", 1, [("6\nAnswer: 6", 1, True)])
    batch = train.pad(implicit.documents([row], None))
    bias, scale = torch.tensor(0.3), torch.tensor(0.5)
    found, _ = implicit.make_loss(bias, scale, keep=0.0, last=1.0, reference_weight=0.0)(model, batch)
    sums = implicit.scores(model, None, [row])[0][0]
    terms = [-F.logsigmoid(scale * total + bias) for total in sums]
    assert found.item() == pytest.approx(float((terms[0] + 2 * terms[1]) / 3), abs=0.03)


def test_calibration_finds_the_slope_that_made_the_data() -> None:
    rng = random.Random(0)
    rows, sums = [], []
    for _ in range(3000):
        x = rng.gauss(0, 3)
        right = rng.random() < 1 / (1 + 2.718281828 ** -(0.7 * x - 0.4))
        rows.append(collect.Sampled("", "", 1, [("", 1, right)]))
        sums.append([[x]])
    scale, bias = implicit.calibrate(rows, sums)
    assert scale == pytest.approx(0.7, abs=0.08)
    assert bias == pytest.approx(-0.4, abs=0.15)


def test_a_revision_document_ends_in_right_attempts_after_wrong_ones() -> None:
    row = collect.Sampled(
        "Compute 1 + 2 + 3", "6", 1,
        [("3 + 3\n6\nAnswer: 6", 2, True), ("3 + 3\n7\nAnswer: 7", 3, False), ("4 + 3\n9\nAnswer: 9", 2, False)],
    )  # fmt: skip
    rng = random.Random(0)
    lengths: Counter[int] = Counter()
    for _ in range(200):
        made = revision.document(rng, row, again=0.0)
        assert made is not None
        attempts = collect.decode(made.ids).split("<eos>")[:-1]
        attempts[0] = attempts[0].split("\n", 1)[1]
        *context, target = attempts
        lengths[len(context)] += 1
        assert target == "3 + 3\n6\nAnswer: 6"
        assert all(reference.answer_of(attempt) != "6" for attempt in context)
        assert not context or context[-1] == "3 + 3\n7\nAnswer: 7"  # nearest in edit distance
        counted = [i for i, counts in zip(made.ids, made.counts, strict=True) if counts]
        assert collect.decode(counted) == target + "<eos>"
    assert set(lengths) == {0, 1, 2, 3, 4}


RIGHT, WRONG, OTHER = "3 + 3\n6\nAnswer: 6", "3 + 3\n7\nAnswer: 7", "4 + 3\n9\nAnswer: 9"
ROW = collect.Sampled("Compute 1 + 2 + 3", "6", 1, [(RIGHT, 2, True), (WRONG, 3, False), (OTHER, 2, False)])


def parts(made: documents.Document) -> tuple[list[str], list[str]]:
    """All attempts, and those that the loss is on."""
    text = collect.decode([i for i, counts in zip(made.ids, made.counts, strict=True) if counts])
    attempts = collect.decode(made.ids).split("<eos>")[:-1]
    return [attempts[0].split("\n", 1)[1], *attempts[1:]], text.split("<eos>")[:-1]


def test_a_chain_of_its_own_teaches_every_right_attempt_and_ends_in_one() -> None:
    chain = [(WRONG, False), (RIGHT, True), (OTHER, False), (RIGHT, True), (WRONG, False)]
    seen = set()
    for seed in range(50):
        attempts, taught = parts(revision.own_document(random.Random(seed), (ROW, chain)))
        before = [text for text, _ in chain[: len(attempts) - 1]]
        assert attempts[:-1] == before
        assert attempts[-1] == RIGHT
        assert taught == [text for text in attempts if text == RIGHT]
        seen.add(len(attempts))
    assert seen == {1, 2, 3, 4, 5}


def test_later_attempts_are_taught_and_the_first_stays_as_the_student_wrote_it() -> None:
    chain = [(WRONG, False), (OTHER, False), (RIGHT, True), (WRONG, False)]
    alone = Counter(
        parts(revision.later_document(random.Random(seed), (ROW, chain), 1.0, 0.0))[1][0] for seed in range(700)
    )
    assert alone[RIGHT] / 700 == pytest.approx(2 / 7, abs=0.06)
    assert alone[WRONG] / 700 == pytest.approx(3 / 7, abs=0.06)
    lengths = set()
    for seed in range(50):
        attempts, taught = parts(revision.later_document(random.Random(seed), (ROW, chain), 0.0, 0.0))
        expected = [WRONG, OTHER, RIGHT, WRONG, WRONG][: len(attempts)]
        assert attempts == [*expected[:-1], RIGHT]  # a wrong last one gives way to a right one
        assert taught == [text for text in attempts[1:] if text == RIGHT]
        lengths.add(len(attempts))
        attempts, taught = parts(revision.later_document(random.Random(seed), (ROW, chain), 0.0, 1.0))
        assert (attempts[-1], taught) == (RIGHT, [RIGHT])
        assert set(attempts) <= {RIGHT, WRONG, OTHER}
    assert lengths == {2, 3, 4, 5}


def test_chains_are_written_once_and_begin_with_the_student_where_asked(tmp_path: Path) -> None:
    made = tiny()
    file = tmp_path / "chains.jsonl"
    own = artifacts.many_chains(file, made, 10, 3, student_first=True)
    assert own
    for row, chain in own:
        assert len(chain) == 4
        assert chain[0][0] in {text for text, _, _ in row.solutions}
        assert chain[0][1] == (reference.answer_of(chain[0][0]) == row.answer)
    before = file.read_text()
    assert artifacts.many_chains(file, made, 10, 3, student_first=True) == own
    assert file.read_text() == before
    drawn = artifacts.harder(own, 1, 1.0)(random.Random(0))
    assert not all(right for _, right in drawn[1][1:])


def test_the_mean_of_models_has_the_mean_of_every_weight() -> None:
    made = [tiny(seed) for seed in (1, 2)]
    mean = dict(grow.mean_of(made).named_parameters())
    for name, weight in made[0].named_parameters():
        torch.testing.assert_close(mean[name], (weight + dict(made[1].named_parameters())[name]) / 2)


def test_the_report_on_a_case_done_by_hand() -> None:
    """Of (right, wrong) pairs the first question wins both, the second ties; the third has one kind."""
    right, wrong = ("Answer: 6", 1, True), ("Answer: 7", 2, False)
    high, low = math.log(9), math.log(0.25)
    rows = [collect.Sampled("a", "6", 1, [right, wrong]), collect.Sampled("b", "6", 1, [right, wrong])]
    rows.append(collect.Sampled("c", "6", 1, [right]))
    groups = evaluate.graded(rows, [[[high], [low]], [[high], [high]], [[high]]], 1.0, 0.0)
    assert groups[0].scores == pytest.approx([0.9, 0.2, 0.2])
    assert evaluate.pair_accuracy(groups) == pytest.approx((1 + 0.5) / 2)
    # .2 and wrong twice: gap .2 over 2 samples; .9: 3 right of 5, gap .3 over 5 samples.
    assert evaluate.calibration_error(groups) == pytest.approx((2 * 0.2 + 5 * 0.3) / 7)
    three = evaluate.selection(groups)["1"]
    assert pytest.approx(three["majority"]) == three["best"] == pytest.approx((1 / 3 + 1 / 3 + 1) / 3)
    chains = [
        [("a", False), ("b", True), ("b", True), ("b", True)],
        [("a", False), ("a", False), ("b", True), ("c", False)],
    ]
    report = evaluate.revision_report(chains)
    assert report["pass@1 by step"] == [0, 0.5, 1, 0.5]
    assert (report["right to wrong"], report["wrong to right"]) == (1 / 3, 2 / 3)
    assert report["copies of a wrong attempt"] == 1 / 3


def test_an_unknown_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="arithmetic, generator, verifier, prm, reviser, orm"):
        stages.run(["generatr"], tmp_path)
