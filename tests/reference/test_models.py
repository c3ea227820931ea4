"""The bundled models: they load by the ordinary Hugging Face calls, are small, and do what the card says."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tools.reference_models import collect, implicit, stages
from tools.reference_models import model as models
from tools.reference_models.sampler import Sampler
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

import ttscale
from ttscale import Candidate, Key, Question, Score, Step, reference


@pytest.mark.parametrize("name", ["generator", "verifier", "reviser"])
def test_a_bundled_model_loads_by_the_ordinary_calls_and_is_small(name: str) -> None:
    folder = reference.path(name)
    assert (folder / "model.safetensors").stat().st_size <= 6_000_000
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(tokenizer)
    ids = torch.tensor([tokenizer("Compute 5 - -3 * 12\n5 - -36")["input_ids"]])
    own = models.load(folder)
    with torch.inference_mode():
        assert torch.allclose(model(ids).logits, own.logits(own(ids)), atol=2e-4)


def test_the_bundled_verifier_with_a_head_loads_likewise() -> None:
    folder = reference.path("prm")
    assert (folder / "model.safetensors").stat().st_size <= 6_000_000
    model = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([AutoTokenizer.from_pretrained(folder)("Compute 5 - -3 * 12\n5 - -36\n")["input_ids"]])
    with torch.inference_mode():
        hidden = models.load(folder)(ids)
        assert torch.allclose(model(ids).logits, model.score(hidden), atol=2e-4)
    assert model.config.id2label == {0: "wrong", 1: "right"}


def test_every_bundled_model_is_in_the_package() -> None:
    assert sorted(folder.name for folder in reference.path("prm").parent.iterdir()) == sorted(reference.MODELS)


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="generator, verifier, reviser"):
        reference.path("judge")


@pytest.mark.parametrize("bad", [{"temperature": [1]}, {"chat_template_kwargs": {"a": 1}}, {"device": ["cpu"]}])
def test_a_setting_that_cannot_be_kept_is_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^{next(iter(bad))}=.*hashable"):
        reference.load("generator", **bad)


@pytest.mark.parametrize("role", ["verifer", "comparator", ["generator"]])
def test_a_role_without_a_bundled_model_is_refused(role: Any) -> None:
    with pytest.raises(ValueError, match="choose one of generator, verifier, reviser"):
        reference.load(role)


def test_the_verifiers_file_says_how_to_score() -> None:
    settings = json.loads((reference.path("verifier") / "ttscale_verifier.json").read_text())
    assert settings["kind"] == "implicit"
    assert settings["scale"] > 0
    assert (reference.path("verifier") / settings["reference"]).resolve() == reference.path("generator").resolve()


def test_the_verifier_ranks_right_solutions_over_wrong_ones() -> None:
    """Eight samples of forty questions; on 500 questions the pair accuracy is .97, .85 is far below."""
    generator = Sampler(models.load(reference.path("generator")), capacity=96, longest=400)
    rows = collect.sample(generator, reference.questions(40, "validation", seed=1), 8, seed=0)
    sums = implicit.scores(models.load(reference.path("verifier")), None, rows)
    assert share_ranked(rows, sums) > 0.85


def share_ranked(rows: list[collect.Sampled], sums: Any) -> float:
    """The share of pairs of a right and a wrong solution of one question that the scores rank rightly."""
    wins, pairs = 0, 0
    for row, lines in zip(rows, sums, strict=True):
        good = [line[-1] for line, (_, _, right) in zip(lines, row.solutions, strict=True) if right]
        bad = [line[-1] for line, (_, _, right) in zip(lines, row.solutions, strict=True) if not right]
        wins += sum(g > b for g in good for b in bad)
        pairs += len(good) * len(bad)
    assert pairs > 50
    return wins / pairs


def test_so_does_the_step_verifier_as_it_is_served() -> None:
    """A scalar head at the end of each step, on forty test questions."""
    problems = reference.questions(40, "test", seed=1)
    questions = [Question(problem.id, problem.prompt) for problem in problems]
    prm = str(reference.path("prm"))
    results = ttscale.solve_all(questions, 8, verifier=prm, strategy="best_of_n", progress=False)
    rows = [
        collect.Sampled(p.prompt, p.answer, 1, [(c.text, 1, c.answer == p.answer) for c in result.candidates])
        for p, result in zip(problems, results, strict=True)
    ]
    assert share_ranked(rows, [[[score or 0.0] for score in result.scores] for result in results]) > 0.85


def test_the_verifier_is_served_as_it_was_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The closing <eos> once counted in use but neither in training nor in calibration."""
    monkeypatch.setattr("tools.reference_models.precision.NATIVE", False)  # rounding differs between CPUs
    problem = reference.questions(1, "validation", level=3, seed=1)[0]
    (row,) = collect.taught([problem], 16, 3)
    served = reference.load("verifier")
    settings = json.loads((reference.path("verifier") / "ttscale_verifier.json").read_text())
    (margins,) = implicit.bent(implicit.scores(models.load(reference.path("verifier")), None, [row]))
    root = Candidate(Question("q", row.prompt), Key(()))
    for i, ((text, _, _), line) in enumerate(zip(row.solutions, margins, strict=True)):
        steps = tuple(Step(step) for step in text.splitlines(keepends=True))
        verdict = served.score([Score(root.extend(Key((i,)), steps, "stop"))])[0]
        expected = torch.sigmoid(settings["scale"] * torch.tensor(line) + settings["bias"])
        assert verdict.step_scores == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_reviser_samples_as_the_build_measured_it() -> None:
    own = json.loads((Path(reference.path("reviser")) / "ttscale.json").read_text())
    assert own == models.SETTINGS | {"temperature": stages.REVISER_TEMPERATURE}


def test_threads_that_load_at_once_load_one_model() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from ttscale.hf import HFModel

    _load = import_module("ttscale.reference.load")  # the package has a function of that name
    _load._load.cache_clear()
    _load._model.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _load.load("generator"), range(4)))
        folders = list(pool.map(lambda _: HFModel(str(reference.path("reviser"))).body_parameters, range(4)))
    assert len({id(one) for one in found}) == 1
    assert len(set(folders)) == 1


def test_a_single_operation_is_answered() -> None:
    assert [ttscale.solve(f"Compute {sum_}", 4).answer for sum_ in ("1 + 2", "17 - 9", "6 * 7")] == ["3", "8", "42"]
