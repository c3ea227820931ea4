"""What models are called in stored results: by name, and by their weights where these are a local folder."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ttscale import reference
from ttscale.api.role_labels import READ, label, warn_other_models
from ttscale.hf import HFGenerator, HFReviser
from ttscale.openai import OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat
from ttscale.revisers import PromptedReviser
from ttscale.strategies import BestOfN, ComputeOptimalScheduler, Policy, WeightedBestOfN
from ttscale.testing import FakeGenerator, FakeVerifier
from ttscale.verifiers import EnsembleVerifier, FunctionVerifier, JudgeVerifier


def checkpoint(folder: Path, weights: bytes) -> SimpleNamespace:
    """A role over a model in ``folder``, as the Hugging Face roles look from outside."""
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(weights)
    return SimpleNamespace(name=str(folder), weights=(str(folder),))


def test_a_plain_object_is_called_by_its_name_or_class() -> None:
    assert label(SimpleNamespace(name="student")) == "student"
    assert label(BestOfN()) == "BestOfN"
    assert label(SimpleNamespace(name="remote", weights=("org/model-on-the-hub",))) == "remote"


@pytest.mark.parametrize("place", [0, READ + 5, 3 * READ - 1])
def test_other_weights_in_the_same_folder_are_another_model(tmp_path: Path, place: int) -> None:
    """Wherever the header or the ends of a file differ; the middle of a large file is not read."""
    weights = bytearray(3 * READ)
    before = label(checkpoint(tmp_path / "m", bytes(weights)))
    assert before == label(checkpoint(tmp_path / "m", bytes(weights)))
    assert before.startswith(f"{tmp_path / 'm'}@")
    weights[place] = 1
    after = label(checkpoint(tmp_path / "m", bytes(weights)))
    assert (after != before) == (place != READ + 5)
    assert label(checkpoint(tmp_path / "m", bytes(weights) + b"x")) != after


def test_bundled_models_are_named_wherever_ttscale_lies() -> None:
    folder = str(reference.path("generator"))
    role = SimpleNamespace(name=f"implicit({folder})", weights=(folder,))
    name, _, digest = label(role).partition("@")
    assert name == "implicit(ttscale.reference/generator)"
    assert len(digest) == 8


def test_settings_that_are_not_the_models_own_are_part_of_what_it_is_called() -> None:
    """Pools and sweeps of two temperatures, or of two prompts, must not be mixed."""
    path = str(reference.path("generator"))
    usual = label(HFGenerator(path))
    assert usual == label(HFGenerator(path, temperature=1.0)) == label(reference.load("generator"))
    assert label(HFGenerator(path, temperature=0.0)) == f"{usual} (temperature=0.0)"
    assert label(HFReviser(path, top_k=5, max_new_tokens=9)) == f"{usual} (max_new_tokens=9, top_k=5)"
    one, other = (label(HFGenerator(path, prompt=PromptFormat(template=t))) for t in ("{question}", "Q: {question}"))
    assert len({usual, one, other}) == 3


def test_settings_of_a_remote_model_likewise() -> None:
    def called(**settings: object) -> str:
        return label(OpenAIGenerator("m", "http://localhost:1", api_key="key", **settings))  # type: ignore[arg-type]

    assert called() == called(temperature=1.0) == "m"
    assert called(temperature=0.5, top_p=0.9) == "m (temperature=0.5, top_p=0.9)"
    secret = called(extra={"password": "hunter2"})
    assert secret != "m"
    assert "hunter2" not in secret


def scheduler(**provenance: object) -> ComputeOptimalScheduler:
    return ComputeOptimalScheduler(Policy((), (1,), ((WeightedBestOfN(),),), provenance=provenance))


def test_a_policy_for_other_models_is_said_and_any_other_is_not() -> None:
    labels = {"generator": "mine", "verifier": "judge"}
    with pytest.warns(UserWarning, match=r"other models: generator 'theirs', not 'mine'.*ttscale fit-policy"):
        warn_other_models(scheduler(models={"generator": "theirs", "verifier": "judge"}), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_other_models(scheduler(models={"generator": "mine"}), labels)
        warn_other_models(scheduler(models={"generator": "mine", "verifier": "judge", "reviser": "r"}), labels)
        warn_other_models(scheduler(source="the paper"), labels)
        warn_other_models(ComputeOptimalScheduler(), labels)
        warn_other_models(BestOfN(), labels)


def test_what_a_role_is_made_of_is_part_of_what_they_are_called(tmp_path: Path) -> None:
    """A resumed file must not hold the scores of another prompt, other weights, another function or checkpoint."""
    one, other = FakeVerifier(0.5, name="a"), FakeVerifier(0.5, name="b")
    model = FakeGenerator("Yes", name="m")
    bound = [
        FunctionVerifier(lambda candidate, least=least: len(candidate.text) > least, name=f"longer than {least}")
        for least in (1, 2)
    ]
    made = [
        JudgeVerifier(model),
        JudgeVerifier(model, votes=3),
        JudgeVerifier(model, prompt="LIKE {question}{solution}"),
        EnsembleVerifier([one, other]),
        EnsembleVerifier([one, other], weights=[1, 0]),
        EnsembleVerifier([one, other], weights=[0, 1]),
        FunctionVerifier(lambda candidate: candidate.answer == "1"),
        FunctionVerifier(lambda candidate: candidate.answer == "2"),
        *bound,
        PromptedReviser(model),
        PromptedReviser(model, context=2),
        PromptedReviser(model, prompt="{question} {attempts}"),
    ]
    assert len({label(verifier) for verifier in made}) == len(made)
    before, after = (
        label(JudgeVerifier(SimpleNamespace(sample=print, **vars(checkpoint(tmp_path / "m", weights)))))
        for weights in (b"before", b"after")
    )
    assert before != after


def test_a_function_is_called_by_its_name_and_a_lambda_by_its_place() -> None:
    """The same in every process, and whatever it closes over: another ``name`` says that it scores differently."""

    class Checks:
        def __call__(self, candidate: Any) -> bool:
            return True

    assert label(FunctionVerifier(checkpoint)) == "checkpoint"
    assert label(FunctionVerifier(Checks())) == "Checks"
    assert label(FunctionVerifier(Checks(), name="strict")) == "strict"
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    assert label(FunctionVerifier(lambda candidate: True)) == f"<lambda> at test_labels.py:{line}"
