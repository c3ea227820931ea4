"""A GGUF file, or a folder that holds one, as the name of a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from real_models import gguf_file
from ttscale.hf.load import gguf_of


def test_a_file_and_a_folder_that_holds_one_are_told_from_other_names(tmp_path: Path) -> None:
    file = tmp_path / "model.Q4_1.gguf"
    file.write_bytes(b"GGUF")
    assert gguf_of(str(file)) == file
    assert gguf_of(str(tmp_path)) == file
    assert gguf_of("org/model") is None
    (tmp_path / "config.json").write_text("{}")
    assert gguf_of(str(tmp_path)) is None
    (tmp_path / "config.json").unlink()
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=r"holds 2 GGUF files; name one of them: model\.Q4_1\.gguf, other\.gguf"):
        gguf_of(str(tmp_path))


def test_a_real_file_is_loaded_and_writes_what_its_folder_writes() -> None:
    pytest.importorskip("gguf")
    from real_models import model_folder
    from ttscale import Candidate, Key, Question
    from ttscale.core.requests import Sample
    from ttscale.hf import HFGenerator, HFModel

    root = Candidate(Question.of("What is 2 + 3?"), Key((0, "q")))
    said = []
    for name in (gguf_file(), model_folder()):
        generator = HFGenerator(HFModel(str(name), device="cpu"), temperature=0, max_new_tokens=6, delimiter=None)
        said.append(generator.sample([Sample(root, root.key.child(0))])[0].steps)
    assert said[0] == said[1]
