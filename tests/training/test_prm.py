"""A PRM and ORMs trained end to end on the two-step toy, served by ``HFVerifier``, and every refusal."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import pytest
import torch
import transformers

from training.conftest import make_tokenizer, save_model
from training.toys import TwoStep
from ttscale.evaluation.problems.splits import split_questions
from ttscale.evaluation.verifier_quality.report import quality_report
from ttscale.hf import HFVerifier
from ttscale.hf.verifiers.families.ttscale import StepEncoder
from ttscale.hf.verifiers.input_format import VerifierFormat
from ttscale.training.data.examples import StepExample
from ttscale.training.data.readers import read_rollouts
from ttscale.training.data.rollouts import collect_rollouts
from ttscale.training.fit import checkpoints as _models
from ttscale.training.fit.features import step_row
from ttscale.training.fit.recipe import Recipe
from ttscale.training.fit.run import check_untrained, read_result
from ttscale.training.prm import train_orm, train_prm
from ttscale.training.score_examples import judge, verifier_scores

QUICK = Recipe(learning_rate=3e-3, batch=16, micro_batch=16, epochs=6, dropout=0.0, evaluate_every=20)
OUTCOMES = [
    StepExample(f"{q}", f"What is {q}?", ("think\n", f"Answer: {a}"), (None, None), a == 7, str(a))
    for q in range(20)
    for a in (7, 7, 8)
]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Rollouts of the two-step task: the value of "good" is .75 and of "bad" .25."""
    path = tmp_path_factory.mktemp("toy") / "r.jsonl"
    questions = [(f"What is {i} + {7 - i}?", "7") for i in range(80)]
    collect_rollouts(TwoStep(), questions, path, samples=4, rollouts=16, progress=False)
    return read_rollouts(path).examples


@pytest.fixture(scope="module")
def prm(base, toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("prm") / "model"
    return train_prm(base, toy, out, recipe=QUICK, progress=False)


def test_the_prm_learns_the_values(prm, toy):
    scores = verifier_scores(HFVerifier(str(prm.path)), toy[:40])
    for state, value in (("good\n", 0.75), ("bad\n", 0.25)):
        found = [s[0] for s, e in zip(scores, toy[:40], strict=True) if e.steps[0] == state]
        assert sum(found) / len(found) == pytest.approx(value, abs=0.12)
    right = [s[1] for s, e in zip(scores, toy[:40], strict=True) if e.correct]
    wrong = [s[1] for s, e in zip(scores, toy[:40], strict=True) if not e.correct]
    assert min(right) > max(wrong)
    report = quality_report(judge(HFVerifier(str(prm.path)), toy), budgets=(4,))
    assert report.pair_accuracy is not None
    assert report.pair_accuracy.value == 1.0
    assert prm.measured["pair_accuracy"] == 1.0


def test_the_checkpoint_is_a_plain_token_classifier(prm, toy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = transformers.AutoModelForTokenClassification.from_pretrained(prm.path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(prm.path)
    form = VerifierFormat.of_checkpoint(prm.path)
    assert (form.kind, form.separator, model.config.id2label) == ("prm", "\n", {0: "wrong", 1: "right"})
    ids, reads = StepEncoder(tokenizer, form)(toy[0].prompt, toy[0].steps)
    with torch.no_grad():
        plain = model(torch.tensor([ids])).logits[0].softmax(-1)[reads, 1].tolist()
    served = verifier_scores(HFVerifier(str(prm.path)), toy[:1])[0]
    assert list(served) == pytest.approx(plain, abs=1e-6)
    assert model.config.attention_dropout == 0.0
    assert not (prm.path / "checkpoints").exists()


def test_a_control_token_in_a_text_is_served_as_it_was_trained(prm):
    example = StepExample("q", "What<eos> is 1?", ("good<pad>\n", "Answer: 7"), (1.0, 1.0))
    verifier = HFVerifier(str(prm.path))
    form = VerifierFormat.of_checkpoint(prm.path)
    row = step_row(StepEncoder(verifier.model.tokenizer, form), 256, example)
    model = transformers.AutoModelForTokenClassification.from_pretrained(prm.path).eval()
    with torch.no_grad():
        plain = model(torch.tensor([row.feature["input_ids"]])).logits[0].softmax(-1)[row.reads, 1].tolist()
    assert list(verifier_scores(verifier, [example])[0]) == pytest.approx(plain, abs=1e-6)


def test_the_record_can_be_read_back_and_guards_against_measuring_on_training_questions(prm, toy):
    assert read_result(prm.path) == prm
    with pytest.raises(ValueError, match="were in the training data of"):
        check_untrained(prm.path, toy)
    check_untrained(prm.path, OUTCOMES)
    assert train_prm(prm.base, toy, prm.path, recipe=QUICK, progress=False) == prm  # done already
    with pytest.raises(ValueError, match=r"trained differently \(learning_rate: 0.003 there, 0.001 now\)"):
        train_prm(prm.base, toy, prm.path, recipe=Recipe(**vars_of(QUICK) | {"learning_rate": 1e-3}), progress=False)


def loss_of(scores, examples):
    """The soft cross-entropy of served scores, written out."""
    pairs = [pair for s, e in zip(scores, examples, strict=True) for pair in zip(s, e.labels, strict=True)]
    return -sum(y * math.log(p) + (1 - y) * math.log(1 - p) for p, y in pairs) / len(pairs)


def test_what_is_served_is_what_was_chosen(base, toy, tmp_path):
    """Two evaluations; the first is the better: its checkpoint is taken, and serving it gives its recorded loss."""
    recipe = Recipe(**vars_of(QUICK) | {"epochs": 1, "batch": 64, "learning_rate": 3e-2, "evaluate_every": 1})
    result = train_prm(base, toy, tmp_path / "prm", recipe=recipe, calibrated=False, progress=False)
    losses = [point.loss for point in result.curve]
    assert [point.step for point in result.curve] == [1, 2, 3, 4, 5][: len(losses)]
    assert result.validation_loss == min(losses) < losses[-1]
    _, held_out = split_questions(toy, recipe.held_out, recipe.seed)
    served = verifier_scores(HFVerifier(str(result.path)), held_out)
    assert loss_of(served, held_out) == pytest.approx(result.validation_loss, abs=1e-4)


def vars_of(recipe):
    return {name: getattr(recipe, name) for name in recipe.__slots__}


@pytest.fixture(scope="module")
def orm(base, tmp_path_factory):
    return train_orm(base, OUTCOMES, tmp_path_factory.mktemp("orm") / "model", recipe=QUICK, progress=False)


def test_an_orm_gives_one_score_and_knows_right_from_wrong(orm):
    verifier = HFVerifier(str(orm.path))
    scores = verifier_scores(verifier, OUTCOMES)
    assert {len(score) for score in scores} == {1}
    report = quality_report(judge(verifier, OUTCOMES), budgets=(2,))
    assert report.pair_accuracy is not None
    assert report.pair_accuracy.value == 1.0
    assert json.loads((orm.path / "ttscale_verifier.json").read_text())["kind"] == "orm"


def test_a_revision_orm_sees_the_attempts(base, tmp_path):
    """The same answer is right after one attempt and wrong after another: only the context can tell."""
    rows = [
        StepExample(f"{q}", f"What is {q}?", ("Answer: 7",), (None,), attempt == "up", "7", (attempt,))
        for q in range(30)
        for attempt in ("up", "down")
    ]
    result = train_orm(base, rows, tmp_path / "orm", recipe=QUICK, progress=False)
    assert json.loads((result.path / "ttscale_verifier.json").read_text())["attempts"] is True
    scores = verifier_scores(HFVerifier(str(result.path)), rows)
    assert min(s[0] for s in scores[::2]) > max(s[0] for s in scores[1::2])


def test_lora_gives_a_whole_checkpoint(base, toy, tmp_path):
    recipe = Recipe(learning_rate=1e-2, batch=16, micro_batch=16, epochs=3, dropout=0.0, lora_rank=8)
    result = train_prm(base, toy, tmp_path / "prm", recipe=recipe, calibrated=False, progress=False)
    assert not list(result.path.glob("adapter*"))
    model = transformers.AutoModelForTokenClassification.from_pretrained(result.path)
    before = transformers.AutoModelForCausalLM.from_pretrained(base)
    name = "layers.0.self_attn.q_proj.weight"
    assert not torch.equal(dict(model.model.named_parameters())[name], dict(before.model.named_parameters())[name])
    _, held_out = split_questions(toy, recipe.held_out, recipe.seed)
    served = verifier_scores(HFVerifier(str(result.path)), held_out)
    assert loss_of(served, held_out) == pytest.approx(result.validation_loss, abs=1e-4)
    assert result.validation_loss < 0.45  # untrained: .69; the best there is: .28


def test_a_new_head_learns_in_fp32_beside_adapters_on_a_base_in_bf16(tmp_path):
    """As on a GPU, where the frozen base keeps its dtype: at a small rate bf16 would round most updates away."""
    folder = save_model(tmp_path / "base", make_tokenizer())
    transformers.AutoModelForCausalLM.from_pretrained(folder).bfloat16().save_pretrained(folder)
    recipe = Recipe(lora_rank=2, dropout=0.0)
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder, num_labels=2, dtype="auto")
    adapted = _models._with_adapters(model, "steps", recipe)
    (head,) = [p for name, p in adapted.named_parameters() if p.requires_grad and "score" in name and "weight" in name]
    assert (model.dtype, head.dtype) == (torch.bfloat16, torch.float32)
    optimizer = torch.optim.AdamW(adapted.parameters(), lr=recipe.learning_rate)
    before = head.detach().clone()
    adapted(input_ids=torch.tensor([[5, 6, 7]])).logits.float().sum().backward()
    optimizer.step()
    assert bool((head != before).all())


def test_the_same_base_under_another_name_is_the_same(base, toy, tmp_path, monkeypatch):
    recipe = Recipe(batch=64, epochs=1)
    first = train_prm(base, toy, tmp_path / "m", recipe=recipe, progress=False)
    monkeypatch.chdir(Path(base).parent)
    for name in (Path(base).name, base + "/"):
        assert train_prm(name, toy, tmp_path / "m", recipe=recipe, progress=False) == first


def test_refusals(base, toy, tmp_path):
    out = tmp_path / "x"
    with pytest.raises(TypeError, match="recipe must be a Recipe, not a dict"):
        train_prm(base, toy, out, recipe={"batch": 8}, progress=False)
    with pytest.raises(ValueError, match=r"prompt must be a PromptFormat; got 'x \{question\}'"):
        train_prm(base, toy, out, prompt="x {question}", progress=False)
    with pytest.raises(ValueError, match="the examples are empty"):
        train_prm(base, [], out, progress=False)
    with pytest.raises(ValueError, match="the validation set is empty"):
        train_prm(base, toy, out, validation=[], progress=False)
    with pytest.raises(ValueError, match="training data and in the validation data"):
        train_prm(base, toy, out, validation=toy[:1], progress=False)
    with pytest.raises(ValueError, match="training data and in the test data"):
        train_prm(base, toy, out, test=toy[:1], progress=False)
    with pytest.raises(ValueError, match="validation data and in the test data"):
        train_prm(base, toy, out, validation=OUTCOMES, test=iter(OUTCOMES[:1]), progress=False)
    with pytest.raises(ValueError, match="1 distinct question"):
        train_prm(base, [e for e in toy if e.id == toy[0].id], out, progress=False)
    with pytest.raises(ValueError, match="does not say whether its answer is right"):
        train_orm(base, [StepExample("q", "q", ("a",), (1.0,))], out, progress=False)
    with pytest.raises(ValueError, match="longer than the model reads"):
        train_prm(base, toy, out, recipe=Recipe(max_tokens=5), progress=False)
    assert not out.exists()


def test_other_architectures_are_refused(toy, tmp_path):
    tokenizer = make_tokenizer()
    bert = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertForMaskedLM(bert).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"is a BertForMaskedLM\. A step verifier must read from left to right"):
        train_prm(tmp_path / "bert", toy, tmp_path / "out", progress=False)
    transformers.BertForTokenClassification(bert).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"\(BertForTokenClassification\) sees tokens that come later"):
        train_prm(tmp_path / "bert", toy, tmp_path / "out", progress=False)
    transformers.BertForTokenClassification(bert).save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "config.json").write_text(
        json.dumps(json.loads((tmp_path / "bert" / "config.json").read_text()) | {"num_labels": 3})
    )
    with pytest.raises(ValueError, match=r"has a head of 3 labels; train a step verifier from a causal LM"):
        train_prm(tmp_path / "bert", toy, tmp_path / "out", progress=False)

    folder = Path(save_model(tmp_path / "wide", tokenizer))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ValueError, match="do not fit a LlamaForTokenClassification: missing"):
        train_prm(folder, toy, tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="could not load the tokenizer of"):
        train_prm(tmp_path / "nowhere", toy, tmp_path / "out", progress=False)


def test_damaged_bases_are_named(toy, tmp_path):
    folder = Path(save_model(tmp_path / "nan", make_tokenizer()))
    broken = transformers.AutoModelForCausalLM.from_pretrained(folder)
    broken.model.norm.weight.data[3] = float("nan")
    broken.save_pretrained(folder)
    with pytest.raises(ValueError, match="nan' computes nan from a plain text: damaged weights"):
        train_prm(folder, toy, tmp_path / "out", progress=False)

    folder = Path(save_model(tmp_path / "torn", make_tokenizer()))
    with (folder / "model.safetensors").open("r+b") as weights:
        weights.truncate(5000)
    with pytest.raises(ValueError, match=r"could not read the weights in '.*torn'.*save it again"):
        train_prm(folder, toy, tmp_path / "out", progress=False)

    folder = Path(save_model(tmp_path / "grown", make_tokenizer()))
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["good"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"token id 261, .*grown' has embeddings for 261 .*_embeddings\(262\)"):
        train_prm(folder, toy, tmp_path / "out", progress=False)

    folder = Path(save_model(tmp_path / "settings", make_tokenizer()))
    for text, message in (("{", "could not read .*ttscale.json"), ('{"prompt": 5}', "ttscale.json must be")):
        (folder / "ttscale.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            train_prm(folder, toy, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "gpt_neox"])
def test_other_decoders_train_and_are_served(kind, toy, tmp_path):
    """A head called "classifier", tied embeddings, learned positions: the served scores are the model's own."""
    tokenizer = make_tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    sizes |= {"num_key_value_heads": 2} if kind == "qwen2" else {}
    config = transformers.AutoConfig.for_model(kind, vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, **sizes)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    recipe = Recipe(learning_rate=1e-3, batch=64, micro_batch=16, epochs=1, evaluate_every=5)
    result = train_prm(tmp_path / "base", toy[:80], tmp_path / "prm", recipe=recipe, calibrated=False, progress=False)
    _, held_out = split_questions(toy[:80], recipe.held_out, recipe.seed)
    served = verifier_scores(HFVerifier(str(result.path)), held_out)
    assert loss_of(served, held_out) == pytest.approx(result.validation_loss, abs=1e-4)


def test_another_models_folder_is_not_overwritten(base, toy, tmp_path):
    folder = save_model(tmp_path / "mine", make_tokenizer())
    with pytest.raises(ValueError, match="already holds a model that was not trained here"):
        train_prm(base, toy, folder, recipe=QUICK, progress=False)
