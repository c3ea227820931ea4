"""What models are called in stored results: by name, and by their weights where these are a local folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from ttscale import reference
from ttscale._labels import READ, label, warn_other_models
from ttscale.strategies import BestOfN, ComputeOptimalScheduler, Policy, WeightedBestOfN


def checkpoint(folder: Path, weights: bytes) -> SimpleNamespace:
    """A role over a model in ``folder``, as the Hugging Face roles look from outside."""
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(weights)
    return SimpleNamespace(name=str(folder), model=SimpleNamespace(name=str(folder)))


def test_a_plain_object_is_called_by_its_name_or_class() -> None:
    assert label(SimpleNamespace(name="student")) == "student"
    assert label(BestOfN()) == "BestOfN"
    assert label(SimpleNamespace(name="remote", model=SimpleNamespace(name="org/model-on-the-hub"))) == "remote"


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
    role = SimpleNamespace(name=f"implicit({folder})", model=SimpleNamespace(name=folder))
    name, _, digest = label(role).partition("@")
    assert name == "implicit(ttscale.reference/generator)"
    assert len(digest) == 8


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
