"""A model that recites a text after its prompt, and a byte-level tokenizer with special tokens of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.modeling_outputs import CausalLMOutput


def tokenizer_with(*special: str, chat_template: str | None = None) -> Any:
    """A token per byte, and these special tokens, which are no bos, eos or the like."""
    named = ("<pad>", "<bos>", "<eos>", *special)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate([*named, *alphabet])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in named])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    tokenizer.chat_template = chat_template
    return tokenizer


class Recites(transformers.PreTrainedModel):
    """After a prompt that ends in ``mark`` it writes what ``say`` makes of the prompt, and the end of sequence."""

    config_class = transformers.LlamaConfig

    def __init__(self, tokenizer: Any, say: Callable[[str], str], mark: str) -> None:
        config = transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=100_000,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )
        super().__init__(config)
        self.weight = torch.nn.Linear(2, 2)
        self._tokenizer, self._say = tokenizer, say
        self._mark = tokenizer(mark, add_special_tokens=False)["input_ids"]

    def forward(self, input_ids: torch.Tensor, attention_mask: Any = None, use_cache: Any = None) -> CausalLMOutput:
        logits = torch.full((*input_ids.shape, self.config.vocab_size), -30.0)
        for row, ids in enumerate(input_ids.tolist()):
            for place in range(len(ids)):
                logits[row, place, self._next(ids[: place + 1])] = 30.0
        return CausalLMOutput(logits=logits)  # type: ignore[arg-type]

    def _next(self, ids: list[int]) -> int:
        end: int = self._tokenizer.eos_token_id
        ends = [at + len(self._mark) for at in range(len(ids)) if ids[at : at + len(self._mark)] == self._mark]
        if not ends:
            return end
        said = self._say(self._tokenizer.decode(ids[: ends[-1]]))
        script = [*self._tokenizer(said, add_special_tokens=False)["input_ids"], end]
        done = len(ids) - ends[-1]
        return int(script[done]) if done < len(script) else end
