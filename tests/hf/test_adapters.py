"""Adapters of every kind: what peft's merged model says is what we write and score, from memory and from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as T

from hf.tiny import SHAPE, byte_tokenizer
from ttscale import Candidate, Key, Question, Step
from ttscale.core.requests import Sample, Score
from ttscale.hf import HFGenerator, HFModel, HFVerifier
from ttscale.prompts.layouts import PromptFormat

peft = pytest.importorskip("peft")

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing", "ignore::UserWarning:peft")

TOKENIZER = byte_tokenizer()
PLAIN = PromptFormat(chat=False, template="{question}\n")
CONFIG: dict[str, Any] = {**SHAPE, "vocab_size": len(TOKENIZER)}
QV = ["q_proj", "v_proj"]
LM = "CAUSAL_LM"
KINDS: dict[str, Any] = {
    "lora": lambda: peft.LoraConfig(task_type=LM, target_modules=QV, r=4),
    "dora": lambda: peft.LoraConfig(task_type=LM, target_modules=QV, r=4, use_dora=True),
    "lora on the head": lambda: peft.LoraConfig(task_type=LM, target_modules=["lm_head"], r=4),
    "modules to save": lambda: peft.LoraConfig(task_type=LM, target_modules=QV, r=4, modules_to_save=["lm_head"]),
    "trainable tokens": lambda: peft.LoraConfig(task_type=LM, target_modules=QV, trainable_token_indices=[5, 6, 70]),
    "ia3": lambda: peft.IA3Config(task_type=LM, target_modules=["k_proj", "v_proj", "down_proj"],
                                  feedforward_modules=["down_proj"]),
    "oft": lambda: peft.OFTConfig(task_type=LM, target_modules=QV, oft_block_size=4),
    "vera": lambda: peft.VeraConfig(task_type=LM, target_modules=QV, r=4),
    "layer norms": lambda: peft.LNTuningConfig(task_type=LM, target_modules=["input_layernorm"]),
}  # fmt: skip


def stirred(model: Any) -> Any:
    """Adapters begin as no change at all: with random values they make one."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def base(kind: Any = T.LlamaForCausalLM, **settings: Any) -> Any:
    torch.manual_seed(5)
    return kind(T.LlamaConfig(**CONFIG, **settings)).eval()


def written(model: HFModel) -> list[tuple[int, ...]]:
    model.eos_ids = frozenset()
    generator = HFGenerator(model, temperature=0, delimiter=None, max_new_tokens=8, prompt=PLAIN)
    roots = [Candidate(Question.of(text), Key((0, text))) for text in ("hi", "what is it", "seven")]
    return [reply.steps[0].tokens for reply in generator.sample([Sample(root, root.key.child(0)) for root in roots])]


@torch.inference_mode()
def greedily(module: Any) -> list[tuple[int, ...]]:
    found = []
    for text in ("hi", "what is it", "seven"):
        ids = TOKENIZER(text + "\n")["input_ids"]
        for _ in range(8):
            ids.append(int(module(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        found.append(tuple(ids[-8:]))
    return found


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_model_with_adapters_writes_what_the_merged_one_does(kind: str, tmp_path: Path) -> None:
    base().save_pretrained(tmp_path / "base")
    TOKENIZER.save_pretrained(tmp_path / "base")
    model = stirred(peft.get_peft_model(T.AutoModelForCausalLM.from_pretrained(tmp_path / "base"), KINDS[kind]()))
    model.save_pretrained(tmp_path / "adapter")
    in_memory = written(HFModel(model, tokenizer=TOKENIZER, device="cpu"))
    from_folder = written(HFModel(str(tmp_path / "adapter"), device="cpu"))
    merged = greedily(model.merge_and_unload())
    assert in_memory == merged
    assert from_folder == merged
    assert merged != greedily(base())


@pytest.mark.parametrize("kind", ["lora on the head", "modules to save", "lora"])
def test_a_verifier_reads_the_adapters_on_the_head(kind: str) -> None:
    """P("+") against "-" before each "+": a head with an adapter is more than its base layer's weights."""
    tokenizer = byte_tokenizer(chat_template="{% for m in messages %}{{ m.content }}\n{% endfor %}")
    model = stirred(peft.get_peft_model(base(), KINDS[kind]()))
    verifier = HFVerifier(HFModel(model, tokenizer=tokenizer, device="cpu"), family="rlhflow")
    candidate = Candidate(Question.of("1 + 1"), Key((0,)), (Step("It is 2.\n"), Step("Yes.")), "stop")
    (verdict,) = verifier.score([Score(candidate)])
    plus, minus = (tokenizer(mark, add_special_tokens=False)["input_ids"][0] for mark in "+-")
    ids, reads = verifier.adapter.encode("1 + 1", ["It is 2.\n", "Yes."])
    with torch.inference_mode():
        logits = model.merge_and_unload()(input_ids=torch.tensor([ids])).logits[0, reads][:, [plus, minus]]
    assert verdict.step_scores == pytest.approx(logits.softmax(-1)[:, 0].tolist(), abs=1e-5)


@pytest.mark.parametrize(("task", "kind"), [("SEQ_CLS", "sequence"), ("TOKEN_CLS", "trl")])
def test_a_reward_model_saved_as_an_adapter(task: str, kind: str, tmp_path: Path) -> None:
    base().save_pretrained(tmp_path / "base")
    TOKENIZER.save_pretrained(tmp_path / "base")
    auto = T.AutoModelForSequenceClassification if task == "SEQ_CLS" else T.AutoModelForTokenClassification
    labels = 1 if task == "SEQ_CLS" else 2
    whole = auto.from_pretrained(tmp_path / "base", num_labels=labels)
    whole.config.pad_token_id = 0
    model = stirred(peft.get_peft_model(whole, peft.LoraConfig(task_type=task, target_modules=QV, r=4)))
    model.save_pretrained(tmp_path / "adapter")
    candidate = Candidate(Question.of("1 + 1"), Key((0,)), (Step("It is 2.\n"), Step("Yes.")), "stop")
    verifier = HFVerifier(str(tmp_path / "adapter"), device="cpu")
    assert verifier.family == kind
    in_memory = HFVerifier(HFModel(model, tokenizer=TOKENIZER, device="cpu"), family=kind)  # type: ignore[arg-type]
    ids, reads = verifier.adapter.encode("1 + 1", ["It is 2.\n", "Yes."])
    with torch.inference_mode():
        logits = model.merge_and_unload()(input_ids=torch.tensor([ids])).logits[0]
    wanted = [float(logits.sigmoid())] if labels == 1 else logits[reads].softmax(-1)[:, 1].tolist()
    for one in (verifier, in_memory):
        assert one.score([Score(candidate)])[0].step_scores == pytest.approx(wanted, abs=1e-5)


def test_a_replaced_head_counts_once() -> None:
    plain = HFModel(base(), tokenizer=TOKENIZER, device="cpu")
    model = peft.get_peft_model(base(), peft.LoraConfig(task_type=LM, target_modules=QV, modules_to_save=["lm_head"]))
    adapted = HFModel(model, tokenizer=TOKENIZER, device="cpu")
    assert adapted.head_parameters == plain.head_parameters
    rank = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    assert adapted.matmul_parameters == plain.matmul_parameters + rank


def test_an_adapter_without_peft_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base().save_pretrained(tmp_path / "base")
    model = peft.get_peft_model(T.AutoModelForCausalLM.from_pretrained(tmp_path / "base"), KINDS["lora"]())
    model.save_pretrained(tmp_path / "adapter")
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ValueError, match="is an adapter; to load it: pip install peft"):
        HFModel(str(tmp_path / "adapter"), tokenizer=TOKENIZER, device="cpu")
