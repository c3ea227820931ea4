"""Tiny random checkpoints of the public verifiers: their architectures and key names, saved to disk.

Tokenizers are small and behave like the real ones where it matters: a SentencePiece-like one (a space is part of the
next token, other bytes have tokens of their own) for Mistral, byte-level ones with the real pre-tokenisation for Llama
and Qwen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
QWEN_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "initializer_range": 0.25,
}


def mistral_tokenizer() -> Any:
    """SentencePiece as the Llama family has it: "▁" for a space, one before the text, unknown bytes spelled out."""
    pieces = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)]]
    pieces += [chr(code) for code in range(33, 127)] + ["▁", "к", "и"]
    merges = [("к", "и"), ("▁", "ки"), ("▁", "+"), ("▁", "-"), ("▁", "S"), ("▁S", "o"), ("e", "r")]
    pieces += [a + b for a, b in merges]
    tokenizer = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", None, [("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def byte_level_tokenizer(special: list[str], template: str | None, **roles: str) -> Any:
    """Byte-level BPE with Qwen's pre-tokenisation, in which ".\\n\\n" is a single token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ċ", "Ċ"), (".", "ĊĊ"), ("e", "r"), ("Ġ", "S")]
    pieces = [*alphabet, *[a + b for a, b in merges]]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)
    fast.chat_template = template
    return fast


def llama_tokenizer() -> Any:
    special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    return byte_level_tokenizer(
        special, LLAMA_TEMPLATE, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<|eot_id|>"
    )


def qwen_tokenizer(**roles: str) -> Any:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"]
    roles = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", **roles}
    return byte_level_tokenizer(special, QWEN_TEMPLATE, **roles)


def save(folder: Path, tokenizer: Any, kind: str, auto_class: str, seed: int = 0, **settings: Any) -> Any:
    """A random model of a kind, saved with its tokenizer; returns the model."""
    configs = {"mistral": transformers.MistralConfig, "llama": transformers.LlamaConfig}
    shape = {"vocab_size": len(tokenizer), "eos_token_id": None, "bos_token_id": None, **SHAPE, **settings}
    config = configs.get(kind, transformers.Qwen2Config)(**shape)
    torch.manual_seed(seed)
    model = getattr(transformers, auto_class).from_config(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def rewrite(folder: Path, architecture: str, tensors: dict[str, torch.Tensor], **config: Any) -> None:
    """Give a saved checkpoint the class name and the extra tensors of a family with a head of its own."""
    path = folder / "model.safetensors"
    save_file({**load_file(path), **tensors}, path, metadata={"format": "pt"})
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"architectures": [architecture], **config}
    (folder / "config.json").write_text(json.dumps(settings))


def math_shepherd(folder: Path) -> None:
    save(folder, mistral_tokenizer(), "mistral", "AutoModelForCausalLM")


def rlhflow(folder: Path) -> None:
    save(folder, llama_tokenizer(), "llama", "AutoModelForCausalLM")


def skywork(folder: Path) -> None:
    save(folder, qwen_tokenizer(bos_token="<|im_start|>"), "qwen2", "AutoModelForCausalLM")
    torch.manual_seed(1)
    head = {"v_head.summary.weight": torch.randn(1, 16) / 4, "v_head.summary.bias": torch.randn(1)}
    remote = {"AutoModel": "modeling_qwen2_rm.Qwen2ForRewardModel"}
    rewrite(folder, "Qwen2ForPrmModel", head, auto_map=remote)


def qwen(folder: Path, labels: int = 2, architecture: str = "Qwen2ForProcessRewardModel") -> None:
    model = save(folder, qwen_tokenizer(), "qwen2", "AutoModel")
    path = folder / "model.safetensors"  # AutoModel saves without the prefix that the published files have
    save_file({f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}, path, metadata={"format": "pt"})
    torch.manual_seed(1)
    shapes = {"score.0.weight": (16, 16), "score.0.bias": (16,), "score.2.weight": (labels, 16)}
    shapes["score.2.bias"] = (labels,)
    remote = {"AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel"}
    rewrite(folder, architecture, {k: torch.randn(*v) / 4 for k, v in shapes.items()}, auto_map=remote)


def trl(folder: Path, **roles: str) -> None:
    save(folder, qwen_tokenizer(**roles), "qwen2", "AutoModelForTokenClassification", num_labels=2)


def own(folder: Path) -> None:
    trl(folder)
    (folder / "ttscale_verifier.json").write_text('{"kind": "prm"}')


def sequence(folder: Path, **settings: Any) -> None:
    settings = {"pad_token_id": 260, **settings}
    save(folder, qwen_tokenizer(), "qwen2", "AutoModelForSequenceClassification", num_labels=1, **settings)
