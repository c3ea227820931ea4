"""A checkpoint's generation config: what we write is what ``generate`` writes, on 13 architectures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as T

from hf.tiny import byte_tokenizer
from ttscale import Candidate, Key, Question
from ttscale.core.requests import Sample
from ttscale.hf import HFGenerator, HFModel
from ttscale.prompts.layouts import PromptFormat

TOKENIZER = byte_tokenizer()
V = len(TOKENIZER)
NEW = 14
PLAIN = PromptFormat(chat=False, template="{question}\n")
SHAPE: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SMALL: dict[str, Any] = {**SHAPE, "head_dim": 8}
ARCHITECTURES: dict[str, Any] = {
    "llama": T.LlamaConfig(**SHAPE),
    "mistral": T.MistralConfig(**SHAPE, sliding_window=10),
    "qwen2": T.Qwen2Config(**SHAPE),
    "qwen3": T.Qwen3Config(**SMALL),
    "gemma": T.GemmaConfig(**SMALL),
    "gemma2": T.Gemma2Config(**SMALL, sliding_window=8),
    "gemma3": T.Gemma3TextConfig(**SMALL, sliding_window=8),
    "phi3": T.Phi3Config(**SHAPE),
    "olmo2": T.Olmo2Config(**SHAPE),
    "gpt2": T.GPT2Config(vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2),
    "gpt-neox": T.GPTNeoXConfig(**{k: v for k, v in SHAPE.items() if k != "num_key_value_heads"}),
    "granite": T.GraniteConfig(**SHAPE),
    "mixtral": T.MixtralConfig(**SHAPE, num_local_experts=4, num_experts_per_tok=2),
}
ASKED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "repetition penalty": {"repetition_penalty": 1.3},
    "no repeated n-gram": {"no_repeat_ngram_size": 2},
    "suppressed": {"suppress_tokens": list(range(40, 120)), "begin_suppress_tokens": list(range(120, 200))},
    "biased": {"sequence_bias": [[[100], 3.0], [[90, 91], -5.0]], "bad_words_ids": [[50], [60, 61]]},
    "not before": {"min_new_tokens": 9, "eos_token_id": list(range(2, 90))},
    "not shorter": {"min_length": 12, "exponential_decay_length_penalty": (3, 1.4)},
    "all": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "suppress_tokens": [5, 6], "min_new_tokens": 4},
}


def model_of(name: str) -> HFModel:
    torch.manual_seed(list(ARCHITECTURES).index(name))
    ARCHITECTURES[name].tie_word_embeddings = False  # tied, a random model repeats one token
    return HFModel(T.AutoModelForCausalLM.from_config(ARCHITECTURES[name]), tokenizer=TOKENIZER, device="cpu")


@pytest.mark.parametrize("asked", list(ASKED))
@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_greedy_text_is_that_of_generate(name: str, asked: str) -> None:
    model = model_of(name)
    config: Any = T.GenerationConfig(**{"eos_token_id": 2, "pad_token_id": 0, **ASKED[asked]})
    eos = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    model.eos_ids = frozenset(eos)
    settings = {"delimiter": None, "temperature": 0, "max_new_tokens": NEW, "prompt": PLAIN}
    generator = HFGenerator(model, generation_config=config, **settings)  # type: ignore[arg-type]
    roots = [Candidate(Question.of(text), Key((0, text))) for text in ("hi", "a longer one", "hi!")]
    replies = generator.sample([Sample(root, root.key.child(0)) for root in roots])
    got = [[token for step in reply.steps for token in step.tokens] for reply in replies]
    assert got == [_generated(model, f"{root.question.prompt}\n", config) for root in roots]


@torch.inference_mode()
def _generated(model: HFModel, prompt: str, config: Any) -> list[int]:
    ids = TOKENIZER(prompt, return_tensors="pt")["input_ids"]
    own = T.GenerationConfig(**{**config.to_dict(), "do_sample": False, "max_new_tokens": NEW})
    new: list[int] = model.module.generate(ids, attention_mask=torch.ones_like(ids), generation_config=own)[0].tolist()
    return [token for token in new[ids.shape[1] :] if token not in model.eos_ids]


def test_the_checkpoints_settings_count_where_nothing_else_is_said() -> None:
    model = model_of("llama")
    model.generation_config = T.GenerationConfig(
        do_sample=True, temperature=0.6, top_k=20, top_p=0.95, min_p=0.1, max_new_tokens=33, stop_strings=["Q:"]
    )
    generator = HFGenerator(model, prompt=PLAIN)
    settings = generator._sampler.settings
    assert settings.temperature == 0.6
    assert (settings.filters.top_k, settings.filters.top_p, settings.filters.min_p) == (20, 0.95, 0.1)
    assert (settings.max_new_tokens, settings.stop) == (33, ("Q:",))
    assert {"temperature", "top_k", "top_p", "min_p", "max_new_tokens", "stop"} <= set(generator.sampling)
    own = HFGenerator(model, prompt=PLAIN, temperature=1.0, top_k=None, top_p=None, min_p=None)._sampler.settings
    assert own.temperature == 1.0
    assert (own.filters.top_k, own.filters.top_p, own.filters.min_p) == (None, None, None)
    none = HFGenerator(model, prompt=PLAIN, generation_config=None)._sampler.settings
    assert (none.temperature, none.filters.top_k, none.stop) == (1.0, None, ())


def test_a_greedy_checkpoint_leaves_temperature_and_filters_alone() -> None:
    """As in ``generate``: without sampling they have no effect, so they say nothing of how it should be sampled."""
    model = model_of("llama")
    model.generation_config = T.GenerationConfig(do_sample=False)
    model.generation_config.temperature, model.generation_config.top_k = 0.1, 3
    settings = HFGenerator(model, prompt=PLAIN)._sampler.settings
    assert (settings.temperature, settings.filters.top_k) == (1.0, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("num_beams", 4), ("typical_p", 0.9), ("epsilon_cutoff", 3e-4), ("guidance_scale", 1.5), ("top_h", 0.4)),
        *(("max_time", 1.0), ("token_healing", True)),
    ],
)
def test_what_ttscale_does_not_have_is_refused_by_name(name: str, value: Any) -> None:
    model = model_of("llama")
    model.generation_config = T.GenerationConfig()
    setattr(model.generation_config, name, value)
    with pytest.raises(ValueError, match=f"{name}={value}.*generation_config=None"):
        HFGenerator(model, prompt=PLAIN)
    HFGenerator(model, prompt=PLAIN, generation_config=None)


def test_a_generation_config_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be a transformers.GenerationConfig or None; got \{'temperature': 1\}"):
        HFGenerator(model_of("llama"), prompt=PLAIN, generation_config={"temperature": 1})


def test_penalties_depend_on_a_rows_own_tokens_only() -> None:
    """Law 4: alone, or beside rows of other prompts and lengths."""
    model = model_of("qwen2")
    config = T.GenerationConfig(repetition_penalty=1.4, no_repeat_ngram_size=2, min_new_tokens=3)
    generator = HFGenerator(model, generation_config=config, delimiter="a", max_new_tokens=12, prompt=PLAIN)
    roots = [Candidate(Question.of(text), Key((0, text))) for text in ("x", "yy", "zzz") for _ in range(1)]
    requests = [Sample(root, root.key.child(i)) for root in roots for i in range(4)]
    together, alone = generator.sample(requests), [generator.sample([request])[0] for request in requests]
    assert [(one.steps, one.finish) for one in together] == [(one.steps, one.finish) for one in alone]


def test_log_probabilities_stay_the_models_own() -> None:
    model = model_of("llama")
    root = Candidate(Question.of("hi"), Key((0, "hi")))
    config = T.GenerationConfig(repetition_penalty=1.5)
    settings: dict[str, Any] = {"delimiter": None, "temperature": 0, "max_new_tokens": 6, "prompt": PLAIN}
    generator = HFGenerator(model, generation_config=config, **settings)
    (step,) = generator.sample([Sample(root, root.key.child(0))])[0].steps
    ids = TOKENIZER("hi\n")["input_ids"]
    with torch.inference_mode():
        logits = model.module(input_ids=torch.tensor([[*ids, *step.tokens]])).logits[0].log_softmax(-1)
    wanted = sum(float(logits[len(ids) - 1 + i, token]) for i, token in enumerate(step.tokens))
    assert step.logprob == pytest.approx(wanted, rel=1e-4)


def test_max_length_counts_prompt_and_solution() -> None:
    model = model_of("llama")
    model.eos_ids = frozenset()
    prompt = len(TOKENIZER("hi\n")["input_ids"])
    generator = HFGenerator(
        model, generation_config=T.GenerationConfig(max_length=prompt + 5), prompt=PLAIN, delimiter=None
    )
    root = Candidate(Question.of("hi"), Key((0, "hi")))
    (reply,) = generator.sample([Sample(root, root.key.child(0))])
    assert (len(reply.steps[0].tokens), reply.finish) == (5, "length")
