"""What is loaded is what the checkpoint holds: nothing is made up, nothing of it is run, nothing is read as another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hf.verifiers import checkpoints
from ttscale.core.requests import Score
from ttscale.core.types import Candidate, Key, Question, Step
from ttscale.hf import HFModel, HFVerifier

REQUEST = Score(Candidate(Question("q", "What is 2 + 2?"), Key(("q",)), (Step("It is 4.\n"), Step("So 4."))))
MAKERS: dict[str, Callable[[Path], object]] = {
    "math-shepherd": checkpoints.math_shepherd,
    "rlhflow": checkpoints.rlhflow,
    "skywork": checkpoints.skywork,
    "qwen-prm": checkpoints.qwen,
    "trl": checkpoints.trl,
    "sequence": checkpoints.sequence,
}
HEADS = {
    "math-shepherd": "lm_head.weight",
    "rlhflow": "lm_head.weight",
    "skywork": "v_head.summary.bias",
    "qwen-prm": "score.2.bias",
    "trl": "score.bias",
    "sequence": "score.weight",
}


def scores(verifier: HFVerifier) -> tuple[float, ...]:
    return verifier.score([REQUEST])[0].step_scores


def without(folder: Path, ending: str) -> None:
    """Lose a tensor of a checkpoint."""
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(ending)}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("family", ["math-shepherd", "rlhflow", "trl", "sequence"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_head_learns_with_the_trunk(family: Any, dtype: str, tmp_path: Path) -> None:
    """Heads are rows of an LM head, or in half precision copies in fp32: they are taken over anew after a step."""
    MAKERS[family](tmp_path)
    verifier = HFVerifier(str(tmp_path), family=family, dtype=dtype)
    served = verifier.model
    before = scores(verifier)
    with torch.no_grad():
        for weight in served.module.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    again = HFVerifier(HFModel(served.module, tokenizer=served.tokenizer), family=family)
    assert scores(verifier) == pytest.approx(scores(again), abs=1e-3) != before


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("lost", ["layers.1.mlp.up_proj.weight", "head"])
def test_weights_that_are_missing_are_not_made_up(family: Any, lost: str, tmp_path: Path) -> None:
    """transformers fills in random numbers and goes on; the scores look like scores."""
    MAKERS[family](tmp_path)
    heads = {
        "skywork": "v_head.summary.bias",
        "qwen-prm": "score.2.bias",
        "trl": "score.bias",
        "sequence": "score.weight",
    }
    without(tmp_path, heads.get(family, "lm_head.weight") if lost == "head" else lost)
    with pytest.raises(ValueError, match=r"has no"):
        HFVerifier(str(tmp_path), family=family)


def test_a_generator_needs_all_of_its_weights_too(tmp_path: Path) -> None:
    checkpoints.rlhflow(tmp_path)
    without(tmp_path, "lm_head.weight")
    with pytest.raises(ValueError, match=r"has no weights for lm_head\.weight"):
        HFModel(str(tmp_path))


def test_a_head_of_another_shape_than_the_configuration_says_is_refused(tmp_path: Path) -> None:
    checkpoints.trl(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"id2label": {str(i): f"LABEL_{i}" for i in range(3)}, "label2id": {f"LABEL_{i}": i for i in range(3)}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"could not load .*mismatch"):
        HFVerifier(str(tmp_path))


def test_the_message_for_an_id_that_is_nowhere_has_single_full_stops() -> None:
    with pytest.raises(ValueError, match=r"^could not load 'nobody/nothing-here': (?:(?!\.\.)[\s\S])*\)\.$"):
        HFModel("nobody/nothing-here")


@pytest.mark.parametrize("family", MAKERS)
def test_shards_in_bfloat16_are_read_like_one_file_in_full_precision(family: Any, tmp_path: Path) -> None:
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    for folder in (whole, sharded):
        MAKERS[family](folder)
    tensors = {name: tensor.bfloat16() for name, tensor in load_file(whole / "model.safetensors").items()}
    rounded = {name: tensor.float() for name, tensor in tensors.items()}
    save_file(rounded, whole / "model.safetensors", metadata={"format": "pt"})
    (sharded / "model.safetensors").unlink()
    index = {name: f"model-0000{1 + i % 3}-of-00003.safetensors" for i, name in enumerate(sorted(tensors))}
    for shard in set(index.values()):
        part = {name: tensor for name, tensor in tensors.items() if index[name] == shard}
        save_file(part, sharded / shard, metadata={"format": "pt"})
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    wanted = scores(HFVerifier(str(whole), family=family))
    assert scores(HFVerifier(str(sharded), family=family)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("family", MAKERS)
def test_the_code_of_a_checkpoint_is_not_run(family: Any, tmp_path: Path) -> None:
    """Skywork's and Qwen's checkpoints bring code that current versions of transformers cannot run, and we do not."""
    MAKERS[family](tmp_path)
    ran = tmp_path / "ran"
    (tmp_path / "modeling_theirs.py").write_text(f"open({str(ran)!r}, 'w')\nclass Model: pass\n")
    config = json.loads((tmp_path / "config.json").read_text())
    tasks = ("", "ForCausalLM", "ForSequenceClassification", "ForTokenClassification")
    config["auto_map"] = {f"AutoModel{task}": "modeling_theirs.Model" for task in tasks}
    (tmp_path / "config.json").write_text(json.dumps(config))
    scores(HFVerifier(str(tmp_path), family=family))
    assert not ran.exists()


ENCODER = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize("kind", ["Bert", "DebertaV2"])
@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification"])
def test_an_encoder_is_refused(kind: str, task: str, tmp_path: Path) -> None:
    """It reads both ways and pools elsewhere: scores at the last token would be numbers without a meaning."""
    tokenizer = checkpoints.qwen_tokenizer()
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer), num_labels=2 if task.startswith("Token") else 1, initializer_range=0.5, **ENCODER
    )
    torch.manual_seed(0)
    getattr(transformers, f"{kind}For{task}")(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"is no decoder with a head on its hidden states"):
        HFVerifier(str(tmp_path))


def test_a_loaded_model_is_read_like_its_checkpoint(tmp_path: Path) -> None:
    """A model in memory says what it is as its folder does: TRL's layout is not ours, though both have two labels."""
    for family, task in (("trl", "TokenClassification"), ("sequence", "SequenceClassification")):
        MAKERS[family](tmp_path / family)
        from_disk = HFVerifier(str(tmp_path / family))
        from_memory = HFVerifier(HFModel(str(tmp_path / family), auto_class=f"AutoModelFor{task}"))
        assert (from_memory.family, scores(from_memory)) == (from_disk.family, scores(from_disk))
    checkpoints.qwen(tmp_path / "qwen")
    first = HFVerifier(str(tmp_path / "qwen"))
    again = HFVerifier(first.model)
    assert (again.family, scores(again)) == ("qwen-prm", scores(first))


def test_a_classifier_that_was_made_here_is_ours(tmp_path: Path) -> None:
    """No folder speaks for a model that was never saved."""
    tokenizer = checkpoints.qwen_tokenizer()
    config = transformers.Qwen2Config(vocab_size=len(tokenizer), num_labels=2, **checkpoints.SHAPE)
    module = transformers.Qwen2ForTokenClassification(config)
    for name in ("", str(tmp_path / "gone")):
        module.config.name_or_path = name
        assert HFVerifier(HFModel(module, tokenizer=tokenizer)).family == "ttscale"
