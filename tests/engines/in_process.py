"""``ttscale.vllm`` on the real engine with SmolLM2 and tiny reward models. Run by ``make engines``, where vLLM is.

A file of its own, and not collected elsewhere: vLLM and the rest of the tests want different packages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import ttscale
from real_models import model_folder
from ttscale.core.requests import Revise, Sample, Score
from ttscale.core.types import Candidate, Key, Question, Step
from ttscale.prompts.layouts import PromptFormat
from ttscale.testing import GeneratorTests, ReviserTests, VerifierTests
from ttscale.vllm import VLLMGenerator, VLLMReviser, VLLMVerifier

vllm = pytest.importorskip("vllm")
FORM = PromptFormat(system=None)
QUESTION = Question.of("Tom has 3 apples and buys 4 more. How many apples has he? Explain.")
ROOT = Candidate(QUESTION, Key((0, QUESTION.id)))
SOLUTION = ROOT.extend(Key((1,)), [Step("He has 3 + 4 apples.\n"), Step("Answer: 7")], "stop")
OPTIONS = {"dtype": "float32", "enforce_eager": True, "max_model_len": 256}


@pytest.fixture(scope="module")
def role() -> Any:
    options = OPTIONS | {"max_model_len": 1024}
    return VLLMGenerator(
        str(model_folder()), prompt=FORM, delimiter="\n", temperature=0.8, max_new_tokens=24, options=options
    )


def test_steps_written_one_by_one_are_the_whole(role: Any) -> None:
    candidate = ROOT
    while candidate.finish == "open" and len(candidate.tokens) < 24:
        (reply,) = role.sample([Sample(candidate, candidate.key.child(0), 1, 0.0)])
        candidate = candidate.extend(candidate.key.child(0), reply.steps, reply.finish)
    (whole,) = role.sample([Sample(ROOT, ROOT.key.child(0), None, 0.0)])
    tokens = [token for step in whole.steps for token in step.tokens]
    short = min(len(tokens), len(candidate.tokens))
    assert tokens[:short] == list(candidate.tokens[:short])


def test_draws_together_are_those_alone(role: Any) -> None:
    requests = [Sample(ROOT, ROOT.key.child(i)) for i in range(4)]
    together = role.sample(requests)
    assert [one.steps for one in together] == [role.sample([request])[0].steps for request in requests]
    assert len({one.steps for one in together}) > 1


def test_what_is_closed_is_aborted(role: Any) -> None:
    session = role.session()
    session.admit([(i, Sample(ROOT, ROOT.key.child(i))) for i in range(3)])
    session.step()
    session.close()
    assert role.engine.llm.llm_engine.get_num_unfinished_requests() == 0


def test_a_reviser_shares_the_engine(role: Any) -> None:
    reviser = VLLMReviser(role, prompt=FORM, delimiter="\n", max_new_tokens=8)
    (reply,) = reviser.revise([Revise((ROOT,), ROOT.key.child("r"))])
    assert reply.steps
    assert reviser.worker == role.worker


class TestGenerator(GeneratorTests):
    @pytest.fixture
    def generator(self, role: Any) -> Any:
        return VLLMGenerator(role, prompt=FORM, delimiter="\n", max_new_tokens=8)


class TestReviser(ReviserTests):
    @pytest.fixture
    def reviser(self, role: Any) -> Any:
        return VLLMReviser(role, prompt=FORM, delimiter="\n", max_new_tokens=8)


# Reward models: tiny, with random weights and SmolLM2's tokenizer; what transformers says of them is right.


def classifier(folder: Path, kind: str, labels: int) -> Any:
    """A classifier of transformers, saved to ``folder`` for vLLM."""
    import transformers

    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder())
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_labels=labels,
        pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=512,
        initializer_range=0.3,
    )
    model = getattr(transformers, f"LlamaFor{kind}")(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(verifier, transformers' model, its tokenizer) of a process reward model as TRL trains them."""
    folder = tmp_path_factory.mktemp("prm")
    model, tokenizer = classifier(folder, "TokenClassification", 2)
    return VLLMVerifier(str(folder), family="token-classification", options=OPTIONS), model, tokenizer


class TestVerifier(VerifierTests):
    tolerance = 1e-4

    @pytest.fixture
    def verifier(self, prm: Any) -> Any:
        return prm[0]


def test_step_scores_are_those_of_transformers(prm: Any) -> None:
    """Written out by hand: the question, then each step and a newline, whose token is read."""
    verifier, model, tokenizer = prm
    ids, reads = tokenizer(QUESTION.prompt, add_special_tokens=False)["input_ids"], []
    newline = tokenizer("\n", add_special_tokens=False)["input_ids"]
    for text in ("He has 3 + 4 apples.", "Answer: 7"):
        ids = [*ids, *tokenizer(text, add_special_tokens=False)["input_ids"], *newline]
        reads.append(len(ids) - 1)
    bos = [tokenizer.bos_token_id]
    with torch.no_grad():
        logits = model(torch.tensor([bos + ids])).logits[0]
    expected = [float(logits[read + 1].softmax(-1)[1]) for read in reads]
    (verdict,) = verifier.score([Score(SOLUTION)])
    assert verdict.step_scores == pytest.approx(expected, abs=1e-4)
    assert len({round(score, 3) for score in expected}) == 2
    assert verdict.cost.verifier_tokens <= len(bos + ids)


def test_a_reward_head_reads_the_whole_chat_as_transformers_does(tmp_path: Path) -> None:
    model, tokenizer = classifier(tmp_path, "SequenceClassification", 1)
    turns = [
        {"role": "user", "content": QUESTION.prompt},
        {"role": "assistant", "content": "He has 3 + 4 apples.\nAnswer: 7"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    batch = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        expected = float(model(**batch).logits.sigmoid())
    verifier = VLLMVerifier(str(tmp_path), family="reward", options=OPTIONS)
    (verdict,) = verifier.score([Score(SOLUTION)])
    assert verdict.step_scores == pytest.approx((expected,), abs=1e-4)


def test_a_solution_too_long_for_the_verifier_competes_without_a_score(prm: Any) -> None:
    long = ROOT.extend(Key((2,)), [Step("many words " * 200)], "stop")
    first, second = prm[0].score([Score(long), Score(SOLUTION)])
    assert first.unscored is not None
    assert "reads at most 256" in first.unscored
    assert len(second.step_scores) == 2


@pytest.mark.parametrize("strategy", ["majority_vote", "weighted_best_of_n", "beam", "dvts", "confidence_vote"])
def test_searches_with_generator_reviser_and_verifier_in_this_process(role: Any, prm: Any, strategy: str) -> None:
    generator = VLLMGenerator(role, prompt=FORM, delimiter="\n", max_new_tokens=16)
    result = ttscale.solve(QUESTION, 4, generator=generator, verifier=prm[0], strategy=strategy, progress=False)
    assert result.error is None
    assert result.cost.sampled_tokens > 0
    assert any(candidate.text.strip() for candidate in result.candidates)
