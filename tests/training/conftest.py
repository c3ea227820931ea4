"""Tiny random checkpoints to train from, built once and loaded through the real path."""

from __future__ import annotations

from typing import Any

import pytest

SPECIALS = ["<pad>", "<bos>", "<eos>", "<user>", "<assistant>"]
CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ '<' + m.role + '>' + m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def make_tokenizer(chat: bool = False) -> Any:
    """One token per byte, so that a test can count positions by hand."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate([*SPECIALS, *alphabet])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    if chat:
        fast.chat_template = CHAT
    return fast


def save_model(folder: Any, tokenizer: Any, seed: int = 0, **changes: Any) -> str:
    import torch
    import transformers

    from hf.tiny import SHAPE

    shape = SHAPE | {"vocab_size": len(tokenizer), "initializer_range": 0.02}
    torch.manual_seed(seed)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**(shape | changes))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A plain tiny causal LM."""
    return save_model(tmp_path_factory.mktemp("base"), make_tokenizer())


@pytest.fixture(scope="session")
def chat_base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny causal LM with a chat template."""
    return save_model(tmp_path_factory.mktemp("chat"), make_tokenizer(chat=True))
