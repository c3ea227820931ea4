"""How much a model reads: the right values are what transformers' own rotary code computes, run without a cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as T

from hf.tiny import SHAPE, byte_tokenizer
from ttscale import Candidate, Key, Question, Step
from ttscale.core.errors import RoleError
from ttscale.core.requests import Sample, Score
from ttscale.hf import HFGenerator, HFModel, ImplicitVerifier
from ttscale.hf.option_probabilities import first_token_odds
from ttscale.prompts.layouts import PromptFormat

TOKENIZER = byte_tokenizer()
PLAIN = PromptFormat(chat=False, template="{question}\n")
BASE: dict[str, Any] = {**SHAPE, "vocab_size": len(TOKENIZER), "max_position_embeddings": 64}
LONG = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "original_max_position_embeddings": 64}
SCALED: dict[str, tuple[dict[str, Any], int]] = {
    "default": ({"rope_type": "default", "rope_theta": 1e4}, 64),
    "linear": ({"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}, 256),
    "dynamic": ({"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}, 256),
    "yarn": (
        {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 64},
        256,
    ),
    "yarn of half": (
        {"rope_type": "yarn", "factor": 8.0, "rope_theta": 1e4, "original_max_position_embeddings": 32},
        256,
    ),
    "longrope": ({"rope_type": "longrope", "factor": 4.0, "rope_theta": 1e4, **LONG}, 256),
    "llama3": (
        {
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 1e4,
        },
        64,
    ),
}


def model_of(kind: str, **settings: Any) -> HFModel:
    torch.manual_seed(3)
    config = T.LlamaConfig(**BASE, rope_parameters=dict(SCALED[kind][0]))
    return HFModel(T.LlamaForCausalLM(config), tokenizer=TOKENIZER, device="cpu", **settings)


@torch.inference_mode()
def greedily(kind: str, ids: list[int], new: int) -> list[int]:
    """A fresh model for every token, so that nothing of an earlier forward is left in it."""
    ids = list(ids)
    for _ in range(new):
        logits = model_of(kind).module(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids[-new:]


@pytest.mark.parametrize("kind", list(SCALED))
def test_the_length_is_what_the_rotary_embeddings_reach(kind: str) -> None:
    assert model_of(kind).context_length == SCALED[kind][1]


@pytest.mark.parametrize("kind", list(SCALED))
def test_what_is_written_is_what_the_model_writes_without_a_cache(kind: str) -> None:
    """From before the length of pre-training to beyond it, together with shorter and longer ones, in one batch."""
    model = model_of(kind)
    model.eos_ids = frozenset()
    most = min(90, SCALED[kind][1] - 8)
    generator = HFGenerator(model, temperature=0, delimiter=None, max_new_tokens=6, prompt=PLAIN)
    roots = [Candidate(Question.of(c * n), Key((0, c, n))) for c, n in (("a", 10), ("b", most), ("c", 61), ("d", 52))]
    roots = [root for root in roots if len(root.question.prompt) <= most]
    replies = generator.sample([Sample(root, root.key.child(0)) for root in roots])
    for root, reply in zip(roots, replies, strict=True):
        wanted = greedily(kind, TOKENIZER(root.question.prompt + "\n")["input_ids"], 6)
        assert [token for step in reply.steps for token in step.tokens] == wanted[: len(wanted)]


@pytest.mark.parametrize("kind", ["dynamic", "longrope", "yarn"])
def test_what_is_read_does_not_depend_on_what_is_read_beside_it(kind: str) -> None:
    contexts = [tuple(range(3, 3 + n)) for n in (20, 100, 70, 100)]
    together = first_token_odds(model_of(kind), contexts, ["1", "2"])
    assert together is not None
    alone = [first_token_odds(model_of(kind), [context], ["1", "2"]) for context in contexts]
    for one, other in zip(together, alone, strict=True):
        assert other is not None
        assert one[0] == pytest.approx(other[0][0], rel=1e-4)
    scores = [
        Score(Candidate(Question.of("q"), Key((0, n)), (Step("x", tuple(range(3, 3 + n))),))) for n in (20, 100, 70)
    ]
    settings: dict[str, Any] = {"reference_weight": 0, "prompt": PLAIN, "scale": 0.01}
    both = ImplicitVerifier(model_of(kind), **settings).score(scores)
    for verdict, score in zip(both, scores, strict=True):
        (own,) = ImplicitVerifier(model_of(kind), **settings).score([score])
        assert verdict.step_scores == pytest.approx(own.step_scores, abs=2e-5)


def test_a_length_of_ones_own() -> None:
    assert model_of("default", context_length=32).context_length == 32
    assert model_of("default", context_length=128).context_length == 128
    for wrong in (0, -1, 3.5, True):
        with pytest.raises(ValueError, match="context_length must be a positive integer"):
            model_of("default", context_length=wrong)
    table = T.GPT2LMHeadModel(T.GPT2Config(vocab_size=len(TOKENIZER), n_embd=32, n_layer=1, n_head=2, n_positions=64))
    with pytest.raises(ValueError, match="at most 64, the positions that this model has"):
        HFModel(table, tokenizer=TOKENIZER, device="cpu", context_length=65)


def test_what_is_begun_is_cut_off_where_the_context_ends() -> None:
    """Token for token: a prompt of 4 and 60 begun fill the 64 that the model reads. A prompt of 64 leaves no draw."""
    generator = HFGenerator(model_of("default"), prompt=PLAIN, delimiter="\n")
    question = Question("q", "abc")
    root = Candidate(question, Key((0, "q")))
    begun = root.extend(root.key.child(0), [Step("x" * 60)], "open")
    reply, other = generator.sample([Sample(begun, begun.key.child(0), 1), Sample(root, root.key.child(1), 1)])
    assert (reply.steps, reply.finish, reply.cost.sampled_tokens) == ((), "length", 0)
    assert other.cost.sampled_tokens > 0
    long = Candidate(Question("p", "a" * 63), Key((0, "p")))
    with pytest.raises(RoleError, match="64 tokens long, the model reads at most 64"):
        generator.sample([Sample(long, long.key.child(0), 1)])
