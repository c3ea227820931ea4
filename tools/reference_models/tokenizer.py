"""The tokenizer of the reference models: printable ASCII, newline, and a few merged words.

Knows: the vocabulary and the chat template. Must not know: models, data.
Digits stay single so that the models can align columns; ``" - "`` (the operation) and ``"-"`` (the sign) are two
tokens, so no model has to guess which is meant.
"""

from __future__ import annotations

import re
from pathlib import Path

from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
MERGED = ("Compute ", "Answer: ", " + ", " - ", " * ")
PIECE = re.compile(r"<pad>|<bos>|<eos>|<unk>|Compute |Answer: | [-+*] |[\s\S]")
"""A token in a text; a test compares this with the tokenizer."""
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ message['content'] + '\\n' }}{% endif %}{% endfor %}"
)


def vocabulary() -> list[str]:
    """Every token, in the order of its id."""
    return [*SPECIAL, "\n", *(chr(code) for code in range(32, 127)), *MERGED]


def pieces(text: str) -> list[str]:
    """The text cut into tokens, as the tokenizer cuts it; pure Python, for data preparation."""
    return PIECE.findall(text)


def make() -> PreTrainedTokenizerFast:
    """A fresh tokenizer; needs no training."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors

    ids = {token: i for i, token in enumerate(vocabulary())}
    core = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"Compute |Answer: | [-+*] |[\s\S]"), "isolated")
    core.decoder = decoders.Fuse()
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", ids["<bos>"])]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
    )


def save(folder: Path) -> None:
    """Write the tokenizer's files into a model's folder."""
    make().save_pretrained(str(folder))
