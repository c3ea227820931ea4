"""An implicit PRM from outcome labels only, served by ``ImplicitVerifier``, and distilled into a discriminative one."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from training.conftest import make_tokenizer, save_model
from ttscale.api.load_roles import load_roles
from ttscale.evaluation.verifier_quality.report import quality_report
from ttscale.hf import HFVerifier, ImplicitVerifier
from ttscale.training.data.examples import StepExample, relabel
from ttscale.training.data.revision_data import RevisionExample
from ttscale.training.fit.recipe import Recipe
from ttscale.training.fit.run import check_untrained
from ttscale.training.implicit import _seen_from, train_implicit_prm
from ttscale.training.prm import train_prm
from ttscale.training.reviser import train_reviser
from ttscale.training.score_examples import judge, verifier_scores

RECIPE = Recipe(learning_rate=3e-3, batch=16, micro_batch=16, epochs=4, dropout=0.0, evaluate_every=30)
# "good" leads to the right answer three times in four, "bad" once: outcomes alone must teach the first step's value.
DATA = [
    StepExample(
        f"{q}", f"Q{q}", (f"{state}\n", f"Answer: {7 if right else 8}"), (None, None), right, "7" if right else "8"
    )
    for q in range(70)
    for state, rights in (("good", (True, True, True, False)), ("bad", (False, False, False, True)))
    for right in rights
]


@pytest.fixture(scope="module")
def generator(base, tmp_path_factory):
    """The model that would have sampled DATA: fine-tuned on all of it, right and wrong."""
    samples = [RevisionExample(e.id, e.prompt, (), e.text) for e in DATA]
    recipe = Recipe(**{name: getattr(RECIPE, name) for name in RECIPE.__slots__} | {"epochs": 3})
    out = tmp_path_factory.mktemp("generator") / "m"
    return str(train_reviser(base, samples, out, recipe=recipe, progress=False).path)


@pytest.fixture(scope="module", params=["ratio", "right"])
def implicit(request, generator, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / "m"
    beta = {"beta": 0.5} if request.param == "ratio" else {}
    return train_implicit_prm(generator, DATA, out, goal=request.param, recipe=RECIPE, progress=False, **beta)


def test_it_ranks_solutions_and_values_prefixes(implicit):
    verifier = ImplicitVerifier(str(implicit.path), implicit.base)
    report = quality_report(judge(verifier, DATA), budgets=(4,))
    assert report.pair_accuracy is not None
    assert report.pair_accuracy.value > 0.95
    assert report.ece is not None
    assert report.ece < 0.1
    scores = verifier_scores(verifier, DATA)
    good = [s[0] for s, e in zip(scores, DATA, strict=True) if e.steps[0] == "good\n"]
    bad = [s[0] for s, e in zip(scores, DATA, strict=True) if e.steps[0] == "bad\n"]
    assert sum(good) / len(good) > sum(bad) / len(bad) + 0.15
    assert implicit.measured["pair_accuracy"] > 0.95


def test_it_is_served_from_its_folder_alone(implicit):
    """The folder names its reference, and ``solve(verifier="folder")`` knows what kind of verifier it is."""
    (loaded,) = load_roles({"verifier": str(implicit.path)}, ["verifier"]).values()
    assert isinstance(loaded, ImplicitVerifier)
    given = ImplicitVerifier(str(implicit.path), implicit.base)
    assert verifier_scores(loaded, DATA[:4]) == verifier_scores(given, DATA[:4])
    with pytest.raises(ValueError, match=r"is an implicit verifier.* load it with"):
        HFVerifier(str(implicit.path))


def test_what_is_served_is_the_calibrated_log_ratio(implicit):
    """One solution by hand: log-probabilities of its tokens under both models, summed to the end of each step."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(implicit.path)
    text, prompt = "Q0\ngood\nAnswer: 7<eos>", "Q0\n"
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    logs = []
    for folder in (implicit.path, implicit.base):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            found = model(ids).logits[0, :-1].log_softmax(-1)
        logs.append(found.gather(-1, ids[0, 1:, None])[:, 0])
    ratio = (logs[0] - logs[1]).tolist()
    saved = json.loads((implicit.path / "ttscale_verifier.json").read_text())
    start = len(tokenizer(prompt, add_special_tokens=False)["input_ids"]) - 1
    first = start + len("good\n")
    expected = [sum(ratio[start:first]), sum(ratio[start:])]
    (served,) = verifier_scores(ImplicitVerifier(str(implicit.path), implicit.base), DATA[:1])
    by_hand = torch.sigmoid(torch.tensor(expected) * saved["scale"] + saved["bias"]).tolist()
    assert list(served) == pytest.approx(by_hand, abs=1e-4)


def test_it_is_distilled_into_a_discriminative_prm(implicit, base, tmp_path):
    teacher = verifier_scores(ImplicitVerifier(str(implicit.path), implicit.base), DATA)
    taught = relabel(DATA, teacher)
    recipe = Recipe(learning_rate=3e-3, batch=16, micro_batch=16, epochs=3, dropout=0.0, evaluate_every=30)
    result = train_prm(base, taught, tmp_path / "prm", recipe=recipe, calibrated=False, progress=False)
    student = verifier_scores(HFVerifier(str(result.path)), DATA)
    gaps = [abs(a - b) for s, t in zip(student, teacher, strict=True) for a, b in zip(s, t, strict=True)]
    assert sum(gaps) / len(gaps) < 0.08


def test_what_the_reference_was_trained_on_is_not_measured_on_either(base, tmp_path):
    recipe, other = Recipe(batch=64, epochs=1), [RevisionExample(f"o{i}", f"Other {i}", (), "7") for i in range(4)]
    reference = train_reviser(base, other, tmp_path / "reference", recipe=recipe, progress=False).path
    with pytest.raises(ValueError, match=r"were in the training data of .*reference"):
        train_implicit_prm(base, DATA, tmp_path / "m", reference=reference, test=other, progress=False)
    made = train_implicit_prm(base, DATA, tmp_path / "m", reference=reference, recipe=recipe, progress=False)
    with pytest.raises(ValueError, match="4 of the questions were in the training data of"):
        check_untrained(made.path, other)


def test_refusals(base, tmp_path):
    with pytest.raises(ValueError, match=r"beta must be positive and finite, got '0\.5'"):
        train_implicit_prm(base, DATA, tmp_path / "m", beta="0.5", progress=False)
    with pytest.raises(ValueError, match="goal must be one of ratio, right"):
        train_implicit_prm(base, DATA, tmp_path / "m", goal="left", progress=False)
    with pytest.raises(ValueError, match="beta must be positive"):
        train_implicit_prm(base, DATA, tmp_path / "m", beta=0, progress=False)
    with pytest.raises(ValueError, match="does not say whether its answer is right"):
        train_implicit_prm(base, [StepExample("q", "q", ("a",), (1.0,))], tmp_path / "m", progress=False)
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["another"])
    other = save_model(tmp_path / "other", tokenizer)
    with pytest.raises(ValueError, match="have different tokenizers"):
        train_implicit_prm(base, DATA, tmp_path / "m", reference=other, progress=False)
    wrong = [e for e in DATA if not e.correct]
    with pytest.raises(ValueError, match="nothing left in the training data"):
        train_implicit_prm(base, wrong, tmp_path / "m", goal="right", progress=False)
    assert not (tmp_path / "m").exists()


def test_a_reference_is_found_through_links(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "base").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    stored = _seen_from(tmp_path / "link" / "model", tmp_path / "base")
    assert (tmp_path / "deep" / "er" / "model" / stored).resolve() == tmp_path / "base"
